//! Lines for the decision record; on the node they show in `volward explain`. In native tests
//! they go to stderr.

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For whoever is debugging the policy.
    Debug,
    /// Worth knowing.
    Info,
    /// Something looks wrong.
    Warn,
    /// Something is wrong.
    Error,
}

/// Writes a line.
pub fn write(level: Level, message: &str) {
    write_with(level, message, &[]);
}

/// Writes a line at [`Level::Debug`].
pub fn debug(message: &str) {
    write(Level::Debug, message);
}

/// Writes a line at [`Level::Info`].
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// Writes a line at [`Level::Warn`].
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// Writes a line at [`Level::Error`].
pub fn error(message: &str) {
    write(Level::Error, message);
}

/// Writes a line with fields for programs to find.
#[cfg(target_family = "wasm")]
pub fn write_with(level: Level, message: &str, fields: &[(&str, &str)]) {
    use crate::bindings::volward::policy::log;

    let level = match level {
        Level::Debug => log::Level::Debug,
        Level::Info => log::Level::Info,
        Level::Warn => log::Level::Warn,
        Level::Error => log::Level::Error,
    };
    let owned = fields
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    log::write(level, message, &owned.collect::<Vec<_>>());
}

/// Writes a line with fields for programs to find.
#[cfg(not(target_family = "wasm"))]
pub fn write_with(level: Level, message: &str, fields: &[(&str, &str)]) {
    eprintln!("{level:?}: {message} {fields:?}");
}
