//! Shards that come to a host and leave it while it runs: adopted, frozen, handed over, lost.
//!
//! Who may own a shard is decided elsewhere; the host only keeps what it must not answer from
//! leaving.

use actix::Message;
use tokio::sync::{mpsc, oneshot};

use super::call::Refusal;
use super::host::ShardHost;
use super::hosted::{Hosted, NOWHERE};
use super::pending::Reply;
use super::value::Shard;
use crate::domain::username::ShardId;
use crate::store::journal::Journal;

/// What becomes of a shard on this host.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum Move {
    /// It is this process's now, recovered; the number tells this stay from all others. Answered when it
    /// may be asked.
    Adopt(Box<Shard>, u64, oneshot::Sender<()>),
    /// It decides nothing any more; answered when all it decided is durable and may leave. Dropped
    /// unanswered when the shard is not here.
    Freeze(ShardId, oneshot::Sender<()>),
    /// The hand-over failed: it decides again.
    Thaw(ShardId),
    /// It is another's: forget it, and tell what waits for it.
    Release(ShardId),
    /// It was lost: answered when nothing of its last stay is on its way to the journal any more.
    Lost(ShardId, oneshot::Sender<()>),
}

/// Tells of shards that a host found lost. At most one for each stay of a shard.
pub type Losses = mpsc::UnboundedSender<ShardId>;

/// Why a shard decides nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Elsewhere {
    /// It is being handed over.
    Moving,
    /// It is another's, or nobody's.
    Gone,
}

impl<J: Journal> ShardHost<J> {
    /// Where the shard is, if it may decide.
    pub(super) fn place_to_decide(&self, shard: ShardId) -> Result<usize, Elsewhere> {
        let place = self.place_of(shard).ok_or(Elsewhere::Gone)?;
        if self.shards[place].is_frozen {
            return Err(Elsewhere::Moving);
        }
        Ok(place)
    }

    /// Where the shard is, if it is here.
    pub(super) fn place_of(&self, shard: ShardId) -> Option<usize> {
        let place = self.places[shard.index()];
        (place != NOWHERE).then_some(usize::from(place))
    }

    /// Does what becomes of a shard.
    pub(super) fn change(&mut self, change: Move) {
        match change {
            Move::Adopt(shard, stay, adopted) => {
                let due = shard.next_due();
                self.adopt(*shard, stay);
                self.arm(due);
                // Nobody waits when the process ends.
                let _ = adopted.send(());
            }
            Move::Freeze(shard, settled) => self.freeze(shard, settled),
            Move::Thaw(shard) => self.thaw(shard),
            Move::Release(shard) => self.release(shard),
            Move::Lost(shard, confirmed) => {
                self.lose(shard);
                self.confirm_loss(shard, confirmed);
            }
        }
    }

    /// Takes a shard in.
    pub(super) fn adopt(&mut self, shard: Shard, stay: u64) {
        let place = &mut self.places[shard.id.index()];
        assert_eq!(*place, NOWHERE, "a shard is adopted once");
        *place = self.shards.len() as u16;
        self.shards.push(Hosted {
            shard,
            stay,
            is_flushing: false,
            is_frozen: false,
        });
    }

    /// Forgets a shard that is another's now: nothing that rests on its memory may leave.
    pub(super) fn lose(&mut self, shard: ShardId) {
        if self.place_of(shard).is_some()
            && let Some(losses) = &self.seat.losses
        {
            // Nobody listens any more when the process ends.
            let _ = losses.send(shard);
        }
        let forgotten = self.pending.forget(shard);
        self.release(shard);
        // The keeper takes what is unread in memory from the total, where this was not counted yet.
        self.seat.metrics.unread.add(forgotten.unread);
    }

    fn freeze(&mut self, shard: ShardId, settled: oneshot::Sender<()>) {
        let Ok(place) = self.place_to_decide(shard) else {
            return;
        };
        // Through the gate like an answer, so that nothing of the shard is on its way any more.
        let (batch, ()) = self.answer_with(place, |_, _| ());
        self.shards[place].is_frozen = true;
        self.pending.hold(batch, shard, Reply::Settled(settled));
    }

    fn thaw(&mut self, shard: ShardId) {
        let Some(place) = self.place_of(shard) else {
            return;
        };
        self.shards[place].is_frozen = false;
        for command in self.held.release(shard) {
            self.decide(command);
        }
        self.arm(self.shards[place].next_due());
    }

    fn release(&mut self, id: ShardId) {
        let place = std::mem::replace(&mut self.places[id.index()], NOWHERE);
        if place != NOWHERE {
            let gone = self.shards.swap_remove(usize::from(place));
            if let Some(moved) = self.shards.get(usize::from(place)) {
                self.places[moved.shard.id.index()] = place;
            }
            self.gone.push(gone.shard);
        }
        // What waited for its commit may have none, and is for the next owner to archive.
        for (_, flush) in &mut self.flushes {
            flush.parts.retain(|(shard, ..)| *shard != id);
        }
        self.flushes.retain(|(_, flush)| !flush.parts.is_empty());
        for command in self.held.release(id) {
            command.refuse(Refusal::NotHere);
        }
    }

    /// Answers when everything that is staged now went through the journal.
    fn confirm_loss(&mut self, shard: ShardId, confirmed: oneshot::Sender<()>) {
        let batch = {
            let mut stage = self.seat.staging.lock();
            stage.group.ask(shard);
            stage.batch
        };
        self.seat.staging.ring(0);
        self.pending.hold(batch, shard, Reply::Through(confirmed));
    }
}
