//! HTTP: the public port and the admin port.
//!
//! A file per endpoint; `routes` lists them all. Every endpoint parses into types that cannot hold a
//! wrong value, asks `service`, and writes the answer. What is wrong becomes a `Problem`, and its
//! status is chosen in `error` alone.

pub mod routes;

pub mod api;

pub mod traffic;

mod post;

mod bulk;

mod read;

mod find;

mod count;

mod access;

mod request;

pub mod body;

mod query;

mod write;

pub mod error;

pub mod admin;
