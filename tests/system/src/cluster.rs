//! Nodes that share a LUN.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::accel::Accel;
use crate::command::tail;
use crate::error::IoContext;
use crate::launch::Machine;
use crate::node::Record;
use crate::{Lab, LabError, Node, Progress, Provider, Result, System, fixture, packaged};

/// What a cluster is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSpec {
    /// How many nodes.
    pub nodes: u8,
    /// Memory of each, in MiB.
    pub memory_mib: u32,
    /// Size of the shared LUN, in GiB (sparse).
    pub lun_gib: u64,
    /// Size of each node's own disk, in GiB (sparse).
    pub local_gib: u64,
    /// Whether sanlock arms the watchdog.
    pub watchdog: bool,
    /// sanlock's I/O timeout in seconds; it gives a LUN up after eight of them. `None` is the
    /// quickest that works: 2 s with the watchdog, for with 1 s it would reset healthy nodes, and
    /// 1 s without. Production has 10 s.
    pub io_timeout: Option<u8>,
    /// Who takes the shared pool's leases; `None` is [`Provider::chosen`].
    pub provider: Option<Provider>,
    /// What runs the nodes; with [`System::Systemd`] a cluster is [booted](Cluster::boot), never restored.
    pub system: System,
}

impl Default for ClusterSpec {
    fn default() -> Self {
        Self {
            nodes: 2,
            memory_mib: 1536,
            lun_gib: 8,
            local_gib: 8,
            watchdog: false,
            io_timeout: None,
            provider: None,
            system: System::Quick,
        }
    }
}

impl ClusterSpec {
    /// Who takes the shared pool's leases.
    ///
    /// # Errors
    /// As [`Provider::chosen`].
    pub fn provider(&self) -> Result<Provider> {
        self.provider.map_or_else(Provider::chosen, Ok)
    }
}

/// A running cluster. Dropped, its nodes are killed and its disks removed, unless it was made to
/// outlive us.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    folder: PathBuf,
    outlives_us: bool,
    provider: Provider,
}

impl Cluster {
    /// Boots bare nodes: no sanlock, no VG, no libvirtd.
    ///
    /// # Errors
    /// When a node does not come up.
    pub fn boot(lab: &Lab, spec: &ClusterSpec, progress: Progress) -> Result<Self> {
        let cluster = Self::prepare(lab, spec, lab.run_folder()?, false, progress)?;
        cluster.make_disks(spec)?;
        progress.during(format!("boot {} nodes", spec.nodes), || {
            cluster.on_all(Node::start)
        })?;
        Ok(cluster)
    }

    /// A cluster in working order, restored in about a second: sanlock and lvmlockd joined in the
    /// shared VG `vg0` on the LUN, a VG `local` on each node's own disk, libvirtd running. The
    /// first call ever boots it and saves it.
    ///
    /// # Errors
    /// When a node does not come up or a step of the bring-up fails.
    pub fn ready(lab: &Lab, spec: &ClusterSpec, progress: Progress) -> Result<Self> {
        let saved = fixture::saved(lab, spec, progress)?;
        Self::restored(lab, spec, &saved, progress)
    }

    /// The same with Volward of this workspace's debug builds on it, as an operator would install
    /// it: `vg0` and `local` are pools, daemons run, no policy is dropped in.
    ///
    /// # Errors
    /// As [`Cluster::ready`], when the programs were not built, and when a step of the
    /// installation fails.
    pub fn with_volward(lab: &Lab, spec: &ClusterSpec, progress: Progress) -> Result<Self> {
        let saved = fixture::with_volward(lab, spec, progress)?;
        Self::restored(lab, spec, &saved, progress)
    }

    fn restored(lab: &Lab, spec: &ClusterSpec, saved: &Path, progress: Progress) -> Result<Self> {
        let cluster = Self::prepare(lab, spec, lab.run_folder()?, false, progress)?;
        fixture::restore(&cluster, saved, progress)?;
        Ok(cluster)
    }

    /// Boots a killed node of a cluster of this spec and makes it a member again, as its boot
    /// would: sanlock, lvmlockd, libvirtd, lockspace.
    ///
    /// # Errors
    /// When it does not come up or cannot join.
    pub fn rejoin(&self, number: u8, spec: &ClusterSpec) -> Result<()> {
        let node = self.node(number);
        node.start()?;
        fixture::rejoin(node, spec)
    }

    /// As [`Cluster::ready`], but the nodes go on after this process; [`Cluster::by_hand`] finds
    /// them again.
    ///
    /// # Errors
    /// As [`Cluster::ready`], and when such a cluster runs already.
    pub fn up(lab: &Lab, spec: &ClusterSpec, progress: Progress) -> Result<Self> {
        Self::lasting(lab, spec, progress, fixture::saved)
    }

    /// As [`Cluster::with_volward`], but the nodes go on after this process.
    ///
    /// # Errors
    /// As [`Cluster::with_volward`], and when such a cluster runs already.
    pub fn up_with_volward(lab: &Lab, spec: &ClusterSpec, progress: Progress) -> Result<Self> {
        Self::lasting(lab, spec, progress, fixture::with_volward)
    }

    /// Nodes of [`System::Systemd`] with the package, which go on after this process.
    ///
    /// # Errors
    /// When there is no package, when a step fails, and when such a cluster runs already. Nodes that could not be set up go on, to be
    /// looked at.
    pub fn up_packaged(lab: &Lab, spec: &ClusterSpec, progress: Progress) -> Result<Self> {
        let folder = Self::new_folder(lab)?;
        packaged::has_package(lab)?;
        fs::create_dir_all(&folder).at("create", &folder)?;
        let spec = ClusterSpec {
            system: System::Systemd,
            ..spec.clone()
        };
        let cluster = Self::prepare(lab, &spec, folder, true, progress)?;
        cluster.make_disks(&spec)?;
        let booted = progress.during(format!("boot {} nodes", spec.nodes), || {
            cluster.on_all(Node::start)
        });
        cluster.remember()?;
        if booted.is_err() {
            Self::down(lab)?;
        }
        booted?;
        packaged::set_up(&cluster, progress)?;
        Ok(cluster)
    }

    /// The folder of the cluster by hand, of which there is one.
    fn new_folder(lab: &Lab) -> Result<PathBuf> {
        let folder = lab.by_hand();
        if folder.exists() {
            return Err(LabError::Machine(
                "a cluster is up already; `cargo xtask lab down` ends it".into(),
            ));
        }
        Ok(folder)
    }

    fn lasting(
        lab: &Lab,
        spec: &ClusterSpec,
        progress: Progress,
        saved: impl Fn(&Lab, &ClusterSpec, Progress) -> Result<PathBuf>,
    ) -> Result<Self> {
        let folder = Self::new_folder(lab)?;
        let saved = saved(lab, spec, progress)?;
        fs::create_dir_all(&folder).at("create", &folder)?;
        let cluster = Self::prepare(lab, spec, folder, true, progress)?;
        let restored = fixture::restore(&cluster, &saved, progress);
        cluster.remember()?;
        if restored.is_err() {
            Self::down(lab)?;
        }
        restored.map(|()| cluster)
    }

    /// The cluster that [`Cluster::up`] left running.
    ///
    /// # Errors
    /// When there is none.
    pub fn by_hand(lab: &Lab) -> Result<Self> {
        let folder = lab.by_hand();
        let path = folder.join(RECORD);
        let Ok(text) = fs::read(&path) else {
            return Err(LabError::Machine(
                "no cluster is up; `cargo xtask lab up` starts one".into(),
            ));
        };
        let records: Vec<Record> = serde_json::from_slice(&text)
            .map_err(std::io::Error::from)
            .at("read", &path)?;
        Ok(Self {
            nodes: records.into_iter().map(Node::from_record).collect(),
            folder,
            outlives_us: true,
            provider: Provider::chosen()?,
        })
    }

    /// Writes down which processes the nodes are, for [`Cluster::by_hand`].
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn remember(&self) -> Result<()> {
        let records: Vec<Record> = self.nodes.iter().map(Node::record).collect();
        let path = self.folder.join(RECORD);
        let text = serde_json::to_vec_pretty(&records)
            .map_err(std::io::Error::from)
            .at("describe", &path)?;
        fs::write(&path, text).at("write", &path)
    }

    /// Kills the cluster that [`Cluster::up`] left running, and removes its disks. Harmless when
    /// there is none.
    ///
    /// # Errors
    /// When a node cannot be killed.
    pub fn down(lab: &Lab) -> Result<()> {
        let folder = lab.by_hand();
        if folder.join(RECORD).exists() {
            Self::by_hand(lab)?.on_all(Node::kill)?;
        }
        if folder.exists() {
            fs::remove_dir_all(&folder).at("remove", &folder)?;
        }
        Ok(())
    }

    /// A node by its number, from 1.
    ///
    /// # Panics
    /// When the cluster has no such node: a mistake in the test.
    #[expect(
        clippy::panic,
        reason = "a wrong number is a mistake in the test's own text"
    )]
    pub fn node(&self, number: u8) -> &Node {
        self.nodes
            .iter()
            .find(|node| node.number() == number)
            .unwrap_or_else(|| panic!("there is no node {number}: nodes are counted from 1"))
    }

    /// All nodes in the order of their numbers, killed ones included.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Who takes the shared pool's leases where Volward of this workspace is installed.
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// The folder with disks, consoles and QEMU's own words.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Does the same on all nodes at once; answers the first error.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn on_all(&self, work: impl Fn(&Node) -> Result<()> + Sync) -> Result<()> {
        std::thread::scope(|scope| {
            let running: Vec<_> = self
                .nodes
                .iter()
                .map(|node| scope.spawn(|| work(node)))
                .collect();
            // All are joined before the first error is answered.
            let answers: Vec<_> = running.into_iter().map(|thread| thread.join()).collect();
            answers.into_iter().try_for_each(|answer| {
                answer.unwrap_or_else(|_| Err(LabError::Machine("work on a node panicked".into())))
            })
        })
    }

    /// The nodes, none of them started.
    pub(crate) fn prepare(
        lab: &Lab,
        spec: &ClusterSpec,
        folder: PathBuf,
        outlives_us: bool,
        progress: Progress,
    ) -> Result<Self> {
        let image = lab.image(spec.system, progress)?;
        let accel = Accel::choose(&image, &lab.cache(), progress)?;
        let network = free_network();
        let machine = |node| Machine {
            node,
            nodes: spec.nodes,
            folder: folder.clone(),
            memory_mib: spec.memory_mib,
            system: spec.system,
            accel,
            kernel: image.kernel.clone(),
            initrd: image.initrd.clone(),
            packages: image.packages.clone(),
            layer: image.layer.clone(),
            share: lab.share().to_owned(),
            network: network.clone(),
            outlives_us,
        };
        let nodes = (1..=spec.nodes)
            .map(|node| Node::new(machine(node)))
            .collect();
        Ok(Self {
            nodes,
            folder,
            outlives_us,
            provider: spec.provider()?,
        })
    }

    /// Makes the LUN and each node's local disk as sparse files of zeroes, of the sizes in `spec`; and its root
    /// where that is on a disk.
    pub(crate) fn make_disks(&self, spec: &ClusterSpec) -> Result<()> {
        self.make_disk("lun.img", spec.lun_gib)?;
        self.nodes.iter().try_for_each(|node| {
            self.make_disk(&format!("node{}.local", node.number()), spec.local_gib)?;
            let root = self.folder.join(format!("node{}.root", node.number()));
            spec.system.make_root(&root)
        })
    }

    /// A sparse file of zeroes in the cluster's folder.
    pub(crate) fn make_disk(&self, name: &str, gib: u64) -> Result<()> {
        let path = self.folder.join(name);
        let file = File::create(&path).at("create", &path)?;
        file.set_len(gib << 30).at("size", &path)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.outlives_us {
            return;
        }
        if std::thread::panicking() {
            for node in &self.nodes {
                let console = tail(&node.console(), 20);
                if !console.is_empty() {
                    eprintln!("--- console of node {}\n{console}", node.number());
                }
            }
        }
        // What stays behind is removed by the next one (Lab::run_folder).
        drop(self.on_all(Node::kill));
        drop(fs::remove_dir_all(&self.folder));
    }
}

const RECORD: &str = "cluster.json";

/// A multicast group and port for the nodes' network, unlikely to be another lab's on this
/// machine: drawn from the process and the time.
fn free_network() -> String {
    let time = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos() as u64;
    let draw = (time ^ (u64::from(std::process::id()) << 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let [_, _, _, a, b, c, d, e] = draw.to_be_bytes();
    let port = 20000 + u16::from_be_bytes([d, e]) % 20000;
    format!("239.{}.{b}.{c}:{port}", 192 + a % 60)
}
