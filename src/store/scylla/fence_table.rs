//! `fence`: the epochs that took shards away from a node, one partition for each node.
//!
//! Written with the epoch as timestamp: of two fences the higher epoch stays, whatever any clock says.

use std::time::Duration;

use cluster::member::Generation;
use cluster::shard::{Epoch, Shard};
use scylla::statement::prepared::PreparedStatement;

use super::error::CqlError;
use super::rows;
use super::session::Cql;
use super::statement::{Kind, impatient};

/// How long a read may take. All answers wait for it, and it may be repeated, so the server is not given
/// its own 5 s to say that a majority was missing when it began.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// Writes and reads fences.
pub struct FenceTable {
    write: PreparedStatement,
    read: PreparedStatement,
}

impl FenceTable {
    /// Prepares the statements.
    ///
    /// # Errors
    /// [`CqlError::NotSent`] and [`CqlError::Refused`].
    pub async fn prepare(cql: &Cql) -> Result<FenceTable, CqlError> {
        let write = "INSERT INTO {}fence (node, shard, epoch) VALUES (?, ?, ?) USING TIMESTAMP ?";
        let read = "SELECT shard, epoch FROM {}fence WHERE node = ?";
        let mut read = cql.prepare(Kind::Read, read).await?;
        read.set_request_timeout(Some(READ_TIMEOUT));
        Ok(FenceTable {
            write: impatient(cql.prepare(Kind::Write, write).await?),
            read,
        })
    }

    /// Fences `node` out of `shard` up to `epoch`.
    ///
    /// # Errors
    /// [`CqlError`]; it can be repeated.
    pub async fn write(
        &self,
        cql: &Cql,
        node: Generation,
        shard: Shard,
        epoch: Epoch,
    ) -> Result<(), CqlError> {
        let values = (node.0, i32::from(shard.0), epoch.0 as i64, epoch.0 as i64);
        cql.execute(&self.write, values).await.map(drop)
    }

    /// The fences of a node. At most one row for each shard, so it is one page.
    ///
    /// # Errors
    /// [`CqlError`].
    pub async fn read(&self, cql: &Cql, node: Generation) -> Result<Vec<(Shard, Epoch)>, CqlError> {
        let result = cql.execute(&self.read, (node.0,)).await?;
        let fences = rows::all::<(i32, i64)>("fence", result)?.into_iter();
        Ok(fences
            .map(|(shard, epoch)| (Shard(shard as u16), Epoch(epoch as u64)))
            .collect())
    }
}
