//! Who is on the other end of the socket. Origin and uid come from the kernel, never from the
//! message.

use std::path::Path;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::net::UnixStream;
use volward_api::{Problem, ProblemCode};
use volward_model::Origin;
use volward_plan::permit::permit;
use volward_plan::{Action, CallerKind, NodeRoles, RefusalCode};

use super::door::Door;
use super::problem::plain;
use super::rights::kind_of;
use crate::config::ApiSection;

/// The peer's credentials at the time it connected.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    credentials: Option<(u32, i32)>,
}

impl Connected<IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.io().peer().clone()
    }
}

/// A caller that may ask, by its credentials.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Derived from uid and program.
    pub(crate) origin: Origin,
    /// The caller's user id, as the kernel says it.
    pub(crate) uid: u32,
    /// What `plan::permit` knows it as.
    pub(crate) kind: CallerKind,
}

impl Peer {
    /// Root, by this process.
    #[cfg(test)]
    pub(crate) fn root() -> Self {
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        Self {
            credentials: Some((0, own)),
        }
    }

    /// Whoever is connected there.
    pub(crate) fn of(stream: &UnixStream) -> Self {
        let credentials = stream.peer_cred().ok();
        Self {
            credentials: credentials.map(|c| (c.uid(), c.pid().unwrap_or(0))),
        }
    }

    /// The user id; `None` if the kernel does not tell.
    pub(crate) fn uid(&self) -> Option<u32> {
        self.credentials.map(|(uid, _)| uid)
    }

    /// Checks that the peer may ask anything at all.
    ///
    /// # Errors
    /// With the problem to answer.
    pub(crate) fn caller(&self, api: &ApiSection) -> Result<Caller, Problem> {
        let Some((uid, pid)) = self.credentials else {
            return Err(forbidden("the caller's credentials cannot be read"));
        };
        let Some(kind) = kind_of(uid, api) else {
            return Err(forbidden(&format!(
                "user id {uid} may not ask the daemon; run as root, or add it to \
                 api.openstack-uids (or api.monitoring-uids, to look) in /etc/volward/volward.toml"
            )));
        };
        let origin = match kind {
            CallerKind::Root => origin_of_root(pid),
            CallerKind::Openstack | CallerKind::Nova | CallerKind::Cinder => Origin::Openstack,
            CallerKind::Monitoring => Origin::Other("monitoring".to_owned()),
        };
        Ok(Caller { origin, uid, kind })
    }
}

impl Caller {
    /// Checks that a node of these roles does that for the caller.
    ///
    /// # Errors
    /// With the problem to answer.
    pub(crate) fn must(&self, action: Action, roles: NodeRoles) -> Result<(), Problem> {
        permit(action, self.kind, roles).map_err(|refusal| {
            let problem = match refusal.code {
                RefusalCode::CallerMayNot => ProblemCode::Forbidden,
                _ => ProblemCode::Refused,
            };
            plain(problem, refusal.code.as_str(), refusal.message)
        })
    }
}

/// Root is either libvirt's hook or a person; the program tells. Root could lie, but root could
/// also do without us.
#[expect(clippy::disallowed_methods, reason = "the kernel's, at a fixed path")]
fn origin_of_root(pid: i32) -> Origin {
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    origin_of_program(&program)
}

/// The hook is installed as hooks/qemu or hooks/qemu.d/volward, so its folder counts, or it is a
/// link there to the program's own name.
fn origin_of_program(program: &Path) -> Origin {
    if program.starts_with("/etc/libvirt/hooks") {
        return Origin::Libvirt;
    }
    match program.file_name().and_then(|n| n.to_str()) {
        Some("volward-hook") => Origin::Libvirt,
        Some("volward") => Origin::Operator,
        Some(other) => Origin::Other(other.to_owned()),
        None => Origin::Other("unknown".into()),
    }
}

fn forbidden(message: &str) -> Problem {
    plain(ProblemCode::Forbidden, "forbidden", message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configured_user_is_openstack_and_root_is_what_its_program_says() {
        let api = ApiSection {
            openstack_uids: vec![42],
            monitoring_uids: vec![44],
            ..ApiSection::default()
        };
        let caller = |credentials| Peer { credentials }.caller(&api);
        let openstack = caller(Some((42, 1))).unwrap();
        assert_eq!((openstack.origin, openstack.uid), (Origin::Openstack, 42));
        let own = i32::try_from(std::process::id()).unwrap();
        let root = caller(Some((0, own))).unwrap();
        assert!(matches!(root.origin, Origin::Other(_)), "{root:?}");
        for nobody in [Some((43, 1)), None] {
            let refused = caller(nobody).unwrap_err();
            assert_eq!(refused.kind, ProblemCode::Forbidden, "{refused:?}");
        }
    }

    #[test]
    fn the_hook_is_known_however_it_is_installed() {
        for hook in [
            "/etc/libvirt/hooks/qemu",
            "/etc/libvirt/hooks/qemu.d/volward",
            "/usr/libexec/volward-hook",
        ] {
            assert_eq!(
                origin_of_program(Path::new(hook)),
                Origin::Libvirt,
                "{hook}"
            );
        }
        assert_eq!(
            origin_of_program(Path::new("/usr/bin/volward")),
            Origin::Operator
        );
        let other = origin_of_program(Path::new("/usr/bin/curl"));
        assert_eq!(other, Origin::Other("curl".into()));
    }
}
