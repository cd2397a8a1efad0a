//! The command line: the tree of commands, a file for each, and how a process ends.
//!
//! `serve` is given the server as a function, so that nothing here knows how one is built.

pub mod bench;
mod child;
pub mod client;
mod cluster;
mod config_check;
mod failure;
mod get;
mod healthcheck;
mod noop;
mod parse;
mod read;
mod schema;
mod scratch;
mod send;
mod serve;
mod terminal;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::Settings;
use crate::config::flags::SettingsFlags;
use client::BaseUrl;
pub use failure::Failure;
use parse::{Parsed, Sources};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "mayfly", version, about, subcommand_required = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `mayfly` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service
    Serve(Box<SettingsFlags>),
    /// Post a message and print its id
    Send(send::Send),
    /// Take the messages of a user: each is delivered by this one read
    Read(read::Read),
    /// Look a message up by its id; consumes nothing
    Get(get::Get),
    /// Measure a service
    Bench(bench::Bench),
    /// Ask whether a server is ready: exit code 0 if it is, else 1
    Healthcheck(healthcheck::Healthcheck),
    /// Look at the settings
    Config(config_check::Config),
    /// Look at a cluster, plan its changes, drain a node, or try one on this machine
    Cluster(cluster::Cluster),
    /// Prepare ScyllaDB
    Schema(schema::Schema),
    /// Check a recorded history: was a message lost, delivered twice, changed or made up
    Verify(verify::Verify),
    /// The server that does nothing, which `bench --against-noop` compares with
    #[command(hide = true)]
    Noop(noop::Noop),
}

/// How a client finds its service and shows an answer.
#[derive(Args, Debug)]
pub struct ClientFlags {
    /// Where the service is; a key is taken from MAYFLY_KEY
    #[arg(
        long,
        env = "MAYFLY_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8080"
    )]
    pub url: BaseUrl,
    /// Print JSON for machines
    #[arg(long)]
    pub json: bool,
}

/// Runs the command that `words` (with the program's name) ask for; `serve` runs a server until it
/// is stopped.
pub fn run(
    words: impl IntoIterator<Item = OsString>,
    serve: impl FnOnce(Settings) -> anyhow::Result<()>,
) -> ExitCode {
    let outcome = match parse::parse(words.into_iter().collect()) {
        Ok(Parsed::Show(help)) => help.print().map_err(Failure::from),
        Ok(Parsed::Command { cli, sources }) => dispatch(*cli, &sources, serve),
        Err(failure) => Err(failure),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            terminal::remark(&format!("error: {}", terminal::escape(failure.line())));
            ExitCode::from(failure.exit_code())
        }
    }
}

fn dispatch(
    cli: Cli,
    sources: &Sources,
    serve: impl FnOnce(Settings) -> anyhow::Result<()>,
) -> Result<(), Failure> {
    match cli.command {
        Command::Serve(flags) => serve::run(*flags, serve),
        Command::Send(command) => block_on(command.run()),
        Command::Read(command) => block_on(command.run()),
        Command::Get(command) => block_on(command.run()),
        Command::Bench(command) => block_on(command.run()),
        Command::Healthcheck(command) => block_on(command.run()),
        Command::Config(command) => command.run(sources),
        Command::Cluster(command) => block_on(command.run()),
        Command::Schema(command) => command.run(),
        Command::Verify(command) => command.run(),
        Command::Noop(command) => command.run(),
    }
}

fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(command)
}
