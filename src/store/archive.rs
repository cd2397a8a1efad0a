//! The archive: messages whose life is over, for look-ups by id.

use super::StoreError;
use crate::domain::event::TakenRange;
use crate::domain::id::MessageId;
use crate::domain::message::Ended;
use crate::domain::time::UnixMs;
use crate::domain::username::ShardId;

/// The place of a message in the order of the archive: when it ended, then shard, then id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArchiveKey {
    /// When the message ended.
    pub ended_at: UnixMs,
    /// Its shard.
    pub shard: ShardId,
    /// Its id.
    pub id: MessageId,
}

impl ArchiveKey {
    /// The place of `ended`.
    pub fn of(ended: &Ended) -> ArchiveKey {
        ArchiveKey {
            ended_at: ended.ended_at,
            shard: ended.id.route().shard(),
            id: ended.id,
        }
    }
}

/// Keeps ended messages until their retention is over.
pub trait Archive: Send + Sync + 'static {
    /// Stores a batch, in any order; durable and visible when it returns. A repeat of the same
    /// messages, wholly or in part, changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::Archive`]: parts may be visible, and the batch must be
    /// repeated before the journal lets go of it.
    fn put<'a>(
        &self,
        batch: impl IntoIterator<Item = &'a Ended> + Send,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The message with this id, if it ended within the retention.
    ///
    /// # Errors
    /// [`StoreError::Archive`] when it cannot be read.
    fn get(&self, id: MessageId) -> impl Future<Output = Result<Option<Ended>, StoreError>> + Send;

    /// The messages that one read delivered, oldest first: those of `shard` that ended at exactly
    /// `read_at` by a read, with ids in `range`, for the user `username`.
    ///
    /// # Errors
    /// [`StoreError::Archive`] when they cannot be read.
    fn read_together(
        &self,
        shard: ShardId,
        read_at: UnixMs,
        range: TakenRange,
        username: &str,
    ) -> impl Future<Output = Result<Vec<Ended>, StoreError>> + Send;

    /// At most `limit` messages behind `after` (from the oldest without) in the order of [`ArchiveKey`].
    ///
    /// # Errors
    /// [`StoreError::Archive`] when they cannot be read.
    fn list(
        &self,
        after: Option<ArchiveKey>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Ended>, StoreError>> + Send;

    /// Drops what ended on a day (UTC) before the day of `before`, whole days only. What is put later
    /// and ended on such a day may be found or not. An archive whose rows go by themselves when they
    /// are old enough does nothing.
    ///
    /// # Errors
    /// [`StoreError::Archive`] when that failed; it can be repeated.
    fn drop_before(&self, before: UnixMs) -> impl Future<Output = Result<(), StoreError>> + Send;
}
