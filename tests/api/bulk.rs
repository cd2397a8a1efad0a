//! `POST /chats`: many messages in one request, each for itself.

use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::server::Server;

fn message(username: &str, text: &str) -> Value {
    json!({"username": username, "text": text, "timeout": 60})
}

#[track_caller]
fn post(client: &mut Client, key: Option<&str>, messages: &[Value]) -> Answer {
    let body = json!({ "messages": messages }).to_string();
    let key = key.map(|key| ("Idempotency-Key", key));
    client.send("POST", "/chats", key.as_slice(), body.as_bytes())
}

#[track_caller]
fn results(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["results"].as_array().unwrap().clone()
}

/// The status and `type` of a result that is an error.
#[track_caller]
fn problem(result: &Value) -> (u64, String) {
    let error = &result["error"];
    let kind = error["type"].as_str().unwrap();
    let kind = kind.strip_prefix("urn:mayfly:problem:").unwrap();
    (error["status"].as_u64().unwrap(), kind.to_owned())
}

#[test]
fn each_message_has_a_result_in_its_place_and_stands_alone() {
    let server = Server::start();
    let mut client = server.client();
    let messages = [
        message("ann", "one"),
        json!({"username": "bob"}),
        message("bob", "two"),
        message("not valid", "x"),
        message("ann", "three"),
    ];
    let results = results(&post(&mut client, None, &messages));
    assert_eq!(results.len(), 5);
    assert_eq!(problem(&results[1]), (400, "missing-field".to_owned()));
    assert_eq!(results[1]["error"]["field"], "/messages/1/text");
    assert_eq!(problem(&results[3]), (400, "bad-username".to_owned()));
    assert_eq!(results[3]["error"]["field"], "/messages/3/username");
    let read = client.get("/chats/ann").expect(200).json();
    assert_eq!(
        (&read[0]["id"], &read[0]["text"]),
        (&results[0]["id"], &json!("one"))
    );
    assert_eq!(
        (&read[1]["id"], &read[1]["text"]),
        (&results[4]["id"], &json!("three"))
    );
    let read = client.get("/chats/bob").expect(200).json();
    assert_eq!(read.as_array().unwrap().len(), 1);
    assert_eq!(read[0]["id"], results[2]["id"]);
    assert_eq!(server.metric("mayfly_messages_posted_total"), 3);
}

#[test]
fn a_thousand_messages_survive_a_kill_once_they_are_answered() {
    let mut server = Server::start();
    let messages: Vec<_> = (0..1_000)
        .map(|n| message(&format!("u{}", n % 70), "t"))
        .collect();
    let results = results(&post(&mut server.client(), None, &messages));
    assert!(results.iter().all(|result| result["id"].is_string()));
    server.kill();
    server.start_again();
    let mut client = server.client();
    let mut read = Vec::new();
    for user in 0..70 {
        let messages = client.get(&format!("/chats/u{user}")).expect(200).json();
        read.extend(
            messages
                .as_array()
                .unwrap()
                .iter()
                .map(|m| m["id"].to_string()),
        );
    }
    let mut posted: Vec<_> = results
        .iter()
        .map(|result| result["id"].to_string())
        .collect();
    posted.sort();
    read.sort();
    assert_eq!(read, posted);
}

#[test]
fn a_repeat_under_a_key_finishes_what_was_missing_and_does_nothing_twice() {
    let server = Server::start();
    let mut client = server.client();
    let good = message("ann", "one");
    let broken = json!({"username": "bob", "text": ""});
    let first = results(&post(&mut client, Some("k"), &[good.clone(), broken]));
    assert_eq!(problem(&first[1]), (400, "out-of-range".to_owned()));

    let second = post(
        &mut client,
        Some("k"),
        &[good.clone(), message("bob", "two")],
    );
    let second = results(&second);
    assert_eq!(second[0], first[0]);
    assert!(second[1]["id"].is_string());

    let changed = [message("ann", "another"), message("bob", "two")];
    let third = results(&post(&mut client, Some("k"), &changed));
    assert_eq!(problem(&third[0]), (422, "key-reused".to_owned()));
    assert_eq!(third[1], second[1]);

    // The same message at another place is another one, and so is one that is posted alone.
    let moved = results(&post(
        &mut client,
        Some("k"),
        &[message("eve", "x"), message("ann", "one")],
    ));
    assert!(moved[1]["id"].is_string() && moved[1] != first[0]);
    let alone = client.send(
        "POST",
        "/chat",
        &[("Idempotency-Key", "k")],
        good.to_string().as_bytes(),
    );
    assert!(alone.expect(201).header("idempotency-replayed").is_none());
    assert_eq!(server.metric("mayfly_messages_posted_total"), 5);
}

#[test]
fn a_body_that_is_no_bulk_is_refused_and_nothing_of_it_is_done() {
    let server = Server::start();
    let mut client = server.client();
    let many = json!({"messages": vec![message("ann", "t"); 1_001]}).to_string();
    let one = message("ann", "t").to_string();
    for (body, content_type, status, kind) in [
        (&*many, "application/json", 400, "out-of-range"),
        (&*one, "application/json", 400, "unknown-field"),
        ("{}", "application/json", 400, "missing-field"),
        ("[]", "application/json", 400, "wrong-type"),
        (r#"{"messages":[}"#, "application/json", 400, "not-json"),
        (
            "{'messages':[]}",
            "application/json5",
            415,
            "unsupported-media-type",
        ),
        (
            "messages=1",
            "application/x-www-form-urlencoded",
            415,
            "unsupported-media-type",
        ),
    ] {
        let headers = [("Content-Type", content_type)];
        let answer = client
            .send("POST", "/chats", &headers, body.as_bytes())
            .expect(status);
        assert_eq!(answer.problem(), kind, "{body:.40}");
    }
    let query = client
        .post("/chats?lenient=1", r#"{"messages":[]}"#)
        .expect(400);
    assert_eq!(query.problem(), "bad-query");
    assert_eq!(
        client.get("/chats").expect(405).header("allow"),
        Some("POST")
    );
    assert_eq!(server.metric("mayfly_messages_posted_total"), 0);
}

#[test]
fn no_messages_are_no_results_and_a_form_that_is_json_is_read() {
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(results(&post(&mut client, None, &[])), [] as [Value; 0]);
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let body = json!({"messages": [message("ann", "t")]}).to_string();
    let answer = client.send("POST", "/chats", &form, body.as_bytes());
    assert_eq!(results(&answer).len(), 1);
}
