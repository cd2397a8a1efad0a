//! `bench` against a service of these tests.

use serde_json::Value;

use crate::stub::Stub;
use crate::{Ended, Run, directory};

fn bench(stub: &Stub, scenario: &str, more: &[&str]) -> Ended {
    let directory = directory();
    let url = stub.url();
    let mut arguments = vec!["bench", "--against", &url, "--scenario", scenario];
    arguments.extend(["--connections=4"]);
    arguments.extend(more);
    Run::within(directory.path()).of(&arguments)
}

#[test]
fn every_scenario_gets_the_answers_that_it_expects() {
    let stub = Stub::start();
    for scenario in ["post", "lookup", "mixed"] {
        let output = bench(&stub, scenario, &["--json", "--duration=200ms"]).success();
        let measured: Value = serde_json::from_str(&output).expect("JSON");
        assert_eq!(measured["scenario"], scenario);
        assert!(measured["requests"].as_u64() > Some(4), "{output}");
        assert_eq!(measured["not_as_expected"], 0, "{output}");
        assert!(
            measured["latency_us"]["p99.9"].as_f64() > Some(0.0),
            "{output}"
        );
    }
}

#[test]
fn read_ten_reads_mailboxes_of_exactly_ten() {
    let stub = Stub::start();
    let output = bench(&stub, "read-ten", &["--json", "--duration=1ms"]);
    let measured: Value = serde_json::from_str(&output.success()).expect("JSON");
    assert_eq!(measured["statuses"], serde_json::json!({"200": 10_000}));
    assert!(stub.seen.messages.lock().expect("a lock").is_empty());
    assert_eq!(stub.seen.posted.lock().expect("a lock").len(), 100_000);
}

#[test]
fn a_table_for_people_has_the_percentiles() {
    let stub = Stub::start();
    let output = bench(&stub, "post", &["--duration=200ms"]).success();
    for name in [
        "requests",
        "per second",
        "p50",
        "p99.9",
        "max",
        "status 201",
    ] {
        assert!(output.contains(name), "{output}");
    }
}

#[test]
fn answers_other_than_expected_end_in_exit_code_1() {
    let stub = Stub::start();
    let url = format!("{}/nowhere", stub.url());
    let directory = directory();
    let arguments = [
        "bench",
        "--against",
        &url,
        "--duration=50ms",
        "--connections=1",
    ];
    let ended = Run::within(directory.path()).of(&arguments);
    assert_eq!(ended.code, Some(1));
    assert!(ended.output.contains("status 404"), "{}", ended.output);
    assert!(ended.errors.contains("not as expected"), "{}", ended.errors);
}

#[test]
fn a_service_that_is_not_there_is_one_line() {
    let directory = directory();
    let arguments = ["bench", "--against", "http://127.0.0.1:1"];
    let line = Run::within(directory.path()).of(&arguments).failure(1);
    assert!(line.contains("127.0.0.1:1"), "{line}");
}

#[test]
fn a_cluster_is_measured_beside_the_no_op_and_every_node_has_a_share() {
    let server = std::env::var("CQL_URI").expect(
        "CQL_URI names no server; run the tests by: tests/servers/with-cql cargo test --test cli",
    );
    for scenario in ["post", "bulk"] {
        let directory = directory();
        let arguments = [
            "bench",
            "--cluster=2",
            "--scylla",
            &server,
            "--scenario",
            scenario,
            "--duration=1s",
            "--rounds=1",
            "--timeout-secs=1",
            "--connections=8",
            "--json",
        ];
        let output = Run::within(directory.path()).of(&arguments).success();
        let rounds: Value = serde_json::from_str(&output).expect("JSON");
        let round = &rounds[0];
        assert_eq!(round["load"]["not_as_expected"], 0, "{round}");
        let us = |value: &Value| value.as_f64().expect("a number");
        let nodes = round["nodes_us"].as_array().expect("nodes");
        assert_eq!(nodes.len(), 2, "{round}");
        let all: f64 = nodes.iter().map(us).sum();
        // A node that has half of the shards, and the no-op, are both asked.
        assert!(us(&nodes[1]) > all / 20.0, "{round}");
        assert!((us(&round["ratio"]) - all / us(&round["noop_us"])).abs() < 0.01);
    }
}

#[test]
fn a_cluster_without_a_store_is_refused() {
    let directory = directory();
    let arguments = ["bench", "--cluster=2"];
    let line = Run::within(directory.path()).of(&arguments).failure(2);
    assert!(line.contains("--scylla"), "{line}");
}
