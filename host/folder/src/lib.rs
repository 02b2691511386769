//! Folders as handles. A part that reads and writes files as root is given a [`Folder`], which was
//! opened once where the program is put together, and names files in it; it cannot name a file
//! outside. So a component of the path that is exchanged while the program runs changes nothing,
//! and a link in the folder that leads out of it is refused by the kernel (`openat2`).
//!
//! Here alone a path becomes a handle: `host/clippy.toml` bans `std::fs` by path elsewhere, and these
//! constructors wherever a program is not put together.
#![expect(
    clippy::disallowed_methods,
    reason = "this is where a path becomes a handle"
)]

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, DirBuilder, DirBuilderExt, MetadataExt, OpenOptions, OpenOptionsExt};
use rustix::fs::{Mode, OFlags};

/// What opens a folder for reading its entries, for `fsync` and for `fchmod`.
const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// An open folder. A clone is the same handle.
#[derive(Clone, Debug)]
pub struct Folder {
    dir: Arc<Dir>,
    path: Arc<Path>,
}

impl Folder {
    /// Opens a folder by its path. Links on the way are followed, once: they are the operator's.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(path: &Path) -> io::Result<Self> {
        let named = Dir::open_ambient_dir(path, ambient_authority())?;
        // cap-std's own handle names the folder only (O_PATH): it cannot be synced.
        let fd = rustix::fs::openat(named, ".", FOLDER, Mode::empty())?;
        Ok(Self::of(fd, path.to_owned()))
    }

    /// Makes what is missing of a path, with these permission bits less the umask, and opens it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn make(path: &Path, mode: u32) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(path)?;
        Self::open(path)
    }

    /// The same for a folder that its owner alone may enter (0700), which it is made if it was not.
    ///
    /// # Errors
    /// The kernel's.
    pub fn make_private(path: &Path) -> io::Result<Self> {
        let folder = Self::make(path, 0o700)?;
        folder.close_to_others()?;
        Ok(folder)
    }

    fn of(fd: OwnedFd, path: PathBuf) -> Self {
        Self {
            dir: Arc::new(Dir::from_std_file(File::from(fd))),
            path: path.into(),
        }
    }

    /// The handle. Names given to it lead nowhere outside the folder.
    #[must_use]
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// The path it was opened by: for messages, and for programs that take paths. Another folder
    /// may be there by now.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether its path still leads to it: not if somebody has exchanged it, or a part of the path,
    /// since it was opened.
    #[must_use]
    pub fn is_where_it_was(&self) -> bool {
        let (held, there) = (self.dir.dir_metadata(), std::fs::metadata(&self.path));
        let same = |held: &cap_std::fs::Metadata, there: &std::fs::Metadata| {
            (held.dev(), held.ino()) == (there.dev(), there.ino())
        };
        matches!((held, there), (Ok(held), Ok(there)) if same(&held, &there))
    }

    /// The path of a file in it, for messages.
    #[must_use]
    pub fn path_of(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// A folder in it that its owner alone may enter (0700); made if it is not there.
    ///
    /// # Errors
    /// The kernel's; a link is not followed.
    pub fn make_private_within(&self, name: &str) -> io::Result<Self> {
        let within = NamedFolder::within(self.clone(), name)?.make(0o700)?;
        within.close_to_others()?;
        Ok(within)
    }

    /// The names of what is in it, sorted.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let entries = self.dir.entries()?;
        let names: io::Result<Vec<_>> = entries.map(|entry| Ok(entry?.file_name())).collect();
        let mut names = names?;
        names.sort();
        Ok(names)
    }

    /// Opens what has this name for reading, with these flags too; a link is not followed.
    ///
    /// # Errors
    /// The kernel's (`ELOOP` for a link); if `name` is not one component.
    pub fn open_entry(&self, name: &OsStr, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(rustix::fs::openat(
            &*self.dir,
            component(name)?,
            flags,
            Mode::empty(),
        )?)
    }

    /// Writes a file whole or not at all, by way of `beside`, which must be a name that nobody else
    /// uses. It is on the disk before it takes its name; a crash may still bring back the old one.
    ///
    /// # Errors
    /// The kernel's; if a name is not one component.
    pub fn replace(&self, name: &str, beside: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
        component(name.as_ref())?;
        component(beside.as_ref())?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(mode);
        options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        let mut file = self.dir.open_with(beside, &options)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        self.dir.rename(beside, &self.dir, name)
    }

    /// Waits until the names in it are on the disk.
    ///
    /// # Errors
    /// The kernel's.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(self.dir.as_fd())?)
    }

    fn close_to_others(&self) -> io::Result<()> {
        Ok(rustix::fs::fchmod(self.dir.as_fd(), Mode::RWXU)?)
    }
}

/// A folder by its name in another one, for a folder that may be missing, or replaced whole while
/// the program runs. What is there by that name is opened each time; a link is not followed.
#[derive(Clone, Debug)]
pub struct NamedFolder {
    parent: Folder,
    name: OsString,
}

impl NamedFolder {
    /// The folder at this path, whose parent is opened now.
    ///
    /// # Errors
    /// The kernel's about the parent; if the path ends in no name.
    pub fn at(path: &Path) -> io::Result<Self> {
        let name = path
            .file_name()
            .ok_or_else(|| no_component(path.as_ref()))?;
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        Self::within(Folder::open(parent)?, name)
    }

    /// The folder of this name in an open one.
    ///
    /// # Errors
    /// If `name` is not one component.
    pub fn within(parent: Folder, name: impl AsRef<OsStr>) -> io::Result<Self> {
        let name = component(name.as_ref())?.to_owned();
        Ok(Self { parent, name })
    }

    /// The path it should be at, for messages.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.parent.path_of(&self.name)
    }

    /// The folder in which it is looked up.
    #[must_use]
    pub fn parent(&self) -> &Folder {
        &self.parent
    }

    /// Opens what is there now.
    ///
    /// # Errors
    /// The kernel's: `ENOENT` if nothing is there, `ENOTDIR` for a file and for a link.
    pub fn open(&self) -> io::Result<Folder> {
        let fd = self.parent.open_entry(&self.name, OFlags::DIRECTORY)?;
        Ok(Folder::of(fd, self.path()))
    }

    /// The same; one that is not there is made, with these permission bits less the umask.
    ///
    /// # Errors
    /// The kernel's.
    pub fn make(&self, mode: u32) -> io::Result<Folder> {
        match self.open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
        let mut builder = DirBuilder::new();
        builder.mode(mode);
        match self.parent.dir.create_dir_with(&self.name, &builder) {
            // Somebody else did meanwhile.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => self.open(),
        }
    }
}

/// `name`, if it is a name in a folder and leads nowhere else.
fn component(name: &OsStr) -> io::Result<&OsStr> {
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(only)), None) if only == name => Ok(name),
        _ => Err(no_component(name)),
    }
}

fn no_component(name: &OsStr) -> io::Error {
    let text = format!(
        "{} is not the name of something in a folder",
        name.display()
    );
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

#[cfg(test)]
mod tests;
