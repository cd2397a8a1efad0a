//! The registry: where members announce themselves and find each other.
//!
//! It is a hint for placement and discovery. To lose, pause or wipe it may cost time, not messages:
//! who owns a shard is in the claims. What a change of the view means is for `membership` to say.

pub mod memory;

pub mod redis;

use std::error::Error;
use std::time::Duration;

use crate::member::{Generation, Member, View};

/// How long a member is alive without renewing its lease.
pub const LEASE: Duration = Duration::from_secs(6);

/// How often a member renews its lease and reads the view.
pub const RENEWAL: Duration = Duration::from_secs(1);

/// Leases of the members of one cluster, each call one atomic step and bounded in time. A member
/// whose lease has run out is gone for every call, and whatever changes a member changes the view's
/// number. Every call may be repeated.
pub trait Registry: Send + Sync + 'static {
    /// Enters a new member, in the place of any other generation with its address: whoever calls
    /// this has made sure that the other one is dead. Tells the view with the member in it.
    ///
    /// # Errors
    /// [`RegistryError::Away`], [`RegistryError::Record`].
    fn join(&self, member: &Member) -> impl Future<Output = Result<Reading, RegistryError>> + Send;

    /// Renews the lease of a member that has joined, and tells the others its state. It is entered
    /// again if the registry has lost it.
    ///
    /// # Errors
    /// [`RegistryError::Replaced`] when another generation has joined with its address; it must not
    /// be renewed any more. [`RegistryError::Away`], [`RegistryError::Record`].
    fn renew(&self, member: &Member)
    -> impl Future<Output = Result<Reading, RegistryError>> + Send;

    /// Takes a member out at once; it must not be renewed any more. It may be gone already.
    ///
    /// # Errors
    /// [`RegistryError::Away`], [`RegistryError::Record`].
    fn leave(
        &self,
        generation: Generation,
    ) -> impl Future<Output = Result<Reading, RegistryError>> + Send;

    /// Tells who is alive.
    ///
    /// # Errors
    /// [`RegistryError::Away`], [`RegistryError::Record`].
    fn view(&self) -> impl Future<Output = Result<Reading, RegistryError>> + Send;
}

/// What the registry said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The live members.
    pub view: View,
    /// Which registry said so.
    pub origin: Origin,
    /// Its wall clock, in Unix milliseconds.
    pub time_ms: u64,
}

/// Which registry it is: another process, or one that has lost its data, is another origin, and its
/// views are not to be compared with those from before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The run id of the server's process.
    pub run: String,
    /// When it first heard of this cluster, in Unix microseconds by its own clock.
    pub born_us: u64,
}

/// Why the registry did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It did not answer, or refused; what was asked may be done or not.
    #[error("redis does not answer: {0}; check that it runs and that --redis names it")]
    Away(#[source] Box<dyn Error + Send + Sync>),
    /// The address that was given for it is none.
    #[error("--redis is no address of a redis: {0}; give redis://host:port")]
    Url(#[source] Box<dyn Error + Send + Sync>),
    /// Another generation took this member's place.
    #[error("member {by} has joined with the same address; give each node its own --advertise")]
    Replaced {
        /// Who it is.
        by: Generation,
    },
    /// An entry cannot be read.
    #[error("the entry {0:?} of a member in redis cannot be read; is it of a newer release?")]
    Record(String),
}
