//! With which code the program ends. systemd starts it again after most of them, and not after those that no further
//! start will better (`RestartPreventExitStatus=` of packaging/volwardd.service).

use volward_storage::journal::OpenError;

/// The command line is invalid; clap ends with it.
#[cfg(test)]
const COMMAND_LINE: u8 = 2;

/// Another version of Volward is needed for what is on the disk.
const NEEDS_ANOTHER_VERSION: u8 = 3;

/// The configuration cannot be read, or says what cannot be: so it stays until somebody changes it. systemd shows this one
/// as `6/NOTCONFIGURED`, as the LSB has it.
const MISCONFIGURED: u8 = 6;

/// Why the program ends.
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) error: anyhow::Error,
}

impl Failure {
    /// One of the configuration.
    pub(crate) fn misconfigured(error: anyhow::Error) -> Self {
        Self {
            code: MISCONFIGURED,
            error,
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let another = |cause: &(dyn std::error::Error + 'static)| {
            let state = cause.downcast_ref::<OpenError>();
            state.is_some_and(OpenError::needs_another_version)
        };
        let code = if error.chain().any(another) {
            NEEDS_ANOTHER_VERSION
        } else {
            1
        };
        Self { code, error }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{Args, MANUAL, run};

    #[test]
    fn a_start_that_no_further_start_will_better_is_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("volward.toml");
        let code = |text: Option<&str>| {
            if let Some(text) = text {
                std::fs::write(&file, text).unwrap();
            }
            let args = Args::parse_from(["volwardd", "--config", file.to_str().unwrap()]);
            let failure = run(&args).err().unwrap();
            assert!(failure.error.to_string().contains("volward.toml"));
            failure.code
        };
        let codes = [
            code(None),
            code(Some("[pools]\n")),
            code(Some("[[pool]]\nname = \"a\"\n[[pool]]\nname = \"a\"\n")),
        ];
        assert_eq!(codes, [MISCONFIGURED; 3]);
        let unit = include_str!("../../../packaging/volwardd.service");
        let prevented = format!(
            "RestartPreventExitStatus={COMMAND_LINE} {NEEDS_ANOTHER_VERSION} {MISCONFIGURED}\n"
        );
        assert!(unit.contains(&prevented), "{prevented}");
        // Everything else is: whoever loses its leases is cut off by a daemon that runs.
        assert!(unit.contains("Restart=on-failure\n"));
        assert!(unit.contains("StartLimitIntervalSec=0\n"));
        let (_, statuses) = MANUAL
            .more
            .iter()
            .find(|(title, _)| *title == "Exit status")
            .unwrap();
        for code in [COMMAND_LINE, NEEDS_ANOTHER_VERSION, MISCONFIGURED] {
            assert!(statuses.contains(&format!("\n{code}  ")), "{code}");
        }
    }
}
