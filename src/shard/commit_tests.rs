//! How a committer ends.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
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

/// A committer with a group on its way to the journal, and what lets the journal take it.
fn committing() -> (Committer, Sender<()>) {
    let (has_group, arrives) = channel();
    let (take, may_take) = channel();
    let journal = Arc::new(SlowJournal {
        has_group,
        may_take: Mutex::new(may_take),
    });
    let pause = Pause {
        per_record: Duration::ZERO,
        longest: Duration::ZERO,
    };
    let committer = Committer::start(journal, 1, pause, |error| panic!("{error}"));
    let committer = committer.expect("a thread");
    let staging = committer.staging(0);
    staging.lock().group.ask(ShardId(0));
    staging.ring();
    arrives.recv().expect("a journal");
    (committer, take)
}

#[test]
fn a_committer_whose_journal_takes_nothing_is_waited_for_no_longer_than_wanted() {
    let (committer, _take) = committing();
    assert!(!committer.stop(Duration::from_millis(20)));
}

#[test]
fn a_committer_ends_when_what_was_staged_is_committed() {
    let (committer, take) = committing();
    take.send(()).expect("a journal");
    assert!(committer.stop(LONG));
}
