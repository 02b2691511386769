//! Which version of the interface a policy was built against, and whether this runtime serves it.

use std::collections::BTreeSet;
use std::fmt;

use wasmtime::component::Component;

/// The interface this runtime offers and asks for.
pub const INTERFACE: &str = "volward:policy@0.1.1";

/// A hook that is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    /// May these disks be attached?
    Attach,
    /// What becomes of the copies?
    Detach,
    /// What is wrong with the configuration?
    Lifecycle,
    /// May the instance come here by live migration?
    Migrate,
    /// May this be done with a volume?
    Operate,
}

/// All hooks, in the order in which they are shown: the interface that a policy exports, and the
/// function in it. A hook that is added is a row here, and what asks it in [`crate::run::plugin`].
pub(crate) const HOOKS: [(Hook, &str, &str); 5] = [
    (Hook::Attach, "attach", "review"),
    (Hook::Detach, "detach", "review"),
    (Hook::Lifecycle, "lifecycle", "check-config"),
    (Hook::Migrate, "migrate", "review"),
    (Hook::Operate, "operate", "review"),
];

impl Hook {
    /// The interface's name in one word: `attach`.
    pub(crate) fn word(self) -> &'static str {
        let mut rows = HOOKS.into_iter();
        rows.find(|(hook, ..)| *hook == self)
            .map_or("", |(_, word, _)| word)
    }
}

/// What a component's imports and exports say of our interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Built {
    versions: BTreeSet<Version>,
    /// Exported interfaces that nothing asks, in one word each.
    pub(crate) unasked: Vec<String>,
}

/// A version of the interface, in the order of age.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    numbers: [u32; 3],
    text: String,
}

/// Why a component's version is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// A draft: nothing was promised.
    Draft(String),
    /// Another track.
    Other(String),
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Draft(found) => write!(
                f,
                "it was built against {found}, a draft that is not served any more: build it again against {INTERFACE}"
            ),
            Self::Other(found) => write!(
                f,
                "it was built against {found}, and this version of Volward serves {INTERFACE}: build it against that, or install a version that serves it"
            ),
        }
    }
}

impl Version {
    fn parse(text: &str) -> Self {
        let numbers = text.split(['-', '+']).next().unwrap_or_default();
        let mut numbers = numbers.split('.').map(|n| n.parse().unwrap_or(u32::MAX));
        Self {
            numbers: [(); 3].map(|()| numbers.next().unwrap_or(u32::MAX)),
            text: text.to_owned(),
        }
    }

    fn own() -> Self {
        Self::parse(package_and_version().1)
    }

    fn is_draft(&self) -> bool {
        self.text.contains('-')
    }

    fn full(&self) -> String {
        format!("{}@{}", package_and_version().0, self.text)
    }
}

/// The two parts of [`INTERFACE`].
pub(crate) fn package_and_version() -> (&'static str, &'static str) {
    INTERFACE.split_once('@').unwrap_or((INTERFACE, ""))
}

impl Built {
    /// Looks at a component.
    pub(crate) fn of(component: &Component) -> Self {
        let (ty, engine) = (component.component_type(), component.engine());
        let exports: Vec<&str> = ty.exports(engine).map(|(name, _)| name).collect();
        let imports: Vec<&str> = ty.imports(engine).map(|(name, _)| name).collect();
        Self::of_names(&exports, &imports)
    }

    fn of_names(exports: &[&str], imports: &[&str]) -> Self {
        let ours = |name: &&str| -> Option<(String, Version)> {
            let (package, rest) = name.split_once('/')?;
            let (interface, version) = rest.split_once('@')?;
            (package == package_and_version().0)
                .then(|| (interface.to_owned(), Version::parse(version)))
        };
        let all = exports.iter().chain(imports).filter_map(ours);
        let exported = exports.iter().filter_map(ours).map(|(name, _)| name);
        Self {
            versions: all.map(|(_, version)| version).collect(),
            unasked: exported
                .filter(|n| !HOOKS.iter().any(|(_, word, _)| word == n))
                .collect(),
        }
    }

    /// The newest version it names; what this runtime offers where it names none.
    pub(crate) fn interface(&self) -> String {
        self.versions
            .last()
            .map_or_else(|| INTERFACE.to_owned(), Version::full)
    }

    /// Why this runtime does not serve it, if it does not. Within 0.1 every patch is served: what
    /// a newer one has more is missed only by a policy that uses it.
    pub(crate) fn misfit(&self) -> Option<Misfit> {
        let own = Version::own();
        let served = |v: &&Version| !v.is_draft() && v.numbers[..2] == own.numbers[..2];
        let stranger = self.versions.iter().find(|v| !served(v))?;
        Some(if stranger.is_draft() {
            Misfit::Draft(stranger.full())
        } else {
            Misfit::Other(stranger.full())
        })
    }

    /// Whether it was built against a newer patch than this runtime has.
    pub(crate) fn is_newer(&self) -> bool {
        self.versions
            .last()
            .is_some_and(|v| v.numbers > Version::own().numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(exports: &[&str]) -> Built {
        Built::of_names(exports, &["volward:policy/log@0.1.0"])
    }

    #[test]
    fn every_patch_of_the_track_is_served_and_nothing_else() {
        for (version, served) in [
            ("0.1.0", true),
            ("0.1.12", true),
            ("0.1.0-draft", false),
            ("0.1.1-rc1", false),
            ("0.2.0", false),
            ("1.1.0", false),
            ("nonsense", false),
        ] {
            let export = format!("volward:policy/attach@{version}");
            assert_eq!(built(&[&export]).misfit().is_none(), served, "{version}");
        }
    }

    #[test]
    fn a_draft_is_told_to_build_again() {
        let said = built(&["volward:policy/attach@0.1.0-draft"])
            .misfit()
            .unwrap();
        assert_eq!(
            said.to_string(),
            "it was built against volward:policy@0.1.0-draft, a draft that is not served any more: build it again against volward:policy@0.1.1"
        );
    }

    #[test]
    fn the_newest_version_is_what_it_was_built_against() {
        let newer = built(&["volward:policy/attach@0.1.3"]);
        assert_eq!(newer.interface(), "volward:policy@0.1.3");
        assert!(newer.is_newer());
        assert!(!built(&[]).is_newer());
        assert_eq!(Built::default().interface(), INTERFACE);
    }

    #[test]
    fn what_nothing_asks_is_named() {
        let names = [
            "volward:policy/attach@0.1.0",
            "volward:policy/progress@0.1.0",
            "a:b/c@1.0.0",
        ];
        assert_eq!(built(&names).unasked, ["progress"]);
    }
}
