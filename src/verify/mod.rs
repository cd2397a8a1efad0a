//! The promise, checked from outside: what clients recorded of a service tells whether a message was
//! lost, delivered twice, changed or made up.
//!
//! Read `history` (what is recorded), then `check` (from operations to a verdict) and the rules:
//! `deliveries`, `losses`, `lookups`, `order`, `counts`. Nothing here knows the service, a clock or a
//! file.

pub mod history;

pub mod check;

mod facts;

mod evidence;

mod deliveries;

mod losses;

mod lookups;

mod order;

mod counts;

pub mod violation;

#[cfg(test)]
mod planted;
