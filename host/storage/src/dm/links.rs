//! The paths under /dev/volward: symlinks to /dev/mapper, where a name that holds instance and LV
//! cannot become another's as `dm-N` can (I13).

use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use volward_folder::{Folder, NamedFolder};
use volward_model::{DeviceId, DeviceNumber};
use volward_ports::{Applied, LinkPath, PortError, PortResult};

use crate::blockdev::{from_dev, io};
use crate::{kernel, udev};

/// What the names of all our devices start with.
const OWN_PREFIX: &str = "volward-";

/// The links. Their folder is held by its name in `/dev`: somebody may remove it while the daemon
/// runs, and the next attachment makes it again.
#[derive(Debug)]
pub(super) struct Links {
    root: NamedFolder,
    mapper: PathBuf,
}

impl Links {
    pub(super) fn new(root: NamedFolder, mapper: PathBuf) -> Self {
        Self { root, mapper }
    }

    fn node(&self, id: DeviceId) -> PathBuf {
        self.mapper.join(id.name())
    }

    /// Whether udev's name of a device is there, whatever it leads to.
    pub(super) fn is_named(&self, id: DeviceId) -> bool {
        kernel::is_there(&self.node(id))
    }

    /// Waits for the name that udev makes when owner and mode of the device are as its rules have them; what it leads
    /// to must be the device.
    ///
    /// # Errors
    /// If udev does not make it in time, or it is another device's.
    pub(super) fn await_node(&self, id: DeviceId, number: DeviceNumber) -> PortResult<()> {
        let node = self.node(id);
        udev::await_node(&node)?;
        let meta = kernel::node(&node).map_err(io(format!("cannot look at {}", node.display())))?;
        let found = from_dev(meta.rdev());
        if meta.file_type().is_block_device() && found == number {
            return Ok(());
        }
        Err(PortError::Identity {
            what: node.display().to_string(),
            expected: number.to_string(),
            found: found.to_string(),
        })
    }

    pub(super) fn link(&self, link: &LinkPath, id: DeviceId) -> PortResult<Applied> {
        let made = self.root.make(0o755);
        let root = made.map_err(io(format!("cannot use {}", self.root.path().display())))?;
        let (inside, node) = (inside(link), self.node(id));
        match self.ours(&root, &inside)? {
            Some(target) if target == node => return Ok(Applied::Identity),
            Some(_) => remove(&root, &inside)?,
            None => {}
        }
        let path = root.path_of(&inside);
        if let Some(folder) = inside.parent() {
            let made = root.dir().create_dir_all(folder);
            made.map_err(io(format!("cannot make the folder of {}", path.display())))?;
        }
        let made = root.dir().symlink_contents(&node, &inside);
        made.map_err(io(format!("cannot make the link {}", path.display())))?;
        Ok(Applied::Changed)
    }

    pub(super) fn unlink(&self, link: &LinkPath) -> PortResult<Applied> {
        let Some(root) = self.opened()? else {
            return Ok(Applied::Identity);
        };
        let inside = inside(link);
        let applied = match self.ours(&root, &inside)? {
            Some(_) => {
                remove(&root, &inside)?;
                Applied::Changed
            }
            None => Applied::Identity,
        };
        // Pool's folder, then instance's; one that is not empty or not there stays as it is.
        for folder in inside.ancestors().skip(1).take(2) {
            match root.dir().remove_dir(folder) {
                Ok(()) => {}
                Err(error) if matches!(error.kind(), ErrorKind::NotFound) => {}
                Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty) => break,
                Err(error) => {
                    let folder = root.path_of(folder);
                    return Err(io(format!("cannot remove {}", folder.display()))(error));
                }
            }
        }
        Ok(applied)
    }

    /// The folder of all links, if it is there.
    fn opened(&self) -> PortResult<Option<Folder>> {
        match self.root.open() {
            Ok(root) => Ok(Some(root)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(cannot_read(&self.root.path())(error)),
        }
    }

    /// The target of a link of ours; `None` if nothing is there; an error for anything else.
    fn ours(&self, root: &Folder, inside: &Path) -> PortResult<Option<PathBuf>> {
        let path = root.path_of(inside);
        let not_ours = |found: String| PortError::Identity {
            what: path.display().to_string(),
            expected: "a link of Volward's, or nothing".to_owned(),
            found,
        };
        // What it says, and not where it leads: that is outside of the folder.
        match root.dir().read_link_contents(inside) {
            Ok(target) => {
                let name = target.file_name().and_then(|name| name.to_str());
                let own = target.parent() == Some(&self.mapper)
                    && name.is_some_and(|name| name.starts_with(OWN_PREFIX));
                if own {
                    Ok(Some(target))
                } else {
                    Err(not_ours(format!("a link to {}", target.display())))
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                Err(not_ours("something that is no link".to_owned()))
            }
            Err(error) => Err(io(format!("cannot read the link {}", path.display()))(
                error,
            )),
        }
    }

    /// All links; what has no name of ours or is no link of ours is left out.
    pub(super) fn list(&self) -> PortResult<Vec<LinkPath>> {
        let Some(root) = self.opened()? else {
            return Ok(Vec::new());
        };
        let mut links = Vec::new();
        for (instance, folder) in parsed(&root)? {
            for (pool, folder) in inner::<volward_model::PoolName>(&folder)? {
                for (volume, _) in inner(&folder)? {
                    let link = LinkPath {
                        instance,
                        pool: pool.clone(),
                        volume,
                    };
                    if matches!(self.ours(&root, &inside(&link)), Ok(Some(_))) {
                        links.push(link);
                    }
                }
            }
        }
        links.sort();
        Ok(links)
    }
}

/// Where a link is in the folder of all links.
fn inside(link: &LinkPath) -> PathBuf {
    Path::new(&link.instance.to_string())
        .join(link.pool.as_str())
        .join(link.volume.as_str())
}

fn remove(root: &Folder, inside: &Path) -> PortResult<()> {
    let removed = root.dir().remove_file(inside);
    let path = root.path_of(inside);
    removed.map_err(io(format!("cannot remove the link {}", path.display())))
}

fn cannot_read(path: &Path) -> impl Fn(std::io::Error) -> PortError + use<> {
    let what = format!("cannot read {}", path.display());
    move |error| io(what.clone())(error)
}

/// The entries of a folder whose names can be understood, each as a folder it may be.
fn parsed<T: std::str::FromStr>(folder: &Folder) -> PortResult<Vec<(T, NamedFolder)>> {
    let failed = cannot_read(folder.path());
    let mut found = Vec::new();
    for name in folder.names().map_err(&failed)? {
        if let Some(parsed) = name.to_str().and_then(|name| name.parse().ok()) {
            let entry = NamedFolder::within(folder.clone(), name).map_err(&failed)?;
            found.push((parsed, entry));
        }
    }
    Ok(found)
}

/// The same of what may be a folder; what is none, or gone, has no entries.
fn inner<T: std::str::FromStr>(named: &NamedFolder) -> PortResult<Vec<(T, NamedFolder)>> {
    match named.open() {
        Ok(folder) => parsed(&folder),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(error) => Err(cannot_read(&named.path())(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;
    use volward_model::VolumeId;

    use super::*;

    struct Place {
        _folder: TempDir,
        links: Links,
        root: PathBuf,
    }

    fn place() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("volward");
        Place {
            links: Links::new(
                NamedFolder::at(&root).unwrap(),
                folder.path().join("mapper"),
            ),
            root,
            _folder: folder,
        }
    }

    fn link() -> LinkPath {
        LinkPath {
            instance: "11111111-2222-3333-4444-555555555555".parse().unwrap(),
            pool: "p".parse().unwrap(),
            volume: "v".parse().unwrap(),
        }
    }

    fn id(lv: &str) -> DeviceId {
        let volume = VolumeId {
            vg: "a".repeat(32).parse().unwrap(),
            lv: lv.repeat(32).parse().unwrap(),
        };
        DeviceId::attachment(volume, link().instance)
    }

    #[test]
    fn a_link_comes_and_goes_with_its_folders() {
        let place = place();
        let links = &place.links;
        assert_eq!(links.link(&link(), id("b")).unwrap(), Applied::Changed);
        assert_eq!(links.link(&link(), id("b")).unwrap(), Applied::Identity);
        assert_eq!(links.list().unwrap(), [link()]);
        assert_eq!(links.unlink(&link()).unwrap(), Applied::Changed);
        assert_eq!(links.unlink(&link()).unwrap(), Applied::Identity);
        assert!(links.list().unwrap().is_empty());
        assert!(place.root.exists());
        assert_eq!(fs::read_dir(&place.root).unwrap().count(), 0);
    }

    #[test]
    fn i12_a_stale_link_of_ours_is_replaced() {
        let place = place();
        assert_eq!(
            place.links.link(&link(), id("b")).unwrap(),
            Applied::Changed
        );
        assert_eq!(
            place.links.link(&link(), id("c")).unwrap(),
            Applied::Changed
        );
        let target = fs::read_link(place.root.join(inside(&link()))).unwrap();
        assert_eq!(target, place.links.node(id("c")));
    }

    #[test]
    fn what_is_not_ours_is_never_touched() {
        let place = place();
        let path = place.root.join(inside(&link()));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        for make in [
            |path: &Path| fs::write(path, "precious"),
            |path: &Path| symlink("/dev/sda", path),
        ] {
            make(&path).unwrap();
            assert!(place.links.link(&link(), id("b")).is_err());
            assert!(place.links.unlink(&link()).is_err());
            assert!(place.links.list().unwrap().is_empty());
            assert!(fs::symlink_metadata(&path).is_ok());
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_node_that_is_no_device_is_refused() {
        let place = place();
        fs::create_dir_all(&place.links.mapper).unwrap();
        fs::write(place.links.node(id("b")), "").unwrap();
        let number = DeviceNumber { major: 0, minor: 0 };
        assert!(place.links.await_node(id("b"), number).is_err());
    }

    #[test]
    fn a_folder_swapped_for_a_link_is_not_written_through() {
        let place = place();
        let links = &place.links;
        let elsewhere = tempfile::tempdir().unwrap();
        links.link(&link(), id("b")).unwrap();
        // An instance's folder, then the folder of all.
        let instance = place.root.join(link().instance.to_string());
        for swapped in [&instance, &place.root] {
            fs::remove_dir_all(swapped).unwrap();
            symlink(elsewhere.path(), swapped).unwrap();
            assert!(links.link(&link(), id("b")).is_err());
            assert!(links.unlink(&link()).is_err());
            assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
        }
        assert!(links.list().is_err());
        // Removed, it is made again.
        fs::remove_file(&place.root).unwrap();
        assert!(links.list().unwrap().is_empty());
        assert_eq!(links.unlink(&link()).unwrap(), Applied::Identity);
        links.link(&link(), id("b")).unwrap();
        assert_eq!(links.list().unwrap(), [link()]);
    }
}
