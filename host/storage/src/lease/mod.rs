//! sanlock: who holds what.

mod fake;
