//! What the daemon says, as people read it. Pure text: the golden files in tests/golden are what
//! comes out of here.

mod audit;
mod decisions;
mod difference;
mod doctor;
mod explain;
mod facts;
mod lists;
mod operations;
mod policies;
mod pool;
mod recover;
mod release;
mod status;

pub(crate) use audit::audit;
pub(crate) use decisions::{decision, decisions, decisions_line};
pub(crate) use difference::difference;
pub(crate) use doctor::{WITHOUT_DAEMON, doctor, verdict};
pub(crate) use explain::explain;
pub(crate) use lists::{
    attached, attachments, coming_home, detached, fenced, hydration_remark, hydrations, plan,
    pools, unfenced, unreadable, volume_set,
};
pub(crate) use operations::{operation, operations, volume};
pub(crate) use policies::policies;
pub(crate) use pool::pool;
pub(crate) use recover::recover;
pub(crate) use release::{left, released};
pub(crate) use status::status;
