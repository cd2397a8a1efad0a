//! How a committer ends.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::domain::event::Event;
use crate::domain::time::UnixMs;
use crate::store::group::HighWater;
use crate::store::journal::{Appended, Position, Visit};

const LONG: Duration = Duration::from_secs(60);

/// A journal that says when it has a group, and takes it when the test says so.
struct SlowJournal {
    has_group: Sender<()>,
    may_take: Mutex<Receiver<()>>,
}

impl Journal for SlowJournal {
    async fn append(&self, _: &Group) -> Result<Appended, StoreError> {
        self.has_group.send(()).expect("a test");
        let _ = self.may_take.lock().expect("no panic").recv();
        Ok(Appended::default())
    }

    fn position(&self, _: ShardId) -> Position {
        Position(0)
    }

    fn has_room(&self) -> bool {
        true
    }

    async fn replay(&self, _: &[ShardId], _: &mut Visit<'_>) -> Result<HighWater, StoreError> {
        Ok(HighWater::default())
    }

    async fn trim(&self, _: ShardId, _: Position) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A committer that rests so long, with its first group on its way to the journal; what lets the journal
/// take a group, and what tells that one has come.
fn committing(rest: Duration) -> (Committer, Sender<()>, Receiver<()>) {
    let (has_group, arrives) = channel();
    let (take, may_take) = channel();
    let journal = Arc::new(SlowJournal {
        has_group,
        may_take: Mutex::new(may_take),
    });
    let pause = Pause {
        per_record: rest,
        longest: rest,
    };
    let committer = Committer::start(journal, 1, pause, |error| panic!("{error}"));
    let committer = committer.expect("a thread");
    let staging = committer.staging(0);
    for _ in 0..2 {
        stage(&staging);
    }
    staging.ring(0);
    arrives.recv().expect("a journal");
    (committer, take, arrives)
}

fn stage(staging: &Staging) {
    let mut stage = staging.lock();
    stage.group.push(ShardId(0), UnixMs(1), &Event::Advanced);
}

#[test]
fn a_committer_whose_journal_takes_nothing_is_waited_for_no_longer_than_wanted() {
    let (committer, _take, _arrives) = committing(Duration::ZERO);
    assert!(!committer.stop(Duration::from_millis(20)));
}

#[test]
fn a_committer_ends_when_what_was_staged_is_committed() {
    let (committer, take, _arrives) = committing(LONG);
    take.send(()).expect("a journal");
    assert!(committer.stop(LONG));
}

#[test]
fn a_committer_that_rests_goes_on_when_much_is_staged() {
    let (committer, take, arrives) = committing(LONG);
    let staging = committer.staging(0);
    take.send(()).expect("a journal");
    stage(&staging);
    staging.ring(REST_BYTES_MAX - 1);
    let soon = Duration::from_millis(50);
    assert!(arrives.recv_timeout(soon).is_err(), "it rests");
    staging.ring(REST_BYTES_MAX);
    arrives.recv_timeout(LONG / 2).expect("the group");
    take.send(()).expect("a journal");
    assert!(committer.stop(LONG / 2));
}
