//! Fixtures of records that have a table of their own.

use std::fmt::Debug;
use std::fs;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Records are written word by word as the first build that had them wrote them, and read back; see CONTRIBUTING.md,
/// "Formats". `UPDATE_GOLDEN=1` writes tests/compat/state/NAME.
#[track_caller]
pub(super) fn is_as_written<R, T>(name: &str, all: &[T])
where
    R: Serialize + DeserializeOwned + Into<T> + for<'a> From<&'a T>,
    T: Debug + PartialEq,
{
    let now: Vec<R> = all.iter().map(R::from).collect();
    let now = format!("{:#}\n", serde_json::to_value(&now).unwrap());
    let path = format!(
        "{}/../../tests/compat/state/{name}",
        env!("CARGO_MANIFEST_DIR")
    );
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &now).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert!(now == golden, "{path} differs; UPDATE_GOLDEN=1 rewrites it");
    let read: Vec<R> = serde_json::from_str(&golden).unwrap();
    let read: Vec<T> = read.into_iter().map(Into::into).collect();
    assert_eq!(read, all);
}
