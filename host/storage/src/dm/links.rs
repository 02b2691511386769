//! The paths under /dev/volward: symlinks to /dev/mapper, where a name that holds instance and LV
//! cannot become another's as `dm-N` can (I13).

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use volward_model::{DeviceId, DeviceNumber};
use volward_ports::{Applied, LinkPath, PortError, PortResult};

use crate::blockdev::{from_dev, io};

/// What the names of all our devices start with.
const OWN_PREFIX: &str = "volward-";

#[derive(Debug)]
pub(super) struct Links {
    root: PathBuf,
    mapper: PathBuf,
}

impl Links {
    pub(super) fn new(root: PathBuf, mapper: PathBuf) -> Self {
        Self { root, mapper }
    }

    fn node(&self, id: DeviceId) -> PathBuf {
        self.mapper.join(id.name())
    }

    fn path(&self, link: &LinkPath) -> PathBuf {
        self.root
            .join(link.instance.to_string())
            .join(link.pool.as_str())
            .join(link.volume.as_str())
    }

    /// The node udev made must be the device's.
    pub(super) fn check_node(&self, id: DeviceId, number: DeviceNumber) -> PortResult<()> {
        let node = self.node(id);
        let meta = fs::metadata(&node).map_err(io(format!("cannot look at {}", node.display())))?;
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
        let (path, node) = (self.path(link), self.node(id));
        match self.ours(&path)? {
            Some(target) if target == node => return Ok(Applied::Identity),
            Some(_) => remove(&path)?,
            None => {}
        }
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).map_err(io(format!("cannot make {}", folder.display())))?;
        symlink(&node, &path).map_err(io(format!("cannot make the link {}", path.display())))?;
        Ok(Applied::Changed)
    }

    pub(super) fn unlink(&self, link: &LinkPath) -> PortResult<Applied> {
        let path = self.path(link);
        let applied = match self.ours(&path)? {
            Some(_) => {
                remove(&path)?;
                Applied::Changed
            }
            None => Applied::Identity,
        };
        // Pool's folder, then instance's; one that is not empty or not there stays as it is.
        for folder in path.ancestors().skip(1).take(2) {
            match fs::remove_dir(folder) {
                Ok(()) => {}
                Err(error) if matches!(error.kind(), ErrorKind::NotFound) => {}
                Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty) => break,
                Err(error) => {
                    return Err(io(format!("cannot remove {}", folder.display()))(error));
                }
            }
        }
        Ok(applied)
    }

    /// The target of a link of ours; `None` if nothing is there; an error for anything else.
    fn ours(&self, path: &Path) -> PortResult<Option<PathBuf>> {
        let not_ours = |found: String| PortError::Identity {
            what: path.display().to_string(),
            expected: "a link of Volward's, or nothing".to_owned(),
            found,
        };
        match fs::read_link(path) {
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
        let mut links = Vec::new();
        for (instance, folder) in parsed(&self.root)? {
            for (pool, folder) in parsed::<volward_model::PoolName>(&folder)? {
                for (volume, path) in parsed(&folder)? {
                    if matches!(self.ours(&path), Ok(Some(_))) {
                        links.push(LinkPath {
                            instance,
                            pool: pool.clone(),
                            volume,
                        });
                    }
                }
            }
        }
        links.sort();
        Ok(links)
    }
}

fn remove(path: &Path) -> PortResult<()> {
    fs::remove_file(path).map_err(io(format!("cannot remove the link {}", path.display())))
}

/// The entries of a folder whose names can be understood; none if there is no such folder.
fn parsed<T: std::str::FromStr>(folder: &Path) -> PortResult<Vec<(T, PathBuf)>> {
    let failed = || io(format!("cannot read {}", folder.display()));
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(failed()(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed())?;
        if let Some(name) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        {
            found.push((name, entry.path()));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
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
            links: Links::new(root.clone(), folder.path().join("mapper")),
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
        let target = fs::read_link(place.links.path(&link())).unwrap();
        assert_eq!(target, place.links.node(id("c")));
    }

    #[test]
    fn what_is_not_ours_is_never_touched() {
        let place = place();
        let path = place.links.path(&link());
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
        assert!(place.links.check_node(id("b"), number).is_err());
    }
}
