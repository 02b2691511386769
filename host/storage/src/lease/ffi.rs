//! libsanlock, loaded when the daemon starts.
//!
//! The structs are checked against the system's header by a test.
#![expect(
    unsafe_code,
    reason = "libsanlock is a C library; each block says why it is sound"
)]

use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr;

use volward_model::{LeaseHolder, LeaseMode, Member, MemberState, Renewal};
use volward_ports::{PortError, PortResult};

const NAME_LEN: usize = 48;
const PATH_LEN: usize = 1024;
const RES_SHARED: u32 = 0x4;
const HOST_MASK: u32 = 0xF;
/// sanlock_rv.h: there is no lease at that place.
const SANLK_LEADER_MAGIC: c_int = -223;

#[repr(C)]
#[derive(Clone, Copy)]
struct Disk {
    path: [c_char; PATH_LEN],
    offset: u64,
    pad1: u32,
    pad2: u32,
}

/// `struct sanlk_resource` with room for the one disk lvmlockd uses.
#[repr(C)]
struct Resource {
    lockspace_name: [c_char; NAME_LEN],
    name: [c_char; NAME_LEN],
    lver: u64,
    data64: u64,
    data32: u32,
    unused: u32,
    flags: u32,
    num_disks: u32,
    disk: Disk,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Lockspace {
    name: [c_char; NAME_LEN],
    host_id: u64,
    flags: u32,
    host_id_disk: Disk,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Host {
    host_id: u64,
    generation: u64,
    timestamp: u64,
    io_timeout: u32,
    flags: u32,
}

type GetLockspaces = unsafe extern "C" fn(*mut *mut Lockspace, *mut c_int, u32) -> c_int;
type GetHosts = unsafe extern "C" fn(*const c_char, u64, *mut *mut Host, *mut c_int, u32) -> c_int;
type ReadOwners = unsafe extern "C" fn(*mut Resource, u32, *mut *mut Host, *mut c_int) -> c_int;
type Free = unsafe extern "C" fn(*mut c_void);

/// The calls of libsanlock that are used. None of them keeps a connection open: each opens one,
/// asks, and closes it.
#[derive(Debug)]
pub(super) struct Library {
    get_lockspaces: GetLockspaces,
    get_hosts: GetHosts,
    read_owners: ReadOwners,
    free: Free,
    /// Keeps the functions above in memory: dropped last.
    _library: libloading::Library,
}

/// An array that libsanlock allocated, copied and given back.
struct Array<'a, T: Copy> {
    items: *mut T,
    count: c_int,
    library: &'a Library,
}

impl<T: Copy> Drop for Array<'_, T> {
    fn drop(&mut self) {
        // SAFETY: libsanlock allocates its arrays with malloc and hands them over; null is fine.
        unsafe { (self.library.free)(self.items.cast()) }
    }
}

impl<'a, T: Copy> Array<'a, T> {
    fn empty(library: &'a Library) -> Self {
        Self {
            items: ptr::null_mut(),
            count: 0,
            library,
        }
    }

    fn copied(&self) -> Vec<T> {
        let count = usize::try_from(self.count).unwrap_or(0);
        if self.items.is_null() || count == 0 {
            return Vec::new();
        }
        // SAFETY: the call that filled `items` returned 0, so it points at `count` structs, which
        // this array owns until it is dropped.
        unsafe { std::slice::from_raw_parts(self.items, count) }.to_vec()
    }
}

fn failed(what: &str, code: c_int) -> PortError {
    // Errors of its own begin at -200 (sanlock_rv.h), others are negated errno values.
    let reason = if code > -200 {
        std::io::Error::from_raw_os_error(-code).to_string()
    } else {
        format!("sanlock's error {code} (sanlock_rv.h)")
    };
    PortError::Io {
        what: what.to_owned(),
        reason,
    }
}

/// Fills a C array with a text that must fit; sanlock needs no terminating zero in names, but a
/// path must have one.
fn fill<const N: usize>(text: &str, most: usize) -> PortResult<[c_char; N]> {
    if text.len() > most || text.contains('\0') {
        return Err(PortError::Invalid {
            what: format!("asking sanlock about {text:?}"),
            reason: format!("a name has {most} bytes at most, and none of them is zero"),
        });
    }
    let mut array = [0; N];
    for (to, from) in array.iter_mut().zip(text.bytes()) {
        *to = c_char::from_ne_bytes([from]);
    }
    Ok(array)
}

/// A name out of a C array that may lack its terminating zero.
fn text(array: &[c_char]) -> String {
    let bytes = array.iter().map(|c| c.to_ne_bytes()[0]);
    let bytes: Vec<u8> = bytes.take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Library {
    pub(super) fn load() -> PortResult<Self> {
        let missing = |error: libloading::Error| PortError::Io {
            what: "cannot load libsanlock_client.so.1 (Debian's package libsanlock-client1)"
                .to_owned(),
            reason: error.to_string(),
        };
        // SAFETY: the library's constructors do nothing, and the types of its functions are those
        // of sanlock_admin.h (3.8). `free` is the C library's: libsanlock allocates with malloc.
        unsafe {
            let library = libloading::Library::new("libsanlock_client.so.1").map_err(missing)?;
            Ok(Self {
                get_lockspaces: *library.get(b"sanlock_get_lockspaces\0").map_err(missing)?,
                get_hosts: *library.get(b"sanlock_get_hosts\0").map_err(missing)?,
                read_owners: *library
                    .get(b"sanlock_read_resource_owners\0")
                    .map_err(missing)?,
                free: *library.get(b"free\0").map_err(missing)?,
                _library: library,
            })
        }
    }

    /// The host-id under which this node is in a lockspace; `None` if it is not.
    fn own_host_id(&self, lockspace: &str) -> PortResult<Option<u64>> {
        let mut joined = Array::<Lockspace>::empty(self);
        // SAFETY: both pointers are to live places; libsanlock writes them only if it succeeds.
        let code = unsafe { (self.get_lockspaces)(&mut joined.items, &mut joined.count, 0) };
        if code < 0 {
            return Err(failed("cannot ask sanlock for its lockspaces", code));
        }
        let joined = joined.copied();
        let own = joined.iter().find(|one| text(&one.name) == lockspace);
        Ok(own.map(|one| one.host_id))
    }

    /// The members of a lockspace; `None` if this node is not in it.
    pub(super) fn members(&self, lockspace: &str) -> PortResult<Option<Vec<Member>>> {
        let Some(own) = self.own_host_id(lockspace)? else {
            return Ok(None);
        };
        let what = format!("cannot ask sanlock for the members of {lockspace}");
        let name = CString::new(lockspace).map_err(|error| PortError::Invalid {
            what: what.clone(),
            reason: error.to_string(),
        })?;
        let mut hosts = Array::<Host>::empty(self);
        // SAFETY: `name` ends with a zero and lives through the call; the others as above.
        let code =
            unsafe { (self.get_hosts)(name.as_ptr(), 0, &mut hosts.items, &mut hosts.count, 0) };
        if code < 0 {
            return Err(failed(&what, code));
        }
        let members = hosts.copied().into_iter().map(|host| {
            Ok(Member {
                host_id: host.host_id,
                generation: host.generation,
                state: state(host.flags & HOST_MASK)?,
                own: host.host_id == own,
                renewal: Some(Renewal {
                    stamp: host.timestamp,
                    io_timeout_s: host.io_timeout,
                }),
            })
        });
        members.collect::<PortResult<_>>().map(Some)
    }

    /// The owners of a lease, read from the LUN.
    pub(super) fn owners(
        &self,
        lockspace: &str,
        name: &str,
        device: &str,
        offset: u64,
    ) -> PortResult<Vec<LeaseHolder>> {
        let mut resource = Resource {
            lockspace_name: fill(lockspace, NAME_LEN)?,
            name: fill(name, NAME_LEN)?,
            lver: 0,
            data64: 0,
            data32: 0,
            unused: 0,
            flags: 0,
            num_disks: 1,
            disk: Disk {
                path: fill(device, PATH_LEN - 1)?,
                offset,
                pad1: 0,
                pad2: 0,
            },
        };
        let mut hosts = Array::<Host>::empty(self);
        // SAFETY: `resource` is a struct sanlk_resource followed by as many disks as it says; the
        // others as above.
        let code =
            unsafe { (self.read_owners)(&mut resource, 0, &mut hosts.items, &mut hosts.count) };
        if code < 0 {
            let what = format!("cannot read the lease {name} at {device}:{offset}");
            return Err(match code {
                SANLK_LEADER_MAGIC => PortError::Missing {
                    what: format!("the lease {name} at {device}:{offset}"),
                },
                _ => failed(&what, code),
            });
        }
        let mode = if resource.flags & RES_SHARED == 0 {
            LeaseMode::Exclusive
        } else {
            LeaseMode::Shared
        };
        let holders = hosts.copied().into_iter().map(|host| LeaseHolder {
            host_id: host.host_id,
            generation: host.generation,
            mode,
            node: None,
        });
        Ok(holders.collect())
    }
}

fn state(flags: u32) -> PortResult<MemberState> {
    match flags {
        1 => Ok(MemberState::Unknown),
        2 => Ok(MemberState::Free),
        3 => Ok(MemberState::Live),
        4 => Ok(MemberState::Fail),
        5 => Ok(MemberState::Dead),
        other => Err(PortError::Unreadable {
            what: "sanlock's list of members".to_owned(),
            reason: format!("host state {other}"),
        }),
    }
}

#[cfg(test)]
mod tests;
