//! What a host does for its shards on its own, each once a second: keys are forgotten, endings go to the
//! archive, old messages are recorded again, and the journal is let go.

use std::time::Duration;

use actix::Recipient;

use super::commit::Committed;
use super::flush::{Archived, FlushBatch, FlushPart};
use super::host::{ShardHost, SharedHost};
use super::pending::Reply;
use super::renewal::SharedJournal;
use super::value::Shard;
use crate::domain::time::UnixMs;
use crate::domain::username::ShardId;
use crate::store::journal::{Journal, Position};

/// How often one part of the shards is looked after; all are once a second.
pub(super) const UPKEEP_INTERVAL: Duration = Duration::from_millis(125);
pub(super) const UPKEEP_PARTS: usize = 8;

/// Nothing is recorded again while a worker has more than this staged.
const STAGED_BYTES_MAX: usize = 1024 * 1024;

/// What looking after some shards has found.
#[derive(Debug, Default)]
struct Round {
    flush: Vec<FlushPart>,
    /// The batch that what is flushed waits for.
    last_batch: u64,
    bases: Vec<(ShardId, Position)>,
}

impl<J: Journal> SharedHost<J> {
    /// Looks after one part of the shards, and tells from where on each needs the journal. `reply` is told
    /// of what is archived.
    pub(super) fn look_after(
        &self,
        part: usize,
        reply: &Recipient<Archived>,
    ) -> Vec<(ShardId, Position)> {
        let shards = {
            let mut host = self.enter();
            let timeout = host.seat.request_timeout;
            host.pending.give_up(timeout);
            host.held.give_up(timeout);
            host.shards.len()
        };
        let mut round = Round::default();
        // Shards come and go by the keeper alone, so the places stay; commands go between.
        for place in (part..shards).step_by(UPKEEP_PARTS) {
            self.enter().look_after_one(place, &mut round);
        }
        let mut host = self.enter();
        if !round.flush.is_empty() {
            let batch = FlushBatch {
                parts: round.flush,
                reply: reply.clone(),
            };
            host.flushes.push_back((round.last_batch, batch));
        }
        host.offer_flushes();
        round.bases
    }
}

impl<J: Journal> ShardHost<J> {
    fn look_after_one(&mut self, place: usize, round: &mut Round) {
        if self.shards[place].is_frozen {
            return;
        }
        let now = self.seat.clock.now();
        self.renew(place, now);
        let hosted = &mut self.shards[place];
        let shard = &mut hosted.shard;
        shard.forget_keys(now, &self.seat.usage);
        if shard.is_renewal_durable(self.pending.committed()) {
            let end = || self.seat.journal.position(shard.id);
            let base = shard.base().unwrap_or_else(end);
            round.bases.push((shard.id, base));
        }
        if !hosted.is_flushing
            && let Some(endings) = shard.flush(now)
        {
            hosted.is_flushing = true;
            round.last_batch = round.last_batch.max(shard.last_batch);
            round.flush.push((shard.id, hosted.stay, endings));
        }
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

    /// Opens the gate for what waited for a batch: the answers that may leave now.
    pub(super) fn committed(&mut self, committed: Committed) -> Vec<(ShardId, Reply)> {
        let Committed { batch, lost } = committed;
        for shard in lost.iter() {
            self.lose(*shard);
        }
        // Counted before anyone is told, so that who was told finds it counted.
        let tally = self.pending.counted_through(batch);
        self.publish(tally);
        let replies = self.pending.release(batch);
        self.offer_flushes();
        replies
    }

    /// Lets go of what a shard handed over in this stay.
    pub(super) fn archived(&mut self, id: ShardId, stay: u64) {
        let Some(place) = self.place_of(id).filter(|p| self.shards[*p].stay == stay) else {
            return;
        };
        self.shards[place].is_flushing = false;
        if !self.shards[place].is_frozen {
            self.run(place, false, Shard::archived);
        }
    }

    /// Hands over the endings whose events are durable.
    fn offer_flushes(&mut self) {
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
