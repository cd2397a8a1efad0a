//! How much memory a recovery takes, with a journal that holds any number of posts.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::domain::event::{Event, Posted};
use crate::domain::id::{IdStamp, MessageId};
use crate::domain::message::Attributes;
use crate::domain::username::Username;
use crate::store::group::{Group, records};
use crate::store::journal::{Appended, Position, Visit};

const KIB: usize = 1024;
const MIB: u64 = 1024 * 1024;
const START: UnixMs = UnixMs(1_700_000_000_000);

/// So many posts of a kibibyte to one mailbox, and how many of them were replayed.
struct Posts {
    count: u64,
    replayed: AtomicU64,
}

fn name() -> Username {
    Username::from_stored("alice")
}

impl Journal for Posts {
    async fn append(&self, _: &Group) -> Result<Appended, StoreError> {
        Ok(Appended::default())
    }

    fn position(&self, _: ShardId) -> Position {
        Position(0)
    }

    fn has_room(&self) -> bool {
        true
    }

    async fn replay(&self, _: &[ShardId], visit: &mut Visit<'_>) -> Result<HighWater, StoreError> {
        let (name, text) = (name(), "x".repeat(KIB));
        for number in 0..self.count {
            let at = START.plus_ms(number);
            let stamp = IdStamp { ms: at, counter: 0 };
            let mut group = Group::default();
            let posted = Posted {
                username: name.as_str(),
                id: MessageId::new(stamp, name.hash().route(), number),
                expires_at: at.plus_ms(3_600_000),
                text: &text,
                attributes: Attributes::default(),
                key: None,
            };
            group.push(name.hash().route().shard(), at, &Event::Posted(posted));
            for record in records(group.bytes()) {
                visit(Position(number), record.expect("whole"))?;
            }
            let replayed = &self.replayed;
            replayed.store(number + 1, Ordering::Relaxed);
        }
        Ok(HighWater::default())
    }

    async fn trim(&self, _: ShardId, _: Position) -> Result<(), StoreError> {
        Ok(())
    }
}

fn posts(count: u64) -> Posts {
    Posts {
        count,
        replayed: 0.into(),
    }
}

async fn fits(posts: &Posts, usage: &Usage) -> Result<Recovered, StoreError> {
    let shard = name().hash().route().shard();
    recover_what_fits(posts, &[shard], START, Spread::new(7), usage).await
}

#[tokio::test]
async fn a_shard_that_does_not_fit_is_given_up_long_before_all_of_it_is_in_memory() {
    let (posts, usage) = (posts(64 * KIB as u64), Usage::new(16 * MIB, 1_000));
    usage.take_bytes(8 * MIB);
    let given_up = fits(&posts, &usage).await;
    assert!(matches!(given_up, Err(StoreError::NoRoom)));
    let replayed = posts.replayed.load(Ordering::Relaxed);
    assert!((6_000..12_000).contains(&replayed), "{replayed} of 8 MiB");
    assert_eq!(usage.now().0, 8 * MIB, "what was counted is given back");
}

#[tokio::test]
async fn a_shard_that_fits_counts_once_when_it_is_recovered() {
    let (posts, usage) = (posts(4 * KIB as u64), Usage::new(16 * MIB, 1_000));
    let recovered = fits(&posts, &usage).await.expect("it fits");
    assert_eq!(recovered.unread, 4 * KIB as u64);
    let used = usage.now().0;
    assert!((4 * MIB..5 * MIB).contains(&used), "{used} bytes");
}

#[tokio::test]
async fn without_a_bound_a_shard_is_recovered_whatever_it_weighs() {
    let (posts, usage) = (posts(4 * KIB as u64), Usage::new(MIB, 1_000));
    let shard = name().hash().route().shard();
    let recovered = recover(&posts, &[shard], START, Spread::new(7), &usage).await;
    assert_eq!(recovered.expect("all of it").unread, 4 * KIB as u64);
}
