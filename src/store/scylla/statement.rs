//! How a statement is prepared: its consistency and whether it may be repeated, said each time and in
//! one place, so that no two statements disagree about what a majority is.

use std::time::Duration;

use scylla::client::session::Session;
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency};

use super::error::CqlError;
use crate::config::scylla::Scope;

/// How long a call may take that is repeated, or read after, when it gives no answer, and on which others
/// wait: a little more than the server's own limit for writes (2 s), so that mostly the server says what
/// became of it, and not as long as a shard is kept whose journal takes nothing.
pub const IMPATIENT: Duration = Duration::from_millis(2_500);

/// The two levels that every statement of a cluster uses, and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// Of plain reads and writes.
    pub quorum: Consistency,
    /// Of compare-and-sets.
    pub serial: SerialConsistency,
}

impl Levels {
    /// The levels of a scope.
    pub fn of(scope: Scope) -> Levels {
        match scope {
            Scope::Global => Levels {
                quorum: Consistency::Quorum,
                serial: SerialConsistency::Serial,
            },
            Scope::Local => Levels {
                quorum: Consistency::LocalQuorum,
                serial: SerialConsistency::LocalSerial,
            },
        }
    }

    /// The level of a read that sees every compare-and-set before it.
    fn serial_read(self) -> Consistency {
        match self.serial {
            SerialConsistency::Serial => Consistency::Serial,
            SerialConsistency::LocalSerial => Consistency::LocalSerial,
        }
    }
}

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Reads from a majority.
    Read,
    /// Reads a table of compare-and-sets, after all of them.
    SerialRead,
    /// Writes to a majority, the same each time it is repeated.
    Write,
    /// Compares and sets; a repeat is another one.
    Swap,
}

/// Prepares a statement on `session`; it can be executed on every other session, too.
///
/// # Errors
/// [`CqlError::NotSent`] and [`CqlError::Refused`]: nothing was done.
pub async fn prepare(
    session: &Session,
    levels: Levels,
    kind: Kind,
    cql: String,
) -> Result<PreparedStatement, CqlError> {
    let mut prepared = session.prepare(cql).await?;
    prepared.set_consistency(match kind {
        Kind::SerialRead => levels.serial_read(),
        Kind::Read | Kind::Write | Kind::Swap => levels.quorum,
    });
    prepared.set_serial_consistency(Some(levels.serial));
    prepared.set_is_idempotent(kind != Kind::Swap);
    Ok(prepared)
}

/// The same statement with [`IMPATIENT`] as the limit of its calls.
pub fn impatient(mut prepared: PreparedStatement) -> PreparedStatement {
    prepared.set_request_timeout(Some(IMPATIENT));
    prepared
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_never_mixes_levels_of_one_datacenter_with_those_of_all() {
        let global = Levels::of(Scope::Global);
        assert_eq!(global.quorum, Consistency::Quorum);
        assert_eq!(global.serial, SerialConsistency::Serial);
        assert_eq!(global.serial_read(), Consistency::Serial);
        let local = Levels::of(Scope::Local);
        assert_eq!(local.quorum, Consistency::LocalQuorum);
        assert_eq!(local.serial, SerialConsistency::LocalSerial);
        assert_eq!(local.serial_read(), Consistency::LocalSerial);
    }
}
