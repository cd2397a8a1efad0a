//! Settings: what they are, how they are combined, and what they demand of each other.
//!
//! A flag wins over a `MAYFLY_*` variable, that over a key of `mayfly.toml`, that over the default.
//! The names, defaults and bounds of single settings are in `config::flags`, the file in
//! `config::file`. The command line around them is `cli`'s.

pub mod cluster;
pub mod file;
pub mod flags;
mod memory;
pub mod scylla;
pub mod suggest;
pub mod unit;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use ::cluster::peer::limits::{FRAME_BYTES_MAX, HEADER_BYTES_MAX};
use clap::{Args, FromArgMatches, ValueEnum};

use crate::domain::key::CALL_WINDOW_MS;
use crate::domain::limits::{CLUSTER_TEXT_BYTES_HIGHEST, Limits};
use cluster::ClusterSettings;
use flags::SettingsFlags;
use scylla::ScyllaSettings;

/// The least memory that is worth a server: below it not even the largest mailbox fits.
const MEMORY_BYTES_MIN: u64 = 16 << 20;

/// Bytes that one delivered message takes between two nodes besides its text: more than it ever does.
const DELIVERED_BYTES: usize = 256;

/// Most workers; more cores than this are left to other processes.
const WORKERS_MAX: usize = 64;

/// Everything that can be set, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the public API listens.
    pub listen: SocketAddr,
    /// Where metrics and probes listen.
    pub admin_listen: SocketAddr,
    /// The directory of the journal and the archive.
    pub data_dir: PathBuf,
    /// When a change is answered.
    pub durability: Durability,
    /// Threads that serve requests, 1 to 64.
    pub workers: usize,
    /// Whether an address that others can reach is served although no keys are asked for.
    pub insecure_open: bool,
    /// How long requests are served after SIGTERM while `/readyz` already says no.
    pub drain_announce: Duration,
    /// The time from SIGTERM to the end, not less than `drain_announce`.
    pub drain_timeout: Duration,
    /// How long a request may wait for its answer.
    pub request_timeout: Duration,
    /// Memory for messages, in bytes.
    pub memory_limit_bytes: u64,
    /// How long a message can be looked up after its end; `None` is for ever.
    pub archive_retention: Option<Duration>,
    /// Idempotency keys that are remembered at most.
    pub idempotency_keys_max: usize,
    /// The cluster's stores; `None` where this machine's disk holds everything.
    pub scylla: Option<ScyllaSettings>,
    /// Who this node is to others; `None` where it is alone.
    pub cluster: Option<ClusterSettings>,
    /// The form of the log.
    pub log_format: LogFormat,
    /// What is logged, in the words of `tracing_subscriber::EnvFilter`.
    pub log: String,
    /// The bounds of requests, messages and mailboxes.
    pub limits: Limits,
}

/// When a post or a read is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Durability {
    /// Once it is on disk.
    Committed,
    /// At once; a crash loses the last moments.
    Memory,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// A JSON object a line, for machines.
    Json,
}

/// Why settings are refused; each is one line that names the setting and the fix.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The named file cannot be read.
    #[error("{}: {source}; name a file that can be read by --config", path.display())]
    FileUnread {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{} line {line}: {reason}; write lines such as workers = 2 or listen = \"127.0.0.1:8080\"", path.display())]
    FileSyntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// The file has a key that is no setting.
    #[error("{}: unknown key {key}; {hint}", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What was meant.
        hint: String,
    },
    /// The file gives a setting a bad value.
    #[error("{}: {key}: {reason}", path.display())]
    BadValue {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What is wrong and what to write.
        reason: String,
    },
    /// A variable looks like a mistyped setting.
    #[error("unknown variable {name}; did you mean {meant}?")]
    UnknownVariable {
        /// The variable.
        name: String,
        /// What was meant.
        meant: String,
    },
    /// Two settings contradict each other, or one does not fit this machine.
    #[error("--{setting}: {reason}")]
    Conflict {
        /// The flag to change.
        setting: &'static str,
        /// What is wrong and what to do.
        reason: String,
    },
    /// Arguments that are no settings, where only code gives them.
    #[error("{0}")]
    Arguments(String),
}

impl Settings {
    /// The settings of these flags alone, without variables and file: for tests and embedding.
    ///
    /// # Errors
    /// [`SettingsError`] as for the command line.
    pub fn from_arguments<'a>(
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Result<Settings, SettingsError> {
        let command = SettingsFlags::augment_args(clap::Command::new("mayfly"))
            .mut_args(|arg| arg.env(clap::builder::Resettable::Reset));
        let arguments = std::iter::once("mayfly").chain(arguments);
        let flags = command
            .try_get_matches_from(arguments)
            .and_then(|matches| SettingsFlags::from_arg_matches(&matches))
            .map_err(|error| SettingsError::Arguments(error.to_string()))?;
        Settings::try_from(flags)
    }
}

impl TryFrom<SettingsFlags> for Settings {
    type Error = SettingsError;

    fn try_from(flags: SettingsFlags) -> Result<Settings, SettingsError> {
        let scylla = flags.scylla.check()?;
        let cluster = flags.cluster.check(scylla.is_some())?;
        let settings = Settings {
            listen: flags.listen,
            admin_listen: flags.admin_listen,
            data_dir: flags.data_dir,
            durability: flags.durability,
            workers: flags.workers.unwrap_or_else(workers_of_machine),
            insecure_open: flags.insecure_open,
            drain_announce: flags.drain_announce,
            drain_timeout: flags.drain_timeout,
            request_timeout: flags.request_timeout,
            memory_limit_bytes: flags.memory_limit.of(memory::available_bytes()),
            archive_retention: flags.archive_retention.0,
            idempotency_keys_max: flags.idempotency_keys_max,
            scylla,
            cluster,
            log_format: flags.log_format.unwrap_or_else(log_format_of_output),
            log: flags.log,
            limits: Limits {
                username_chars_max: flags.limits.username_chars_max,
                text_bytes_max: flags.limits.text_bytes_max,
                timeout_secs_max: flags.limits.timeout_max.as_secs(),
                timeout_secs_default: flags.limits.timeout_default.as_secs(),
                read_limit_max: flags.limits.read_limit_max,
                mailbox_messages_max: flags.limits.mailbox_messages_max,
                mailbox_bytes_max: flags.limits.mailbox_bytes_max,
                body_bytes_max: flags.limits.body_bytes_max,
                ..Limits::default()
            },
        };
        settings.check()?;
        Ok(settings)
    }
}

impl Settings {
    /// Whether a server can run by these settings; other commands need only the store.
    ///
    /// # Errors
    /// [`SettingsError::Conflict`].
    pub fn check_serving(&self) -> Result<(), SettingsError> {
        let conflict = |setting, reason: &str| {
            let reason = String::from(reason);
            Err(SettingsError::Conflict { setting, reason })
        };
        match (&self.cluster, &self.scylla) {
            (None, Some(_)) => conflict(
                "scylla",
                "is the store of a cluster, whose nodes find each other by Redis; name it by --redis",
            ),
            (Some(_), _) if self.durability == Durability::Memory => conflict(
                "durability",
                "memory is for one machine; a cluster answers what is committed, leave it out",
            ),
            (Some(_), _) => self.check_bounds_of_a_cluster(),
            (None, None) => Ok(()),
        }
    }

    /// What a cluster can carry: a read of a whole mailbox between two nodes, a message in a frame of
    /// the journal, and a repeat of a call for as long as its id is remembered.
    fn check_bounds_of_a_cluster(&self) -> Result<(), SettingsError> {
        let limits = &self.limits;
        let read_bytes_max =
            limits.mailbox_bytes_max + limits.mailbox_messages_max * DELIVERED_BYTES;
        let rules = [
            (
                read_bytes_max > FRAME_BYTES_MAX - HEADER_BYTES_MAX,
                "mailbox-bytes-max",
                "with --mailbox-messages-max is more than two nodes can send each other in one answer, \
                 24MiB with 256 bytes for each message; lower one of them",
            ),
            (
                limits.text_bytes_max > CLUSTER_TEXT_BYTES_HIGHEST,
                "text-bytes-max",
                "is more than 4MiB, which is as much as the store of a cluster takes at once; lower it",
            ),
            (
                self.request_timeout.as_millis() as u64 > CALL_WINDOW_MS / 2,
                "request-timeout",
                "is more than 30s, and a node remembers what it did for another only twice as long; lower it",
            ),
        ];
        match rules.into_iter().find(|(broken, ..)| *broken) {
            Some((_, setting, reason)) => Err(SettingsError::Conflict {
                setting,
                reason: String::from(reason),
            }),
            None => Ok(()),
        }
    }

    fn check(&self) -> Result<(), SettingsError> {
        let limits = &self.limits;
        let rules = [
            (
                !self.insecure_open && !self.listen.ip().to_canonical().is_loopback(),
                "listen",
                "anyone who reaches this address could read every mailbox; listen on 127.0.0.1 \
                 behind a proxy that asks who calls, or accept it by --insecure-open",
            ),
            (
                self.drain_timeout < self.drain_announce,
                "drain-timeout",
                "is shorter than --drain-announce; make it longer, it counts from SIGTERM too",
            ),
            (
                self.memory_limit_bytes < MEMORY_BYTES_MIN,
                "memory-limit",
                "is less than 16MiB; give more",
            ),
            (
                limits.text_bytes_max > limits.body_bytes_max,
                "text-bytes-max",
                "is more than --body-bytes-max, so no such text could be sent; raise that or lower this",
            ),
            (
                limits.text_bytes_max > limits.mailbox_bytes_max,
                "text-bytes-max",
                "is more than --mailbox-bytes-max, so no mailbox could hold such a text; raise that or lower this",
            ),
            (
                limits.timeout_secs_default > limits.timeout_secs_max,
                "timeout-default",
                "is more than --timeout-max; raise that or lower this",
            ),
        ];
        match rules.into_iter().find(|(broken, ..)| *broken) {
            Some((_, setting, reason)) => Err(SettingsError::Conflict {
                setting,
                reason: String::from(reason),
            }),
            None => Ok(()),
        }
    }
}

fn workers_of_machine() -> usize {
    std::thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(WORKERS_MAX)
}

fn log_format_of_output() -> LogFormat {
    if std::io::stderr().is_terminal() {
        LogFormat::Text
    } else {
        LogFormat::Json
    }
}

#[cfg(test)]
#[path = "config/config_tests.rs"]
mod tests;
