//! The stores: one contract for every implementation, and what only the embedded ones promise.

#![allow(clippy::unwrap_used, reason = "tests fail by panic")]

mod contract;

mod local;

mod sample;

mod damage;

mod faults;

mod fixture;

mod support;
