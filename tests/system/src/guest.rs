//! Libvirt guests: small, without an operating system. Their disks are read and written by QEMU
//! itself on the device it has open, which is all that a guest's own requests would do.

use crate::volward::{POOL, VIRSH};
use crate::{Node, Output, Result};

/// What QEMU has for words of its own in a domain's XML.
const QEMU_SPACE: &str = " xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'";
/// Random bytes, which no migration makes smaller.
const WEIGHT: &str = "/run/lab/weight";
/// Of the guest's 32 MiB; what the BIOS and the program on its disk use is in the first.
const WEIGHT_MIB: u8 = 20;

/// Puts onto a node what guests that weigh have in their memory.
///
/// # Errors
/// When the node is down.
pub fn put_weight(node: &Node) -> Result<()> {
    node.run_ok(&format!(
        "head -c {WEIGHT_MIB}M /dev/urandom > {WEIGHT}; chmod 644 {WEIGHT}"
    ))
    .map(drop)
}

fn weight() -> String {
    let loader = format!("loader,file={WEIGHT},addr=0x400000,force-raw=on");
    format!(
        "<qemu:commandline><qemu:arg value='-device'/><qemu:arg value='{loader}'/></qemu:commandline>"
    )
}

/// A guest's definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// libvirt's name of it.
    pub name: String,
    /// Its domain UUID.
    pub uuid: String,
    disks: Vec<Disk>,
    weighs: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Disk {
    source: String,
    elements: &'static str,
}

/// What stands in the guest's XML about a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Nothing: exclusive, read-write.
    Plain,
    /// `<shareable/>`: shared, read-write.
    Shareable,
    /// `<readonly/>`.
    ReadOnly,
    /// `<readonly/>` and `<shareable/>`: shared, read-only.
    SharedReadOnly,
}

impl Guest {
    /// A guest without disks. `number` makes its UUID.
    pub fn new(name: &str, number: u8) -> Self {
        Self {
            name: name.to_owned(),
            uuid: format!("c0ffee{number:02x}-0000-4000-8000-000000000000"),
            disks: Vec::new(),
            weighs: false,
        }
    }

    /// One that somebody else has defined, to look at it and to have its QEMU read and write.
    pub fn known(name: &str, uuid: &str) -> Self {
        Self {
            name: name.to_owned(),
            uuid: uuid.to_owned(),
            disks: Vec::new(),
            weighs: false,
        }
    }

    /// Adds a volume of the shared pool, by the path of the attachment's own device.
    #[must_use]
    pub fn disk(self, volume: &str, wish: Wish) -> Self {
        let source = self.device(volume);
        self.disk_at(source, wish)
    }

    /// Gives it memory that is not empty, so that its migration takes time: [`put_weight`] is needed on each node
    /// that it may come to.
    #[must_use]
    pub fn weighs(mut self) -> Self {
        self.weighs = true;
        self
    }

    /// Adds a disk by its path.
    #[must_use]
    pub fn disk_at(mut self, source: impl Into<String>, wish: Wish) -> Self {
        let elements = match wish {
            Wish::Plain => "",
            Wish::Shareable => "<shareable/>",
            Wish::ReadOnly => "<readonly/>",
            Wish::SharedReadOnly => "<readonly/><shareable/>",
        };
        self.disks.push(Disk {
            source: source.into(),
            elements,
        });
        self
    }

    /// Where its device of a volume is.
    pub fn device(&self, volume: &str) -> String {
        format!("/dev/volward/{}/{POOL}/{volume}", self.uuid)
    }

    /// Its domain XML. Disks are vda, vdb, ...
    pub fn xml(&self) -> String {
        let mut disks = String::new();
        for (disk, letter) in self.disks.iter().zip('a'..) {
            disks += &format!(
                "<disk type='block' device='disk'>\
                 <driver name='qemu' type='raw' cache='none' discard='unmap'/>\
                 <source dev='{}'/><target dev='vd{letter}' bus='virtio'/>{}</disk>",
                disk.source, disk.elements
            );
        }
        let (space, weight) = match self.weighs {
            true => (QEMU_SPACE, weight()),
            false => ("", String::new()),
        };
        format!(
            "<domain type='qemu'{space}><name>{}</name><uuid>{}</uuid>\
             <memory unit='MiB'>32</memory><vcpu>1</vcpu>\
             <os><type arch='x86_64' machine='pc'>hvm</type></os>\
             <features><acpi/></features><devices><emulator>/usr/bin/qemu-system-x86_64</emulator>{disks}\
             <controller type='usb' model='none'/><memballoon model='none'/></devices>{weight}</domain>",
            self.name, self.uuid
        )
    }

    /// Defines it on a node.
    ///
    /// # Errors
    /// When libvirt does not take the XML.
    pub fn define(&self, node: &Node) -> Result<()> {
        let path = format!("/run/lab/{}.xml", self.name);
        node.put_file(&path, 0o644, self.xml())?;
        node.run_ok_within(VIRSH, &format!("virsh define {path}"))
            .map(drop)
    }

    /// `virsh start`, once it is defined there.
    ///
    /// # Errors
    /// When the node is down; a refusal is none.
    pub fn try_start(&self, node: &Node) -> Result<Output> {
        self.define(node)?;
        node.run_within(VIRSH, &format!("virsh start {}", self.name))
    }

    /// `virsh start`, which must succeed.
    ///
    /// # Errors
    /// When it does not, with what virsh said.
    pub fn start(&self, node: &Node) -> Result<()> {
        self.define(node)?;
        node.run_ok_within(VIRSH, &format!("virsh start {}", self.name))
            .map(drop)
    }

    /// `virsh destroy`: returns when the hook has released the disks.
    ///
    /// # Errors
    /// When libvirt refuses.
    pub fn stop(&self, node: &Node) -> Result<()> {
        node.run_ok_within(VIRSH, &format!("virsh destroy {}", self.name))
            .map(drop)
    }

    /// Lets QEMU do `command` (as of `qemu-io`: `write -P 0xaa 0 64k`, `read -P 0xaa 0 64k`,
    /// `discard 1M 64k`) on the disk it has open, vda being 0; answers what it said: `... bytes at
    /// offset ...`, and `failed` or `read-only` where it could not.
    ///
    /// # Errors
    /// When the guest does not run, or nothing is said in time.
    pub fn io(&self, node: &Node, disk: u8, command: &str) -> Result<String> {
        self.io_of(node, &format!("virtio-disk{disk}"), command)
    }

    /// The same, on the disk that has this source, whatever libvirt calls it.
    ///
    /// # Errors
    /// When it has no such disk, and as [`Guest::io`].
    pub fn io_on(&self, node: &Node, source: &str, command: &str) -> Result<String> {
        let script = format!(
            "virsh dumpxml {} > /run/lab/guest.xml && python3 - {source} <<'END'
import sys, xml.etree.ElementTree as tree
for disk in tree.parse('/run/lab/guest.xml').iter('disk'):
    if disk.find('source').get('dev') == sys.argv[1]:
        print(disk.find('alias').get('name'))
END",
            self.name
        );
        let alias = node.run_ok_within(VIRSH, &script)?;
        self.io_of(node, alias.trim(), command)
    }

    fn io_of(&self, node: &Node, alias: &str, command: &str) -> Result<String> {
        let name = &self.name;
        let device = format!("/machine/peripheral/{alias}/virtio-backend");
        let monitor = format!("qemu-monitor-command {name} --hmp");
        // QEMU prints results to its stdout, which libvirt logs, and which is buffered: its help texts fill the
        // buffer until what we want comes out. One virsh for several: starting it is what takes time.
        let help = format!("; {monitor} 'qemu-io -d {device} help'").repeat(4);
        let script = format!(
            "log=/var/log/libvirt/qemu/{name}.log; before=$(stat -c %s $log)
             cat > /run/lab/io <<'END'
{monitor} 'qemu-io -d {device} \"{command}\"'{help}
END
             virsh \"$(cat /run/lab/io)\" | grep -i -e read-only -e error && exit
             for _ in $(seq 10); do
                 tail -c +$((before + 1)) $log > /run/lab/said
                 if grep -q -a -e 'bytes at offset' -e failed -e 'Read-only' /run/lab/said; then
                     grep -a -v -e ' -- ' -e 'is tainted' -e \"^Use 'help\" /run/lab/said
                     exit 0
                 fi
                 virsh \"{monitor} help{help}\" > /dev/null || exit
             done
             echo 'QEMU says nothing' >&2; exit 1"
        );
        node.run_ok_within(VIRSH, &script)
    }
}
