//! What can go wrong with ScyllaDB: whether a call was done, and what makes a keyspace unfit.

use std::error::Error;

use cluster::shard::Shard;
use scylla::errors::{
    BrokenConnectionErrorKind, ConnectionError, ConnectionPoolError,
    ConnectionSetupRequestErrorKind, DbError, ExecutionError, MetadataError, NewSessionError,
    PrepareError, RequestAttemptError,
};

/// A call to ScyllaDB failed; the difference is what may have been done.
#[derive(Debug, thiserror::Error)]
pub enum CqlError {
    /// Nothing was sent: there is no connection, or the call itself is wrong.
    #[error("ScyllaDB cannot be reached: {0}")]
    NotSent(#[source] Box<dyn Error + Send + Sync>),
    /// Nothing was sent: somebody is there, and did not answer while a session was made.
    #[error("ScyllaDB is silent: {0}")]
    Silent(#[source] Box<dyn Error + Send + Sync>),
    /// The server said no, before it did anything.
    #[error("ScyllaDB refuses: {0}")]
    Refused(#[source] Box<dyn Error + Send + Sync>),
    /// No answer, or one that leaves it open: it may be done, or may be done later.
    #[error("ScyllaDB gave no answer, so it may be done or not: {0}")]
    Ambiguous(#[source] Box<dyn Error + Send + Sync>),
    /// What was read is not what this version writes.
    #[error("{table} holds what this version does not read: {what}; start a newer mayfly")]
    Unreadable {
        /// The table.
        table: &'static str,
        /// What is wrong with it.
        what: String,
    },
}

impl CqlError {
    /// An error of reading a row of `table`.
    pub(super) fn unreadable<E: std::fmt::Display>(
        table: &'static str,
    ) -> impl Fn(E) -> CqlError + Copy {
        move |error| CqlError::Unreadable {
            table,
            what: error.to_string(),
        }
    }
}

impl From<NewSessionError> for CqlError {
    fn from(error: NewSessionError) -> CqlError {
        let is_silent = match &error {
            NewSessionError::MetadataError(MetadataError::ConnectionPoolError(
                ConnectionPoolError::Broken {
                    last_connection_error,
                },
            )) => is_silence(last_connection_error),
            _ => false,
        };
        match is_silent {
            true => CqlError::Silent(error.into()),
            false => CqlError::NotSent(error.into()),
        }
    }
}

/// Whether a server took the connection and then did not answer. One that says something wrong, or ends the
/// connection, is none of ScyllaDB.
fn is_silence(error: &ConnectionError) -> bool {
    let broken = match error {
        ConnectionError::BrokenConnection(broken) => broken,
        ConnectionError::ConnectionSetupRequestError(setup) => match &setup.error {
            ConnectionSetupRequestErrorKind::BrokenConnection(broken) => broken,
            _ => return false,
        },
        _ => return false,
    };
    matches!(
        broken.downcast_ref(),
        Some(
            BrokenConnectionErrorKind::KeepaliveTimeout(_)
                | BrokenConnectionErrorKind::ChannelError
        )
    )
}

impl From<ExecutionError> for CqlError {
    fn from(error: ExecutionError) -> CqlError {
        match &error {
            ExecutionError::EmptyPlan
            | ExecutionError::ConnectionPoolError(_)
            | ExecutionError::BadQuery(_)
            | ExecutionError::PrepareError(_) => CqlError::NotSent(error.into()),
            ExecutionError::LastAttemptError(RequestAttemptError::DbError(refusal, _))
                if is_refusal(refusal) =>
            {
                CqlError::Refused(error.into())
            }
            _ => CqlError::Ambiguous(error.into()),
        }
    }
}

impl From<PrepareError> for CqlError {
    fn from(error: PrepareError) -> CqlError {
        match &error {
            PrepareError::AllAttemptsFailed {
                first_attempt: RequestAttemptError::DbError(refusal, _),
            } if is_refusal(refusal) => CqlError::Refused(error.into()),
            _ => CqlError::NotSent(error.into()),
        }
    }
}

/// Whether the server says by this that it did nothing. An overloaded or unavailable coordinator may
/// have begun: its answer is none.
fn is_refusal(error: &DbError) -> bool {
    matches!(
        error,
        DbError::SyntaxError
            | DbError::Invalid
            | DbError::Unauthorized
            | DbError::ConfigError
            | DbError::AuthenticationError
            | DbError::ProtocolError
            | DbError::AlreadyExists { .. }
            | DbError::Unprepared { .. }
    )
}

/// Why the stores of a cluster do not open, or do not go on.
#[derive(Debug, thiserror::Error)]
pub enum ScyllaError {
    /// A call failed.
    #[error("{action}: {source}")]
    Call {
        /// What was tried, as in `cannot read the archive`.
        action: &'static str,
        /// What came of it.
        source: CqlError,
    },
    /// A file of the settings cannot be used.
    #[error("--{setting}: {reason}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The keyspace has no schema, or not all of it.
    #[error(
        "keyspace {keyspace} has no schema of this version: {what}; make it by: mayfly schema apply"
    )]
    NoSchema {
        /// The keyspace.
        keyspace: String,
        /// What is missing.
        what: String,
    },
    /// The keyspace was made with another setting.
    #[error(
        "keyspace {keyspace} was made with {setting} {made}, not {given}; start with that, or make another keyspace by: mayfly schema apply"
    )]
    OtherSchema {
        /// The keyspace.
        keyspace: String,
        /// Which setting.
        setting: &'static str,
        /// What it was made with.
        made: String,
        /// What is given now.
        given: String,
    },
    /// The keyspace takes no compare-and-set.
    #[error(
        "keyspace {keyspace} refuses a compare-and-set ({source}); make it without tablets by: mayfly schema apply"
    )]
    NoSwap {
        /// The keyspace.
        keyspace: String,
        /// What the server says.
        source: CqlError,
    },
    /// A journal has lost what was acknowledged: the shard stays without an owner.
    #[error("the journal of shard {} is damaged at frame {seq} of epoch {epoch}; repair the table from a copy, nothing was changed", .shard.0)]
    Damaged {
        /// The shard.
        shard: Shard,
        /// Whose epoch.
        epoch: u64,
        /// The frame.
        seq: u64,
    },
    /// Another node claimed the shard.
    #[error("shard {} was claimed by another node; ask it instead", .0.0)]
    Superseded(Shard),
    /// This node gave the shard up: the store answered nothing of it, or it was claimed anew.
    #[error("shard {} was given up by this node; claim it again", .0.0)]
    GivenUp(Shard),
    /// This node does not hold the shard.
    #[error("shard {} is not held by this node; claim it first", .0.0)]
    NotHeld(Shard),
}

impl ScyllaError {
    /// Says what was tried when a call failed.
    pub(super) fn of(action: &'static str) -> impl Fn(CqlError) -> ScyllaError + Copy {
        move |source| ScyllaError::Call { action, source }
    }
}
