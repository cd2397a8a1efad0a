//! The settings as flags: names, variables, defaults, units and the bounds of each one alone.
//!
//! Clap makes `mayfly serve --help` from this. What two settings demand of each other is in
//! `config`, the file in `config::file`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use tracing_subscriber::EnvFilter;

use super::cluster::ClusterFlags;
use super::scylla::ScyllaFlags;
use super::unit::{MemoryAmount, parse_duration, parse_size, show_duration, show_size};
use super::{Durability, LogFormat};
use crate::domain::limits::TIMEOUT_SECS_HIGHEST;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Every setting of the server, as it is written: by flag, variable, file or default.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Settings (flag, then variable, then file, then default)")]
pub struct SettingsFlags {
    /// File of settings, keys named as the flags; mayfly.toml in the working directory is read if
    /// it is there
    #[arg(long, env = "MAYFLY_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address and port of the public API
    #[arg(long, env = "MAYFLY_LISTEN", value_name = "IP:PORT", default_value = "127.0.0.1:8080", value_parser = address)]
    pub listen: SocketAddr,
    /// Address and port of metrics and probes; needs no key, so keep it off the internet
    #[arg(long, env = "MAYFLY_ADMIN_LISTEN", value_name = "IP:PORT", default_value = "127.0.0.1:9090", value_parser = address)]
    pub admin_listen: SocketAddr,
    /// Directory of the journal and the archive; one server at a time
    #[arg(
        long,
        env = "MAYFLY_DATA_DIR",
        value_name = "DIR",
        default_value = "./mayfly-data"
    )]
    pub data_dir: PathBuf,
    /// When a post or read is answered: once it is on disk, or at once (a crash then loses the
    /// last moments)
    #[arg(
        long,
        env = "MAYFLY_DURABILITY",
        value_enum,
        default_value = "committed"
    )]
    pub durability: Durability,
    /// Threads that serve requests, 1 to 64 [default: the number of cores]
    #[arg(long, env = "MAYFLY_WORKERS", value_name = "N", value_parser = workers)]
    pub workers: Option<usize>,
    /// Serve an address that others can reach although no keys are asked for
    #[arg(
        long, env = "MAYFLY_INSECURE_OPEN", value_name = "BOOL", value_parser = BoolishValueParser::new(),
        num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false"
    )]
    pub insecure_open: bool,
    /// After SIGTERM, how long requests are still served while /readyz already says no, up to 5m
    #[arg(long, env = "MAYFLY_DRAIN_ANNOUNCE", value_name = "DURATION", default_value = "3s", value_parser = drain)]
    pub drain_announce: Duration,
    /// Time from SIGTERM to the end of the process, up to 5m
    #[arg(long, env = "MAYFLY_DRAIN_TIMEOUT", value_name = "DURATION", default_value = "25s", value_parser = drain)]
    pub drain_timeout: Duration,
    /// How long a request may wait for its answer before it gets 504, 100ms to 5m
    #[arg(long, env = "MAYFLY_REQUEST_TIMEOUT", value_name = "DURATION", default_value = "5s", value_parser = request_timeout)]
    pub request_timeout: Duration,
    /// Memory for messages, from 16MiB: a size (512MiB, 2GiB), or a share of what the cgroup or
    /// the machine has, whichever is smaller
    #[arg(long, env = "MAYFLY_MEMORY_LIMIT", value_name = "SIZE|N%", default_value = "70%", value_parser = MemoryAmount::parse)]
    pub memory_limit: MemoryAmount,
    /// How long a message can be looked up after its end, from 1d, or forever
    #[arg(long, env = "MAYFLY_ARCHIVE_RETENTION", value_name = "DURATION", default_value = "90d", value_parser = Retention::parse)]
    pub archive_retention: Retention,
    /// Idempotency keys remembered at most, up to 100000000
    #[arg(long, env = "MAYFLY_IDEMPOTENCY_KEYS_MAX", value_name = "N", default_value = "4000000", value_parser = idempotency_keys)]
    pub idempotency_keys_max: usize,
    /// Form of the log on standard error [default: text on a terminal, else json]
    #[arg(long, env = "MAYFLY_LOG_FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
    /// Least level that is logged (error, warn, info, debug, trace), also per module:
    /// info,mayfly=debug
    #[arg(long, env = "MAYFLY_LOG", value_name = "FILTER", default_value = "warn,mayfly=info", value_parser = log_filter)]
    pub log: String,
    /// The node among others.
    #[command(flatten)]
    pub cluster: ClusterFlags,
    /// The cluster's stores.
    #[command(flatten)]
    pub scylla: ScyllaFlags,
    /// The limits.
    #[command(flatten)]
    pub limits: LimitFlags,
}

/// The bounds of requests, messages and mailboxes, as settings.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub struct LimitFlags {
    /// Longest username, 1 to 1000 characters
    #[arg(long, env = "MAYFLY_USERNAME_CHARS_MAX", value_name = "N", default_value = "200", value_parser = username_chars)]
    pub username_chars_max: usize,
    /// Longest text, 1B to 16MiB
    #[arg(long, env = "MAYFLY_TEXT_BYTES_MAX", value_name = "SIZE", default_value = "64KiB", value_parser = text_bytes)]
    pub text_bytes_max: usize,
    /// Longest time-out of a message, 1s to 60d in whole seconds
    #[arg(long, env = "MAYFLY_TIMEOUT_MAX", value_name = "DURATION", default_value = "30d", value_parser = timeout_max)]
    pub timeout_max: Duration,
    /// Time-out of a message that names none, 0s to 60d in whole seconds
    #[arg(long, env = "MAYFLY_TIMEOUT_DEFAULT", value_name = "DURATION", default_value = "60s", value_parser = timeout_default)]
    pub timeout_default: Duration,
    /// Most messages that a read may ask for, 1 to 100000
    #[arg(long, env = "MAYFLY_READ_LIMIT_MAX", value_name = "N", default_value = "10000", value_parser = read_limit)]
    pub read_limit_max: usize,
    /// Most messages that wait in a mailbox, 1 to 1000000
    #[arg(long, env = "MAYFLY_MAILBOX_MESSAGES_MAX", value_name = "N", default_value = "10000", value_parser = mailbox_messages)]
    pub mailbox_messages_max: usize,
    /// Most bytes of text that wait in a mailbox, 1KiB to 1GiB
    #[arg(long, env = "MAYFLY_MAILBOX_BYTES_MAX", value_name = "SIZE", default_value = "16MiB", value_parser = mailbox_bytes)]
    pub mailbox_bytes_max: usize,
    /// Largest body of a request, also after decompression, 1KiB to 64MiB
    #[arg(long, env = "MAYFLY_BODY_BYTES_MAX", value_name = "SIZE", default_value = "1MiB", value_parser = body_bytes)]
    pub body_bytes_max: usize,
}

/// How long ended messages are kept: so long, or for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention(pub Option<Duration>);

impl Retention {
    fn parse(text: &str) -> Result<Retention, String> {
        if text == "forever" {
            return Ok(Retention(None));
        }
        duration_within(text, DAY, DAY * 36_500)
            .map(|duration| Retention(Some(duration)))
            .map_err(|reason| format!("{reason}, or forever"))
    }
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        String::from("write an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080")
    })
}

fn workers(text: &str) -> Result<usize, String> {
    count_within(text, 1, 64)
}

fn drain(text: &str) -> Result<Duration, String> {
    duration_within(text, Duration::ZERO, Duration::from_secs(300))
}

fn request_timeout(text: &str) -> Result<Duration, String> {
    duration_within(text, Duration::from_millis(100), Duration::from_secs(300))
}

fn idempotency_keys(text: &str) -> Result<usize, String> {
    count_within(text, 0, 100_000_000)
}

fn log_filter(text: &str) -> Result<String, String> {
    let fix = "write a level such as info, or info,mayfly=debug";
    match EnvFilter::try_new(text) {
        Ok(_) if !text.trim().is_empty() => Ok(String::from(text)),
        _ => Err(String::from(fix)),
    }
}

fn username_chars(text: &str) -> Result<usize, String> {
    count_within(text, 1, 1_000)
}

fn text_bytes(text: &str) -> Result<usize, String> {
    size_within(text, 1, 16 * MIB)
}

fn timeout_max(text: &str) -> Result<Duration, String> {
    whole_seconds(duration_within(
        text,
        Duration::from_secs(1),
        Duration::from_secs(TIMEOUT_SECS_HIGHEST),
    )?)
}

fn timeout_default(text: &str) -> Result<Duration, String> {
    whole_seconds(duration_within(
        text,
        Duration::ZERO,
        Duration::from_secs(TIMEOUT_SECS_HIGHEST),
    )?)
}

fn read_limit(text: &str) -> Result<usize, String> {
    count_within(text, 1, 100_000)
}

fn mailbox_messages(text: &str) -> Result<usize, String> {
    count_within(text, 1, 1_000_000)
}

fn mailbox_bytes(text: &str) -> Result<usize, String> {
    size_within(text, KIB, 1024 * MIB)
}

fn body_bytes(text: &str) -> Result<usize, String> {
    size_within(text, KIB, 64 * MIB)
}

pub(super) fn count_within(text: &str, min: usize, max: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (min..=max).contains(&count) => Ok(count),
        _ => Err(format!("write a whole number from {min} to {max}")),
    }
}

fn size_within(text: &str, min: u64, max: u64) -> Result<usize, String> {
    let bytes = parse_size(text)?;
    let within = (min..=max).contains(&bytes);
    usize::try_from(bytes)
        .ok()
        .filter(|_| within)
        .ok_or_else(|| format!("write a size from {} to {}", show_size(min), show_size(max)))
}

fn duration_within(text: &str, min: Duration, max: Duration) -> Result<Duration, String> {
    let duration = parse_duration(text)?;
    if !(min..=max).contains(&duration) {
        let (min, max) = (show_duration(min), show_duration(max));
        return Err(format!("write a duration from {min} to {max}"));
    }
    Ok(duration)
}

fn whole_seconds(duration: Duration) -> Result<Duration, String> {
    if duration.subsec_millis() != 0 {
        return Err(String::from("write whole seconds, such as 60s"));
    }
    Ok(duration)
}
