//! What the operator says and what the node says of itself already, made one.

use thiserror::Error;
use volward_model::{NodeName, PoolName};

use crate::look::Seen;
use crate::paths;
use crate::text::{Pool, Volward, lvm_setting, setting, unquoted};

/// What the operator asks for. What is left out is taken from the node.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The node's name; else sanlock's, else Volward's, else the machine's.
    pub name: Option<NodeName>,
    /// sanlock's number of this node, 1 to `MOST_NODES`; else the one LVM has.
    pub host_id: Option<u16>,
    /// Volume groups on the LUN.
    pub shared: Vec<PoolName>,
    /// The volume group on this node's own disks.
    pub local: Option<PoolName>,
    /// The kernel module of the watchdog; else softdog where the machine has none.
    pub watchdog: Option<String>,
}

/// The registry has a place for each of so many nodes (SPECIFICATION.md).
pub(crate) const MOST_NODES: u16 = 512;

/// Why nothing is changed: two settings that cannot both be meant, or one that is missing or wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Contradiction {
    /// Names of the node, each with where it stands.
    #[error("the node has two names, {} ({}) and {} ({}): make them one; sanlock, its daemon and Volward know the node by it", .first.0, .first.1, .second.0, .second.1)]
    Names {
        /// One of them.
        first: (String, String),
        /// The other.
        second: (String, String),
    },
    /// A name that sanlock or a tag of LVM does not take.
    #[error("{name} ({place}) cannot be the node's name: {reason}")]
    Name {
        /// The name.
        name: String,
        /// Where it stands.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is none.
    #[error("the node has no name: give one that stays the same over reboots, --name NAME")]
    NoName,
    /// Numbers of the node, each with where it stands.
    #[error("the node has two host-ids, {} ({}) and {} ({}): make them one", .first.0, .first.1, .second.0, .second.1)]
    HostIds {
        /// One of them.
        first: (u16, String),
        /// The other.
        second: (u16, String),
    },
    /// A number out of range.
    #[error("host-id {value} ({place}) is none of 1 to {MOST_NODES}")]
    HostId {
        /// What stands there.
        value: String,
        /// And where.
        place: String,
    },
    /// There is none.
    #[error(
        "the node has no host-id: give it one from 1 to {MOST_NODES} that no other node has, --host-id NUMBER"
    )]
    NoHostId,
    /// A pool is of both kinds.
    #[error("pool {0} is asked for as a {1} one, and is a {2} one in /{path}", path = paths::VOLWARD)]
    Kind(String, &'static str, &'static str),
    /// A node has at most one local pool.
    #[error("pools {0} and {1} are both local ones: a node has at most one")]
    TwoLocal(String, String),
    /// A file that is not what it should be.
    #[error("/{path} {inside}; mend it first")]
    NotUnderstood {
        /// The file.
        path: String,
        /// What is not understood, with the line.
        inside: crate::text::NotUnderstood,
    },
}

/// What this node is to be, without a contradiction.
#[derive(Clone, Debug)]
pub(crate) struct Decided {
    pub(crate) name: String,
    pub(crate) host_id: u16,
    /// Those that the configuration lacks.
    pub(crate) new_pools: Vec<Pool>,
    /// All, with those.
    pub(crate) pools: Vec<Pool>,
    pub(crate) configuration: Volward,
}

pub(crate) fn decide(wanted: &Wanted, seen: &Seen) -> Result<Decided, Contradiction> {
    let configuration = seen.text(paths::VOLWARD).unwrap_or_default();
    let configuration =
        Volward::read(configuration).map_err(|inside| not_understood(paths::VOLWARD, inside))?;
    let name = name(wanted, seen, &configuration)?;
    let host_id = host_id(wanted, seen)?;
    let there = configuration.pools();
    let new_pools = new_pools(wanted, &there)?;
    let pools = [there, new_pools.clone()].concat();
    Ok(Decided {
        name,
        host_id,
        new_pools,
        pools,
        configuration,
    })
}

pub(crate) fn not_understood(path: &str, inside: crate::text::NotUnderstood) -> Contradiction {
    let path = path.to_owned();
    Contradiction::NotUnderstood { path, inside }
}

fn name(wanted: &Wanted, seen: &Seen, configuration: &Volward) -> Result<String, Contradiction> {
    let asked = wanted
        .name
        .as_ref()
        .map(|name| (name.to_string(), "--name".to_owned()));
    let sanlock = seen.text(paths::SANLOCK);
    let sanlock = sanlock.and_then(|text| setting(text, "our_host_name"));
    let sanlock = sanlock.map(|name| (name.to_owned(), format!("/{}", paths::SANLOCK)));
    let option = sanlock_option(seen, "-e")?;
    let option = option.map(|name| (name, format!("/{}", paths::SANLOCK_DEFAULTS)));
    let own = configuration.name();
    let own = own.map(|name| (name.to_owned(), format!("/{}", paths::VOLWARD)));
    let said: Vec<_> = [asked, option, sanlock, own]
        .into_iter()
        .flatten()
        .collect();
    if let Some(second) = said.iter().find(|(name, _)| *name != said[0].0) {
        return Err(Contradiction::Names {
            first: said[0].clone(),
            second: second.clone(),
        });
    }
    // The machine's own name counts only where nobody has said one.
    let machine = seen.host_name.clone();
    let machine = machine.map(|name| (name, "the machine's host name".to_owned()));
    let (name, place) = said
        .into_iter()
        .next()
        .or(machine)
        .ok_or(Contradiction::NoName)?;
    match name.parse::<NodeName>() {
        Ok(_) => Ok(name),
        Err(error) => Err(Contradiction::Name {
            name,
            place,
            reason: error.to_string(),
        }),
    }
}

/// The word behind an option that sanlock is started with.
fn sanlock_option(seen: &Seen, option: &str) -> Result<Option<String>, Contradiction> {
    let text = seen.text(paths::SANLOCK_DEFAULTS).unwrap_or_default();
    let Some(value) = setting(text, "sanlock_opts") else {
        return Ok(None);
    };
    let value =
        unquoted(value).map_err(|inside| not_understood(paths::SANLOCK_DEFAULTS, inside))?;
    let mut words = value.split_whitespace().skip_while(|word| *word != option);
    Ok(words.nth(1).map(str::to_owned))
}

fn host_id(wanted: &Wanted, seen: &Seen) -> Result<u16, Contradiction> {
    let mut said: Vec<(u16, String)> = Vec::new();
    if let Some(asked) = wanted.host_id {
        said.push((
            in_range(&asked.to_string(), "--host-id")?,
            "--host-id".to_owned(),
        ));
    }
    // The first that has it is the one that counts for LVM.
    for path in [paths::LVM_LOCAL, paths::LVM] {
        let text = seen.text(path).unwrap_or_default();
        let value = lvm_setting(text, "local", "host_id");
        let value = value.map_err(|inside| not_understood(path, inside))?;
        // LVM's default, which is no number of a node.
        if let Some(value) = value.filter(|value| *value != "0") {
            let place = format!("/{path}");
            said.push((in_range(value, &place)?, place));
            break;
        }
    }
    let first = said.first().cloned().ok_or(Contradiction::NoHostId)?;
    match said.into_iter().find(|(number, _)| *number != first.0) {
        None => Ok(first.0),
        Some(second) => Err(Contradiction::HostIds { first, second }),
    }
}

fn in_range(value: &str, place: &str) -> Result<u16, Contradiction> {
    let number = value.trim_matches('"').parse().ok();
    number
        .filter(|number| (1..=MOST_NODES).contains(number))
        .ok_or_else(|| Contradiction::HostId {
            value: value.to_owned(),
            place: place.to_owned(),
        })
}

fn new_pools(wanted: &Wanted, there: &[Pool]) -> Result<Vec<Pool>, Contradiction> {
    let kind = |local| if local { "local" } else { "shared" };
    let mut new: Vec<Pool> = Vec::new();
    // Those on the LUN first: a local group is made under LVM's global lock, which is in one of them.
    let asked = wanted.shared.iter().map(|name| (name, false));
    let asked = asked.chain(wanted.local.iter().map(|name| (name, true)));
    for (name, local) in asked {
        let name = name.to_string();
        match there.iter().chain(&new).find(|pool| pool.name == name) {
            Some(pool) if pool.local == local => {}
            Some(pool) => return Err(Contradiction::Kind(name, kind(local), kind(pool.local))),
            None => new.push(Pool { name, local }),
        }
    }
    let mut local = there.iter().chain(&new).filter(|pool| pool.local);
    if let (Some(first), Some(second)) = (local.next(), local.next()) {
        return Err(Contradiction::TwoLocal(
            first.name.clone(),
            second.name.clone(),
        ));
    }
    Ok(new)
}
