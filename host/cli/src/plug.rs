//! `volward plug` and `unplug`: a disk of a guest that runs, in one command. Attached first and plugged in then;
//! unplugged first and detached then. libvirt calls no hook for it.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Args;
use quick_xml::escape::escape;
use quick_xml::events::Event;
use quick_xml::reader::Reader;
use volward_api::model::{Access, InstanceId, PoolName, Purpose, Sharing, VolumeName};
use volward_api::{AttachRequest, Attached, Client, DetachReply, DetachRequest, DiskRequest};

use crate::disk;
use crate::exit::Exit;
use crate::output::answer;
use crate::show;
use crate::volume_path::VolumePath;

/// virsh wants the name of a file. Where there is no udev there is no /dev/stdin either.
const STDIN: &str = "/proc/self/fd/0";
/// Between two looks at whether the guest has let go.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(crate) struct PlugArgs {
    /// The guest's name in libvirt, or its UUID; it runs
    pub(crate) domain: String,
    /// The disk: a volume with its options
    #[arg(value_name = "POOL/VOLUME[:OPTION[,OPTION...]]", value_parser = disk::request)]
    pub(crate) disk: DiskRequest,
    /// The disk's name in the guest's XML, such as vdb
    pub(crate) target: String,
    /// The bus that the guest sees
    #[arg(long, default_value = "virtio")]
    pub(crate) bus: String,
    /// Also for the guest's next start
    #[arg(long)]
    pub(crate) config: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UnplugArgs {
    /// The guest's name in libvirt, or its UUID
    pub(crate) domain: String,
    /// The volume
    #[arg(value_name = "POOL/VOLUME")]
    pub(crate) volume: VolumePath,
    /// Also for the guest's next start
    #[arg(long)]
    pub(crate) config: bool,
    /// How long to wait until the guest has let go of it
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) wait: u64,
}

pub(crate) fn plug(client: &Client, json: bool, args: PlugArgs) -> anyhow::Result<Exit> {
    let guest = Guest::find(&args.domain)?;
    let request = AttachRequest {
        only_while_waiting: false,
        instance: guest.instance,
        instance_name: guest.name.clone(),
        purpose: Purpose::HotPlug,
        hints: Vec::new(),
        disks: vec![args.disk],
        dry_run: false,
    };
    let reply = client.attach(&request)?;
    let disk = reply.attached.first().context("the reply names no disk")?;
    let xml = element(disk, &args.target, &args.bus);
    let plugged = guest.virsh("attach-device", &[STDIN], args.config, &xml);
    if let Err(error) = plugged {
        // What the guest had before is not this command's to take.
        if disk.already {
            return Err(error.context(format!(
                "{}/{} was attached before, and is; libvirt does not plug it in",
                disk.pool, disk.volume
            )));
        }
        let took_back = detach(client, &guest, (disk.pool.clone(), disk.volume.clone()));
        return Err(match took_back {
            Ok(_) => error.context("libvirt does not plug it in, so it was detached again"),
            Err(why) => error.context(format!(
                "libvirt does not plug it in, and {}/{} stays attached ({why:#}); `volward detach` it",
                disk.pool, disk.volume
            )),
        });
    }
    answer(json, &reply, |reply| show::attached(reply, false))?;
    Ok(Exit::Ok)
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a guest is waited for is real time"
)]
pub(crate) fn unplug(client: &Client, json: bool, args: UnplugArgs) -> anyhow::Result<Exit> {
    let guest = Guest::find(&args.domain)?;
    let (pool, volume) = (args.volume.pool, args.volume.volume);
    let (instance, names) = (
        guest.instance.to_string(),
        (pool.to_string(), volume.to_string()),
    );
    let attached = client.attachments(false)?.into_iter();
    let mut attached = attached.filter(|a| a.instance == instance);
    let attached = attached.find(|a| (&a.pool, &a.volume) == (&names.0, &names.1));
    let device = attached.and_then(|attachment| attachment.device);
    if let Some(device) = &device
        && guest.has(device)?
    {
        guest.virsh("detach-disk", &[device], args.config, "")?;
        let until = Instant::now() + Duration::from_secs(args.wait);
        while guest.has(device)? {
            ensure!(
                Instant::now() < until,
                "guest {} has not let go of {device} within {} s, and keeps it; see that it runs and uses the disk no \
                 more, and ask again",
                guest.name,
                args.wait
            );
            sleep(LOOK_AGAIN);
        }
    }
    let reply = detach(client, &guest, (pool, volume))?;
    answer(json, &reply, |reply| show::detached(reply, false))?;
    Ok(Exit::Ok)
}

fn detach(
    client: &Client,
    guest: &Guest,
    volume: (PoolName, VolumeName),
) -> anyhow::Result<DetachReply> {
    let request = DetachRequest {
        instance: guest.instance,
        volumes: vec![volume],
        not_after: None,
        dry_run: false,
        only_unused: false,
    };
    Ok(client.detach(&request)?)
}

/// A guest of this node's libvirt.
struct Guest {
    instance: InstanceId,
    name: String,
}

impl Guest {
    fn find(domain: &str) -> anyhow::Result<Self> {
        let instance = said(&["domuuid", domain])?;
        let instance = instance.parse().context("libvirt's UUID of the guest")?;
        let name = said(&["domname", &format!("{instance}")])?;
        Ok(Self { instance, name })
    }

    /// A command that changes the guest, with XML on its standard input.
    fn virsh(&self, command: &str, words: &[&str], config: bool, xml: &str) -> anyhow::Result<()> {
        let uuid = self.instance.to_string();
        let mut all = vec![command, &uuid];
        all.extend(words);
        all.push("--live");
        all.extend(config.then_some("--config"));
        virsh(&all, xml).map(drop)
    }

    /// Whether one of its disks is that device, as libvirt has it now.
    fn has(&self, device: &str) -> anyhow::Result<bool> {
        let uuid = self.instance.to_string();
        let output = virsh(&["dumpxml", &uuid], "")?;
        has_source(&String::from_utf8_lossy(&output.stdout), device)
    }
}

fn has_source(xml: &str, device: &str) -> anyhow::Result<bool> {
    let mut reader = Reader::from_str(xml);
    loop {
        match reader.read_event().context("libvirt's XML of the guest")? {
            Event::Eof => return Ok(false),
            Event::Start(element) | Event::Empty(element)
                if element.local_name().as_ref() == "source" =>
            {
                for attribute in element.attributes().flatten() {
                    let is_device = matches!(attribute.key.as_ref(), "dev" | "file");
                    if is_device && attribute.value.as_ref() == escape(device) {
                        return Ok(true);
                    }
                }
            }
            _ => {}
        }
    }
}

/// The disk as libvirt is given it: what was granted, and not what was asked for.
fn element(disk: &Attached, target: &str, bus: &str) -> String {
    let read_only = disk.access.known() != Some(Access::ReadWrite);
    let shared = disk.sharing.known() != Some(Sharing::Exclusive);
    format!(
        "<disk type='block' device='disk'><driver name='qemu' type='raw' cache='none'/><source dev='{}'/>\
         <target dev='{}' bus='{}'/>{}{}</disk>",
        escape(&disk.device),
        escape(target),
        escape(bus),
        if read_only { "<readonly/>" } else { "" },
        if shared { "<shareable/>" } else { "" },
    )
}

fn said(words: &[&str]) -> anyhow::Result<String> {
    let output = virsh(words, "")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[expect(
    clippy::disallowed_methods,
    reason = "virsh is the operator's own command, which he can interrupt"
)]
fn virsh(words: &[&str], stdin: &str) -> anyhow::Result<Output> {
    let mut child = Command::new("virsh")
        .args(["--connect", "qemu:///system"])
        .args(words)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run virsh (Debian: libvirt-clients)")?;
    if let Some(mut pipe) = child.stdin.take() {
        // Whoever does not read it says why himself.
        drop(pipe.write_all(stdin.as_bytes()));
    }
    let output = child.wait_with_output().context("cannot run virsh")?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        let why = why.trim();
        let why = why
            .strip_prefix("error: ")
            .unwrap_or(why)
            .replace("\nerror: ", ": ");
        bail!("virsh {}: {why}", words.first().unwrap_or(&""));
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_told_by_its_source_and_not_by_words_of_the_xml() {
        let xml = "<domain><description>/dev/volward/i/vg0/a</description><devices><disk><source dev='/dev/volward/i/vg0/b' \
                   index='1'/></disk></devices></domain>";
        assert!(has_source(xml, "/dev/volward/i/vg0/b").unwrap());
        assert!(!has_source(xml, "/dev/volward/i/vg0/a").unwrap());
        assert!(has_source("<domain", "/dev/a").is_err());
    }
}
