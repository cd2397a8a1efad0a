//! Starts that must be refused, each with one clear line.

use std::fs;

use crate::cluster::Cluster;
use crate::node::Node;
use crate::support::eventually;
use crate::support::server::{Refused, free_port, refused};

/// A start of this node, which must end by itself with this code and one line; all of `words` are in it.
#[track_caller]
fn is_refused(node: &Node, code: i32, words: &[&str]) {
    let arguments = node.all_arguments();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let Refused { code: found, lines } = refused(&arguments);
    assert_eq!((found, lines.len()), (Some(code), 1), "{lines:?}");
    for word in words {
        assert!(lines[0].contains(word), "no {word:?} in {lines:?}");
    }
}

#[test]
fn a_node_with_another_secret_is_refused_and_the_cluster_stays_as_it_is() {
    let mut cluster = Cluster::start(2);
    fs::write(
        cluster.file("other-secret"),
        "another secret of some length",
    )
    .unwrap();
    let file = format!(
        "--cluster-secret-file={}",
        cluster.file("other-secret").display()
    );
    is_refused(&cluster.node(&[&file]), 1, &["secret"]);
    cluster.await_owned();
    eventually("a member counts it", || {
        let refused = "mayfly_cluster_peer_events_total{event=\"refused\"}";
        let mut counted = cluster.nodes.iter().map(|node| node.metric(refused));
        counted.any(|counted| counted > Some(0.0)).then_some(())
    });
}

#[test]
fn a_node_of_another_cluster_is_refused() {
    let cluster = Cluster::start(1);
    is_refused(
        &cluster.node(&["--cluster-name=other"]),
        1,
        &["--cluster-name", "other"],
    );
}

#[test]
fn a_second_live_node_with_the_same_address_is_refused() {
    let mut cluster = Cluster::start(2);
    let peer_listen = format!("--peer-listen=127.0.0.1:{}", free_port());
    let advertise = format!("--advertise={}", cluster.nodes[0].address());
    let address = cluster.nodes[0].address();
    is_refused(&cluster.node(&[&peer_listen, &advertise]), 1, &[&address]);
    cluster.await_owned();
}

#[test]
fn redis_without_a_store_is_refused() {
    let refused = refused(&["--redis=redis://127.0.0.1:1"]);
    assert_eq!(
        (refused.code, refused.lines.len()),
        (Some(2), 1),
        "{:?}",
        refused.lines
    );
    assert!(refused.lines[0].contains("--scylla"), "{:?}", refused.lines);
}
