//! The folders of the state in which compiled policies and their earlier versions are. Where one cannot be
//! opened nothing is loaded, since nobody could say what was rolled back: attaches are refused, and nothing
//! else. They are opened with the first load for which they can be.

use std::sync::{Mutex, OnceLock, PoisonError};

use volward_folder::Folder;
use volward_policy::Runtime;

/// Compiled policies, which are code: its name in the state, and what it is called.
const COMPILED: (&str, &str) = ("compiled", "the compiled policies");
/// The versions of each policy that were good.
const VERSIONS: (&str, &str) = ("policies", "the earlier versions of policies");

pub(super) struct Kept {
    state: Folder,
    open: OnceLock<[Folder; 2]>,
    /// Opened by one at a time: doctor looks while a load begins.
    turn: Mutex<()>,
}

impl Kept {
    pub(super) fn new(state: Folder) -> Self {
        Self {
            state,
            open: OnceLock::new(),
            turn: Mutex::default(),
        }
    }

    /// Opens both, if they are not open, and has the runtime keep what it makes there.
    pub(super) fn give_to(&self, runtime: &Runtime) -> Result<(), String> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if self.open.get().is_none() {
            let both = [self.one(COMPILED)?, self.one(VERSIONS)?];
            let [compiled, versions] = self.open.get_or_init(|| both);
            runtime.keep_in(compiled.clone(), versions.clone());
        }
        Ok(())
    }

    pub(super) fn held(&self) -> impl Iterator<Item = &Folder> {
        self.open.get().into_iter().flatten()
    }

    fn one(&self, (name, what): (&str, &str)) -> Result<Folder, String> {
        self.state.make_private_within(name).map_err(|error| {
            let path = self.state.path_of(name);
            format!("cannot use the folder {} ({what}): {error}", path.display())
        })
    }
}
