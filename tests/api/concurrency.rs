//! Many clients at once: every message goes to exactly one of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use crate::support::SOON;
use crate::support::client::Client;
use crate::support::server::Server;

const READERS: usize = 64;
const WRITERS: usize = 8;
const MESSAGES: usize = 2_000;

/// Posts from some threads and reads from many, then checks that each message came once.
fn each_message_is_delivered_once(
    read: impl Fn(&mut Client, usize) -> Vec<(String, String)> + Sync,
) {
    let server = Server::start();
    let left = AtomicUsize::new(MESSAGES);
    let (posted, delivered) = thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let mut client = server.client();
                scope.spawn(move || {
                    let post = |number| {
                        let text = format!("{writer} {number}");
                        (client.post_message("alice", &text, 600), text)
                    };
                    (0..MESSAGES / WRITERS).map(post).collect::<Vec<_>>()
                })
            })
            .collect();
        let readers: Vec<_> = (0..READERS)
            .map(|reader| {
                let (mut client, left, read) = (server.client(), &left, &read);
                scope.spawn(move || {
                    let (started, mut mine) = (Instant::now(), Vec::new());
                    while left.load(Ordering::SeqCst) > 0 && started.elapsed() < SOON {
                        let messages = read(&mut client, reader);
                        let count = messages.len();
                        mine.extend(messages);
                        let left = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                            Some(left.saturating_sub(count))
                        });
                        assert!(left.is_ok());
                    }
                    mine
                })
            })
            .collect();
        let posted: HashMap<_, _> = writers
            .into_iter()
            .flat_map(|w| w.join().unwrap())
            .collect();
        let delivered: Vec<_> = readers
            .into_iter()
            .flat_map(|r| r.join().unwrap())
            .collect();
        (posted, delivered)
    });
    let mut seen = HashMap::new();
    for (id, text) in &delivered {
        assert_eq!(posted.get(id), Some(text), "a message as it was posted");
        *seen.entry(id).or_insert(0) += 1;
    }
    let twice = seen.values().filter(|count| **count > 1).count();
    assert_eq!((posted.len(), seen.len(), twice), (MESSAGES, MESSAGES, 0));
    assert_eq!(server.client().get("/chats/alice").body, b"[]");
    assert_eq!(
        server.metric("mayfly_messages_delivered_total"),
        MESSAGES as i64
    );
    assert_eq!(server.metric("mayfly_messages_unread"), 0);
}

#[track_caller]
fn messages(client: &mut Client, method: &str, path: &str) -> Vec<(String, String)> {
    let json = client.send(method, path, &[], b"").expect(200).json();
    let messages = json.as_array().unwrap().iter();
    let pairs: Vec<_> = messages
        .map(|m| {
            (
                m["id"].as_str().unwrap().to_owned(),
                m["text"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    assert!(
        pairs.is_sorted_by(|one, next| one.0 < next.0),
        "oldest first"
    );
    pairs
}

#[test]
fn of_many_readers_exactly_one_gets_each_message() {
    each_message_is_delivered_once(|client, _| messages(client, "GET", "/chats/alice"));
}

#[test]
fn of_many_takes_with_a_limit_exactly_one_gets_each_message() {
    each_message_is_delivered_once(|client, reader| {
        let limit = 1 + reader % 7;
        let taken = messages(client, "POST", &format!("/chats/alice/take?limit={limit}"));
        assert!(taken.len() <= limit);
        taken
    });
}

#[test]
fn of_many_posts_with_one_key_exactly_one_is_done() {
    let server = Server::start();
    let ids: Vec<_> = thread::scope(|scope| {
        let post = || {
            let mut client = server.client();
            let body = br#"{"username":"alice","text":"t"}"#;
            client
                .send("POST", "/chat", &[("Idempotency-Key", "k")], body)
                .expect(201)
                .body
        };
        let threads: Vec<_> = (0..32).map(|_| scope.spawn(post)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert_eq!(server.metric("mayfly_messages_posted_total"), 1);
}
