//! The public API over HTTP: reading requests, writing answers.

pub mod body;
