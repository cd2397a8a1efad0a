//! `mayfly verify`: violations as lines or JSON, and its exit codes.

use serde_json::{Value, json};

use crate::{Run, directory};

const ID: &str = "01a1fdeb-3145-7482-8002-8d7fd48d2fdf";

/// A post, two reads and a look-up; the second read delivers `again`.
fn history(again: Value) -> String {
    let message = json!({"id": ID, "text": "hi"});
    let line = |at: u64, call: Value, outcome: Value| {
        let times = json!({"client": 7, "started_us": at, "ended_us": at + 5});
        let mut line = times.as_object().expect("an object").clone();
        line.extend([("call".into(), call), ("outcome".into(), outcome)]);
        Value::Object(line).to_string()
    };
    let post = json!({"post": {"user": "ann", "text": "hi", "timeout_ms": 60_000}});
    let take = json!({"take": {"user": "ann"}});
    let found = json!({"found": {"user": "ann", "text": "hi", "state": "read"}});
    let lines = [
        line(10, post, json!({"posted": {"id": ID}})),
        line(20, take.clone(), json!({"taken": {"messages": [message]}})),
        line(30, take, json!({"taken": {"messages": again}})),
        line(40, json!({"find": {"id": ID}}), found),
    ];
    lines.join("\n")
}

#[test]
fn a_history_that_keeps_the_promise_is_summed_up_in_one_line() {
    let directory = directory();
    std::fs::write(directory.path().join("h.jsonl"), history(json!([]))).expect("a file");
    let output = Run::within(directory.path())
        .of(&["verify", "h.jsonl"])
        .success();
    let line = "4 operations: 1 messages acknowledged, 1 of them delivered, 0 operations in doubt, 0 violations\n";
    assert_eq!(output, line);
}

#[test]
fn a_broken_promise_is_a_line_that_names_message_user_and_operations() {
    let directory = directory();
    let history = history(json!([{"id": ID, "text": "hi"}]));
    let ended = Run::within(directory.path())
        .input(&history)
        .of(&["verify", "-"]);
    let lines: Vec<_> = ended.output.lines().collect();
    let line = format!(
        "delivered-twice: message {ID} of ann was delivered twice: \
         take on line 2 (client 7, 20 to 25 us); take on line 3 (client 7, 30 to 35 us)"
    );
    assert_eq!(lines[0], line);
    assert!(ended.failure(1).contains("the promise is broken"));

    let ended = Run::within(directory.path())
        .input(&history)
        .of(&["verify", "-", "--json"]);
    let verdict: Value = serde_json::from_str(&ended.output).expect("JSON");
    let violation = &verdict["violations"][0];
    assert_eq!(violation["rule"], "delivered-twice");
    assert_eq!(
        (&violation["id"], &violation["user"]),
        (&json!(ID), &json!("ann"))
    );
    assert_eq!(violation["operations"][1]["line"], 3);
    assert_eq!(ended.code, Some(1));
}

#[test]
fn what_is_no_history_is_one_line_of_failure() {
    let directory = directory();
    let line = Run::within(directory.path())
        .of(&["verify", "absent"])
        .failure(1);
    assert!(line.contains("absent"), "{line}");
    let run = Run::within(directory.path()).input("{\"client\":1}\n");
    let line = run.of(&["verify", "-"]).failure(1);
    assert!(line.contains("line 1 is no operation"), "{line}");
}
