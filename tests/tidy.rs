//! The rules of style that a machine can hold: what a file may be called, hold and import.
//!
//! It reads the files that `git ls-files` lists, as text. What needs judgement (is it one concept, is
//! the comment worth its line) is left to reviewers.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Lines of one file under `src/`, tests of a file of their own aside.
const FILE_LINES_MAX: usize = 400;

/// Lines of one function, from `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 60;

/// Lines of the file that only calls the command line.
const MAIN_LINES_MAX: usize = 40;

/// The one file that writes to the terminal.
const TERMINAL: &str = "src/cli/terminal.rs";

/// This file, which has to spell out what it forbids.
const TIDY: &str = "tests/tidy.rs";

/// What there is at the top, besides files that begin with a dot.
const TOP_LEVEL: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "src",
    "cluster",
    "tests",
    "k8s",
    "Dockerfile",
    "docs",
    "README.md",
    "LICENSE",
];

/// Each room of `src/` with the rooms it may import.
const ROOMS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("store", &["domain", "config", "metrics"]),
    ("shard", &["domain", "store", "metrics"]),
    ("node", &["domain", "store", "shard", "metrics"]),
    ("service", &["domain", "store", "shard", "node"]),
    (
        "http",
        &["domain", "store", "shard", "node", "service", "metrics"],
    ),
    (
        "app",
        &[
            "domain", "store", "shard", "node", "service", "http", "config", "metrics",
        ],
    ),
    ("cli", &["config", "telemetry", "store"]),
    ("main", &["cli", "app"]),
    ("config", &["domain"]),
    ("metrics", &[]),
    ("telemetry", &["config"]),
    ("lib", &[]),
];

/// What the pure core may not name: clocks, chance, IO, logs and threads of others.
const IMPURE: &[&str] = &[
    "Instant",
    "SystemTime",
    "std::fs",
    "std::net",
    "std::io",
    "std::env",
    "std::thread",
    "tokio",
    "tracing",
    "rand::",
    "actix",
    "prometheus",
    "async fn",
];

/// The rooms of `cluster/src/` that decide and do nothing else: a name, its file and its folder.
const DECIDING: &[&str] = &[
    "ownership",
    "sim",
    "placement",
    "ring",
    "membership",
    "failure",
    "clocks",
];

/// What those may not name, besides what is `IMPURE`.
const CLUSTER_ONLY: &[&str] = &["redis::", "crate::peer"];

/// One line of a file that a rule looks at.
struct Line<'a> {
    file: &'a str,
    number: usize,
    text: &'a str,
}

/// A file of Rust as text.
struct Source {
    path: String,
    text: String,
    /// Whether all of it is compiled for tests alone.
    is_test: bool,
}

impl Source {
    /// The lines that are no comments, and no tests.
    fn code(&self) -> impl Iterator<Item = Line<'_>> {
        let end = if self.is_test { 0 } else { self.tests_begin() };
        self.lines().take(end)
    }

    /// The lines that are no comments.
    fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.text.lines().enumerate().map(|(index, text)| {
            let is_comment = text.trim_start().starts_with("//");
            Line {
                file: &self.path,
                number: index + 1,
                text: if is_comment { "" } else { text },
            }
        })
    }

    /// The number of lines before the module of tests.
    fn tests_begin(&self) -> usize {
        let lines: Vec<_> = self.text.lines().collect();
        lines
            .windows(2)
            .position(|pair| pair[0] == "#[cfg(test)]" && pair[1].ends_with('{'))
            .unwrap_or(lines.len())
    }

    /// The room of `src/` that this file belongs to.
    fn room(&self) -> Option<&str> {
        let path = self.path.strip_prefix("src/")?;
        let first = path.split('/').next()?;
        Some(first.strip_suffix(".rs").unwrap_or(first))
    }

    /// How many modules this file is below the root: `src/x.rs` and `src/x/mod.rs` are 1 below.
    fn depth(&self) -> usize {
        let path = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        let path = path.strip_suffix("/mod").unwrap_or(path);
        path.split('/').count()
    }
}

/// The paths of all committed files, and of new ones that are not ignored.
fn committed() -> Vec<String> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("git lists the files; install it, for example with: apt-get install git");
    assert!(
        output.status.success(),
        "git ls-files: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let paths = String::from_utf8(output.stdout).expect("paths in UTF-8");
    let paths: Vec<_> = paths.lines().map(str::to_owned).collect();
    assert!(paths.iter().any(|path| path == "src/lib.rs"), "{paths:?}");
    paths
        .into_iter()
        .filter(|path| full(path).exists())
        .collect()
}

fn full(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    let bytes = std::fs::read(full(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// All Rust files below `src/` and `tests/`.
fn sources() -> Vec<Source> {
    let paths: Vec<_> = committed()
        .into_iter()
        .filter(|path| path.ends_with(".rs"))
        .collect();
    let texts: Vec<_> = paths.iter().map(|path| read(path)).collect();
    let tests: BTreeSet<_> = paths
        .iter()
        .zip(&texts)
        .flat_map(|(path, text)| test_files(path, text))
        .collect();
    let source = |(path, text): (String, String)| Source {
        is_test: is_in_tests(&path) || tests.contains(&path),
        path,
        text,
    };
    paths.into_iter().zip(texts).map(source).collect()
}

/// Whether it is a black-box test, of the binary or of a crate.
fn is_in_tests(path: &str) -> bool {
    path.starts_with("tests/") || path.starts_with("cluster/tests/")
}

/// The files that a file declares as modules for tests alone.
fn test_files(path: &str, text: &str) -> Vec<String> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut files = Vec::new();
    let (mut is_for_tests, mut named) = (false, None);
    for line in text.lines() {
        if line == "#[cfg(test)]" {
            is_for_tests = true;
        } else if let Some(rest) = line.strip_prefix("#[path = \"") {
            named = rest.strip_suffix("\"]").map(str::to_owned);
        } else if !line.starts_with("#[") {
            let module = line.strip_prefix("mod ").and_then(|m| m.strip_suffix(';'));
            if let Some(module) = module.filter(|_| is_for_tests) {
                let file = named.unwrap_or(format!("{module}.rs"));
                files.push(format!("{folder}/{file}"));
            }
            (is_for_tests, named) = (false, None);
        }
    }
    files
}

/// Fails with one line for each breach.
#[track_caller]
fn assert_none(rule: &str, breaches: impl IntoIterator<Item = String>) {
    let breaches: Vec<_> = breaches.into_iter().collect();
    assert!(breaches.is_empty(), "{rule}:\n{}", breaches.join("\n"));
}

fn place(line: &Line<'_>) -> String {
    format!("{}:{}: {}", line.file, line.number, line.text.trim())
}

#[test]
fn every_file_begins_by_telling_what_it_owns() {
    let silent = sources()
        .into_iter()
        .filter(|source| !source.text.starts_with("//! "));
    assert_none(
        "begin the file with //! and what it owns",
        silent.map(|source| source.path),
    );
}

#[test]
fn a_file_is_short_enough_to_be_read_at_once() {
    let files = sources().into_iter().filter(|source| !source.is_test);
    let long = files.filter_map(|source| {
        let lines = source.text.lines().count();
        (lines > FILE_LINES_MAX).then(|| format!("{}: {lines} lines", source.path))
    });
    assert_none("look for the second concept in files over 400 lines", long);
}

#[test]
fn a_function_is_short_enough_to_be_seen_at_once() {
    let sources = sources();
    let long = sources
        .iter()
        .flat_map(|source| functions(source).filter(|(_, lines)| *lines > FUNCTION_LINES_MAX))
        .map(|(line, lines)| format!("{}: {lines} lines", place(&line)));
    assert_none("split functions over 60 lines", long);
}

/// The functions outside tests, as the line they begin with and their number of lines. rustfmt puts
/// the closing brace under the first letter.
fn functions(source: &Source) -> impl Iterator<Item = (Line<'_>, usize)> {
    source.code().filter_map(|line| {
        let text = line.text.trim_start();
        let indent = line.text.len() - text.len();
        if !is_function(text) || text.ends_with(['}', ';']) {
            return None;
        }
        let rest = source.text.lines().skip(line.number);
        let at_the_same_indent = |text: &str| text.len() - text.trim_start().len() == indent;
        let end = rest
            .map(str::trim_end)
            .position(|text| at_the_same_indent(text) && text.ends_with(['}', ';']))?;
        Some((line, end + 2))
    })
}

fn is_function(text: &str) -> bool {
    const BEFORE: [&str; 5] = ["pub ", "pub(super) ", "pub(crate) ", "const ", "async "];
    let mut text = text;
    while let Some(rest) = BEFORE.iter().find_map(|word| text.strip_prefix(word)) {
        text = rest;
    }
    text.starts_with("fn ")
}

#[test]
fn main_only_calls_the_command_line() {
    let lines = read("src/main.rs").lines().count();
    assert!(lines <= MAIN_LINES_MAX, "src/main.rs has {lines} lines");
}

#[test]
fn nothing_is_left_to_be_done_or_silenced() {
    const ANYWHERE: [&str; 4] = ["todo!(", "unimplemented!(", "dbg!(", "#[ignore"];
    // Each target of the tests uses only a part of `tests/support`.
    const IN_SRC: &str = "allow(dead_code";
    let sources = sources();
    let lines = sources.iter().filter(|source| source.path != TIDY);
    let found = lines.flat_map(Source::lines).filter(|line| {
        let is_dead = line.file.starts_with("src/") && line.text.contains(IN_SRC);
        is_dead || ANYWHERE.iter().any(|word| line.text.contains(word))
    });
    assert_none("finish it, or take it out", found.map(|line| place(&line)));
}

#[test]
fn nothing_is_unwrapped_outside_tests() {
    let sources = sources();
    let found = sources
        .iter()
        .flat_map(Source::code)
        .filter(|line| line.text.contains(".unwrap()"));
    assert_none(
        "return an error, or expect with the reason that it cannot be",
        found.map(|line| place(&line)),
    );
}

#[test]
fn only_one_file_writes_to_the_terminal() {
    const MACROS: [&str; 4] = ["println!(", "print!(", "eprintln!(", "eprint!("];
    let sources = sources();
    let found = sources
        .iter()
        .filter(|source| source.path != TERMINAL)
        .flat_map(Source::code)
        .filter(|line| MACROS.iter().any(|name| line.text.contains(name)));
    assert_none(
        "write to the terminal by cli::terminal, to the log by tracing",
        found.map(|line| place(&line)),
    );
}

#[test]
fn a_file_is_named_after_what_it_is() {
    const VAGUE: [&str; 10] = [
        "util", "utils", "common", "helper", "helpers", "manager", "managers", "misc", "shared",
        "stuff",
    ];
    let is_vague = |path: &String| {
        path.split('/')
            .map(|part| part.split('.').next().unwrap_or_default())
            .any(|name| name.split('_').any(|word| VAGUE.contains(&word)))
    };
    assert_none(
        "name the file after its concept",
        committed().into_iter().filter(is_vague),
    );
}

#[test]
fn a_room_imports_only_the_rooms_below_it() {
    let mut breaches = Vec::new();
    for source in &sources() {
        let Some(room) = source.room() else { continue };
        let allowed = ROOMS.iter().find(|(name, _)| *name == room);
        let Some((_, allowed)) = allowed else {
            breaches.push(format!("{}: room {room} is not in ROOMS", source.path));
            continue;
        };
        let root = if room == "main" {
            "mayfly::"
        } else {
            "crate::"
        };
        for line in source.lines() {
            for imported in words_after(line.text, root) {
                if imported != room && !allowed.contains(&imported) {
                    breaches.push(format!(
                        "{} ({room} may not import {imported})",
                        place(&line)
                    ));
                }
            }
        }
    }
    assert_none("a room may import only what ROOMS says", breaches);
}

#[test]
fn no_room_reaches_another_by_way_of_the_root() {
    let sources = sources();
    let inside = sources.iter().filter(|source| source.room().is_some());
    let reaching = inside.flat_map(|source| {
        let tests_begin = source.tests_begin();
        source.lines().filter(move |line| {
            // Within a module of tests one `super` leads to the file itself.
            let is_test = source.is_test || line.number > tests_begin;
            let depth = source.depth() + usize::from(is_test);
            line.text.contains(&"super::".repeat(depth))
                || line.text.contains("use crate::{")
                || line.text.contains("use mayfly::{")
        })
    });
    assert_none(
        "name the room: crate::room::module, one line each",
        reaching.map(|line| place(&line)),
    );
}

/// The names that follow each `root` in a line.
fn words_after<'a>(text: &'a str, root: &str) -> Vec<&'a str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts = text.match_indices(root).filter(|(start, _)| {
        let before = text[..*start].chars().next_back();
        !before.is_some_and(|c| is_name(c) || c == ':')
    });
    starts
        .map(|(start, _)| {
            let rest = &text[start + root.len()..];
            rest.split(|c| !is_name(c)).next().unwrap_or_default()
        })
        .collect()
}

#[test]
fn the_core_knows_no_clock_no_chance_and_no_io() {
    let sources = sources();
    let found = sources
        .iter()
        .filter(|source| source.room() == Some("domain"))
        .flat_map(Source::lines)
        .filter(|line| IMPURE.iter().any(|word| line.text.contains(word)));
    assert_none(
        "take time and chance as arguments, give deadlines and events back",
        found.map(|line| place(&line)),
    );
}

#[test]
fn what_decides_in_the_cluster_knows_no_clock_no_chance_and_no_io() {
    let sources = sources();
    let is_deciding = |source: &&Source| {
        let file = source.path.strip_prefix("cluster/src/");
        let first = file.and_then(|file| file.split('/').next());
        let room = first.map(|first| first.strip_suffix(".rs").unwrap_or(first));
        room.is_some_and(|room| DECIDING.contains(&room.trim_end_matches("_tests")))
    };
    let deciding: Vec<_> = sources.iter().filter(is_deciding).collect();
    let words = || IMPURE.iter().chain(CLUSTER_ONLY);
    for room in DECIDING {
        let is_there = |source: &&Source| source.path.contains(&format!("cluster/src/{room}"));
        assert!(deciding.iter().any(is_there), "cluster/src/{room} is gone");
    }
    let found = deciding
        .iter()
        .flat_map(|source| source.code())
        .filter(|line| words().any(|word| line.text.contains(word)));
    assert_none(
        "take time and chance as arguments, and leave IO to peer, registry and the stores",
        found.map(|line| place(&line)),
    );
}

#[test]
fn the_name_of_a_test_is_a_sentence() {
    let sources = sources();
    let mut short = Vec::new();
    for source in &sources {
        let lines: Vec<_> = source.lines().collect();
        for pair in lines.windows(2) {
            let name = words_after(pair[1].text, "fn ").first().copied();
            let is_test = pair[0].text.trim() == "#[test]";
            if is_test && name.is_some_and(|name| !name.is_empty() && name.split('_').count() < 3) {
                short.push(place(&pair[1]));
            }
        }
    }
    assert_none("say in the name what holds", short);
}

#[test]
fn the_top_of_the_tree_holds_only_what_is_known() {
    let tops: BTreeSet<_> = committed()
        .iter()
        .filter_map(|path| path.split('/').next().map(str::to_owned))
        .collect();
    let unknown = tops
        .into_iter()
        .filter(|top| !top.starts_with('.') && !TOP_LEVEL.contains(&top.as_str()));
    assert_none("put it into one of the rooms", unknown);
}

#[test]
fn no_file_names_a_registry_or_a_place_on_somebodys_machine() {
    // In parts, so that this file keeps its own rule.
    const REGISTRIES: [[&str; 2]; 7] = [
        ["crates", "io"],
        ["pypi", "org"],
        ["npmjs", "org"],
        ["proxy.golang", "org"],
        ["maven", "org"],
        ["maven.apache", "org"],
        ["deb.debian", "org"],
    ];
    let registries = REGISTRIES.map(|parts| parts.join("."));
    let mut machines = vec![env!("CARGO_MANIFEST_DIR").to_owned()];
    machines.extend(["home", "Users", "root"].map(|top| format!("/{top}/")));
    let mut found = Vec::new();
    for path in committed() {
        for (index, line) in read(&path).lines().enumerate() {
            let is_lock_source = path == "Cargo.lock" && line.starts_with("source = ");
            let names_registry = registries.iter().any(|host| line.contains(host));
            let names_machine = machines.iter().any(|place| line.contains(place));
            if names_machine || names_registry && !is_lock_source {
                found.push(format!("{path}:{}: {line}", index + 1));
            }
        }
    }
    assert_none("take out the host or the path", found);
}
