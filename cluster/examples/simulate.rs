//! Runs the simulator from the command line: many seeds, or one that failed.
//!
//! `cargo run -p mayfly-cluster --example simulate -- --seeds N [--from S] [--bug NAME]`

use std::io::{self, Write};
use std::process::ExitCode;

use cluster::sim::{PlantedBug, simulate};

const USAGE: &str = "simulate --seeds N [--from S] [--bug NAME]";

fn main() -> io::Result<ExitCode> {
    let mut out = io::stdout();
    let Some((from, seeds, bug)) = arguments(std::env::args().skip(1)) else {
        writeln!(out, "usage: {USAGE}\nbugs:")?;
        for bug in PlantedBug::ALL {
            writeln!(out, "  {bug}")?;
        }
        return Ok(ExitCode::FAILURE);
    };
    let (mut failed, mut events, mut answers) = (0, 0, 0);
    for seed in from..from + seeds {
        let run = simulate(seed, bug);
        events += run.events;
        answers += run.answers;
        if let Some(violation) = run.violation {
            failed += 1;
            writeln!(out, "seed {seed}: {violation}")?;
        }
    }
    writeln!(
        out,
        "{seeds} seeds, {failed} failed, {events} events, {answers} answers"
    )?;
    let is_as_wanted = (failed > 0) == bug.is_some();
    Ok(if is_as_wanted {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn arguments(mut words: impl Iterator<Item = String>) -> Option<(u64, u64, Option<PlantedBug>)> {
    let (mut from, mut seeds, mut bug) = (0, None, None);
    while let Some(word) = words.next() {
        let value = words.next()?;
        match word.as_str() {
            "--from" => from = value.parse().ok()?,
            "--seeds" => seeds = Some(value.parse().ok()?),
            "--bug" => bug = Some(PlantedBug::by_name(&value)?),
            _ => return None,
        }
    }
    Some((from, seeds?, bug))
}
