//! The numbers: exact, and without a word about anybody.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::eventually;
use crate::support::server::Server;

/// posted, delivered, expired, unread
fn counts(server: &Server) -> [i64; 4] {
    ["posted_total", "delivered_total", "expired_total", "unread"]
        .map(|name| server.metric(&format!("mayfly_messages_{name}")))
}

#[test]
fn posted_is_delivered_and_expired_and_unread() {
    let mut server = Server::start_with(&["--mailbox-messages-max", "10"]);
    let mut client = server.client();
    assert_eq!(counts(&server), [0, 0, 0, 0]);
    for _ in 0..10 {
        client.post_message("alice", "t", 600);
    }
    client
        .post("/chat", r#"{"username":"alice","text":"refused"}"#)
        .expect(409);
    client.post("/chat", r#"{"username":"alice"}"#).expect(400);
    assert_eq!(counts(&server), [10, 0, 0, 10]);
    for _ in 0..3 {
        client.post_message("bob", "t", 0);
        client.post_message("bob", "t", 1);
        let key = [("Idempotency-Key", "k")];
        client
            .send("POST", "/chat", &key, br#"{"username":"bob","text":"t"}"#)
            .expect(201);
    }
    eventually("the short ones expire", || {
        (counts(&server)[2] == 6).then_some(())
    });
    assert_eq!(counts(&server), [17, 0, 6, 11]);
    for _ in 0..3 {
        let key = [("Idempotency-Key", "r")];
        client
            .send("GET", "/chats/alice?limit=4", &key, b"")
            .expect(200);
    }
    client.get("/chats/nobody").expect(200);
    client.get("/chats/bob").expect(200);
    assert_eq!(counts(&server), [17, 5, 6, 6]);
    server.await_metric("mayfly_messages_archived_total", 11);
    server.start_again();
    assert_eq!(counts(&server), [0, 0, 0, 6], "a replay is no event");
    server.client().get("/chats/alice").expect(200);
    assert_eq!(counts(&server), [0, 6, 0, 0]);
}

#[test]
fn messages_that_expire_while_others_come_and_are_looked_up_are_all_counted() {
    // Long enough that the first ones expire among the posts of the last ones.
    const DURATION: Duration = Duration::from_millis(2_500);
    let server = Server::start();
    // Two mailboxes of one shard: the digits of an id that name the shard are the same.
    let mut client = server.client();
    let mut searched = 0;
    let shard_of = |id: &str| id[15..17].to_owned();
    let shard = shard_of(&client.post_message("alice", "t", 0));
    let other = loop {
        searched += 1;
        let name = format!("user{searched}");
        if shard_of(&client.post_message(&name, "t", 0)) == shard {
            break name;
        }
    };
    let post_and_look = |writer: usize| {
        let (started, mut client, mut ids) = (Instant::now(), server.client(), Vec::new());
        while started.elapsed() < DURATION {
            let name = if ids.len() % 2 == 0 { "alice" } else { &other };
            ids.push(client.post_message(name, "t", 1));
            if writer == 0 {
                // Some look-ups find messages at their very deadline.
                client
                    .get(&format!("/chat/{}", ids[ids.len() / 2]))
                    .expect(200);
            }
        }
        ids.len() as i64
    };
    let posted = thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let post_and_look = &post_and_look;
                scope.spawn(move || post_and_look(writer))
            })
            .collect();
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .sum::<i64>()
    });
    let posted = posted + 1 + searched;
    server.await_metric("mayfly_messages_archived_total", posted);
    assert_eq!(counts(&server), [posted, 0, posted, 0]);
}

#[test]
fn metrics_tell_of_nobody() {
    let server = Server::start();
    let mut client = server.client();
    let id = client.post_message("someone-in-particular", "a-secret", 60);
    client.get(&format!("/chat/{id}")).expect(200);
    let key = [("Idempotency-Key", "a-key-of-mine")];
    client
        .send("GET", "/chats/someone-in-particular", &key, b"")
        .expect(200);
    client.get("/some/where/else").expect(404);
    client.send("BREW", "/chat", &[], b"").expect(405);
    let text = server.admin().get("/metrics").expect(200).text();
    for word in ["someone", &id, "secret", "a-key", "where", "BREW", "/data"] {
        assert!(!text.contains(word), "{word} in {text}");
    }
    let requests = |route: &str, method: &str, class: &str| {
        let line = format!(
            "mayfly_http_request_duration_seconds_count{{method=\"{method}\",route=\"{route}\",status_class=\"{class}\"}} 1\n"
        );
        assert!(text.contains(&line), "{line} in {text}");
    };
    requests("/chat", "POST", "2xx");
    requests("/chat/{id}", "GET", "2xx");
    requests("/chats/{username}", "GET", "2xx");
    requests("other", "GET", "4xx");
    let line = text.lines().filter(|line| !line.starts_with('#'));
    line.for_each(|line| assert!(line.starts_with("mayfly_"), "{line}"));
}
