//! Runs the simulator from the command line: many seeds, or one that failed, line by line.
//!
//! It owns the arguments and the exit status. What a run is, and what it must not do, is in
//! `cluster::sim`.

use std::io::{self, Write};
use std::process::ExitCode;

use cluster::sim::{PlantedBug, replay, simulate};

const USAGE: &str = "\
Simulates clusters that lose, delay and repeat messages, pause, crash and have wrong clocks, and checks
that no acknowledged message is lost or delivered twice.

usage: cargo run --release -p mayfly-cluster --example simulate -- OPTIONS

  --seeds N     run N seeds, and print those that fail
  --from S      begin at seed S, not at 0
  --seed S      replay seed S alone, and print what happens in it
  --bug NAME    leave out one rule of the protocol: NAME is one of those below
  --help        print this

Exits with 0 if no seed failed, with 1 if one did, with 2 if the options are wrong.
";

struct Options {
    from: u64,
    seeds: u64,
    is_replay: bool,
    bug: Option<PlantedBug>,
}

fn main() -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    let words: Vec<_> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--help") {
        usage(&mut out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(options) = options(words.into_iter()) else {
        usage(&mut io::stderr().lock())?;
        return Ok(ExitCode::from(2));
    };
    let is_well = match options.is_replay {
        true => replay_one(&options, &mut out)?,
        false => run_many(&options, &mut out)?,
    };
    Ok(if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn run_many(options: &Options, out: &mut impl Write) -> io::Result<bool> {
    let (mut failed, mut events, mut answers) = (0, 0, 0);
    for seed in options.from..options.from.saturating_add(options.seeds) {
        let run = simulate(seed, options.bug);
        events += run.events;
        answers += run.answers;
        if let Some(violation) = run.violation {
            failed += 1;
            writeln!(out, "seed {seed}: {violation}")?;
        }
    }
    let seeds = options.seeds;
    writeln!(
        out,
        "{seeds} seeds, {failed} failed, {events} events, {answers} answers"
    )?;
    Ok(failed == 0)
}

fn replay_one(options: &Options, out: &mut impl Write) -> io::Result<bool> {
    let (seed, bug) = (options.from, options.bug);
    let (run, lines) = replay(seed, bug);
    for line in lines {
        writeln!(out, "{line}")?;
    }
    match &run.violation {
        Some(violation) => writeln!(out, "seed {seed}: {violation}")?,
        None => writeln!(out, "seed {seed} breaks no promise")?,
    }
    Ok(run.violation.is_none())
}

fn options(mut words: impl Iterator<Item = String>) -> Option<Options> {
    let (mut from, mut seeds, mut replayed, mut bug) = (None, None, None, None);
    while let Some(word) = words.next() {
        let value = words.next()?;
        match word.as_str() {
            "--seeds" => seeds = Some(value.parse().ok()?),
            "--from" => from = Some(value.parse().ok()?),
            "--seed" => replayed = Some(value.parse().ok()?),
            "--bug" => bug = Some(PlantedBug::by_name(&value)?),
            _ => return None,
        }
    }
    match (replayed, seeds, from) {
        (Some(from), None, None) => Some(Options {
            from,
            seeds: 1,
            is_replay: true,
            bug,
        }),
        (None, Some(seeds), from) => Some(Options {
            from: from.unwrap_or(0),
            seeds,
            is_replay: false,
            bug,
        }),
        _ => None,
    }
}

fn usage(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{USAGE}")?;
    for bug in PlantedBug::ALL {
        writeln!(out, "  {bug}")?;
    }
    writeln!(out, "\nThe race windows, and what guards them:\n")?;
    for (window, bugs) in PlantedBug::RACES {
        writeln!(out, "  {window}: {bugs:?}")?;
    }
    Ok(())
}
