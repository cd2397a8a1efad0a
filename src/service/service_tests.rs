//! What the service makes of an archive that fails or hangs.

use std::future::pending;

use actix::{Actor, Context, Handler};

use super::*;
use crate::domain::event::TakenRange;
use crate::domain::time::UnixMs;
use crate::domain::username::UsernameHash;
use crate::shard::host::Decide;
use crate::shard::moves::Move;
use crate::shard::question::Answering;
use crate::store::archive::ArchiveKey;

/// An archive of which nothing comes: it fails, or gives no answer.
struct Broken {
    hangs: bool,
}

impl Broken {
    async fn answer<T>(&self) -> Result<T, StoreError> {
        if self.hangs {
            pending().await
        } else {
            Err(StoreError::NoRoom)
        }
    }
}

impl Archive for Broken {
    async fn put<'a>(
        &self,
        _: impl IntoIterator<Item = &'a Ended> + Send,
    ) -> Result<(), StoreError> {
        self.answer().await
    }

    async fn get(&self, _: MessageId) -> Result<Option<Ended>, StoreError> {
        self.answer().await
    }

    async fn read_together(
        &self,
        _: ShardId,
        _: UnixMs,
        _: TakenRange,
        _: &str,
    ) -> Result<Vec<Ended>, StoreError> {
        self.answer().await
    }

    async fn list(&self, _: Option<ArchiveKey>, _: usize) -> Result<Vec<Ended>, StoreError> {
        self.answer().await
    }

    async fn drop_before(&self, _: UnixMs) -> Result<(), StoreError> {
        self.answer().await
    }
}

/// A host whose messages are in the archive, all of them.
#[derive(Debug)]
struct Archived;

impl Decide for Archived {
    fn post(&self, _: Post) -> Answering<Accepted> {
        Answering::Now(Err(Refusal::Overloaded))
    }

    fn take(&self, take: Take) -> Answering<Delivery> {
        let range = TakenRange {
            first: id(),
            last: id(),
            count: 1,
        };
        Answering::Now(Ok(Delivery {
            messages: Vec::new(),
            archived: Some(ReadPlace {
                username: take.username,
                read_at: UnixMs(1),
                range,
            }),
            replayed: true,
        }))
    }

    fn count(&self, _: Username, _: UsernameHash) -> Answering<Count> {
        Answering::Now(Err(Refusal::Overloaded))
    }

    fn find(&self, _: MessageId) -> Answering<Found> {
        Answering::Now(Ok(Found::Elsewhere))
    }
}

/// Moves nothing.
struct Still;

impl Actor for Still {
    type Context = Context<Still>;
}

impl Handler<Move> for Still {
    type Result = ();

    fn handle(&mut self, _: Move, _: &mut Context<Still>) {}
}

fn id() -> MessageId {
    MessageId::parse("01a20354-9255-70e0-a2bb-d5718d408f06").expect("an id")
}

fn service(hangs: bool) -> Service<Broken> {
    let hosts = Hosts::new(1);
    hosts.set(0, Arc::new(Archived), Still.start().recipient());
    let (way, archive) = (Way::Here(hosts), Arc::new(Broken { hangs }));
    Service::new(way, archive, Duration::from_millis(20))
}

#[actix_web::test]
async fn a_repeated_read_whose_messages_are_not_found_is_never_answered_that_nothing_was_done() {
    for hangs in [false, true] {
        let username = Username::from_stored("ann");
        let take = Take {
            hash: username.hash(),
            username,
            limit: 10,
            key: None,
            is_repeat: true,
        };
        let taken = service(hangs).take(take).await;
        assert!(
            matches!(taken, Err(ServiceError::Call(CallError::OutcomeUnknown))),
            "{taken:?}"
        );
    }
}

#[actix_web::test]
async fn a_look_up_waits_for_the_archive_no_longer_than_a_request_may() {
    let failed = service(false).find(id()).await;
    assert!(
        matches!(failed, Err(ServiceError::Archive(_))),
        "{failed:?}"
    );
    let silent = service(true).find(id()).await;
    assert!(
        matches!(silent, Err(ServiceError::ArchiveSilent)),
        "{silent:?}"
    );
}
