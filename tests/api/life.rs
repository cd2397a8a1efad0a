//! The life of a message: posted, read or expired, looked up.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::SOON;
use crate::support::client::{Answer, Client};
use crate::support::server::Server;

/// How far this process's clock and the server's may differ, as both count whole milliseconds.
const CLOCKS_DIFFER_MS: i64 = 5;

fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_millis() as i64
}

/// The time in a member, in milliseconds; it must be RFC 3339 in UTC with three digits.
#[track_caller]
fn ms(message: &Value, name: &str) -> i64 {
    let text = message[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name} in {message}"));
    assert_eq!(
        (text.len(), &text[19..20], &text[23..]),
        (24, ".", "Z"),
        "{text}"
    );
    text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

#[track_caller]
fn look_up(client: &mut Client, id: &str) -> Value {
    let answer = client.get(&format!("/chat/{id}")).expect(200);
    assert_is_private_json(&answer);
    answer.json()
}

#[track_caller]
fn assert_is_private_json(answer: &Answer) {
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

/// Checks what every look-up has, and that it has nothing else.
#[track_caller]
fn assert_is_message(message: &Value, id: &str, state: &str) {
    let mut names = BTreeSet::from([
        "id",
        "username",
        "text",
        "expiration_date",
        "expires_at",
        "created_at",
        "state",
        "attributes",
    ]);
    if state == "read" {
        names.insert("read_at");
    }
    let found: BTreeSet<_> = message
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(found, names);
    assert_eq!(
        (&message["id"], &message["state"]),
        (&json!(id), &json!(state))
    );
    let short = message["expires_at"].as_str().unwrap()[..19].replace('T', " ");
    assert_eq!(message["expiration_date"], json!(short));
}

#[track_caller]
fn texts(answer: &Answer) -> Vec<String> {
    assert_is_private_json(answer);
    let json = answer.json();
    let messages = json.as_array().unwrap().iter();
    messages
        .map(|m| m["text"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_message_is_unread_then_read_and_told_so_in_every_field() {
    let server = Server::start();
    let mut client = server.client();
    let before = wall_ms();
    let body = json!({"username": "alice", "text": "hi \"there\"\n\u{1f41d}", "timeout": 30,
        "attributes": {"city": "New York", "state": "NY"}});
    let answer = client.post("/chat", &body.to_string()).expect(201);
    assert_is_private_json(&answer);
    let posted = answer.json();
    assert_eq!(posted.as_object().unwrap().len(), 1);
    let id = posted["id"].as_str().unwrap().to_owned();
    assert_eq!(
        answer.header("location"),
        Some(format!("/chat/{id}").as_str())
    );

    let unread = look_up(&mut client, &id);
    assert_is_message(&unread, &id, "unread");
    assert_eq!(unread["username"], body["username"]);
    assert_eq!(unread["text"], body["text"]);
    assert_eq!(unread["attributes"], body["attributes"]);
    assert_eq!(
        ms(&unread, "expires_at") - ms(&unread, "created_at"),
        30_000
    );
    let created = ms(&unread, "created_at");
    assert!(before - CLOCKS_DIFFER_MS <= created && created <= wall_ms() + CLOCKS_DIFFER_MS);
    assert_eq!(
        look_up(&mut client, &id),
        unread,
        "a look-up changes nothing"
    );

    let answer = client.get("/chats/alice").expect(200);
    assert_is_private_json(&answer);
    let delivered = answer.json();
    let expected = json!([{"id": id, "text": body["text"], "attributes": body["attributes"],
        "created_at": unread["created_at"]}]);
    assert_eq!(delivered, expected);
    assert_eq!(client.get("/chats/alice").expect(200).body, b"[]");

    let read = look_up(&mut client, &id);
    assert_is_message(&read, &id, "read");
    assert_eq!(read["read_at"], read["expires_at"]);
    assert!(ms(&read, "read_at") >= created && ms(&read, "read_at") < created + 30_000);
    for name in ["username", "text", "created_at", "attributes"] {
        assert_eq!(read[name], unread[name], "{name}");
    }
    server.await_metric("mayfly_messages_archived_total", 1);
    assert_eq!(
        look_up(&mut client, &id),
        read,
        "the archive tells the same"
    );
}

#[test]
fn an_expired_message_keeps_its_deadline_and_is_found_in_memory_and_in_the_archive() {
    let server = Server::start();
    let mut client = server.client();
    let id = client.post_message("alice", "gone", 0);
    let expired = look_up(&mut client, &id);
    assert_is_message(&expired, &id, "expired");
    assert_eq!(
        expired["expires_at"], expired["created_at"],
        "timeout 0 expires at once"
    );
    assert_eq!(expired["text"], "gone");
    assert_eq!(
        client.get("/chats/alice").body,
        b"[]",
        "it never was in the mailbox"
    );
    server.await_metric("mayfly_messages_archived_total", 1);
    assert_eq!(look_up(&mut client, &id), expired);
}

#[test]
fn a_message_without_a_timeout_lives_60_seconds_and_the_longest_30_days() {
    let server = Server::start();
    let mut client = server.client();
    let answer = client
        .post("/chat", r#"{"username":"alice","text":"t"}"#)
        .expect(201);
    let message = look_up(&mut client, answer.json()["id"].as_str().unwrap());
    assert_eq!(
        ms(&message, "expires_at") - ms(&message, "created_at"),
        60_000
    );
    assert_eq!(message["attributes"], json!({}));
    let id = client.post_message("alice", "t", 2_592_000);
    let message = look_up(&mut client, &id);
    assert_eq!(
        ms(&message, "expires_at") - ms(&message, "created_at"),
        2_592_000_000
    );
}

#[test]
fn a_message_is_readable_until_its_deadline_and_never_after() {
    const READS: i64 = 40;
    let server = Server::start();
    let mut client = server.client();
    let ids: Vec<_> = (0..READS)
        .map(|number| client.post_message(&format!("user{number}"), "t", 1))
        .collect();
    let deadlines: Vec<_> = ids
        .iter()
        .map(|id| ms(&look_up(&mut client, id), "expires_at"))
        .collect();
    let (mut early, mut late) = (0, 0);
    for (number, deadline) in deadlines.iter().enumerate() {
        // Reads from 60 ms before to 60 ms after: both sides of the edge in steps of 3 ms.
        let at = deadline + (number as i64 - READS / 2) * 3;
        let wait = at - wall_ms();
        std::thread::sleep(Duration::from_millis(wait.max(0) as u64));
        let started = wall_ms();
        let state = look_up(&mut client, &ids[number])["state"].clone();
        let between = wall_ms();
        let delivered = texts(&client.get(&format!("/chats/user{number}")).expect(200));
        let ended = wall_ms();
        if delivered.is_empty() {
            late += 1;
            assert!(
                ended >= deadline - CLOCKS_DIFFER_MS,
                "gone {} ms early",
                deadline - ended
            );
        } else {
            early += 1;
            let over = between - deadline;
            assert!(
                over < CLOCKS_DIFFER_MS,
                "delivered {over} ms after its deadline"
            );
            assert_eq!(state, "unread");
        }
        if state == "unread" {
            assert!(
                started - deadline < CLOCKS_DIFFER_MS,
                "unread after its deadline"
            );
        } else {
            assert_eq!(state, "expired");
            assert!(
                between >= deadline - CLOCKS_DIFFER_MS,
                "expired before its deadline"
            );
            assert!(delivered.is_empty(), "delivered after it was told expired");
        }
    }
    assert!(
        early + late == READS && late > 0,
        "{early} before, {late} after"
    );
    for (id, deadline) in ids.iter().zip(deadlines) {
        let message = look_up(&mut client, id);
        assert!(message["state"] == "read" || ms(&message, "expires_at") == deadline);
    }
}

#[test]
fn a_message_expires_by_itself_at_its_deadline() {
    const LATE_MS: i64 = 50;
    let server = Server::start_with(IN_MEMORY);
    let mut client = server.client();
    let id = client.post_message("alice", "t", 1);
    let deadline = ms(&look_up(&mut client, &id), "expires_at");
    let mut watch = Watch::of(&server);
    loop {
        let seen = watch.look();
        if seen.expired == 1 {
            let ended = wall_ms();
            assert!(ended >= deadline - CLOCKS_DIFFER_MS, "expired too early");
            return;
        }
        assert!(
            !seen.is_late(deadline + CLOCKS_DIFFER_MS, LATE_MS),
            "not expired {LATE_MS} ms after its deadline"
        );
    }
}

#[test]
fn many_mailboxes_expire_by_themselves_each_at_its_deadline() {
    // Seconds enough that deadlines far apart have shared a place in the timers before.
    const LATE_MS: i64 = 150;
    let server = Server::start_with(IN_MEMORY);
    let mut client = server.client();
    let started = wall_ms();
    let mut deadlines = Vec::new();
    while wall_ms() < started + 2_000 {
        let timeout = 1 + deadlines.len() as u64 % 3;
        let id = client.post_message(&format!("user{}", deadlines.len()), "t", timeout);
        let created = i64::from_str_radix(&id.replace('-', "")[..12], 16).unwrap();
        deadlines.push(created + timeout as i64 * 1_000);
    }
    deadlines.sort_unstable();
    let mut watch = Watch::of(&server);
    loop {
        let seen = watch.look();
        let (expired, late) = (seen.expired, |deadline: &i64| {
            seen.is_late(*deadline, LATE_MS)
        });
        let due = deadlines.partition_point(late);
        assert!(
            expired >= due,
            "{expired} expired of {due} due {LATE_MS} ms ago"
        );
        if expired == deadlines.len() {
            return;
        }
    }
}

/// What expired is counted when it is durable; this is about the timer, not about the disk.
const IN_MEMORY: &[&str] = &["--durability", "memory"];

/// Counts what has expired, again and again. A machine that stands still for a moment delays the timer as
/// it delays the answers: time counts from when the server answered quickly again.
struct Watch {
    admin: Client,
    began: Instant,
    /// The end of the last look.
    last_ms: i64,
    quick_since_ms: i64,
}

/// One look.
struct Looked {
    expired: usize,
    asked_ms: i64,
    quick_since_ms: i64,
}

impl Watch {
    /// A look, with the pause before it, that takes longer is a standstill.
    const QUICK_MS: i64 = 20;

    fn of(server: &Server) -> Watch {
        let now = wall_ms();
        Watch {
            admin: server.admin(),
            began: Instant::now(),
            last_ms: now,
            quick_since_ms: now,
        }
    }

    #[track_caller]
    fn look(&mut self) -> Looked {
        assert!(self.began.elapsed() < SOON, "not all expire");
        let asked_ms = wall_ms();
        let metrics = self.admin.get("/metrics").expect(200).text();
        let now = wall_ms();
        if now > self.last_ms + Self::QUICK_MS {
            self.quick_since_ms = now;
        }
        self.last_ms = now;
        let mut lines = metrics.lines();
        let expired = lines.find_map(|l| l.strip_prefix("mayfly_messages_expired_total "));
        Looked {
            expired: expired.unwrap().parse().unwrap(),
            asked_ms,
            quick_since_ms: self.quick_since_ms,
        }
    }
}

impl Looked {
    /// Whether what was due at this time should have expired so long after it.
    fn is_late(&self, deadline_ms: i64, late_ms: i64) -> bool {
        deadline_ms.max(self.quick_since_ms) + late_ms <= self.asked_ms
    }
}

#[test]
fn a_deadline_that_passes_while_the_service_is_down_holds() {
    let mut server = Server::start();
    let mut client = server.client();
    let short = client.post_message("alice", "short", 1);
    client.post_message("alice", "long", 60);
    let deadline = ms(&look_up(&mut client, &short), "expires_at");
    server.kill();
    std::thread::sleep(Duration::from_millis(
        (deadline - wall_ms()).max(0) as u64 + 10,
    ));
    server.start_again();
    let mut client = server.client();
    let message = look_up(&mut client, &short);
    assert_is_message(&message, &short, "expired");
    assert_eq!(ms(&message, "expires_at"), deadline);
    assert_eq!(texts(&client.get("/chats/alice").expect(200)), ["long"]);
}

#[test]
fn ids_are_uuid_v7_grow_in_arrival_order_and_carry_the_route_of_their_user() {
    let server = Server::start();
    let mut client = server.client();
    let mut ids: Vec<_> = (0..300)
        .map(|_| client.post_message("alice", "t", 60))
        .collect();
    // The first digits of the hashes of these names are part of the data's format.
    ids.iter()
        .for_each(|id| assert_eq!(&id[14..18], "74da", "{id}"));
    assert_eq!(&client.post_message("bob", "t", 60)[14..18], "7140");
    for id in &ids {
        assert_eq!(id.len(), 36);
        let form = |(place, c): (usize, char)| match place {
            8 | 13 | 18 | 23 => c == '-',
            _ => matches!(c, '0'..='9' | 'a'..='f'),
        };
        assert!(id.chars().enumerate().all(form), "{id}");
        assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"), "{id}");
        let created = i64::from_str_radix(&id.replace('-', "")[..12], 16).unwrap();
        assert_eq!(ms(&look_up(&mut client, id), "created_at"), created);
    }
    assert!(ids.is_sorted_by(|one, next| one < next), "ids grow");
    let distinct: BTreeSet<_> = ids.iter().map(|id| &id[24..]).collect();
    assert_eq!(distinct.len(), ids.len(), "the end of an id is random");
    let read = client.get("/chats/alice").expect(200).json();
    let read: Vec<_> = read
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["id"].clone())
        .collect();
    assert_eq!(read, ids.drain(..).map(Value::from).collect::<Vec<_>>());
}

#[test]
fn an_id_is_found_in_upper_case_too() {
    let server = Server::start();
    let mut client = server.client();
    let id = client.post_message("alice", "t", 60);
    assert_eq!(look_up(&mut client, &id.to_uppercase())["id"], json!(id));
}

#[test]
fn every_resource_takes_a_trailing_slash() {
    let server = Server::start();
    let mut client = server.client();
    let body = r#"{"username":"alice","text":"t"}"#;
    let id = client.post("/chat/", body).expect(201).json()["id"].clone();
    let id = id.as_str().unwrap();
    look_up(&mut client, &format!("{id}/"));
    assert_eq!(
        client.get("/chats/alice/count/").expect(200).json()["unread"],
        1
    );
    client.send("HEAD", "/chats/alice/", &[], b"").expect(200);
    assert_eq!(
        texts(&client.get("/chats/alice/?limit=1").expect(200)),
        ["t"]
    );
    client.post("/chat/", body).expect(201);
    assert_eq!(
        texts(&client.post("/chats/alice/take/", "").expect(200)),
        ["t"]
    );
}

#[test]
fn head_prefetch_count_and_look_up_consume_nothing() {
    let server = Server::start();
    let mut client = server.client();
    let id = client.post_message("alice", "t", 60);
    let head = client.send("HEAD", "/chats/alice", &[], b"").expect(200);
    assert_is_private_json(&head);
    let head = client
        .send("HEAD", &format!("/chat/{id}"), &[], b"")
        .expect(200);
    assert_is_private_json(&head);
    client
        .send("HEAD", "/chats/alice/count", &[], b"")
        .expect(200);
    for (name, value) in [
        ("Sec-Purpose", "prefetch"),
        ("Sec-Purpose", "prefetch;prerender"),
        ("Purpose", "prefetch"),
        ("X-Moz", "prefetch"),
    ] {
        let answer = client
            .send("GET", "/chats/alice", &[(name, value)], b"")
            .expect(204);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.body.is_empty());
    }
    assert_eq!(
        client.get("/chats/alice/count").expect(200).json()["unread"],
        1
    );
    assert_eq!(look_up(&mut client, &id)["state"], "unread");
    assert_eq!(texts(&client.get("/chats/alice").expect(200)), ["t"]);
}

#[test]
fn a_limit_takes_the_oldest() {
    let server = Server::start();
    let mut client = server.client();
    for number in 0..7 {
        client.post_message("alice", &number.to_string(), 60);
    }
    assert_eq!(
        texts(&client.get("/chats/alice?limit=1").expect(200)),
        ["0"]
    );
    assert_eq!(
        texts(&client.get("/chats/alice?limit=2").expect(200)),
        ["1", "2"]
    );
    assert_eq!(
        texts(&client.post("/chats/alice/take?limit=2", "").expect(200)),
        ["3", "4"]
    );
    assert_eq!(
        texts(&client.get("/chats/alice?limit=10000").expect(200)),
        ["5", "6"]
    );
    assert_eq!(
        texts(&client.get("/chats/alice?limit=10000").expect(200)),
        [""; 0]
    );
}

#[test]
fn a_take_is_a_read() {
    let server = Server::start();
    let mut client = server.client();
    let id = client.post_message("alice", "t", 60);
    assert_eq!(
        texts(&client.post("/chats/bob/take", "").expect(200)),
        [""; 0]
    );
    let answer = client.post("/chats/alice/take", "").expect(200);
    assert_eq!(answer.json()[0]["id"], json!(id));
    assert_eq!(texts(&client.get("/chats/alice").expect(200)), [""; 0]);
    assert_eq!(look_up(&mut client, &id)["state"], "read");
}

#[test]
fn a_count_tells_how_many_wait_and_since_when() {
    let server = Server::start();
    let mut client = server.client();
    let count = |client: &mut Client| {
        let answer = client.get("/chats/alice/count").expect(200);
        assert_is_private_json(&answer);
        answer.json()
    };
    let empty = json!({"unread": 0, "leased": 0, "scheduled": 0, "oldest_at": null});
    assert_eq!(count(&mut client), empty);
    let ids: Vec<_> = (0..3)
        .map(|_| client.post_message("alice", "t", 60))
        .collect();
    client.post_message("alice", "never there", 0);
    client.post_message("Alice", "of somebody else", 60);
    for (number, id) in ids.iter().enumerate() {
        let oldest_at = look_up(&mut client, id)["created_at"].clone();
        let expected = json!({"unread": 3 - number, "leased": 0, "scheduled": 0,
            "oldest_at": oldest_at});
        assert_eq!(count(&mut client), expected);
        client.get("/chats/alice?limit=1").expect(200);
    }
    assert_eq!(count(&mut client), empty);
}

#[test]
fn the_forms_of_a_name_that_look_alike_are_one_mailbox() {
    let server = Server::start();
    let mut client = server.client();
    let body = json!({"username": "Ame\u{301}lie", "text": "t"}).to_string();
    let id = client.post("/chat", &body).expect(201).json()["id"].clone();
    let found = look_up(&mut client, id.as_str().unwrap());
    assert_eq!(found["username"], "Am\u{e9}lie");
    assert_eq!(texts(&client.get("/chats/Am%C3%A9lie").expect(200)), ["t"]);
    client.post("/chat", &body).expect(201);
    assert_eq!(texts(&client.get("/chats/Ame%CC%81lie").expect(200)), ["t"]);
}

#[test]
fn a_name_in_a_path_is_percent_decoded_once() {
    let server = Server::start();
    let mut client = server.client();
    for (name, path) in [
        ("a.b_c-d@e+f", "a.b_c-d@e+f"),
        ("a.b_c-d@e+f", "a.b_c-d%40e%2Bf"),
        ("alice", "%61lic%65"),
        ("\u{674e}\u{5c0f}\u{9f99}", "%E6%9D%8E%E5%B0%8F%e9%be%99"),
    ] {
        client.post_message(name, "t", 60);
        assert_eq!(
            texts(&client.get(&format!("/chats/{path}")).expect(200)),
            ["t"],
            "{path}"
        );
    }
    let answer = client.get("/chats/%2561lice").expect(400);
    assert_eq!(answer.problem(), "bad-username");
    let detail = answer.json()["detail"].to_string();
    assert!(
        detail.contains("username has the character U+0025"),
        "{detail}"
    );
}

#[test]
fn json5_and_forms_post_messages_too() {
    let server = Server::start();
    let mut client = server.client();
    let json5 = "{username: 'alice' text: 'one', timeout: '30', colour: 'red',} // so";
    client.post("/chat?lenient=1", json5).expect(201);
    let headers = [("Content-Type", "application/json5")];
    client
        .send(
            "POST",
            "/chat",
            &headers,
            json5.replace("one", "two").as_bytes(),
        )
        .expect(201);
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let form = b"username=alice&text=three+%26+more&timeout=30";
    client.send("POST", "/chat", &headers, form).expect(201);
    let json = br#" {"username":"alice","text":"four"}"#;
    client.send("POST", "/chat", &headers, json).expect(201);
    client.post("/chat", json5).expect(400);
    let expected = ["one", "two", "three & more", "four"];
    assert_eq!(texts(&client.get("/chats/alice").expect(200)), expected);
}

#[test]
fn compressed_and_chunked_bodies_are_read() {
    use std::io::Write;
    let server = Server::start();
    let mut client = server.client();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(br#"{"username":"alice","text":"small"}"#)
        .unwrap();
    let headers = [("Content-Encoding", "gzip")];
    client
        .send("POST", "/chat", &headers, &gzip.finish().unwrap())
        .expect(201);
    let chunks = b"a\r\n{\"username\r\n19\r\n\":\"alice\",\"text\":\"parts\"}\r\n0\r\n\r\n";
    client
        .send("POST", "/chat", &[("Transfer-Encoding", "chunked")], chunks)
        .expect(201);
    assert_eq!(
        texts(&client.get("/chats/alice").expect(200)),
        ["small", "parts"]
    );
}

#[test]
fn the_largest_text_and_a_full_mailbox_are_read_whole() {
    let server = Server::start();
    let mut client = server.client();
    let text = "\u{1f41d}".repeat(64 * 1024 / 4);
    for _ in 0..20 {
        client.post_message("alice", &text, 60);
    }
    let read = texts(&client.get("/chats/alice").expect(200));
    assert!(read.len() == 20 && read.iter().all(|read| *read == text));
}
