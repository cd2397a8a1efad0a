//! The commands that call a service.

use serde_json::{Value, json};

use crate::stub::Stub;
use crate::{Ended, Run, directory};

fn mayfly(stub: &Stub, input: &str, arguments: &[&str]) -> Ended {
    let directory = directory();
    let url = stub.url();
    let run = Run::within(directory.path()).variable("MAYFLY_URL", &url);
    run.variable("MAYFLY_KEY", "k-1").input(input).of(arguments)
}

#[test]
fn send_posts_the_message_with_the_key_and_prints_its_id() {
    let stub = Stub::start();
    let arguments = [
        "send",
        "ann",
        "hello",
        "--timeout",
        "2m",
        "--attribute",
        "city=New York",
    ];
    let output = mayfly(&stub, "", &arguments).success();
    assert!(uuid::Uuid::parse_str(output.trim()).is_ok(), "{output}");
    let posted = stub.seen.posted.lock().expect("a lock").clone();
    let expected = json!({"username": "ann", "text": "hello", "timeout": 120, "attributes": {"city": "New York"}});
    assert_eq!(posted, [expected]);
    assert_eq!(
        *stub.seen.authorizations.lock().expect("a lock"),
        ["Bearer k-1"]
    );
}

#[test]
fn send_takes_its_text_from_standard_input_without_the_last_newline() {
    let stub = Stub::start();
    mayfly(&stub, "one\ntwo\n", &["send", "ann"]).success();
    mayfly(&stub, "dos\r\n", &["send", "ann", "-"]).success();
    mayfly(&stub, "bare\n\n", &["send", "ann", "-", "--json"]).success();
    let posted = stub.seen.posted.lock().expect("a lock");
    let texts: Vec<&Value> = posted.iter().map(|message| &message["text"]).collect();
    assert_eq!(texts, ["one\ntwo", "dos", "bare\n"]);
}

#[test]
fn read_takes_the_messages_and_spells_out_what_would_steer_a_terminal() {
    let stub = Stub::start();
    mayfly(&stub, "", &["send", "x+é@y", "\x1b[31mred\u{202e}\ntwo"]).success();
    let output = mayfly(&stub, "", &["read", "x+é@y", "--limit", "5"]).success();
    assert!(output.contains("\\u{1b}[31mred\\u{202e}\\ntwo"), "{output}");
    assert_eq!(output.lines().count(), 2, "{output}");
    let requests = stub.seen.requests.lock().expect("a lock").clone();
    assert_eq!(requests[1], "POST /chats/x%2B%C3%A9%40y/take?limit=5");
}

#[test]
fn read_gives_machines_an_array_also_an_empty_one() {
    let stub = Stub::start();
    mayfly(&stub, "", &["send", "ann", "a\u{9b}b"]).success();
    let output = mayfly(&stub, "", &["read", "ann", "--json"]).success();
    assert!(!output.contains('\u{9b}'), "{output}");
    let messages: Value = serde_json::from_str(&output).expect("JSON");
    assert_eq!(messages[0]["text"], "a\u{9b}b");
    assert_eq!(
        mayfly(&stub, "", &["read", "ann", "--json"]).success(),
        "[]\n"
    );
    let empty = mayfly(&stub, "", &["read", "ann"]);
    assert_eq!(
        (empty.output.as_str(), empty.errors.as_str()),
        ("", "no messages\n")
    );
}

#[test]
fn get_shows_the_fields_of_a_message() {
    let stub = Stub::start();
    let output = mayfly(&stub, "", &["get", "id/1"]).success();
    assert!(
        output.contains("a\\u{202e}b") && output.contains("city=Oslo"),
        "{output}"
    );
    let requests = stub.seen.requests.lock().expect("a lock").clone();
    assert_eq!(requests, ["GET /chat/id%2F1"]);
    let output = mayfly(&stub, "", &["get", "i", "--json"]).success();
    assert_eq!(
        serde_json::from_str::<Value>(&output).expect("JSON")["id"],
        "i"
    );
}

#[test]
fn a_problem_of_the_service_is_one_line_with_exit_code_1() {
    let stub = Stub::start();
    let line = mayfly(&stub, "", &["send", "full", "x"]).failure(1);
    assert_eq!(line, "error: mailbox full: wait \\u{1b}[2J\n");
    let line = mayfly(&stub, "", &["read", "a", "--url", "http://127.0.0.1:1"]).failure(1);
    assert!(
        line.contains("cannot reach http://127.0.0.1:1") && line.contains("--url"),
        "{line}"
    );
}

#[test]
fn bad_usage_is_one_line_with_exit_code_2() {
    let stub = Stub::start();
    for (arguments, word) in [
        (&["send"][..], "<USERNAME>"),
        (&["sned", "a"], "send"),
        (
            &["read", "a", "--url", "https://host"],
            "does not speak https",
        ),
        (&["send", "a", "b", "--attribute", "city"], "city=Oslo"),
        (&["send", "a", "b", "--timeout", "soon"], "--timeout"),
        (&[], "--help"),
        (&["bench"], "--against"),
    ] {
        let line = mayfly(&stub, "", arguments).failure(2);
        assert!(line.contains(word), "{arguments:?}: {line}");
    }
}

#[test]
fn healthcheck_tells_by_its_exit_code_whether_a_server_is_ready() {
    let stub = Stub::start();
    let url = stub.url();
    let check = ["healthcheck", "--admin-url", &url];
    assert_eq!(mayfly(&stub, "", &check).success(), "ready\n");
    mayfly(&stub, "", &["send", "drain", "x"]).success();
    let line = mayfly(&stub, "", &check).failure(1);
    assert!(line.contains("503"), "{line}");
}
