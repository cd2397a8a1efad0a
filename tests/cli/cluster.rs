//! `cluster status`, `plan` and `drain`, by a service of these tests that has a view.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::stub::Stub;
use crate::{Ended, Run, directory};

const ALPHA: &str = "00000000-aaaa-7000-8000-000000000001";
const BETA: &str = "11111111-bbbb-7000-8000-000000000002";
const GONE: &str = "22222222-cccc-7000-8000-000000000003";

/// Eight shards, alpha's but for beta's two; the answer is alpha's.
fn view() -> Value {
    let member = |generation: &str, node: &str, port: u16, state: &str| {
        json!({
            "generation": generation, "node": node, "address": format!("127.0.0.1:{port}"),
            "state": state, "version": "1.2.3", "shards": 4, "new": true
        })
    };
    let owners = (0..8).map(|shard| {
        let owner = if shard < 6 { ALPHA } else { BETA };
        json!({"shard": shard, "generation": owner, "epoch": 7})
    });
    json!({
        "generation": ALPHA, "cluster": "shop", "shards": 8,
        "members": [
            member(ALPHA, "shop-1", 7001, "serving"),
            member(BETA, "shop-2\u{1b}[2J", 7002, "serving"),
        ],
        "owners": owners.collect::<Vec<_>>(),
        "moves": [],
        "of_a_newer_release": {},
    })
}

/// The same with a name that can be planned with.
fn plain_view() -> Value {
    let mut view = view();
    view["members"][1]["node"] = json!("shop-2");
    view
}

fn stub_with(view: Value) -> Stub {
    let stub = Stub::start();
    *stub.seen.view.lock().expect("a lock") = Some(view);
    stub
}

fn cluster(stub: &Stub, arguments: &[&str]) -> Ended {
    let directory = directory();
    let url = stub.url();
    let run = Run::within(directory.path()).variable("MAYFLY_ADMIN_URL", &url);
    run.of(&[&["cluster"], arguments].concat())
}

fn json_of(stub: &Stub, arguments: &[&str]) -> Value {
    let output = cluster(stub, arguments).success();
    serde_json::from_str(&output).expect("one line of JSON")
}

#[test]
fn status_shows_members_and_shards_and_spells_out_what_would_steer_a_terminal() {
    let stub = stub_with(view());
    let output = cluster(&stub, &["status"]).success();
    let expected = "\
cluster shop, as shop-1 sees it: 8 shards, 8 owned

NODE             ADDRESS         STATE    VERSION  GENERATION  SHARDS
shop-1           127.0.0.1:7001  serving  1.2.3    00000000    6
shop-2\\u{1b}[2J  127.0.0.1:7002  serving  1.2.3    11111111    2
";
    assert_eq!(output, expected);
}

#[test]
fn status_tells_of_shards_without_a_living_owner_and_of_moves() {
    let mut view = plain_view();
    view["owners"][0]["generation"] = Value::Null;
    view["owners"][1]["generation"] = json!(GONE);
    let one =
        |shard, from, to, state| json!({"shard": shard, "from": from, "to": to, "state": state});
    view["moves"] = json!([
        one(1, json!(GONE), json!(BETA), "waiting"),
        one(3, json!(ALPHA), json!(BETA), "moving"),
        one(2, json!(ALPHA), json!(BETA), "moving"),
        one(0, Value::Null, json!(ALPHA), "moving"),
    ]);
    let output = cluster(&stub_with(view), &["status"]).success();
    let head = "8 shards, 6 owned, 1 without an owner, 1 of nodes that are gone, 4 to be moved\n";
    assert!(output.contains(head), "{output}");
    let moves = "
FROM             TO      STATE    COUNT  SHARDS
22222222 (gone)  shop-2  waiting  1      1
nobody           shop-1  moving   1      0
shop-1           shop-2  moving   2      2-3
";
    assert!(output.ends_with(moves), "{output}");
}

#[test]
fn status_gives_machines_the_view_with_all_that_it_holds() {
    let stub = stub_with(view());
    assert_eq!(json_of(&stub, &["status", "--json"]), view());
}

#[test]
fn status_without_a_cluster_is_one_line() {
    let stub = Stub::start();
    let line = cluster(&stub, &["status"]).failure(1);
    assert!(line.contains("is no node of a cluster"), "{line}");
    let stub = stub_with(json!({"generation": ALPHA}));
    let line = cluster(&stub, &["status"]).failure(1);
    assert!(line.contains("missing field `cluster`"), "{line}");
    let away = ["status", "--watch", "--admin-url", "http://127.0.0.1:1"];
    let line = cluster(&stub, &away).failure(1);
    let fix = "cannot reach http://127.0.0.1:1";
    assert!(line.contains(fix) && line.contains("--admin-url"), "{line}");
}

#[test]
fn status_watches_on_while_the_node_is_away() {
    let stub = stub_with(plain_view());
    let mut child = Command::new(env!("CARGO_BIN_EXE_mayfly"))
        .args(["cluster", "status", "--watch", "--admin-url", &stub.url()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let output = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut lines = output.lines().map(|line| line.expect("a line"));
    lines.find(|line| line.contains("8 owned")).expect("a look");
    *stub.seen.view.lock().expect("a lock") = None;
    lines
        .find(|line| line.contains("is no node"))
        .expect("a look");
    *stub.seen.view.lock().expect("a lock") = Some(plain_view());
    lines.find(|line| line.contains("8 owned")).expect("a look");
    child.kill().expect("it still runs");
    child.wait().expect("it ends");
}

#[test]
fn plan_shows_who_would_give_what_to_whom_and_moves_nothing() {
    let stub = stub_with(plain_view());
    let output = cluster(&stub, &["plan", "--leave", "shop-2"]).success();
    let expected = "\
FROM    TO      COUNT  SHARDS
shop-2  shop-1  2      6-7
2 of 8 shards would move; leaving: shop-2
";
    assert_eq!(output, expected);
    let output = cluster(&stub, &["plan", "--join", "2"]).success();
    let last = output.lines().last().expect("a line");
    assert_eq!(last, "4 of 8 shards would move; joining: shop-3, shop-4");
    let requests = stub.seen.requests.lock().expect("a lock").clone();
    assert_eq!(requests, ["GET /cluster", "GET /cluster"]);
}

#[test]
fn plan_gives_machines_every_move() {
    let stub = stub_with(plain_view());
    let plan = json_of(
        &stub,
        &["plan", "--join", "1", "--leave", "shop-2", "--json"],
    );
    assert_eq!(plan["joining"], json!(["shop-3"]));
    assert_eq!(plan["leaving"], json!(["shop-2"]));
    let moves = plan["moves"].as_array().expect("moves");
    let of_those_who_leave = moves.iter().filter(|one| one["from"] == BETA);
    assert_eq!(of_those_who_leave.count(), 2, "{plan}");
    let joins = moves.iter().filter(|one| one["to_node"] == "shop-3");
    assert_eq!(joins.clone().count(), 4, "{plan}");
    for one in joins {
        assert_eq!(one["to"], Value::Null, "{plan}");
        assert!(
            one["shard"].as_u64().is_some_and(|shard| shard < 8),
            "{plan}"
        );
    }
    let plan = json_of(
        &stub,
        &["plan", "--leave", "shop-1", "--leave", "shop-2", "--json"],
    );
    let moves = plan["moves"].as_array().expect("moves");
    assert!(moves.iter().all(|one| one["to_node"] == "nobody"), "{plan}");
    assert_eq!(moves.len(), 8);
}

#[test]
fn plan_names_the_nodes_to_one_who_names_another() {
    let stub = stub_with(plain_view());
    let line = cluster(&stub, &["plan", "--leave", "shop-9"]).failure(1);
    assert_eq!(
        line,
        "error: --leave: no node is named shop-9; the nodes are: shop-1, shop-2\n"
    );
    let line = cluster(&stub, &["plan", "--join", "many"]).failure(2);
    assert!(line.contains("--join"), "{line}");
}

#[test]
fn drain_waits_until_the_node_owns_no_shard() {
    let stub = stub_with(plain_view());
    let ended = cluster(&stub, &["drain", "shop-1"]);
    assert!(
        ended.errors.starts_with("shop-1: shards left: 6\n"),
        "{}",
        ended.errors
    );
    assert!(
        ended.errors.ends_with("shop-1: shards left: 1\n"),
        "{}",
        ended.errors
    );
    let output = ended.success();
    assert_eq!(
        output,
        "shop-1 owns no shard; it forwards until it is stopped\n"
    );
    let requests = stub.seen.requests.lock().expect("a lock").clone();
    let drains: Vec<_> = requests
        .iter()
        .filter(|one| one.starts_with("POST"))
        .collect();
    assert_eq!(drains, ["POST /drain"]);
    assert_eq!(requests.len(), 2 + 6, "{requests:?}");
}

#[test]
fn drain_does_not_wait_if_it_is_told_so() {
    let stub = stub_with(plain_view());
    let told = json_of(&stub, &["drain", "shop-1", "--no-wait", "--json"]);
    assert_eq!(
        told,
        json!({"node": "shop-1", "generation": ALPHA, "shards": 6})
    );
    assert!(stub.seen.drains.load(Ordering::SeqCst));
}

#[test]
fn drain_touches_no_node_but_the_one_that_is_named() {
    let mut alone = plain_view();
    alone["members"][1]["state"] = json!("draining");
    let mut lost = plain_view();
    lost["generation"] = json!(GONE);
    for (view, node, reason) in [
        (
            plain_view(),
            "shop-2",
            "is the admin address of shop-1, not of shop-2",
        ),
        (plain_view(), "shop-9", "the nodes are: shop-1, shop-2"),
        (alone, "shop-1", "no node but shop-1 is serving"),
        (lost, "shop-1", "is no member"),
    ] {
        let stub = stub_with(view);
        let line = cluster(&stub, &["drain", node]).failure(1);
        assert!(line.contains(reason), "{line}");
        let requests = stub.seen.requests.lock().expect("a lock").clone();
        assert_eq!(requests, ["GET /cluster"]);
    }
}

#[test]
fn a_demo_without_servers_says_what_to_do() {
    let directory = directory();
    let scratch = directory.path().to_str().expect("a path");
    let redis = "--redis=redis://127.0.0.1:1";
    let demo = |more: &[&str]| {
        let run = Run::within(directory.path());
        let words = ["cluster", "demo", "--scratch", scratch, redis];
        run.of(&[&words[..], more].concat())
    };
    let ended = demo(&[]);
    assert_eq!(ended.code, Some(2), "{}", ended.errors);
    for word in [
        "--scylla HOST:PORT",
        "MAYFLY_CASSANDRA_HOME",
        "tests/servers/with-cql",
    ] {
        assert!(ended.errors.contains(word), "{}", ended.errors);
    }
    let ended = demo(&["--cassandra-home", scratch]);
    assert!(
        ended.errors.contains("no conf/cassandra.yaml"),
        "{}",
        ended.errors
    );
    let ended = demo(&["--scylla=127.0.0.1:1"]);
    assert!(ended.errors.contains("cannot connect"), "{}", ended.errors);
    let line = demo(&["--scylla=127.0.0.1:1/mayfly"]).failure(2);
    assert!(line.contains("leave the keyspace out"), "{line}");
    let left = std::fs::read_dir(directory.path()).expect("a directory");
    assert_eq!(left.count(), 0);
}
