//! Calls and answers read back as they were sent, and nothing else reads at all.

use super::*;
use crate::domain::event::TakenRange;
use crate::domain::id::IdStamp;
use crate::domain::key::KeyKind;
use crate::domain::mailbox::MailboxFull;
use crate::domain::message::{Ended, Unread};
use crate::domain::time::UnixMs;
use crate::shard::call::{Delivered, ReadPlace, Refusal};

fn name() -> Username {
    Username::from_stored("żółw@example")
}

fn id(counter: u16) -> MessageId {
    let stamp = IdStamp {
        ms: UnixMs(1_700_000_000_000),
        counter,
    };
    MessageId::new(stamp, name().hash().route(), 42)
}

fn content() -> Content {
    let attributes = Attributes(vec![("city".into(), "New York".into())]);
    Content::new("hi\0 there", attributes)
}

#[test]
fn every_call_reads_back_as_it_was_sent_and_no_part_of_it_does() {
    let (username, hash) = (name(), name().hash());
    let key = Some(KeyClaim {
        kind: KeyKind::Client,
        hash: [7; 16],
        body: u64::MAX,
    });
    let post = Post {
        username: username.clone(),
        hash,
        content: content(),
        ttl_ms: 5_000,
        key,
    };
    let take = Take {
        username: username.clone(),
        hash,
        limit: usize::MAX,
        key: None,
        is_repeat: false,
    };
    let calls = [
        Call::Post(post),
        Call::Take(take.clone()),
        Call::Take(take).known_by([9; 16]),
        Call::Count(username, hash),
        Call::Find(id(3)),
    ];
    for call in calls {
        let bytes = call.encode();
        let read = Call::decode(&bytes).expect("it reads");
        assert_eq!(format!("{read:?}"), format!("{call:?}"));
        assert_eq!(read.shard(), call.shard());
        for cut in 0..bytes.len() {
            assert!(Call::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }
}

#[test]
fn a_post_beyond_what_any_node_may_allow_does_not_read() {
    let read = |ttl_ms, text_bytes: usize| {
        let post = Post {
            username: name(),
            hash: name().hash(),
            content: Content::new(&"x".repeat(text_bytes), Attributes::default()),
            ttl_ms,
            key: None,
        };
        Call::decode(&Call::Post(post).encode())
    };
    let (ttl_ms, text_bytes) = (60 * 86_400_000, 4 << 20);
    assert!(read(ttl_ms, text_bytes).is_ok());
    for (ttl_ms, text_bytes) in [(ttl_ms + 1, 1), (u64::MAX, 1), (1, text_bytes + 1)] {
        assert!(read(ttl_ms, text_bytes).is_err(), "{ttl_ms} {text_bytes}");
    }
}

#[test]
fn every_answer_reads_back_as_it_was_sent() {
    let range = TakenRange {
        first: id(1),
        last: id(2),
        count: 2,
    };
    let delivery = Delivery {
        messages: vec![Delivered {
            id: id(1),
            content: content(),
        }],
        archived: Some(ReadPlace {
            username: name(),
            read_at: UnixMs(5),
            range,
        }),
        replayed: true,
    };
    let unread = Unread {
        id: id(1),
        expires_at: UnixMs(9),
        content: content(),
    };
    let ended = Ended::read(unread.clone(), &name(), UnixMs(8));
    let refusal = Refusal::MailboxFull(MailboxFull {
        messages_max: 10_000,
        bytes_max: 1 << 24,
    });
    let answers = [
        Ok(Answer::Accepted(Accepted {
            id: id(1),
            replayed: true,
        })),
        Ok(Answer::Delivered(delivery)),
        Ok(Answer::Counted(Count {
            unread: 3,
            oldest_at: Some(UnixMs(1)),
        })),
        Ok(Answer::Found(Found::Unread(name(), unread))),
        Ok(Answer::Found(Found::Ended(ended))),
        Ok(Answer::Found(Found::Elsewhere)),
        Err(CallError::Refused(refusal)),
        Err(CallError::Refused(Refusal::NotHere)),
        Err(CallError::OutcomeUnknown),
    ];
    for answer in answers {
        assert_eq!(Answer::decode(&Answer::encode(&answer)), Ok(answer));
    }
}

#[test]
fn a_call_with_a_key_keeps_it_and_one_without_is_known_by_the_id() {
    let take = |key| {
        Call::Take(Take {
            username: name(),
            hash: name().hash(),
            limit: 1,
            key,
            is_repeat: false,
        })
    };
    let key = KeyClaim {
        kind: KeyKind::Client,
        hash: [1; 16],
        body: 2,
    };
    assert!(!take(None).is_repeatable());
    for (before, after) in [(None, KeyClaim::of_call([9; 16])), (Some(key), key)] {
        let Call::Take(known) = take(before).known_by([9; 16]) else {
            panic!("a read stays a read");
        };
        assert_eq!(known.key, Some(after));
    }
}
