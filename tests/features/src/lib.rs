//! Empty: its manifest is what counts.
//!
//! Cargo compiles a crate once for each set of its features, and everything that depends on it with it. Whoever builds
//! a part of the workspace beside this package has the features of the whole, and shares what the tests' build made.
//! What is packaged is built without it.
