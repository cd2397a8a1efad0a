//! `cluster demo`, from the start of its servers to the end of all that it started.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::{Value, json};

use crate::{Run, directory};

/// Shards of a cluster that says nothing else.
const SHARDS: u64 = 256;

/// A demo that runs; what it prints is read line by line.
struct Demo {
    child: Child,
    pictures: Lines<BufReader<ChildStdout>>,
}

impl Demo {
    fn start(scratch: &Path) -> Demo {
        let server = std::env::var("CQL_URI").expect(
            "CQL_URI names no server; run the tests by: tests/servers/with-cql cargo test --test cli",
        );
        let mut child = Command::new(env!("CARGO_BIN_EXE_mayfly"))
            .args([
                "cluster",
                "demo",
                "--json",
                "--nodes=2",
                "--scylla",
                &server,
            ])
            .arg("--scratch")
            .arg(scratch)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let output = child.stdout.take().expect("a pipe");
        Demo {
            child,
            pictures: BufReader::new(output).lines(),
        }
    }

    /// The first picture for which this holds; a demo that ends before has said why.
    fn picture(&mut self, holds: impl Fn(&Value) -> bool) -> Value {
        let read = |line: Result<String, _>| -> Value {
            serde_json::from_str(&line.expect("a line")).expect("JSON")
        };
        let mut pictures = self.pictures.by_ref().map(read);
        pictures.find(|picture| holds(picture)).expect("a picture")
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is there");
    }
}

impl Drop for Demo {
    /// Ends what a failed test left.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::INT);
            let _ = self.child.wait();
        }
    }
}

fn shards(picture: &Value, node: usize) -> u64 {
    picture["nodes"][node]["shards"].as_u64().expect("a number")
}

fn state(picture: &Value, node: usize) -> &str {
    picture["nodes"][node]["state"].as_str().expect("a state")
}

fn pid(picture: &Value, node: usize) -> Pid {
    let pid = picture["nodes"][node]["pid"].as_i64().expect("a number");
    Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid")
}

fn json_of(picture: &Value, node: usize, words: &[&str]) -> Value {
    let directory = directory();
    let url = picture["nodes"][node]["url"].as_str().expect("a URL");
    let run = Run::within(directory.path()).variable("MAYFLY_URL", url);
    let output = run.of(&[words, &["--json"]].concat()).success();
    serde_json::from_str(&output).expect("JSON")
}

#[test]
fn a_demo_serves_loses_a_node_and_leaves_nothing_behind() {
    let scratch = directory();
    let mut demo = Demo::start(scratch.path());
    let whole = demo.picture(|picture| {
        let is_shared = shards(picture, 0) > 0 && shards(picture, 1) > 0;
        let is_serving = (0..2).all(|node| state(picture, node) == "serving");
        is_serving && is_shared && shards(picture, 0) + shards(picture, 1) == SHARDS
    });
    assert_eq!(whole["unowned"], 0);
    json_of(&whole, 0, &["send", "ann", "here"]);
    assert_eq!(json_of(&whole, 1, &["read", "ann"])[0]["text"], "here");
    json_of(&whole, 1, &["send", "bob", "one"]);
    json_of(&whole, 1, &["send", "eve", "two"]);

    kill_process(pid(&whole, 1), Signal::KILL).expect("it is there");
    let left = demo.picture(|picture| shards(picture, 0) == SHARDS);
    assert_eq!((state(&left, 1), shards(&left, 1)), ("gone", 0));
    assert_eq!(json_of(&left, 0, &["read", "ann"]), json!([]));
    assert_eq!(json_of(&left, 0, &["read", "bob"])[0]["text"], "one");
    assert_eq!(json_of(&left, 0, &["read", "eve"])[0]["text"], "two");

    demo.signal(Signal::INT);
    let status = demo.child.wait().expect("it ends");
    assert!(status.success(), "{status}");
    assert!(test_kill_process(pid(&whole, 0)).is_err());
    let rest = std::fs::read_dir(scratch.path()).expect("a directory");
    assert_eq!(rest.count(), 0);
}
