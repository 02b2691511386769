//! The QEMU command line of a node, and starting it so that it cannot outlive us.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Sender};

use serde::{Deserialize, Serialize};

use crate::accel::Accel;
use crate::error::IoContext;
use crate::{LabError, Result, System};

pub(crate) const QEMU: &str = "qemu-system-x86_64";

/// Raised when the devices of a node change: a saved node fits only the machine it was saved on.
pub(crate) const MACHINE_VERSION: u32 = 1;

/// All that is needed to start a node, again and again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Number of the node, from 1; its sanlock host-id too.
    pub(crate) node: u8,
    /// How many nodes the cluster has.
    pub(crate) nodes: u8,
    /// The cluster's folder: disks, sockets, consoles. QEMU's working directory.
    pub(crate) folder: PathBuf,
    pub(crate) memory_mib: u32,
    pub(crate) system: System,
    pub(crate) accel: Accel,
    pub(crate) kernel: PathBuf,
    pub(crate) initrd: PathBuf,
    pub(crate) packages: PathBuf,
    pub(crate) layer: PathBuf,
    /// Seen by the node as `/host`, read-only.
    pub(crate) share: PathBuf,
    /// Group and port of the network between the nodes.
    pub(crate) network: String,
    /// Whether it goes on when we end (`cargo xtask lab up`).
    pub(crate) outlives_us: bool,
}

impl Machine {
    /// A file of this node in the cluster's folder: `node1.<what>`.
    pub(crate) fn file(&self, what: &str) -> String {
        format!("node{}.{what}", self.node)
    }

    /// Starts QEMU; with `saved`, it waits paused for `cont` in the state saved in that file
    /// (a name in the cluster's folder).
    pub(crate) fn launch(&self, saved: Option<&str>) -> Result<Child> {
        let log_path = self.folder.join(self.file("qemu"));
        let log = File::create(&log_path).at("create", &log_path)?;
        let mut command = if self.outlives_us {
            Command::new("setsid")
        } else {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL"]);
            command
        };
        command
            .arg(QEMU)
            .args(self.arguments())
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().at("open", &log_path)?)
            .stderr(log);
        if let Some(file) = saved {
            command.args(["-incoming", &format!("exec:cat {file}")]);
        }
        start(command).map_err(|source| LabError::Start {
            program: QEMU.into(),
            source,
        })
    }

    fn arguments(&self) -> Vec<String> {
        let node = self.node;
        let mut line: Vec<String> = self.accel.arguments().map(str::to_owned).into();
        let mut add = |words: &[&str]| line.extend(words.iter().map(|word| (*word).to_owned()));
        // A watchdog's reset ends QEMU, which is how a test sees it: -no-reboot.
        add(&[
            "-machine",
            "pc",
            "-smp",
            "1",
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
        ]);
        add(&["-display", "none", "-m", &self.memory_mib.to_string()]);
        add(&["-kernel", &self.kernel.to_string_lossy()]);
        add(&["-initrd", &self.initrd.to_string_lossy()]);
        let words = format!(
            "console=ttyS0 quiet mitigations=off nokaslr panic=-1 net.ifnames=0 random.trust_cpu=on \
             lab.node={node} lab.nodes={}{}",
            self.nodes,
            self.system.words(node)
        );
        add(&["-append", &words]);
        let console = self.file("console");
        add(&[
            "-chardev",
            &format!("file,id=console,path={console},append=on"),
        ]);
        add(&["-serial", "chardev:console"]);
        let qmp = self.file("qmp");
        add(&["-qmp", &format!("unix:{qmp},server=on,wait=off")]);
        add(&["-device", "virtio-rng-pci"]);
        self.add_disks(&mut add);
        // Port 0: the kernel picks a free one, and QMP tells which.
        add(&[
            "-netdev",
            "user,id=command,restrict=on,\
               hostfwd=tcp:127.0.0.1:0-:5000,hostfwd=tcp:127.0.0.1:0-:5001",
        ]);
        add(&["-device", "virtio-net-pci,netdev=command,romfile="]);
        let network = format!(
            "socket,id=cluster,mcast={},localaddr=127.0.0.1",
            self.network
        );
        add(&["-netdev", &network]);
        let card = format!("virtio-net-pci,netdev=cluster,romfile=,mac=52:54:00:09:00:{node:02x}");
        add(&["-device", &card]);
        let share = self.share.to_string_lossy().replace(',', ",,");
        add(&[
            "-fsdev",
            &format!(
                "local,id=host,path={share},security_model=none,\
               readonly=on,multidevs=remap"
            ),
        ]);
        add(&["-device", "virtio-9p-pci,fsdev=host,mount_tag=host"]);
        line
    }

    fn add_disks(&self, add: &mut impl FnMut(&[&str])) {
        for (name, file) in [("packages", &self.packages), ("layer", &self.layer)] {
            let file = file.to_string_lossy().replace(',', ",,");
            add(&[
                "-blockdev",
                &format!(
                    "driver=file,node-name={name},filename={file},\
                   read-only=on,locking=off"
                ),
            ]);
            add(&["-device", &format!("virtio-blk-pci,drive={name}")]);
        }
        // The machine's page cache is one for all QEMUs, so nodes see each other's writes; a
        // flush need not reach its disk, because no test survives the machine's own crash.
        let lun = "driver=file,node-name=lun-file,filename=lun.img,locking=off,\
                   discard=unmap,cache.no-flush=on";
        add(&["-blockdev", lun]);
        add(&[
            "-blockdev",
            "driver=raw,node-name=lun-raw,file=lun-file,discard=unmap",
        ]);
        add(&[
            "-device",
            "virtio-blk-pci,id=lun,drive=lun-raw,share-rw=on,serial=lun,\
               rerror=report,werror=report",
        ]);
        let file = self.file("local");
        add(&[
            "-blockdev",
            &format!(
                "driver=file,node-name=local,filename={file},\
               discard=unmap,cache.no-flush=on"
            ),
        ]);
        add(&["-device", "virtio-blk-pci,drive=local,serial=local"]);
        if self.system == System::Systemd {
            let file = self.file("root");
            add(&[
                "-blockdev",
                &format!(
                    "driver=file,node-name=root,filename={file},\
                   discard=unmap,cache.no-flush=on"
                ),
            ]);
            add(&["-device", "virtio-blk-pci,drive=root,serial=root"]);
            // libvirt has a name for the machine from its firmware.
            add(&[
                "-uuid",
                &format!("00000000-0000-4000-8000-{:012x}", self.node),
            ]);
        }
    }
}

type Job = (Command, Sender<io::Result<Child>>);

/// The signal a child gets at its parent's death comes at the death of the *thread* that started
/// it. So all QEMUs are started from one thread that lives as long as the process.
fn start(command: Command) -> io::Result<Child> {
    static STARTER: OnceLock<Sender<Job>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, answer) in jobs {
                // The asker waits for the answer; if it is gone, so is the need for a child.
                if let Err(mpsc::SendError(Ok(mut orphan))) = answer.send(command.spawn()) {
                    drop(orphan.kill());
                }
            }
        });
        sender
    });
    let (answer, child) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts QEMU ended");
    starter.send((command, answer)).map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}
