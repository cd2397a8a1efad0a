//! What a host does for its shards on its own, each once a second: keys are forgotten, endings go to the
//! archive, old messages are recorded again, and the journal is let go.

use std::time::Duration;

use actix::prelude::*;

use super::flush::FlushBatch;
use super::host::ShardHost;
use super::renewal::SharedJournal;
use crate::domain::time::UnixMs;
use crate::store::journal::Journal;

/// How often one part of the shards is looked after; all are once a second.
pub(super) const UPKEEP_INTERVAL: Duration = Duration::from_millis(125);
pub(super) const UPKEEP_PARTS: usize = 8;

/// Nothing is recorded again while a worker has more than this staged.
const STAGED_BYTES_MAX: usize = 1024 * 1024;

impl<J: Journal> ShardHost<J> {
    /// Looks after one part of the shards.
    pub(super) fn look_after(&mut self, ctx: &mut Context<Self>) {
        self.pending.give_up(self.seat.request_timeout);
        self.held.give_up(self.seat.request_timeout);
        let part = self.upkeep_part;
        self.upkeep_part = (part + 1) % UPKEEP_PARTS;
        let now = self.seat.clock.now();
        let (mut flush, mut last_batch, mut bases) = (Vec::new(), 0, Vec::new());
        for place in (part..self.shards.len()).step_by(UPKEEP_PARTS) {
            if self.shards[place].is_frozen {
                continue;
            }
            self.renew(place, now);
            let hosted = &mut self.shards[place];
            let shard = &mut hosted.shard;
            shard.forget_keys(now, &self.seat.usage);
            if shard.is_renewal_durable(self.pending.committed()) {
                let end = || self.seat.journal.position(shard.id);
                bases.push((shard.id, shard.base().unwrap_or_else(end)));
            }
            if !hosted.is_flushing
                && let Some(endings) = shard.flush(now)
            {
                hosted.is_flushing = true;
                last_batch = last_batch.max(shard.last_batch);
                flush.push((shard.id, hosted.stay, endings));
            }
        }
        if !flush.is_empty() {
            let reply = ctx.address().recipient();
            self.flushes.push_back((
                last_batch,
                FlushBatch {
                    parts: flush,
                    reply,
                },
            ));
        }
        self.offer_flushes();
        let journal = self.seat.journal.clone();
        let trim = async move {
            for (shard, base) in bases {
                if let Err(error) = journal.trim(shard, base).await {
                    tracing::warn!(%error, "cannot let go of old journal segments; it is tried again in a second");
                }
            }
        };
        ctx.spawn(trim.into_actor(self));
    }

    /// Records old messages of a shard again if that lets much of the journal go. What room is left in a
    /// full journal is for reads.
    fn renew(&mut self, place: usize, now: UnixMs) {
        let journal = &self.seat.journal;
        if !journal.has_room() || journal.is_away() {
            return;
        }
        let shared = journal.place_bytes().map(|place_bytes| SharedJournal {
            place_bytes,
            live_bytes: self.seat.usage.now().0,
        });
        let shard = &mut self.shards[place].shard;
        if shard.is_renewing(now, journal.position(shard.id), shared) {
            self.run(place, false, |shard, turn| {
                if turn.group.bytes().len() < STAGED_BYTES_MAX {
                    shard.renew(turn);
                }
            });
        }
    }

    /// Hands over the endings whose events are durable.
    pub(super) fn offer_flushes(&mut self) {
        let committed = self.pending.committed();
        while let Some((batch, flush)) = self.flushes.pop_front_if(|(batch, _)| *batch <= committed)
        {
            if let Err(flush) = self.seat.archiver.offer(flush) {
                self.flushes.push_front((batch, flush));
                return;
            }
        }
    }
}
