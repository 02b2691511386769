//! The policies folder: `NN-name.wasm`, and beside it an optional `NN-name.toml`.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::Deserialize;
use volward_folder::{Folder, NamedFolder};

use crate::load::trusted::{self, TrustError};
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
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSettings {
    #[serde(default)]
    level: Level,
    #[serde(default)]
    config: BTreeMap<String, RawValue>,
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
        })
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

/// The policy files of the folder that is there now, in file-name order. A folder that does not
/// exist has none.
///
/// # Errors
/// If the folder is not trusted or cannot be read.
pub(crate) fn scan(named: &NamedFolder, owner: u32) -> Result<Vec<Found>, TrustError> {
    let folder = match trusted::folder(named, owner) {
        Err(TrustError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(Vec::new());
        }
        other => other?,
    };
    let names = folder.names().map_err(|source| TrustError::Io {
        path: named.path(),
        source,
    })?;
    let mut names: Vec<String> = names
        .into_iter()
        .map(|name| name.to_string_lossy().into_owned())
        // An editor's or a package manager's leftover is not a policy.
        .filter(|name| name.ends_with(".wasm") && !name.starts_with('.'))
        .collect();
    names.sort();
    let found = names.into_iter().map(|file| {
        let name = plain_name(&file);
        Found {
            folder: folder.clone(),
            well_named: name.is_some(),
            name: name.map_or_else(|| file.clone(), ToOwned::to_owned),
            file,
        }
    });
    Ok(found.collect())
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
        Err(TrustError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(Settings::default());
        }
        Err(other) => return Err(SettingsError::Trust(other)),
    };
    let text = String::from_utf8(bytes).map_err(|e| e.to_string());
    let parsed = text.and_then(|text| Settings::parse(&text));
    let path = policy.folder.path_of(name);
    parsed.map_err(|reason| SettingsError::Toml { path, reason })
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
