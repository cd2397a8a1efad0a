//! Idempotency keys: a request that is repeated is answered again, and done once.

use serde_json::Value;

use crate::support::client::{Answer, Client};
use crate::support::server::Server;

const MESSAGE: &str = r#"{"username":"alice","text":"t","timeout":60}"#;

#[track_caller]
fn post(client: &mut Client, key: &str, body: &str) -> Answer {
    client.send(
        "POST",
        "/chat",
        &[("Idempotency-Key", key)],
        body.as_bytes(),
    )
}

#[track_caller]
fn read(client: &mut Client, key: &str, path: &str) -> Answer {
    client.send("GET", path, &[("Idempotency-Key", key)], b"")
}

#[track_caller]
fn is_replay(answer: &Answer) -> bool {
    match answer.header("idempotency-replayed") {
        None => false,
        Some(value) => {
            assert_eq!(value, "true");
            true
        }
    }
}

fn ids(answer: &Answer) -> Vec<Value> {
    let json = answer.json();
    json.as_array()
        .unwrap()
        .iter()
        .map(|m| m["id"].clone())
        .collect()
}

#[test]
fn a_repeated_post_is_done_once() {
    let server = Server::start();
    let mut client = server.client();
    let first = post(&mut client, "k", MESSAGE).expect(201);
    assert!(!is_replay(&first));
    for _ in 0..3 {
        let again = post(&mut client, "k", MESSAGE).expect(201);
        assert!(is_replay(&again));
        assert_eq!(
            (&again.body, again.header("location")),
            (&first.body, first.header("location"))
        );
    }
    assert_eq!(
        ids(&client.get("/chats/alice")),
        [first.json()["id"].clone()]
    );
    let after = post(&mut client, "k", MESSAGE).expect(201);
    assert_eq!(after.body, first.body, "after the message was read, too");
    assert_eq!(client.get("/chats/alice").body, b"[]");
    assert_eq!(server.metric("mayfly_messages_posted_total"), 1);
}

#[test]
fn a_repeated_read_is_the_same_set_whatever_came_since() {
    let server = Server::start();
    let mut client = server.client();
    for method_and_path in [("GET", "/chats/alice"), ("POST", "/chats/alice/take")] {
        let (method, path) = method_and_path;
        let key = [("Idempotency-Key", method)];
        for _ in 0..5 {
            client.post_message("alice", "t", 60);
        }
        let first = client.send(method, path, &key, b"").expect(200);
        assert_eq!((ids(&first).len(), is_replay(&first)), (5, false));
        client.post_message("alice", "later", 60);
        let again = client.send(method, path, &key, b"").expect(200);
        assert_eq!((&again.body, is_replay(&again)), (&first.body, true));
        assert_eq!(
            ids(&client.get("/chats/alice")).len(),
            1,
            "the later one waits"
        );
    }
}

#[test]
fn a_repeated_empty_read_stays_empty() {
    let server = Server::start();
    let mut client = server.client();
    let first = read(&mut client, "k", "/chats/alice").expect(200);
    assert_eq!(
        (first.body.as_slice(), is_replay(&first)),
        (b"[]".as_slice(), false)
    );
    client.post_message("alice", "t", 60);
    let again = read(&mut client, "k", "/chats/alice").expect(200);
    assert_eq!(
        (again.body.as_slice(), is_replay(&again)),
        (b"[]".as_slice(), true)
    );
    assert_eq!(ids(&read(&mut client, "other", "/chats/alice")).len(), 1);
}

#[test]
fn another_request_under_the_same_key_is_refused_and_does_nothing() {
    let server = Server::start();
    let mut client = server.client();
    post(&mut client, "k", MESSAGE).expect(201);
    for other in [
        MESSAGE.replace("\"t\"", "\"u\""),
        MESSAGE.replace("60", "61"),
        MESSAGE.replace('}', r#","attributes":{"a":"b"}}"#),
    ] {
        let answer = post(&mut client, "k", &other).expect(422);
        assert_eq!(answer.problem(), "key-reused");
    }
    let same = r#" { "timeout":60, "text":"t", "username":"alice" }"#;
    post(&mut client, "k", same).expect(201);
    read(&mut client, "r", "/chats/alice?limit=1").expect(200);
    client.post_message("alice", "waits", 60);
    let answer = read(&mut client, "r", "/chats/alice?limit=2").expect(422);
    assert_eq!(answer.problem(), "key-reused");
    assert_eq!(client.get("/chats/alice/count").json()["unread"], 1);
}

#[test]
fn a_key_holds_for_one_operation_and_one_user() {
    let server = Server::start();
    let mut client = server.client();
    let alice = post(&mut client, "k", MESSAGE).expect(201);
    let bob = post(&mut client, "k", &MESSAGE.replace("alice", "bob")).expect(201);
    assert!(!is_replay(&bob) && alice.body != bob.body);
    let read_alice = read(&mut client, "k", "/chats/alice").expect(200);
    let read_bob = read(&mut client, "k", "/chats/bob").expect(200);
    assert_eq!(ids(&read_alice), [alice.json()["id"].clone()]);
    assert_eq!(ids(&read_bob), [bob.json()["id"].clone()]);
    let take = client.send("POST", "/chats/bob/take", &[("Idempotency-Key", "k")], b"");
    assert_eq!(
        ids(&take),
        ids(&read_bob),
        "a take is the same operation as a read"
    );
}

#[test]
fn keys_survive_a_crash_and_the_move_to_the_archive() {
    let mut server = Server::start();
    let mut client = server.client();
    let posted = post(&mut client, "k", MESSAGE).expect(201);
    for _ in 0..4 {
        client.post_message("alice", "t", 60);
    }
    let taken = read(&mut client, "r", "/chats/alice").expect(200);
    assert_eq!(ids(&taken).len(), 5);
    let empty = read(&mut client, "e", "/chats/alice").expect(200);
    let check = |server: &Server, when: &str| {
        let mut client = server.client();
        let again = post(&mut client, "k", MESSAGE).expect(201);
        assert_eq!(
            (&again.body, is_replay(&again)),
            (&posted.body, true),
            "{when}"
        );
        let again = read(&mut client, "r", "/chats/alice").expect(200);
        assert_eq!(
            (&again.body, is_replay(&again)),
            (&taken.body, true),
            "{when}"
        );
        let again = read(&mut client, "e", "/chats/alice").expect(200);
        assert_eq!(
            (&again.body, is_replay(&again)),
            (&empty.body, true),
            "{when}"
        );
        post(&mut client, "k", &MESSAGE.replace("60", "61")).expect(422);
    };
    server.start_again();
    check(&server, "after kill -9");
    server.await_metric("mayfly_messages_archived_total", 5);
    check(&server, "from the archive");
    // Time for the shard to let go of what the archive holds, then another crash.
    crate::support::eventually("the archived messages leave memory", || {
        let used = server.metric("mayfly_memory_used_bytes");
        (used <= 3 * 200).then_some(())
    });
    check(&server, "from the archive alone");
    server.start_again();
    check(&server, "after the archive and kill -9");
    assert_eq!(server.metric("mayfly_messages_posted_total"), 0);
    server.client().post_message("alice", "new", 60);
    assert_eq!(ids(&server.client().get("/chats/alice")).len(), 1);
}

#[test]
fn a_key_has_1_to_255_bytes_and_comes_once() {
    let server = Server::start();
    let mut client = server.client();
    let longest = "k".repeat(255);
    post(&mut client, &longest, MESSAGE).expect(201);
    assert!(is_replay(&post(&mut client, &longest, MESSAGE).expect(201)));
    for key in ["k".repeat(256), String::new()] {
        let answer = post(&mut client, &key, MESSAGE).expect(400);
        assert_eq!(answer.problem(), "bad-header");
        let answer = read(&mut client, &key, "/chats/alice").expect(400);
        assert_eq!(answer.problem(), "bad-header");
    }
    let twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")];
    let answer = client
        .send("POST", "/chat", &twice, MESSAGE.as_bytes())
        .expect(400);
    assert_eq!(answer.problem(), "bad-header");
    assert_eq!(client.get("/chats/alice/count").json()["unread"], 1);
}

#[test]
fn beyond_the_most_keys_a_keyed_request_is_refused_and_others_are_served() {
    let server = Server::start_with(&["--idempotency-keys-max", "1"]);
    let mut client = server.client();
    let first = post(&mut client, "one", MESSAGE).expect(201);
    for answer in [
        post(&mut client, "two", MESSAGE).expect(503),
        read(&mut client, "two", "/chats/alice").expect(503),
    ] {
        assert_eq!(answer.problem(), "keys-full");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    assert_eq!(
        post(&mut client, "one", MESSAGE).expect(201).body,
        first.body
    );
    client.post("/chat", MESSAGE).expect(201);
    assert_eq!(server.metric("mayfly_idempotency_keys"), 1);
    assert_eq!(ids(&client.get("/chats/alice").expect(200)).len(), 2);
}
