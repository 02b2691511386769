//! Every element of a domain that can name a block device, with a managed one in it: attached,
//! refused with a sentence, or listed in docs/libvirt.md as not looked at.
//!
//! The list comes from libvirt's own tests: of each of the 1,070 files in `tests/qemuxml2argvdata`
//! of libvirt 9.0.0, every attribute and text that is an absolute path or has `/dev/` in it, and
//! every type of `<disk>` and `<hostdev>`, by the elements above it. The XML here is written anew.

use volward_api::fake::{Canned, Seen};

use crate::support::Node;
use crate::{WEB1, attached};

/// What the hook does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Attach,
    Refuse,
    /// And how docs/libvirt.md names it.
    NotLook(&'static str),
}
use Does::{Attach, NotLook, Refuse};

/// What stands in `<devices>`; `%` is the managed device.
const DEVICES: &[(Does, &str)] = &[
    (
        Attach,
        "<disk type='block'><source dev='%'/><target dev='vda'/></disk>",
    ),
    (
        Attach,
        "<disk type='file'><source file='%'/><target dev='vda'/></disk>",
    ),
    (
        Attach,
        "<disk type='block' device='cdrom'><source dev='%' startupPolicy='optional'/><target dev='sda'/></disk>",
    ),
    (
        Attach,
        "<disk type='block' device='floppy'><source dev='%'/><target dev='fda'/></disk>",
    ),
    (
        Attach,
        "<disk type='file'><source file='/i'/><backingStore type='block'><source dev='%'/><backingStore/></backingStore></disk>",
    ),
    (
        Attach,
        "<disk type='file'><source file='/i'/><backingStore><source file='/j'/><backingStore><source file='%'/></backingStore></backingStore></disk>",
    ),
    (
        Attach,
        "<disk type='file'><source file='/i'/><mirror type='block'><source dev='%'/></mirror></disk>",
    ),
    (
        Attach,
        "<disk type='file'><source file='/i'/><mirror file='%' format='raw' ready='yes'/></disk>",
    ),
    (
        Attach,
        "<disk type='file'><source file='/i'/><mirror><source file='/j'/><backingStore><source dev='%'/></backingStore></mirror></disk>",
    ),
    (
        Attach,
        "<disk type='file'><source file='/i'><dataStore type='block'><source dev='%'/></dataStore></source></disk>",
    ),
    // The whole LUN beneath the volume would be passed through, or reserved.
    (
        Refuse,
        "<disk type='block' device='lun' rawio='yes'><source dev='%'/><target dev='sda' bus='scsi'/></disk>",
    ),
    (
        Refuse,
        "<disk type='block' device='lun' sgio='unfiltered'><source dev='%'/><target dev='sda' bus='scsi'/></disk>",
    ),
    (
        Refuse,
        "<disk type='block'><source dev='%'><reservations managed='yes'/></source><target dev='sda'/></disk>",
    ),
    (
        Refuse,
        "<disk type='block'><source dev='%'><reservations managed='no'><source type='unix' path='/x' mode='client'/></reservations></source></disk>",
    ),
    (Refuse, "<disk type='dir'><source dir='%'/></disk>"),
    (
        Refuse,
        "<disk type='vhostuser'><source type='unix' path='%'/></disk>",
    ),
    (
        Refuse,
        "<disk type='network'><source protocol='rbd' name='a/b'><config file='%'/></source></disk>",
    ),
    (
        Refuse,
        "<disk type='network'><source protocol='gluster' name='a/b'><host transport='unix' socket='%'/></source></disk>",
    ),
    (
        Refuse,
        "<filesystem type='mount'><source dir='%'/><target dir='x'/></filesystem>",
    ),
    (
        Refuse,
        "<filesystem type='block'><source dev='%'/><target dir='/'/></filesystem>",
    ),
    (
        Refuse,
        "<filesystem type='mount'><source socket='%'/></filesystem>",
    ),
    (
        Refuse,
        "<filesystem type='mount'><binary path='%'/></filesystem>",
    ),
    (
        Refuse,
        "<hostdev mode='subsystem' type='pci'><rom file='%'/></hostdev>",
    ),
    (
        Refuse,
        "<hostdev mode='capabilities' type='storage'><source><block>%</block></source></hostdev>",
    ),
    (
        Refuse,
        "<hostdev mode='capabilities' type='misc'><source><char>%</char></source></hostdev>",
    ),
    (
        Refuse,
        "<interface type='ethernet'><script path='%'/></interface>",
    ),
    (
        Refuse,
        "<interface type='network'><backend tap='%' vhost='/dev/zero'/></interface>",
    ),
    (
        Refuse,
        "<interface type='vdpa'><source dev='%'/></interface>",
    ),
    (
        Refuse,
        "<interface type='vhostuser'><source type='unix' path='%'/></interface>",
    ),
    (
        Refuse,
        "<interface type='user'><backend type='passt' logFile='%'/></interface>",
    ),
    (
        Refuse,
        "<serial type='dev'><source path='%'/><target port='0'/></serial>",
    ),
    (
        Refuse,
        "<serial type='pty'><log file='%' append='on'/></serial>",
    ),
    (Refuse, "<parallel type='dev'><source path='%'/></parallel>"),
    (Refuse, "<console type='file'><source path='%'/></console>"),
    (
        Refuse,
        "<channel type='unix'><source mode='bind' path='%'/></channel>",
    ),
    (
        Refuse,
        "<redirdev bus='usb' type='unix'><source path='%'/></redirdev>",
    ),
    (
        Refuse,
        "<smartcard mode='host-certificates'><database>%</database></smartcard>",
    ),
    (
        Refuse,
        "<rng model='virtio'><backend model='random'>%</backend></rng>",
    ),
    (
        Refuse,
        "<rng model='virtio'><backend model='egd' type='unix'><source path='%'/></backend></rng>",
    ),
    (
        Refuse,
        "<tpm model='tpm-crb'><backend type='passthrough'><device path='%'/></backend></tpm>",
    ),
    (
        Refuse,
        "<tpm model='tpm-crb'><backend type='external'><source type='unix' path='%'/></backend></tpm>",
    ),
    (
        Refuse,
        "<memory model='nvdimm'><source><path>%</path></source></memory>",
    ),
    (Refuse, "<shmem name='s'><server path='%'/></shmem>"),
    (Refuse, "<lease><target path='%' offset='0'/></lease>"),
    (
        Refuse,
        "<input type='passthrough' bus='virtio'><source evdev='%'/></input>",
    ),
    (Refuse, "<graphics type='vnc' socket='%'/>"),
    (
        Refuse,
        "<graphics type='spice'><listen type='socket' socket='%'/><gl rendernode='/dev/dri/x'/></graphics>",
    ),
    (
        Refuse,
        "<video><model><acceleration rendernode='%'/></model></video>",
    ),
    (Refuse, "<audio id='1' type='oss'><input dev='%'/></audio>"),
    (Refuse, "<emulator>%</emulator>"),
    (
        NotLook("`type='volume'`"),
        "<disk type='volume'><source pool='vg0' volume='web'/><target dev='vda'/></disk>",
    ),
    (
        NotLook("`type='nvme'`"),
        "<disk type='nvme'><source type='pci' managed='yes' namespace='1'/></disk>",
    ),
    (
        NotLook("the `name` of a network disk"),
        "<disk type='network'><source protocol='nfs' name='%'/></disk>",
    ),
    (
        NotLook("a secret's `usage`"),
        "<disk type='file'><source file='/i'/><encryption format='luks'><secret type='passphrase' usage='%'/></encryption></disk>",
    ),
    (
        NotLook("`<hostdev>` of a SCSI"),
        "<hostdev mode='subsystem' type='scsi'><source><adapter name='scsi_host0'/><address bus='0' target='0' unit='0'/></source></hostdev>",
    ),
    (
        NotLook("`<hostdev>` of a SCSI"),
        "<hostdev mode='subsystem' type='scsi'><source protocol='iscsi' name='iqn.2026-01.example:vg0/1'/></hostdev>",
    ),
    (
        NotLook("`<hostdev>` of a SCSI"),
        "<hostdev mode='subsystem' type='scsi_host'><source protocol='vhost' wwpn='naa.5000000000000001'/></hostdev>",
    ),
];

/// What stands in `<domain>`.
const DOMAIN: &[(Does, &str)] = &[
    (Refuse, "<os><loader type='pflash'>%</loader></os>"),
    (Refuse, "<os><nvram>%</nvram></os>"),
    (
        Refuse,
        "<os><nvram type='block'><source dev='%'/></nvram></os>",
    ),
    (Refuse, "<os><nvram template='%'/></os>"),
    (Refuse, "<os><kernel>%</kernel></os>"),
    (Refuse, "<os><initrd>%</initrd><dtb>/d</dtb></os>"),
    (Refuse, "<os><acpi><table type='slic'>%</table></acpi></os>"),
    (
        Refuse,
        "<sysinfo type='fwcfg'><entry name='opt/x' file='%'/></sysinfo>",
    ),
    (
        NotLook("`<cmdline>`"),
        "<os><cmdline>console=ttyS0 root=%</cmdline></os>",
    ),
    (
        NotLook("`<blkiotune>`"),
        "<blkiotune><device><path>%</path><weight>500</weight></device></blkiotune>",
    ),
    (
        NotLook("`<qemu:commandline>`"),
        "<q:commandline><q:arg value='-drive'/><q:arg value='file=%,if=none'/></q:commandline>",
    ),
    (
        NotLook("`<qemu:commandline>`"),
        "<q:commandline><q:arg value='%'/><q:env name='X' value='%'/></q:commandline>",
    ),
    (
        NotLook("`<qemu:override>`"),
        "<q:override><q:device alias='x'><q:frontend><q:property name='p' type='string' value='%'/></q:frontend></q:device></q:override>",
    ),
    (
        NotLook("foreign `<metadata>`"),
        "<metadata><x:disk xmlns:x='urn:x'><x:source dev='%'/></x:disk></metadata>",
    ),
    (
        NotLook("`<description>`"),
        "<title>%</title><description>%</description>",
    ),
];

fn domain(more: &str, devices: &str) -> String {
    format!(
        "<domain type='kvm' xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><name>web1</name>\
         <uuid>{WEB1}</uuid>{more}<devices>{devices}</devices></domain>"
    )
}

#[test]
fn every_element_that_can_name_a_device_is_attached_refused_or_listed() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/libvirt.md");
    let document = std::fs::read_to_string(document).unwrap();
    let node = Node::new();
    let daemon = node.daemon(attached);
    let own = format!("/dev/volward/{WEB1}/vg0/web");
    for path in ["/dev/vg0/web", "/dev/mapper/vg0-web", own.as_str()] {
        let devices = DEVICES.iter().map(|(does, xml)| (does, domain("", xml)));
        let others = DOMAIN.iter().map(|(does, xml)| (does, domain(xml, "")));
        for (does, xml) in devices.chain(others) {
            let xml = xml
                .replace('%', path)
                .replace(&path.replace('%', path), path);
            let before = daemon.seen().len();
            let ended = node.hook("web1 prepare begin -", xml.as_bytes());
            let asked = daemon.seen().len() - before;
            let expected = match does {
                Attach => (0, 1),
                Refuse => (1, 0),
                NotLook(_) => (0, 0),
            };
            assert_eq!((ended.code, asked), expected, "{xml}: {}", ended.stderr);
            if *does == Refuse {
                assert!(ended.stderr.contains(path), "{xml}: {}", ended.stderr);
            }
            if let NotLook(listed) = does {
                assert!(document.contains(listed), "docs/libvirt.md lacks {listed}");
            }
            // Nothing of it breaks what follows.
            let released = node.hook("web1 release end -", xml.as_bytes());
            assert_eq!(released.code, 0, "{xml}: {}", released.stderr);
        }
    }
}

/// The same with nothing managed in them: nobody is asked, and nobody is refused.
#[test]
fn i31_none_of_them_matters_to_a_guest_without_managed_disks() {
    let node = Node::new();
    let daemon = node.daemon(|_: &Seen| Canned::Silence);
    let all: String = DEVICES.iter().map(|(_, xml)| *xml).collect();
    let others: String = DOMAIN.iter().map(|(_, xml)| *xml).collect();
    for path in ["/dev/sdz", "/var/lib/images/a", "/dev/other/web"] {
        let xml = domain(&others, &all).replace('%', path);
        for operation in crate::OPERATIONS {
            let ended = node.hook(&format!("web1 {operation}"), xml.as_bytes());
            assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{operation}");
        }
    }
    assert!(daemon.seen().is_empty());
}
