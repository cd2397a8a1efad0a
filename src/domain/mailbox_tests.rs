//! Tables and a model-based property test of the mailbox.

use proptest::prelude::*;

use super::super::id::IdClock;
use super::super::message::{Attributes, Content, End};
use super::super::username::Route;
use super::*;

fn name() -> Username {
    Username::from_stored("alice")
}

fn message(id: MessageId, expires_at: UnixMs, text: &str) -> Unread {
    Unread {
        id,
        expires_at,
        content: Content::new(text, Attributes::default()),
    }
}

/// A mailbox whose messages expire at the given times, with their ids in order.
fn mailbox_with(deadlines: &[u64]) -> (Mailbox, Vec<MessageId>) {
    let (mut mailbox, mut clock) = (Mailbox::new(name()), IdClock::default());
    let ids: Vec<_> = deadlines
        .iter()
        .map(|_| MessageId::new(clock.next(UnixMs(1)), Route(0), 0))
        .collect();
    for (id, deadline) in ids.iter().zip(deadlines) {
        mailbox.accept(message(*id, UnixMs(*deadline), "text"));
    }
    (mailbox, ids)
}

fn expire(mailbox: &mut Mailbox, now: u64) -> Vec<MessageId> {
    let mut gone = Vec::new();
    mailbox.expire(UnixMs(now), |ended| {
        assert_eq!(ended.end, End::Expired);
        gone.push(ended.id);
    });
    gone
}

fn take(mailbox: &mut Mailbox, limit: usize, now: u64) -> Vec<MessageId> {
    let mut taken = Vec::new();
    if let Some(range) = mailbox.oldest(limit) {
        mailbox.take(range, UnixMs(now), |ended| {
            assert_eq!((ended.end, ended.ended_at), (End::Read, UnixMs(now)));
            taken.push(ended.id);
        });
        assert_eq!(taken.len(), range.count as usize);
    }
    taken
}

#[test]
fn a_mailbox_with_one_message_is_small() {
    assert!(size_of::<Unread>() <= 48, "{}", size_of::<Unread>());
    assert!(size_of::<Mailbox>() <= 88, "{}", size_of::<Mailbox>());
}

#[test]
fn a_message_is_gone_exactly_at_its_deadline() {
    for (now, gone) in [(999, 0), (1_000, 1), (1_001, 1)] {
        let (mut mailbox, _) = mailbox_with(&[1_000]);
        assert_eq!(expire(&mut mailbox, now).len(), gone, "at {now}");
        assert_eq!(mailbox.len(), 1 - gone);
    }
}

#[test]
fn an_expired_message_ended_at_its_deadline_however_late_that_is_seen() {
    let (mut mailbox, _) = mailbox_with(&[1_000]);
    mailbox.expire(UnixMs(9_000), |ended| {
        assert_eq!(ended.ended_at, UnixMs(1_000))
    });
    assert!(mailbox.is_empty());
}

#[test]
fn a_read_takes_the_oldest_and_leaves_the_rest() {
    let (mut mailbox, ids) = mailbox_with(&[9, 8, 7]);
    assert_eq!(take(&mut mailbox, 2, 5), ids[..2]);
    assert_eq!(take(&mut mailbox, 2, 6), ids[2..]);
    assert_eq!(take(&mut mailbox, 2, 6), []);
}

#[test]
fn deadlines_need_not_be_in_order() {
    let (mut mailbox, ids) = mailbox_with(&[30, 10, 20]);
    assert_eq!(mailbox.next_deadline(), Some(UnixMs(10)));
    assert_eq!(expire(&mut mailbox, 20), [ids[1], ids[2]]);
    assert_eq!(mailbox.next_deadline(), Some(UnixMs(30)));
    assert_eq!(take(&mut mailbox, 9, 20), [ids[0]]);
    assert_eq!(mailbox.next_deadline(), None);
}

#[test]
fn a_mailbox_is_full_at_its_limit_of_messages_or_bytes() {
    let limits = Limits {
        mailbox_messages_max: 2,
        mailbox_bytes_max: 10,
        ..Limits::default()
    };
    let (one, _) = mailbox_with(&[9]);
    let (two, _) = mailbox_with(&[9, 9]);
    assert_eq!(one.admit(6, &limits), Ok(()));
    assert!(one.admit(7, &limits).is_err(), "4 + 7 bytes");
    assert!(two.admit(0, &limits).is_err(), "a third message");
}

/// What a mailbox is, said as naively as possible.
#[derive(Default)]
struct Model(Vec<(MessageId, u64, usize)>);

#[derive(Clone, Debug)]
enum Step {
    Post { ttl_ms: u64, bytes: usize },
    Take { limit: usize },
    Wait { ms: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..50u64, 1..40usize).prop_map(|(ttl_ms, bytes)| Step::Post { ttl_ms, bytes }),
        1 => (1..6usize).prop_map(|limit| Step::Take { limit }),
        2 => (0..20u64).prop_map(|ms| Step::Wait { ms }),
    ]
}

proptest! {
    #[test]
    fn a_mailbox_behaves_as_the_naive_model(steps in proptest::collection::vec(step(), 1..200)) {
        let limits = Limits { mailbox_messages_max: 8, mailbox_bytes_max: 150, ..Limits::default() };
        let (mut mailbox, mut model, mut clock) = (Mailbox::new(name()), Model::default(), IdClock::default());
        let mut now = 1_000;
        for step in steps {
            let due: Vec<_> = model.0.iter().filter(|m| m.1 <= now).map(|m| m.0).collect();
            model.0.retain(|m| m.1 > now);
            prop_assert_eq!(expire(&mut mailbox, now), due);
            match step {
                Step::Post { ttl_ms, bytes } => {
                    let fits = model.0.len() < 8 && model.0.iter().map(|m| m.2).sum::<usize>() + bytes <= 150;
                    prop_assert_eq!(mailbox.admit(bytes, &limits).is_ok(), fits);
                    if fits {
                        let id = MessageId::new(clock.next(UnixMs(now)), Route(0), 0);
                        mailbox.accept(message(id, UnixMs(now + ttl_ms), &"x".repeat(bytes)));
                        model.0.push((id, now + ttl_ms, bytes));
                    }
                }
                Step::Take { limit } => {
                    let count = limit.min(model.0.len());
                    let expected: Vec<_> = model.0.drain(..count).map(|m| m.0).collect();
                    prop_assert_eq!(take(&mut mailbox, limit, now), expected);
                }
                Step::Wait { ms } => now += ms,
            }
            prop_assert_eq!(mailbox.iter().map(|m| m.id).collect::<Vec<_>>(), model.0.iter().map(|m| m.0).collect::<Vec<_>>());
            let earliest = model.0.iter().map(|m| m.1).min();
            prop_assert!(mailbox.next_deadline().is_none_or(|d| earliest.is_some_and(|e| d.0 <= e)));
            prop_assert_eq!(mailbox.next_deadline().is_some(), earliest.is_some());
        }
    }
}
