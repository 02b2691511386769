//! Leases and tables in our own hands.
#![allow(dead_code)]
mod disk;
mod layout;
mod table;
mod text;
