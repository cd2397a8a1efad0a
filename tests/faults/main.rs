//! What must hold when the machine, the disk or the operator is unkind: the real binary, killed and
//! started on damaged data.

#![allow(clippy::unwrap_used, reason = "tests fail by panic")]

#[path = "../support/mod.rs"]
mod support;

mod crash;

mod torn;
