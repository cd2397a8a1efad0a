//! `mayfly verify`: reads what clients recorded of a service, and tells whether it kept its promise.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Failure, terminal};
use crate::verify::check::{self, Verdict};

/// Check a recorded history.
#[derive(Args, Debug)]
pub struct Verify {
    /// JSON lines, an operation each; - is standard input
    history: PathBuf,
    /// Print JSON for machines
    #[arg(long)]
    json: bool,
}

impl Verify {
    /// Prints every violation; one or more are a failure.
    pub fn run(self) -> Result<(), Failure> {
        let named = |error| {
            let path = self.history.display();
            Failure::Failed(format!("{path}: {error}"))
        };
        let source = open(&self.history).map_err(|error| named(error.to_string()))?;
        let verdict = check::check(source).map_err(|error| named(error.to_string()))?;
        if self.json {
            let value = serde_json::to_value(&verdict).map_err(io::Error::from)?;
            terminal::json(&value)?;
        } else {
            print(&verdict)?;
        }
        match verdict.violations_total {
            0 => Ok(()),
            violations => Err(Failure::Failed(format!(
                "the promise is broken {violations} times"
            ))),
        }
    }
}

fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    Ok(Box::new(BufReader::with_capacity(
        1 << 20,
        File::open(path)?,
    )))
}

fn print(verdict: &Verdict) -> io::Result<()> {
    for violation in &verdict.violations {
        terminal::line(&terminal::escape(&violation.to_string()))?;
    }
    let Verdict {
        operations,
        acknowledged,
        delivered,
        in_doubt,
        ..
    } = verdict;
    terminal::line(&format!(
        "{operations} operations: {acknowledged} messages acknowledged, {delivered} of them delivered, \
         {in_doubt} operations in doubt, {} violations",
        verdict.violations_total
    ))
}
