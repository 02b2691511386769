//! The registry on the LUN.

mod fake;
