//! Everything that can be wrong with a request, and what its client is told.

use std::io::Write;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::eventually;
use crate::support::server::Server;

const MESSAGE: &[u8] = br#"{"username":"alice","text":"t"}"#;

/// Where a problem is, as its client is told.
enum At {
    Nowhere,
    Field(&'static str),
    Place(u32, u32),
}
use At::{Field, Nowhere, Place};

/// A request that is wrong, with its answer: status, last part of `type`, place.
struct Row {
    method: &'static str,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: Vec<u8>,
    status: u16,
    kind: &'static str,
    at: At,
}

fn body(body: impl Into<Vec<u8>>, status: u16, kind: &'static str, at: At) -> Row {
    let (method, path, headers) = ("POST", "/chat", &[][..]);
    Row {
        method,
        path,
        headers,
        body: body.into(),
        status,
        kind,
        at,
    }
}

fn call(method: &'static str, path: &'static str, status: u16, kind: &'static str, at: At) -> Row {
    Row {
        method,
        path,
        headers: &[],
        body: Vec::new(),
        status,
        kind,
        at,
    }
}

fn headers(
    headers: &'static [(&'static str, &'static str)],
    body: &[u8],
    status: u16,
    kind: &'static str,
    at: At,
) -> Row {
    let (method, path, body) = ("POST", "/chat", body.to_vec());
    Row {
        method,
        path,
        headers,
        body,
        status,
        kind,
        at,
    }
}

const FORM: &[(&str, &str)] = &[("Content-Type", "application/x-www-form-urlencoded")];
const GZIP: &[(&str, &str)] = &[("Content-Encoding", "gzip")];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn with(field: &str, value: Value) -> Vec<u8> {
    let mut message = json!({"username": "alice", "text": "t"});
    message[field] = value;
    message.to_string().into_bytes()
}

fn bodies() -> Vec<Row> {
    let pairs = |count: usize| (0..count).map(|n| (n.to_string(), json!("v"))).collect();
    vec![
        body("", 400, "not-json", Nowhere),
        body("{", 400, "not-json", Place(1, 2)),
        body(
            "{\"username\":\"a\",\n  \"text\":}",
            400,
            "not-json",
            Place(2, 10),
        ),
        body("{'username':'a','text':'t'}", 400, "not-json", Place(1, 2)),
        body(
            b"{\"username\":\"a\",\"text\":\"\xff\"}",
            400,
            "not-json",
            Place(1, 25),
        ),
        body("[".repeat(65), 400, "not-json", Place(1, 65)),
        body("[]", 400, "wrong-type", Field("")),
        body("{}", 400, "missing-field", Field("/username")),
        body(r#"{"username":"a"}"#, 400, "missing-field", Field("/text")),
        body(
            r#"{"username":"a","text":"t","text":"t"}"#,
            400,
            "duplicate-field",
            Field("/text"),
        ),
        body(
            with("timeuot", json!(1)),
            400,
            "unknown-field",
            Field("/timeuot"),
        ),
        body(
            with("username", json!(1)),
            400,
            "wrong-type",
            Field("/username"),
        ),
        body(with("text", json!(null)), 400, "wrong-type", Field("/text")),
        body(
            with("timeout", json!("60")),
            400,
            "wrong-type",
            Field("/timeout"),
        ),
        body(
            with("timeout", json!(1.5)),
            400,
            "wrong-type",
            Field("/timeout"),
        ),
        body(
            with("timeout", json!(null)),
            400,
            "wrong-type",
            Field("/timeout"),
        ),
        body(
            with("timeout", json!(-1)),
            400,
            "out-of-range",
            Field("/timeout"),
        ),
        body(
            with("timeout", json!(2_592_001)),
            400,
            "out-of-range",
            Field("/timeout"),
        ),
        body(
            with("attributes", json!([])),
            400,
            "wrong-type",
            Field("/attributes"),
        ),
        body(
            with("attributes", json!({"a": 1})),
            400,
            "wrong-type",
            Field("/attributes/a"),
        ),
        body(
            with("attributes", Value::Object(pairs(17))),
            400,
            "out-of-range",
            Field("/attributes"),
        ),
        body(
            with("attributes", json!({"a": "v".repeat(65)})),
            400,
            "out-of-range",
            Field("/attributes/a"),
        ),
        body(
            with("username", json!("")),
            400,
            "bad-username",
            Field("/username"),
        ),
        body(
            with("username", json!("a b")),
            400,
            "bad-username",
            Field("/username"),
        ),
        body(
            with("username", json!("..")),
            400,
            "bad-username",
            Field("/username"),
        ),
        body(
            with("username", json!("a".repeat(201))),
            400,
            "bad-username",
            Field("/username"),
        ),
        body(with("text", json!("")), 400, "out-of-range", Field("/text")),
        body(
            with("text", json!("t".repeat(65_537))),
            413,
            "text-too-large",
            Field("/text"),
        ),
        body(vec![b' '; 1_048_577], 413, "body-too-large", Nowhere),
        headers(
            GZIP,
            &gzip(&vec![b' '; 64 << 20]),
            413,
            "body-too-large",
            Nowhere,
        ),
        headers(GZIP, b"not gzip", 400, "bad-body", Nowhere),
        headers(FORM, b"", 400, "missing-field", Nowhere),
        headers(
            FORM,
            b"username=a&text=%zz",
            400,
            "not-form",
            Field("/text"),
        ),
        headers(
            FORM,
            b"username=a&text=%ff",
            400,
            "not-form",
            Field("/text"),
        ),
        headers(
            FORM,
            b"username=a&text=t&timeout=x",
            400,
            "wrong-type",
            Field("/timeout"),
        ),
    ]
}

fn heads() -> Vec<Row> {
    vec![
        headers(
            &[("Content-Type", "text/plain")],
            MESSAGE,
            415,
            "unsupported-media-type",
            Nowhere,
        ),
        headers(
            &[("Content-Encoding", "br")],
            MESSAGE,
            415,
            "unsupported-media-type",
            Nowhere,
        ),
        headers(
            &[("Accept", "application/json; version=2")],
            MESSAGE,
            406,
            "unknown-version",
            Nowhere,
        ),
        call(
            "POST",
            "/chat?lenient=2",
            400,
            "bad-query",
            Field("/lenient"),
        ),
        call("POST", "/chat?limit=1", 400, "bad-query", Field("/lenient")),
        call(
            "GET",
            "/chats/alice?limit=0",
            400,
            "bad-query",
            Field("/limit"),
        ),
        call(
            "GET",
            "/chats/alice?limit=10001",
            400,
            "bad-query",
            Field("/limit"),
        ),
        call(
            "GET",
            "/chats/alice?limit=1&limit=1",
            400,
            "bad-query",
            Field("/limit"),
        ),
        call(
            "GET",
            "/chats/alice?limit=-1",
            400,
            "bad-query",
            Field("/limit"),
        ),
        call(
            "GET",
            "/chats/alice?lmit=1",
            400,
            "bad-query",
            Field("/limit"),
        ),
        call(
            "POST",
            "/chats/alice/take?limit=x",
            400,
            "bad-query",
            Field("/limit"),
        ),
        call("GET", "/chats/alice/count?x=1", 400, "bad-query", Nowhere),
        call("GET", "/chat/x?x=1", 400, "bad-query", Nowhere),
        call(
            "GET",
            "/chats/a%20b",
            400,
            "bad-username",
            Field("/username"),
        ),
        call("GET", "/chats/%ff", 400, "bad-username", Field("/username")),
        call(
            "GET",
            "/chats/a%2fb/count",
            400,
            "bad-username",
            Field("/username"),
        ),
        call("GET", "/chat/x", 404, "not-found", Nowhere),
        call("GET", "/", 404, "no-such-path", Nowhere),
        call("GET", "/chats", 405, "method-not-allowed", Nowhere),
        call("POST", "/chats/alice/lease", 404, "no-such-path", Nowhere),
        call("GET", "/chat", 405, "method-not-allowed", Nowhere),
        call("POST", "/chats/alice", 405, "method-not-allowed", Nowhere),
        call(
            "GET",
            "/chats/alice/take",
            405,
            "method-not-allowed",
            Nowhere,
        ),
        call(
            "DELETE",
            "/chat/01890a5d-ac96-774b-bcce-b302099a8057",
            405,
            "method-not-allowed",
            Nowhere,
        ),
    ]
}

#[track_caller]
fn check(client: &mut Client, row: &Row) {
    let answer = client.send(row.method, row.path, row.headers, &row.body);
    let sent = String::from_utf8_lossy(&row.body[..row.body.len().min(60)]);
    let sent = format!("{} {} {:?} {sent}", row.method, row.path, row.headers);
    assert_eq!(answer.status, row.status, "{sent}: {}", answer.text());
    assert_eq!(answer.problem(), row.kind, "{sent}");
    let json = answer.json();
    let place = (&json["field"], &json["line"], &json["column"]);
    let expected = match row.at {
        Nowhere => (json!(null), json!(null), json!(null)),
        Field(pointer) => (json!(pointer), json!(null), json!(null)),
        Place(line, column) => (json!(null), json!(line), json!(column)),
    };
    assert_eq!(
        place,
        (&expected.0, &expected.1, &expected.2),
        "{sent}: {json}"
    );
}

#[test]
fn each_wrong_request_has_its_answer_and_changes_nothing() {
    let server = Server::start();
    let mut client = server.client();
    client.post_message("alice", "waits", 60);
    for row in bodies().iter().chain(&heads()) {
        check(&mut client, row);
    }
    assert_eq!(
        client.get("/chats/alice/count").expect(200).json()["unread"],
        1
    );
    assert_eq!(server.metric("mayfly_messages_posted_total"), 1);
    assert_eq!(server.metric("mayfly_messages_delivered_total"), 0);
}

#[test]
fn a_connection_serves_on_after_a_refused_request_with_a_small_body() {
    let server = Server::start();
    let mut client = server.client();
    for row in bodies().iter().chain(&heads()) {
        let is_refused_unread = matches!(row.kind, "body-too-large" | "bad-body")
            || row.headers.iter().any(|(_, v)| *v == "br");
        if is_refused_unread {
            continue;
        }
        check(&mut client, row);
        client.get("/chats/alice/count").expect(200);
    }
    for (name, value) in [("Host", "evil.example"), ("Origin", "http://evil.example")] {
        assert!(
            client
                .send("POST", "/chat", &[(name, value)], MESSAGE)
                .status
                >= 400
        );
        client.get("/chats/alice/count").expect(200);
    }
    assert_eq!(client.connections, 1);
}

#[test]
fn a_mistyped_field_is_answered_with_the_right_one() {
    let server = Server::start();
    let answer = server
        .client()
        .post("/chat", r#"{"usrname":"alice","text":"t"}"#)
        .expect(400);
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("did you mean username?"), "{detail}");
}

#[test]
fn a_wrong_method_is_told_the_right_ones() {
    let server = Server::start();
    let mut client = server.client();
    for (path, allow) in [
        ("/chat", "POST"),
        ("/chat/", "POST"),
        ("/chat/x", "GET, HEAD"),
        ("/chats/alice", "GET, HEAD"),
        ("/chats/alice/take", "POST"),
        ("/chats/alice/count", "GET, HEAD"),
    ] {
        for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
            let answer = client.send(method, path, &[], b"").expect(405);
            assert_eq!(answer.problem(), "method-not-allowed");
            assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
        }
    }
}

#[test]
fn ids_cannot_be_probed() {
    let server = Server::start();
    let mut client = server.client();
    let known = client.post_message("alice", "t", 60);
    let last = if known.ends_with('0') { "1" } else { "0" };
    let near = format!("{}{last}", &known[..35]);
    let unknown = client
        .get("/chat/01890a5d-ac96-774b-bcce-b302099a8057")
        .expect(404);
    let seen = |answer: &crate::support::client::Answer| {
        let named = |name: &&(String, String)| !matches!(name.0.as_str(), "date" | "x-request-id");
        let mut headers: Vec<_> = answer.headers.iter().filter(named).cloned().collect();
        headers.sort();
        (answer.body.clone(), headers)
    };
    for id in [
        near.as_str(),
        "x",
        "0",
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "01890a5dac96774bbcceb302099a8057",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "%00",
        "%ff",
        "%2e%2e",
        "a%2fb",
    ] {
        let answer = client.get(&format!("/chat/{id}"));
        assert_eq!(answer.status, 404, "{id}");
        assert_eq!(seen(&answer), seen(&unknown), "{id}");
    }
    assert_eq!(unknown.problem(), "not-found");
}

#[test]
fn a_mailbox_takes_messages_up_to_its_limit() {
    let server = Server::start_with(&["--mailbox-messages-max", "3"]);
    let mut client = server.client();
    for _ in 0..3 {
        client.post_message("alice", "t", 60);
    }
    let answer = client.send("POST", "/chat", &[], MESSAGE).expect(409);
    assert_eq!(answer.problem(), "mailbox-full");
    client.post_message("bob", "t", 60);
    client.post_message("alice", "never in the mailbox", 0);
    client.get("/chats/alice?limit=1").expect(200);
    client.send("POST", "/chat", &[], MESSAGE).expect(201);
    client.send("POST", "/chat", &[], MESSAGE).expect(409);
    assert_eq!(server.metric("mayfly_messages_posted_total"), 6);
}

#[test]
fn a_mailbox_takes_bytes_up_to_its_limit() {
    let server = Server::start_with(&["--mailbox-bytes-max", "1KiB", "--text-bytes-max", "1KiB"]);
    let mut client = server.client();
    client.post_message("alice", &"t".repeat(1_023), 60);
    let two = with("text", json!("tt"));
    assert_eq!(
        client
            .send("POST", "/chat", &[], &two)
            .expect(409)
            .problem(),
        "mailbox-full"
    );
    client.post_message("alice", "t", 60);
    assert_eq!(
        client
            .send("POST", "/chat", &[], MESSAGE)
            .expect(409)
            .problem(),
        "mailbox-full"
    );
}

#[test]
fn posts_stop_at_the_memory_limit_and_go_on_after_reads() {
    let server = Server::start_with(&["--memory-limit", "16MiB"]);
    let mut client = server.client();
    let text = "t".repeat(64 * 1024);
    let large = json!({"username": "alice", "text": text, "timeout": 600}).to_string();
    let mut posted = 0;
    let refused = loop {
        let answer = client.send("POST", "/chat", &[], large.as_bytes());
        if answer.status != 201 {
            break answer;
        }
        posted += 1;
        assert!(posted <= 256, "more than 16 MiB were taken");
    };
    assert_eq!(refused.expect(507).problem(), "memory-full");
    assert_eq!(posted, 255, "overhead is counted, and no more than it");
    assert_eq!(
        client
            .get("/chats/alice")
            .expect(200)
            .json()
            .as_array()
            .unwrap()
            .len(),
        255
    );
    eventually("memory is free again", || {
        let answer = client.send("POST", "/chat", &[], large.as_bytes());
        (answer.status == 201).then_some(())
    });
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let server = Server::start();
    let mut stream = crate::support::client::connect(server.port).unwrap();
    let head = format!(
        "POST /chat HTTP/1.1\r\nHost: localhost:{}\r\nContent-Length: 50\r\n\r\n{{",
        server.port
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answers = std::io::BufReader::new(stream);
    let answer = crate::support::client::read_answer(&mut answers, false).unwrap();
    assert_eq!(answer.expect(408).problem(), "body-timeout");
}
