//! `mayfly schema apply`, on a real server.

use crate::{Run, directory};

#[test]
fn the_schema_is_printed_without_a_server_and_in_whole_statements() {
    let directory = directory();
    let output = Run::within(directory.path())
        .variable("SCYLLA_URI", "127.0.0.1:1/printed")
        .of(&["schema", "apply", "--print", "--archive-retention=30d"])
        .success();
    let statements: Vec<_> = output.lines().filter(|line| line.ends_with(';')).collect();
    assert_eq!(statements.len(), 9, "{output}");
    assert!(statements[0].starts_with("CREATE KEYSPACE IF NOT EXISTS printed "));
    let tables = statements[1..].iter();
    assert!(
        tables
            .clone()
            .all(|table| table.starts_with("CREATE TABLE IF NOT EXISTS printed."))
    );
    let forgetful = tables.filter(|table| table.contains("default_time_to_live = 2678400"));
    assert_eq!(forgetful.count(), 4, "{output}");
}

#[test]
fn the_schema_is_applied_once_and_a_second_time_changes_nothing() {
    let server = std::env::var("CQL_URI");
    let server = server.expect(
        "CQL_URI names no server; run the tests by: tests/servers/with-cql cargo test --test cli",
    );
    let directory = directory();
    let keyspace = format!("t_cli_{}", std::process::id());
    let address = format!("--scylla={server}/{keyspace}");
    let apply = |more: &'static str| {
        let run = Run::within(directory.path());
        run.of(&["schema", "apply", &address, "--scylla-replication=1", more])
    };
    let first = apply("--cluster-name=mine").success();
    assert_eq!(first.trim(), format!("keyspace {keyspace} is ready"));
    let second = apply("--cluster-name=mine").success();
    assert_eq!(second.trim(), format!("keyspace {keyspace} was ready"));
    let line = apply("--cluster-name=other").failure(1);
    assert!(line.contains("--cluster-name mine, not other"), "{line}");
}

#[test]
fn a_schema_without_a_place_or_a_server_is_one_line() {
    let directory = directory();
    let run = Run::within(directory.path());
    let line = run.of(&["schema", "apply"]).failure(2);
    assert!(line.contains("--scylla"), "{line}");
    let run = Run::within(directory.path());
    let line = run.of(&["schema", "apply", "--scylla=127.0.0.1:1/k"]);
    let line = line.failure(1);
    assert!(line.contains("cannot connect"), "{line}");
    let run = Run::within(directory.path());
    let line = run.of(&[
        "schema",
        "apply",
        "--scylla=localhost/k",
        "--scylla-ca=absent.pem",
    ]);
    let line = line.failure(1);
    assert!(
        line.contains("--scylla-ca") && line.contains("absent.pem"),
        "{line}"
    );
}
