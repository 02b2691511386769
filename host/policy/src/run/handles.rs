//! What the handles a policy holds stand for. Types without content: a handle's number says all
//! ([`crate::run::view`]).
#![allow(unreachable_pub, reason = "the generated bindings export them again")]

/// Stands for the request.
pub struct RequestHandle;
/// Stands for a disk: its place among the asked for, or after those, among the held.
pub struct DiskHandle;
/// Stands for a node.
pub struct NodeHandle;
/// Stands for the operation on a volume.
pub struct OperationHandle;
/// Stands for the answer being made.
pub struct AnswerHandle;
