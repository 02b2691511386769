//! A volume whose home is a copy on another node: what a person can do here where that node is gone.

use volward_model::{Home, HomeState};

use super::ways_out::{command, pool_after};
use crate::input::VolumeInput;

/// What is known of the node that has the copy which a home names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// It is this node, or there is no copy.
    Here,
    /// It may be alive: whatever is to become of the copy is done there. A sentence, without its full stop.
    MayLive(String),
    /// It is dead, or is no member of the lockspace. A sentence, without its full stop.
    Gone(String),
}

/// The ways out, and the homes that they name.
pub(super) fn ways_out(home: &Home, seen: &VolumeInput, owner: &Owner) -> (Vec<String>, Vec<Home>) {
    let volume = &seen.info.volume;
    match owner {
        Owner::Here => (Vec::new(), Vec::new()),
        Owner::MayLive(says) => {
            let way = format!(
                "{says}: have the copy written back there; here nothing can be done about it"
            );
            (vec![way], Vec::new())
        }
        Owner::Gone(says) => {
            let right = pool_after(home);
            let pool_has = match home.state {
                HomeState::Returning { .. } => format!(
                    "{volume} in the pool is partly as it was before the copy and partly as the copy is, for the \
                     copy was being written back: a guest may not be able to use it"
                ),
                _ => format!(
                    "what was written since the copy was made is lost, and {volume} in the pool is as it was then"
                ),
            };
            let ways = vec![
                format!(
                    "{says}; if it can be started again, start it: nothing is lost, and the copy is written back there"
                ),
                format!(
                    "if it cannot: {pool_has}; to go on with that: {} --because REASON`; the copy, should it come \
                     back, is kept there and never written back, until somebody discards it",
                    command(volume, home, &right).trim_end_matches('`')
                ),
            ];
            (ways, vec![right])
        }
    }
}
