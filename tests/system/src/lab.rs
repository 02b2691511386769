//! Where the lab keeps its things.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::cache::Cache;
use crate::error::IoContext;
use crate::{ClusterSpec, Image, Progress, Result, System, fixture};

/// The lab's folder, `target/lab`: a cache of what was built, and the running clusters.
#[derive(Debug, Clone)]
pub struct Lab {
    target: PathBuf,
}

impl Lab {
    /// The lab of this workspace.
    ///
    /// # Errors
    /// When the folders cannot be made.
    pub fn open() -> Result<Self> {
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(path) => PathBuf::from(path),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"),
        };
        fs::create_dir_all(target.join("lab")).at("create", &target)?;
        let target = target.canonicalize().at("resolve", &target)?;
        Ok(Self { target })
    }

    /// The image nodes boot from: from the cache, or built now (a minute or two).
    ///
    /// # Errors
    /// When apt, the archive or a tool fails; without root.
    pub fn image(&self, system: System, progress: Progress) -> Result<Image> {
        Image::ready(&self.cache(), system, progress)
    }

    /// Makes what [`crate::Cluster::with_volward`] restores, so that no test's time contains it.
    ///
    /// # Errors
    /// As [`crate::Cluster::with_volward`].
    pub fn prepare(&self, spec: &ClusterSpec, progress: Progress) -> Result<()> {
        fixture::with_volward(self, spec, progress).map(drop)
    }

    /// The part of that which needs none of the product's programs: it can be made while they are built.
    ///
    /// # Errors
    /// As [`crate::Cluster::ready`].
    pub fn prepare_nodes(&self, spec: &ClusterSpec, progress: Progress) -> Result<()> {
        fixture::saved(self, spec, progress).map(drop)
    }

    /// The workspace's target folder, which nodes see read-only as `/host`.
    pub fn share(&self) -> &Path {
        &self.target
    }

    /// The folder of the cluster that a person started by hand (`cargo xtask lab up`).
    pub fn by_hand(&self) -> PathBuf {
        self.running().join("up")
    }

    pub(crate) fn cache(&self) -> Cache {
        Cache::new(self.target.join("lab/cache"))
    }

    fn running(&self) -> PathBuf {
        self.target.join("lab/run")
    }

    /// A fresh folder for a cluster of this process.
    pub(crate) fn run_folder(&self) -> Result<PathBuf> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        self.forget_dead()?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = self
            .running()
            .join(format!("{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).at("create", &folder)?;
        Ok(folder)
    }

    /// Removes what killed processes left: their QEMUs died with them, their files did not.
    fn forget_dead(&self) -> Result<()> {
        let running = self.running();
        fs::create_dir_all(&running).at("create", &running)?;
        for entry in fs::read_dir(&running).at("list", &running)? {
            let path = entry.at("list", &running)?.path();
            let owner = path
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| name.split_once('-'))
                .and_then(|(pid, _)| pid.parse::<u32>().ok());
            if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
                match fs::remove_dir_all(&path) {
                    // Another process had the same thought.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    other => other.at("remove", &path)?,
                }
            }
        }
        Ok(())
    }
}
