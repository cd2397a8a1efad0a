//! With nothing in the way: each message is delivered once, whichever nodes are asked.

use std::thread;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::load::during;
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
