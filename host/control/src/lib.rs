//! The use cases of a node: gather facts, have them decided, journal, execute, recover, watch.
//!
//! Everything outside is a port ([`ports`]), synchronous, one trait per conversation; so all of
//! this runs without root and without a real clock.

pub mod ports;
