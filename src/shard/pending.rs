//! Answers that wait for the commit of what they depend on.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::call::{Accepted, Asker, Count, Delivery, Found, Refusal};
use super::turn::Tally;
use crate::domain::username::ShardId;

/// An answer with the way to its asker. Dropped unsent it tells that the outcome is unknown.
#[derive(Debug)]
pub enum Reply {
    /// Of a post.
    Post(Asker<Accepted>, Result<Accepted, Refusal>),
    /// Of a read.
    Take(Asker<Delivery>, Result<Delivery, Refusal>),
    /// Of a count.
    Count(Asker<Count>, Result<Count, Refusal>),
    /// Of a look-up.
    Find(Asker<Found>, Result<Found, Refusal>),
    /// Everything that the shard decided before is durable.
    Settled(oneshot::Sender<()>),
    /// Everything that was staged before went through the journal, whatever became of the shard.
    Through(oneshot::Sender<()>),
}

impl Reply {
    /// Whether a client waits for it, and not whoever moves shards.
    fn is_for_a_client(&self) -> bool {
        !matches!(self, Reply::Settled(_) | Reply::Through(_))
    }

    pub fn send(self) {
        // An asker that no longer listens gave up at its own deadline.
        match self {
            Reply::Post(to, answer) => drop(to.send(answer)),
            Reply::Take(to, answer) => drop(to.send(answer)),
            Reply::Count(to, answer) => drop(to.send(answer)),
            Reply::Find(to, answer) => drop(to.send(answer)),
            Reply::Settled(to) | Reply::Through(to) => drop(to.send(())),
        }
    }
}

/// The answers of one worker by the batch they wait for, oldest first.
#[derive(Debug, Default)]
pub struct Pending {
    committed: u64,
    batches: VecDeque<Batch>,
    spare: Vec<(ShardId, Reply)>,
}

#[derive(Debug)]
struct Batch {
    number: u64,
    since: Instant,
    replies: Vec<(ShardId, Reply)>,
    /// What happened in shards that cannot be lost, together.
    tally: Tally,
    /// What happened in each that can, some more than once.
    tallies: Vec<(ShardId, Tally)>,
}

impl Pending {
    /// Sends the shard's answer when batch `number` is committed, at once if it is.
    pub fn hold(&mut self, number: u64, shard: ShardId, reply: Reply) {
        if number <= self.committed {
            reply.send();
        } else {
            self.batch(number).replies.push((shard, reply));
        }
    }

    /// Drops every answer of a shard that was lost, for nothing that rests on its memory may leave, and
    /// tells what was counted of it and not yet told: that may never have happened.
    pub fn forget(&mut self, shard: ShardId) -> Tally {
        let mut forgotten = Tally::default();
        for batch in &mut self.batches {
            let lost = batch.tallies.extract_if(.., |(of, _)| *of == shard);
            lost.for_each(|(_, tally)| forgotten.add(tally));
            let is_kept = |reply: &Reply| matches!(reply, Reply::Through(_));
            batch
                .replies
                .retain(|(of, reply)| *of != shard || is_kept(reply));
        }
        forgotten
    }

    /// Counts what happened in batch `number`: in shard `of`, if that can be lost before it is told.
    pub fn count(&mut self, number: u64, of: Option<ShardId>, tally: Tally) {
        let batch = self.batch(number);
        match of {
            None => batch.tally.add(tally),
            Some(of) => batch.tallies.push((of, tally)),
        }
    }

    /// Tells what happened in batches up to `number` and was not yet told.
    pub fn counted_through(&mut self, number: u64) -> Tally {
        let mut tally = Tally::default();
        for batch in self
            .batches
            .iter_mut()
            .take_while(|batch| batch.number <= number)
        {
            tally.add(std::mem::take(&mut batch.tally));
            batch.tallies.drain(..).for_each(|(_, of)| tally.add(of));
        }
        tally
    }

    /// The answers that waited for batch `number` or an earlier one, to be sent.
    pub fn release(&mut self, number: u64) -> Vec<(ShardId, Reply)> {
        self.committed = self.committed.max(number);
        let mut released = Vec::new();
        while let Some(mut batch) = self.batches.pop_front_if(|batch| batch.number <= number) {
            if released.is_empty() {
                released = batch.replies;
            } else {
                released.append(&mut batch.replies);
            }
        }
        released
    }

    /// Takes back what held answers, for the next ones.
    pub fn reuse(&mut self, sent: Vec<(ShardId, Reply)>) {
        debug_assert!(sent.is_empty(), "they were sent");
        self.spare = sent;
    }

    /// Drops the answers that have waited longer than `timeout`: their askers learn that the
    /// outcome is unknown.
    pub fn give_up(&mut self, timeout: Duration) {
        let late = |batch: &&mut Batch| batch.since.elapsed() >= timeout;
        self.batches
            .iter_mut()
            .take_while(late)
            .for_each(|batch| batch.replies.retain(|(_, reply)| !reply.is_for_a_client()));
    }

    /// The last batch that was committed.
    pub fn committed(&self) -> u64 {
        self.committed
    }

    fn batch(&mut self, number: u64) -> &mut Batch {
        let place = self
            .batches
            .iter()
            .rposition(|batch| batch.number <= number);
        let place = match place {
            Some(place) if self.batches[place].number == number => place,
            before => {
                let place = before.map_or(0, |place| place + 1);
                let replies = std::mem::take(&mut self.spare);
                let batch = Batch {
                    number,
                    since: Instant::now(),
                    replies,
                    tally: Tally::default(),
                    tallies: Vec::new(),
                };
                self.batches.insert(place, batch);
                place
            }
        };
        &mut self.batches[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARD: ShardId = ShardId(3);

    fn reply() -> (Reply, oneshot::Receiver<Result<Count, Refusal>>) {
        let (to, asker) = oneshot::channel();
        (Reply::Count(to, Ok(Count::default())), asker)
    }

    fn release(pending: &mut Pending, number: u64) {
        let mut replies = pending.release(number);
        replies.drain(..).for_each(|(_, reply)| reply.send());
        pending.reuse(replies);
    }

    fn posted(posted: u64) -> Tally {
        Tally {
            posted,
            ..Tally::default()
        }
    }

    #[test]
    fn an_answer_leaves_with_its_batch_and_not_before() {
        let mut pending = Pending::default();
        let askers: Vec<_> = [3, 2, 3]
            .into_iter()
            .map(|number| {
                let (reply, asker) = reply();
                pending.hold(number, SHARD, reply);
                (number, asker)
            })
            .collect();
        release(&mut pending, 2);
        for (number, mut asker) in askers {
            assert_eq!(asker.try_recv().is_ok(), number <= 2, "batch {number}");
        }
        let (late, mut asker) = reply();
        pending.hold(1, SHARD, late);
        assert!(asker.try_recv().is_ok(), "its batch is committed already");
    }

    #[test]
    fn an_answer_given_up_tells_that_the_outcome_is_unknown_but_is_still_counted() {
        let (mut pending, (reply, mut asker)) = (Pending::default(), reply());
        pending.hold(1, SHARD, reply);
        pending.count(1, None, posted(1));
        pending.count(1, Some(SHARD), posted(1));
        pending.give_up(Duration::from_secs(60));
        assert_eq!(asker.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        pending.give_up(Duration::ZERO);
        assert_eq!(asker.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(pending.counted_through(1), posted(2));
        assert_eq!(pending.counted_through(1), posted(0));
    }

    #[test]
    fn what_a_lost_shard_counted_and_nobody_was_told_is_forgotten_and_nothing_else() {
        let mut pending = Pending::default();
        pending.count(1, Some(SHARD), posted(1));
        assert_eq!(pending.counted_through(1), posted(1));
        for (number, of, messages) in [
            (2, SHARD, 10),
            (2, ShardId(4), 100),
            (2, SHARD, 1_000),
            (3, SHARD, 10_000),
        ] {
            pending.count(number, Some(of), posted(messages));
        }
        assert_eq!(pending.forget(SHARD), posted(11_010));
        assert_eq!(pending.counted_through(3), posted(100));
    }

    #[test]
    fn what_waits_to_move_a_shard_is_never_given_up() {
        let (mut pending, (settled, mut waiting)) = (Pending::default(), oneshot::channel());
        pending.hold(1, SHARD, Reply::Settled(settled));
        pending.give_up(Duration::ZERO);
        release(&mut pending, 1);
        assert_eq!(waiting.try_recv(), Ok(()));
    }

    #[test]
    fn the_answers_of_a_lost_shard_never_leave() {
        let (mut pending, (lost, mut of_lost)) = (Pending::default(), reply());
        let (kept, mut of_kept) = reply();
        pending.hold(1, SHARD, lost);
        pending.hold(1, ShardId(4), kept);
        pending.forget(SHARD);
        release(&mut pending, 1);
        assert_eq!(
            of_lost.try_recv(),
            Err(oneshot::error::TryRecvError::Closed)
        );
        assert!(of_kept.try_recv().is_ok());
    }
}
