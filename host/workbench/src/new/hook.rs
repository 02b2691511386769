//! The hook that a new policy begins with.

use std::ffi::OsStr;

use clap::builder::{EnumValueParser, PossibleValue, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Command, ValueEnum};

/// A hook for which there is something to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Hook {
    /// Who may attach what
    Attach,
    /// Whether an instance may come by live migration
    Migrate,
    /// Whether an operation on a volume may be begun
    Operate,
}

impl Hook {
    /// The world of the interface that has it, and lifecycle.
    pub(super) const fn world(self) -> &'static str {
        match self {
            Self::Attach => "policy",
            Self::Migrate => "migration-policy",
            Self::Operate => "operation-policy",
        }
    }

    /// What the new policy does, for its README.
    pub(super) const fn does(self) -> &'static str {
        match self {
            Self::Attach => "refuses instances whose name begins with `prefix`",
            Self::Migrate => "refuses to migrate instances whose name begins with `prefix`",
            Self::Operate => "refuses to delete volumes whose name begins with `prefix`",
        }
    }

    /// The prefix in its settings: what somebody might call these instances or volumes.
    pub(super) const fn prefix(self) -> &'static str {
        match self {
            Self::Attach | Self::Migrate => "test-",
            Self::Operate => "keep-",
        }
    }
}

/// Reads the name of one; of a hook of the interface that cannot be begun with it says what to do.
#[derive(Clone)]
pub(super) struct Read;

impl TypedValueParser for Read {
    type Value = Hook;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Hook, clap::Error> {
        if value == "detach" {
            let message = "there is no policy of `detach` to begin with: make one of `attach`, and give it \
                           that hook beside its own";
            return Err(command.clone().error(ErrorKind::InvalidValue, message));
        }
        EnumValueParser::<Hook>::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let hooks = Hook::value_variants().iter();
        Some(Box::new(hooks.filter_map(ValueEnum::to_possible_value)))
    }
}
