//! The command line from outside: the binary, its output and its exit codes.
//!
//! Commands that call a service call a small one of these tests (`stub`), so that what a service
//! decides is not tested here.

#![allow(clippy::unwrap_used, reason = "tests fail by panic")]

mod bench;
mod clients;
mod cluster;
mod demo;
mod schema;
mod settings;
mod stub;
#[path = "../support/mod.rs"]
mod support;
mod verify;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A run of the binary in a directory, with no `MAYFLY_*` variables but those given.
struct Run<'a> {
    directory: &'a Path,
    variables: Vec<(&'a str, &'a str)>,
    input: &'a str,
}

impl<'a> Run<'a> {
    fn within(directory: &'a Path) -> Run<'a> {
        Run {
            directory,
            variables: Vec::new(),
            input: "",
        }
    }

    fn variable(mut self, name: &'a str, value: &'a str) -> Run<'a> {
        self.variables.push((name, value));
        self
    }

    fn input(mut self, text: &'a str) -> Run<'a> {
        self.input = text;
        self
    }

    fn of(self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mayfly"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MAYFLY_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .args(arguments)
            .envs(self.variables)
            .current_dir(self.directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut input = child.stdin.take().expect("a pipe");
        // A command that does not read its input may have ended already.
        let _ = input.write_all(self.input.as_bytes());
        drop(input);
        Ended::from(child.wait_with_output().expect("the binary ends"))
    }
}

/// How a run ended.
struct Ended {
    code: Option<i32>,
    output: String,
    errors: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Ended {
        Ended {
            code: output.status.code(),
            output: String::from_utf8(output.stdout).expect("text"),
            errors: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

impl Ended {
    fn success(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.errors);
        self.output
    }

    /// The one line of a failure with this exit code.
    fn failure(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}{}", self.output, self.errors);
        assert_eq!(self.errors.lines().count(), 1, "{}", self.errors);
        assert!(self.errors.starts_with("error: "), "{}", self.errors);
        self.errors
    }
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}
