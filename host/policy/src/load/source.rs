//! The policies folder: `NN-name.wasm`, and beside it an optional `NN-name.toml`. Settings may name
//! the digests of the component and the scenarios they are for: then the files are one revision,
//! which is loaded whole or not at all.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use volward_folder::{Folder, NamedFolder};

use crate::load::trusted::{self, TrustError};
use crate::run::chain::Stray;
use crate::run::level::Level;

/// A settings file holds a few keys.
const SETTINGS_BYTES: u64 = 1 << 20;

/// What stands in `NN-name.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whether its answer counts.
    pub level: Level,
    /// Its configuration; whole numbers and booleans as text.
    pub config: BTreeMap<String, String>,
    /// SHA-256 of the only component that these settings are for, lower-case hex. `None`: of
    /// whichever lies beside them.
    pub component: Option<String>,
    /// SHA-256 of the scenarios that belong to them, likewise.
    pub scenarios: Option<String>,
}

/// Why a settings file is refused.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Not readable, or not trusted.
    #[error(transparent)]
    Trust(TrustError),
    /// Not TOML, or a key that is not known.
    #[error("{path}: {reason}")]
    Toml {
        /// Which file.
        path: PathBuf,
        /// With line and column.
        reason: String,
        /// The level they name, where that alone can be read.
        level: Option<Level>,
    },
}

impl SettingsError {
    /// What the operator says of the policy's level, where the rest is not understood.
    pub(crate) fn level(&self) -> Option<Level> {
        match self {
            Self::Toml { level, .. } => *level,
            Self::Trust(_) => None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSettings {
    #[serde(default)]
    level: Level,
    #[serde(default)]
    config: BTreeMap<String, RawValue>,
    component: Option<Sha256>,
    scenarios: Option<Sha256>,
}

/// A digest as `sha256sum` prints it.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Sha256(String);

impl TryFrom<String> for Sha256 {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let hex = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if hex {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err("expected a SHA-256 of 64 hexadecimal digits, as `sha256sum` prints it")
        }
    }
}

/// No floats: numbers in a policy's configuration are whole, like everything it decides on.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a string, a whole number or a boolean")]
enum RawValue {
    Text(String),
    Whole(i64),
    Truth(bool),
}

impl Settings {
    /// Reads settings from TOML text.
    ///
    /// # Errors
    /// With what is wrong and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        // What editors of another system put before the text.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let raw: RawSettings = toml::from_str(text).map_err(|e| e.to_string().trim().to_owned())?;
        let config = raw.config.into_iter().map(|(key, value)| {
            let text = match value {
                RawValue::Text(text) => text,
                RawValue::Whole(number) => number.to_string(),
                RawValue::Truth(truth) => truth.to_string(),
            };
            (key, text)
        });
        Ok(Self {
            level: raw.level,
            config: config.collect(),
            component: raw.component.map(|digest| digest.0),
            scenarios: raw.scenarios.map(|digest| digest.0),
        })
    }

    /// The level alone, of settings that [`Settings::parse`] does not understand otherwise.
    fn level_of(text: &str) -> Option<Level> {
        let table: toml::Table = text.strip_prefix('\u{feff}').unwrap_or(text).parse().ok()?;
        table.get("level")?.clone().try_into().ok()
    }
}

/// A policy file of the folder, not opened yet.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// `name` of `NN-name.wasm`; the whole file name where it is not of that form.
    pub(crate) name: String,
    /// The folder it was found in: its settings and scenarios are of the same one.
    pub(crate) folder: Folder,
    /// Its name there.
    pub(crate) file: String,
    /// Whether the file's name is of the form.
    pub(crate) well_named: bool,
}

impl Found {
    /// The name of the file beside it with another ending.
    pub(crate) fn beside(&self, ending: &str) -> String {
        let stem = self.file.strip_suffix(".wasm").unwrap_or(&self.file);
        format!("{stem}.{ending}")
    }
}

/// What is in the policies folder.
pub(crate) struct Scan {
    /// The policy files, in file-name order.
    pub(crate) found: Vec<Found>,
    /// What looks as if it were meant to count, and does not.
    pub(crate) strays: Vec<Stray>,
}

/// Looks at the folder that is there now.
///
/// # Errors
/// If the folder is not there, is not trusted or cannot be read.
pub(crate) fn scan(named: &NamedFolder, owner: u32) -> Result<Scan, TrustError> {
    let folder = trusted::folder(named, owner)?;
    let names = folder.names().map_err(|source| TrustError::Io {
        path: named.path(),
        source,
    })?;
    let mut names: Vec<String> = names
        .into_iter()
        .map(|name| name.to_string_lossy().into_owned())
        // An editor's or a package manager's leftover is not a policy.
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    let strays = strays(&names);
    let found = names
        .into_iter()
        .filter(|name| name.ends_with(WASM))
        .map(|file| {
            let name = plain_name(&file);
            Found {
                folder: folder.clone(),
                well_named: name.is_some(),
                name: name.map_or_else(|| file.clone(), ToOwned::to_owned),
                file,
            }
        });
    Ok(Scan {
        found: found.collect(),
        strays,
    })
}

const WASM: &str = ".wasm";
/// What may lie beside a policy.
const BESIDE: [&str; 2] = [".toml", ".scenarios.jsonl"];

/// Files with the ending of a policy or of what belongs to one, in whatever case, that are neither.
fn strays(names: &[String]) -> Vec<Stray> {
    let reason = |name: &String| {
        let lower = name.to_ascii_lowercase();
        let ending = [WASM].into_iter().chain(BESIDE);
        let ending = ending.into_iter().find(|ending| lower.ends_with(ending))?;
        let stem = &name[..name.len() - ending.len()];
        if !name.ends_with(ending) {
            return Some(format!(
                "it is not read: its name must end in {ending}, in lower case"
            ));
        }
        let policy = format!("{stem}{WASM}");
        if ending == WASM || names.contains(&policy) {
            return None;
        }
        let alike = names
            .iter()
            .find(|other| other.ends_with(WASM) && alike(other, &policy));
        let meant = alike.map_or_else(String::new, |other| {
            let stem = other.strip_suffix(WASM).unwrap_or(other);
            format!("; if it is meant for {other}, call it {stem}{ending}")
        });
        Some(format!(
            "it belongs to no policy: there is no {policy}{meant}"
        ))
    };
    let strays = names.iter().filter_map(|name| {
        let reason = reason(name)?;
        let file = name.clone();
        Some(Stray { file, reason })
    });
    strays.collect()
}

/// Whether two names differ in case, dash and underscore, or number only.
fn alike(one: &str, other: &str) -> bool {
    let plain = |name: &str| {
        let name = name.to_ascii_lowercase().replace('_', "-");
        let number = |c: char| c.is_ascii_digit() || c == '-';
        name.trim_start_matches(number).to_owned()
    };
    plain(one) == plain(other)
}

/// `name` of `NN-name.wasm`.
fn plain_name(file: &str) -> Option<&str> {
    let (number, name) = file.strip_suffix(".wasm")?.split_once('-')?;
    let numbered = number.len() == 2 && number.bytes().all(|b| b.is_ascii_digit());
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let named = !name.is_empty() && name.bytes().all(legal) && name != crate::BASELINE;
    (numbered && named).then_some(name)
}

/// The settings beside a policy file; those of an absent file are the defaults.
///
/// # Errors
/// If there is a file that is not trusted or not understood.
pub(crate) fn settings(policy: &Found, owner: u32) -> Result<Settings, SettingsError> {
    let name = policy.beside("toml");
    let bytes = match trusted::file(&policy.folder, &name, owner, SETTINGS_BYTES) {
        Ok(bytes) => bytes,
        Err(TrustError::Missing(_)) => {
            return Ok(Settings::default());
        }
        Err(other) => return Err(SettingsError::Trust(other)),
    };
    let path = policy.folder.path_of(name);
    let refused = |reason, level| SettingsError::Toml {
        path,
        reason,
        level,
    };
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return Err(refused(error.to_string(), None)),
    };
    Settings::parse(&text).map_err(|reason| refused(reason, Settings::level_of(&text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_number_and_are_not_the_baselines() {
        assert_eq!(plain_name("50-my-policy.wasm"), Some("my-policy"));
        for bad in [
            "my.wasm",
            "5-x.wasm",
            "500-x.wasm",
            "50-.wasm",
            "50-a b.wasm",
            "00-baseline.wasm",
        ] {
            assert_eq!(plain_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn settings_are_read_with_their_types() {
        let text = "level = \"monitor\"\n[config]\na = \"x\"\nb = 3\nc = true\n";
        let settings = Settings::parse(text).unwrap();
        assert_eq!(settings.level, Level::Monitor);
        let pairs: Vec<_> = settings
            .config
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(pairs, [("a", "x"), ("b", "3"), ("c", "true")]);
    }

    #[test]
    fn a_byte_order_mark_and_carriage_returns_are_read() {
        let text = "\u{feff}level = \"monitor\"\r\n[config]\r\na = 1\r\n";
        let settings = Settings::parse(text).unwrap();
        assert_eq!(settings.level, Level::Monitor);
        assert_eq!(settings.config["a"], "1");
    }

    #[test]
    fn a_level_is_read_where_the_rest_is_not_understood() {
        let level = |text| Settings::level_of(text);
        assert_eq!(
            level("level = \"off\"\n[config]\na = 1.5"),
            Some(Level::Off)
        );
        assert_eq!(level("level = \"monitor\"\nlevl = 1"), Some(Level::Monitor));
        assert_eq!(level("level = \"perhaps\""), None);
        assert_eq!(level("level = \"off\"\n[config"), None);
    }

    #[test]
    fn a_digest_is_what_sha256sum_prints() {
        let digest = "AB".repeat(32);
        let settings = Settings::parse(&format!("component = \"{digest}\"")).unwrap();
        assert_eq!(settings.component, Some("ab".repeat(32)));
        let reason = Settings::parse("scenarios = \"abc\"").unwrap_err();
        assert!(reason.contains("64 hexadecimal"), "{reason}");
    }

    #[test]
    fn what_looks_like_a_policy_or_its_settings_and_is_not_read_is_named() {
        let names = [
            "20-x.WASM",
            "50-Quota.toml",
            "50-hydrate_local.scenarios.jsonl",
            "50-hydrate-local.wasm",
            "50-quota.wasm",
            "50-quota.toml",
            "50-quota.wasm.bak",
            "60-y.TOML",
            "README",
        ];
        let names = names.map(str::to_owned);
        let strays = strays(&names);
        let files: Vec<&str> = strays.iter().map(|one| one.file.as_str()).collect();
        assert_eq!(
            files,
            [
                "20-x.WASM",
                "50-Quota.toml",
                "50-hydrate_local.scenarios.jsonl",
                "60-y.TOML"
            ]
        );
        for (n, said) in [
            "lower case",
            "call it 50-quota.toml",
            "50-hydrate-local.scenarios.jsonl",
            "end in .toml",
        ]
        .into_iter()
        .enumerate()
        {
            assert!(strays[n].reason.contains(said), "{:?}", strays[n]);
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, said) in [
            ("\nlevl = \"off\"", "levl"),
            ("level = \"maybe\"", "monitor"),
            ("[config]\na = 1.5", "whole number"),
            ("[config", "line 1"),
        ] {
            let reason = Settings::parse(text).unwrap_err();
            assert!(reason.contains(said), "{reason}");
        }
    }
}
