//! The domain XML on stdin: bounded in size and time, and understood as far as it goes.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use volward_api::model::{InstanceId, PoolName};

use crate::disks::{self, Links, Managed};
use crate::domain;
use crate::path;
use crate::place::Place;

/// libvirt's own protocol carries no longer string (`REMOTE_STRING_MAX`).
const LIMIT: usize = 4 << 20;
/// libvirt writes the XML at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was read from stdin, and why not more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    /// Why it is not the whole, if it is not.
    cut: Option<String>,
}

/// What is known about the guest.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Guest {
    /// Its UUID, where it could be found.
    pub(crate) instance: Option<InstanceId>,
    /// Its managed disks, as far as they could be found.
    pub(crate) managed: Managed,
    /// Pairs of key and value for policies, in any words.
    pub(crate) hints: Vec<(String, String)>,
    /// There was something on stdin: libvirt always says which guest it is about.
    pub(crate) is_named: bool,
}

/// Reads the domain XML from stdin, bounded in size and time.
pub(crate) fn read() -> Input {
    read_from(io::stdin().as_fd(), LIMIT, PATIENCE)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the hook is outside control: nothing it times is decided or replayed"
)]
fn read_from(source: impl AsFd, limit: usize, patience: Duration) -> Input {
    let start = Instant::now();
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 << 10];
    let cut = loop {
        let left = patience.saturating_sub(start.elapsed());
        if left.is_zero() {
            break Some(format!("it did not end within {} s", patience.as_secs()));
        }
        match read_some(&source, &mut buffer, left) {
            Ok(None) | Err(Errno::INTR | Errno::AGAIN) => {}
            Ok(Some(0)) => break None,
            Ok(Some(got)) => bytes.extend_from_slice(&buffer[..got]),
            Err(errno) => break Some(format!("reading it failed: {}", io::Error::from(errno))),
        }
        if bytes.len() > limit {
            break Some(format!("it is larger than {} MiB", limit >> 20));
        }
    };
    Input { bytes, cut }
}

/// `None` if nothing came in time.
fn read_some(
    source: impl AsFd,
    buffer: &mut [u8],
    at_most: Duration,
) -> Result<Option<usize>, Errno> {
    let timeout = Timespec::try_from(at_most).ok();
    let mut wanted = [PollFd::new(&source, PollFlags::IN)];
    if poll(&mut wanted, timeout.as_ref())? == 0 {
        return Ok(None);
    }
    rustix::io::read(&source, buffer).map(Some)
}

impl Input {
    /// Never an error: XML that cannot be read concerns us only if a managed path stands in it,
    /// for a guest without managed disks is not refused, whatever its XML is like (I31).
    pub(crate) fn understand(&self, pools: &[PoolName], place: &Place, links: Links) -> Guest {
        let unreadable = match (&self.cut, domain::parse(&self.bytes)) {
            (None, Ok(domain)) => {
                let instance = domain.uuid.parse().ok();
                let mut managed = disks::managed(&domain, instance, pools, (place, links));
                if !managed.is_empty() && instance.is_none() {
                    managed.troubles.push("the domain XML has no UUID".into());
                }
                let hints = domain.metadata.hints;
                return Guest {
                    instance,
                    managed,
                    hints,
                    is_named: true,
                };
            }
            (Some(why), _) => why.clone(),
            (None, Err(why)) => why.to_string(),
        };
        let mut managed = Managed::default();
        if let Some(name) = self.mentions(pools) {
            managed.troubles.push(format!(
                "the domain XML cannot be read, and it names {name}: {unreadable}"
            ));
        }
        Guest {
            instance: self.raw_uuid(),
            managed,
            hints: Vec::new(),
            is_named: !self.bytes.trim_ascii().is_empty(),
        }
    }

    /// A managed device's path somewhere in the raw bytes.
    fn mentions(&self, pools: &[PoolName]) -> Option<String> {
        let of_pools = pools
            .iter()
            .flat_map(|pool| [format!("/dev/{pool}/"), path::mapper_prefix(pool)]);
        std::iter::once("/dev/volward/".to_owned())
            .chain(of_pools)
            .find(|name| find(&self.bytes, name.as_bytes()).is_some())
    }

    /// The first `<uuid>`, which in libvirt's XML is the domain's: so that even then a release
    /// finds what to release.
    fn raw_uuid(&self) -> Option<InstanceId> {
        const TAG: &[u8] = b"<uuid>";
        let start = find(&self.bytes, TAG)? + TAG.len();
        let text = self.bytes.get(start..start + 36)?;
        std::str::from_utf8(text).ok()?.parse().ok()
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|w| w == wanted)
}

#[cfg(test)]
#[path = "input_tests.rs"]
mod tests;
