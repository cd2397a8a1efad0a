//! `shard_owner`: one claim row for each shard, changed only by compare-and-set.

use std::ops::ControlFlow;

use cluster::member::Generation;
use cluster::ownership::claim::{Base, ClaimRow, Claimant, Expected, Swap};
use cluster::shard::{Epoch, Shard};
use scylla::response::PagingState;
use scylla::statement::prepared::PreparedStatement;
use uuid::Uuid;

use super::error::CqlError;
use super::session::Cql;
use super::statement::{Kind, impatient};
use super::{chain, rows};

const TABLE: &str = "shard_owner";

/// Whom a claim row names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedBy {
    /// The shard.
    pub shard: Shard,
    /// The epoch of the claim.
    pub epoch: Epoch,
    /// Who made it.
    pub owner: Claimant,
}

/// Reads and swaps claim rows.
pub struct ClaimTable {
    read: PreparedStatement,
    read_owners: PreparedStatement,
    read_owner: PreparedStatement,
    insert: PreparedStatement,
    update: PreparedStatement,
}

impl ClaimTable {
    /// Prepares the statements.
    ///
    /// # Errors
    /// [`CqlError::NotSent`] and [`CqlError::Refused`].
    pub async fn prepare(cql: &Cql) -> Result<ClaimTable, CqlError> {
        let read = "SELECT epoch, owner, owner_addr, claim, state, chain, base_epoch, base_seq \
                    FROM {}shard_owner WHERE shard = ?";
        let read_owners = "SELECT shard, epoch, owner, owner_addr FROM {}shard_owner";
        let read_owner =
            "SELECT shard, epoch, owner, owner_addr FROM {}shard_owner WHERE shard = ?";
        let insert = "INSERT INTO {}shard_owner (epoch, owner, owner_addr, claim, state, chain, \
                      base_epoch, base_seq, shard) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS";
        let update = "UPDATE {}shard_owner SET epoch = ?, owner = ?, owner_addr = ?, claim = ?, \
                      state = ?, chain = ?, base_epoch = ?, base_seq = ? WHERE shard = ? \
                      IF claim = ? AND state = ? AND base_epoch = ? AND base_seq = ?";
        let prepare = async |kind, text| cql.prepare(kind, text).await.map(impatient);
        Ok(ClaimTable {
            read: prepare(Kind::SerialRead, read).await?,
            read_owners: prepare(Kind::Read, read_owners).await?,
            read_owner: prepare(Kind::Read, read_owner).await?,
            insert: prepare(Kind::Swap, insert).await?,
            update: prepare(Kind::Swap, update).await?,
        })
    }

    /// The row as it is after every compare-and-set that was answered.
    ///
    /// # Errors
    /// [`CqlError`].
    pub async fn read(&self, cql: &Cql, shard: Shard) -> Result<Option<ClaimRow>, CqlError> {
        let result = cql.execute(&self.read, (i32::from(shard.0),)).await?;
        type Columns = (i64, Uuid, String, Uuid, String, String, i64, i64);
        rows::first::<Columns>(TABLE, result)?
            .map(claim_row)
            .transpose()
    }

    /// The owners that the rows name, as a majority has them: a change under way may be missing, so
    /// this is only good for finding owners.
    ///
    /// # Errors
    /// [`CqlError`].
    pub async fn owners(&self, cql: &Cql) -> Result<Vec<ClaimedBy>, CqlError> {
        let (mut owners, mut state) = (Vec::new(), PagingState::start());
        loop {
            let (result, next) = cql.page(&self.read_owners, (), state).await?;
            let rows = rows::all::<OwnerColumns>(TABLE, result)?;
            owners.extend(rows.into_iter().map(claimed_by));
            match next.into_paging_control_flow() {
                ControlFlow::Continue(next) => state = next,
                ControlFlow::Break(()) => return Ok(owners),
            }
        }
    }

    /// The owner that the row of one shard names, as good as [`ClaimTable::owners`].
    ///
    /// # Errors
    /// [`CqlError`].
    pub async fn owner(&self, cql: &Cql, shard: Shard) -> Result<Option<ClaimedBy>, CqlError> {
        let result = cql.execute(&self.read_owner, (i32::from(shard.0),)).await?;
        let row = rows::first::<OwnerColumns>(TABLE, result)?;
        Ok(row.map(claimed_by))
    }

    /// Makes the row `wanted` if it is as expected.
    ///
    /// # Errors
    /// [`CqlError::NotSent`] and [`CqlError::Refused`] say that it was not done. After
    /// [`CqlError::Ambiguous`] it may be, now or later.
    pub async fn swap(
        &self,
        cql: &Cql,
        shard: Shard,
        expected: Expected,
        wanted: &ClaimRow,
    ) -> Result<Swap, CqlError> {
        let set = (
            wanted.epoch.0 as i64,
            wanted.owner.0,
            wanted.owner_address.as_str(),
            wanted.claim,
            chain::state_text(wanted.state),
            chain::encode(&wanted.chain),
            wanted.base.epoch.0 as i64,
            wanted.base.seq as i64,
            i32::from(shard.0),
        );
        let result = match expected {
            Expected::Absent => cql.execute(&self.insert, set).await?,
            Expected::Claim(claim, state, base) => {
                let (a, b, c, d, e, f, g, h, i) = set;
                let state = chain::state_text(state);
                let (epoch, seq) = (base.epoch.0 as i64, base.seq as i64);
                let values = (a, b, c, d, e, f, g, h, i, claim, state, epoch, seq);
                cql.execute(&self.update, values).await?
            }
        };
        Ok(match rows::is_applied(TABLE, result)? {
            true => Swap::Applied,
            false => Swap::Refused,
        })
    }
}

type OwnerColumns = (i32, i64, Uuid, String);

fn claimed_by((shard, epoch, owner, address): OwnerColumns) -> ClaimedBy {
    ClaimedBy {
        shard: Shard(shard as u16),
        epoch: Epoch(epoch as u64),
        owner: Claimant {
            node: Generation(owner),
            address,
        },
    }
}

fn claim_row(
    columns: (i64, Uuid, String, Uuid, String, String, i64, i64),
) -> Result<ClaimRow, CqlError> {
    let (epoch, owner, owner_address, claim, state, chain, base_epoch, base_seq) = columns;
    let unreadable = |what: String| CqlError::Unreadable { table: TABLE, what };
    Ok(ClaimRow {
        epoch: Epoch(epoch as u64),
        owner: Generation(owner),
        owner_address,
        claim,
        state: chain::state(&state).ok_or_else(|| unreadable(format!("state {state:?}")))?,
        chain: chain::decode(&chain).ok_or_else(|| unreadable(format!("chain {chain:?}")))?,
        base: Base {
            epoch: Epoch(base_epoch as u64),
            seq: base_seq as u64,
        },
    })
}
