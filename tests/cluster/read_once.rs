//! With nothing in the way: each message is delivered once, whichever nodes are asked.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::load::during;
use crate::support::client::Client;
use crate::support::eventually;
use crate::support::history::Recorder;

#[test]
fn many_clients_at_all_nodes_get_each_message_once() {
    let cluster = Cluster::start(3);
    let recorder = Recorder::new();
    let met = during(&recorder, cluster.targets(), || {
        thread::sleep(Duration::from_secs(5));
    });
    assert!(met.failed.is_empty(), "{:#?}", met.failed);
    recorder.settle(&mut cluster.nodes[0].client());
    let verdict = recorder.judge();
    assert!(
        verdict.acknowledged > 200,
        "too little was posted to tell anything"
    );
    assert!(verdict.delivered > 0);
}

#[test]
fn every_node_serves_every_user_by_one_and_the_same_owner() {
    let cluster = Cluster::start(3);
    let addresses: Vec<_> = cluster.nodes.iter().map(|node| node.address()).collect();
    let mut owners = Vec::new();
    for user in 0..20 {
        let through = |node: usize| {
            let path = format!("/chats/user{user}");
            let answer = cluster.nodes[node].client().get(&path).expect(200);
            answer.header("mayfly-owner").unwrap().to_owned()
        };
        let owner = through(0);
        assert!(
            addresses.contains(&owner),
            "{owner} is none of {addresses:?}"
        );
        assert_eq!([through(1), through(2)], [owner.clone(), owner.clone()]);
        owners.push(owner);
    }
    owners.sort();
    owners.dedup();
    assert!(owners.len() > 1, "one node owns everything");
}

#[test]
fn a_message_posted_to_one_node_is_found_and_read_by_another() {
    let cluster = Cluster::start(3);
    for number in 0..9 {
        let user = format!("user{number}");
        let client = |offset: usize| cluster.nodes[(number + offset) % 3].client();
        let id = client(0).post_message(&user, "hello", 600);
        let found = client(1).get(&format!("/chat/{id}")).expect(200).json();
        assert_eq!(found["state"], "unread");
        let read = client(2).get(&format!("/chats/{user}")).expect(200).json();
        assert_eq!(
            (read[0]["id"].as_str(), &read[1]),
            (Some(id.as_str()), &serde_json::Value::Null)
        );
        assert_eq!(client(1).get(&format!("/chats/{user}")).body, b"[]");
        let found = client(0).get(&format!("/chat/{id}")).expect(200).json();
        assert_eq!(found["state"], "read");
    }
}

#[test]
fn a_bulk_at_one_node_is_posted_to_the_owners_of_all_users_and_its_repeat_at_another_is_the_same() {
    const USERS: usize = 60;
    let cluster = Cluster::start(3);
    let messages: Vec<_> = (0..4 * USERS)
        .map(|n| json!({"username": format!("user{}", n % USERS), "text": n.to_string(), "timeout": 600}))
        .collect();
    let body = json!({ "messages": messages }).to_string();
    let post = |node: usize| accepted(&mut cluster.nodes[node].client(), "k", &body);
    let (results, again) = (post(0), post(1));
    assert_eq!(results, again);
    let mut client = cluster.nodes[2].client();
    for user in 0..USERS {
        let read = client.get(&format!("/chats/user{user}")).expect(200).json();
        let expected: Vec<_> = (0..4)
            .map(|round| user + USERS * round)
            .map(|n| (results[n]["id"].clone(), json!(n.to_string())))
            .collect();
        let read = read.as_array().unwrap().iter();
        let mut read: Vec<_> = read.map(|m| (m["id"].clone(), m["text"].clone())).collect();
        // What was asked again, as its node was not connected yet, is behind the others.
        read.sort_by_key(|(_, text)| text.as_str().unwrap().parse::<usize>().unwrap());
        assert_eq!(read, expected);
    }
}

/// Posts a bulk until every message has an id: a store that is slow on a busy machine refuses some, and a repeat
/// finishes what is missing.
fn accepted(client: &mut Client, key: &str, body: &str) -> Vec<Value> {
    eventually("every message is accepted", || {
        let key = [("Idempotency-Key", key)];
        let answer = client.send("POST", "/chats", &key, body.as_bytes());
        let answer = answer.expect(200).json();
        let results = answer["results"].as_array().unwrap().clone();
        let errors = results.iter().map(|result| &result["error"]["status"]);
        let statuses: Vec<_> = errors.filter_map(Value::as_u64).collect();
        let are_for_now = statuses.iter().all(|status| [503, 504].contains(status));
        assert!(are_for_now, "{statuses:?}");
        statuses.is_empty().then_some(results)
    })
}

#[test]
fn bulks_that_come_together_are_accepted_to_the_last_message_once_each() {
    const BULKS: usize = 4;
    let cluster = Cluster::start(3);
    let bulk = |number: usize| {
        let message = |n| json!({"username": format!("user{}", n % 50), "text": format!("{number}"), "timeout": 600});
        let messages: Vec<_> = (0..1_000).map(message).collect();
        json!({ "messages": messages }).to_string()
    };
    thread::scope(|scope| {
        for number in 0..BULKS {
            let mut client = cluster.nodes[0].client();
            let (body, key) = (bulk(number), format!("bulk {number}"));
            scope.spawn(move || accepted(&mut client, &key, &body));
        }
    });
    for user in 0..50 {
        let mut client = cluster.nodes[user % 3].client();
        let count = client
            .get(&format!("/chats/user{user}/count"))
            .expect(200)
            .json();
        assert_eq!(count["unread"], 20 * BULKS, "{count}");
    }
}
