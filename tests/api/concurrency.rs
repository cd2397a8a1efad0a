//! Many clients at once: every message goes to exactly one of them.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mayfly::verify::history::Outcome;

use crate::support::SOON;
use crate::support::client::connect;
use crate::support::history::{Recorder, post, take};
use crate::support::server::Server;

const READERS: usize = 64;
const WRITERS: usize = 8;
const MESSAGES: usize = 2_000;

/// Posts from some threads and reads from many, each with its limit, then checks that every message came
/// once.
fn each_message_is_delivered_once(limit: impl Fn(usize) -> Option<u64> + Sync) {
    let server = Server::start();
    let (recorder, left) = (Recorder::new(), AtomicUsize::new(MESSAGES));
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (mut client, recorder) = (server.client(), &recorder);
            scope.spawn(move || {
                for number in 0..MESSAGES / WRITERS {
                    let call = post("alice", format!("{writer} {number}"));
                    recorder.send(&mut client, writer as u32, None, call);
                }
            });
        }
        for reader in 0..READERS {
            let (mut client, recorder, left, limit) = (server.client(), &recorder, &left, &limit);
            scope.spawn(move || {
                let (started, number) = (Instant::now(), (WRITERS + reader) as u32);
                while left.load(Ordering::SeqCst) > 0 && started.elapsed() < SOON {
                    let call = take("alice", limit(reader));
                    let sent = recorder.send(&mut client, number, None, call);
                    let Outcome::Taken { messages } = sent.outcome else {
                        panic!("{:?}", sent.outcome);
                    };
                    assert!(limit(reader).is_none_or(|limit| messages.len() as u64 <= limit));
                    let count = messages.len();
                    let left = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                        Some(left.saturating_sub(count))
                    });
                    assert!(left.is_ok());
                }
            });
        }
    });
    recorder.settle(&mut server.client());
    let verdict = recorder.judge();
    assert_eq!(
        (verdict.acknowledged, verdict.delivered),
        (MESSAGES, MESSAGES)
    );
    assert_eq!(
        server.metric("mayfly_messages_delivered_total"),
        MESSAGES as i64
    );
    assert_eq!(server.metric("mayfly_messages_unread"), 0);
}

#[test]
fn of_many_readers_exactly_one_gets_each_message() {
    each_message_is_delivered_once(|_| None);
}

#[test]
fn of_many_takes_with_a_limit_exactly_one_gets_each_message() {
    each_message_is_delivered_once(|reader| Some(1 + reader as u64 % 7));
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

/// What is on its way to a client is kept for it: one that takes nothing must not keep it for ever.
#[test]
fn a_client_that_takes_nothing_of_its_answer_for_long_loses_its_connection() {
    /// The limit of 30 s, and some more.
    const LONG: Duration = Duration::from_secs(45);
    let server = Server::start_with(&["--durability", "memory"]);
    let mut client = server.client();
    let text = "x".repeat(60_000);
    for _ in 0..200 {
        client.post_message("alice", &text, 600);
    }
    let read = b"POST /chats/alice/take HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut stream = connect(server.port).unwrap();
    rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 4_096).unwrap();
    stream.write_all(read).unwrap();
    std::thread::sleep(LONG);
    let mut answer = Vec::new();
    let ended = stream.read_to_end(&mut answer);
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    assert!(
        !answer.ends_with(b"\r\n0\r\n\r\n"),
        "it was sent to the end: {ended:?}"
    );
}
