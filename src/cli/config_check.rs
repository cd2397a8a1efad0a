//! `mayfly config check`: the settings that `serve` would have, and where each comes from.

use clap::{Args, Subcommand, ValueEnum};

use super::parse::Sources;
use super::{Failure, terminal};
use crate::config::Settings;
use crate::config::cluster::ClusterSettings;
use crate::config::flags::SettingsFlags;
use crate::config::scylla::ScyllaSettings;
use crate::config::unit::{show_duration, show_size};

/// Look at the settings.
#[derive(Args, Debug)]
pub struct Config {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check the settings that serve would have with the same flags, and print them
    Check(Box<SettingsFlags>),
}

impl Config {
    /// Checks the settings and prints them.
    pub fn run(self, sources: &Sources) -> Result<(), Failure> {
        let ConfigCommand::Check(flags) = self.command;
        let settings = Settings::try_from(*flags)?;
        let rows: Vec<[String; 3]> = effective(&settings)
            .into_iter()
            .map(|(name, value)| {
                let source = sources.of(&name.replace('-', "_"));
                [name, &terminal::escape(&value), source].map(String::from)
            })
            .collect();
        Ok(terminal::table(["SETTING", "VALUE", "FROM"], &rows)?)
    }
}

fn effective(settings: &Settings) -> Vec<(&'static str, String)> {
    let mut rows = service_rows(settings);
    rows.extend(
        settings
            .cluster
            .as_ref()
            .map(cluster_rows)
            .unwrap_or_default(),
    );
    rows.extend(
        settings
            .scylla
            .as_ref()
            .map(scylla_rows)
            .unwrap_or_default(),
    );
    rows.extend(limit_rows(settings));
    rows
}

/// Not the address of Redis, which may hold a password.
fn cluster_rows(cluster: &ClusterSettings) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("peer-listen", cluster.peer_listen.to_string()),
        ("advertise", cluster.advertise.to_string()),
        ("node", cluster.node.to_string()),
    ];
    let expected = cluster.expect_members.iter();
    rows.extend(expected.map(|members| ("expect-members", members.to_string())));
    let secret = cluster.secret_file.iter();
    rows.extend(secret.map(|path| ("cluster-secret-file", path.display().to_string())));
    rows
}

fn scylla_rows(scylla: &ScyllaSettings) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("cluster-name", scylla.cluster_name.clone()),
        ("scylla", scylla.address.to_string()),
        ("scylla-scope", name_of(scylla.scope)),
        ("scylla-replication", scylla.replication.to_string()),
    ];
    rows.extend(
        scylla
            .datacenter
            .iter()
            .map(|name| ("scylla-datacenter", name.clone())),
    );
    let file = |path: &std::path::Path| path.display().to_string();
    if let Some((user, password)) = &scylla.login {
        rows.push(("scylla-user", user.clone()));
        rows.push(("scylla-password-file", file(password)));
    }
    rows.extend(scylla.ca.iter().map(|ca| ("scylla-ca", file(ca))));
    rows
}

fn service_rows(settings: &Settings) -> Vec<(&'static str, String)> {
    vec![
        ("listen", settings.listen.to_string()),
        ("admin-listen", settings.admin_listen.to_string()),
        ("data-dir", settings.data_dir.display().to_string()),
        ("durability", name_of(settings.durability)),
        ("workers", settings.workers.to_string()),
        ("insecure-open", settings.insecure_open.to_string()),
        ("drain-announce", show_duration(settings.drain_announce)),
        ("drain-timeout", show_duration(settings.drain_timeout)),
        ("request-timeout", show_duration(settings.request_timeout)),
        ("memory-limit", show_size(settings.memory_limit_bytes)),
        (
            "archive-retention",
            settings
                .archive_retention
                .map_or(String::from("forever"), show_duration),
        ),
        (
            "idempotency-keys-max",
            settings.idempotency_keys_max.to_string(),
        ),
        ("log-format", name_of(settings.log_format)),
        ("log", settings.log.clone()),
    ]
}

fn limit_rows(settings: &Settings) -> Vec<(&'static str, String)> {
    let limits = &settings.limits;
    let size = |bytes: usize| show_size(bytes as u64);
    let seconds = |seconds| show_duration(std::time::Duration::from_secs(seconds));
    vec![
        ("username-chars-max", limits.username_chars_max.to_string()),
        ("text-bytes-max", size(limits.text_bytes_max)),
        ("timeout-max", seconds(limits.timeout_secs_max)),
        ("timeout-default", seconds(limits.timeout_secs_default)),
        ("read-limit-max", limits.read_limit_max.to_string()),
        (
            "mailbox-messages-max",
            limits.mailbox_messages_max.to_string(),
        ),
        ("mailbox-bytes-max", size(limits.mailbox_bytes_max)),
        ("body-bytes-max", size(limits.body_bytes_max)),
    ]
}

fn name_of(value: impl ValueEnum) -> String {
    let name = value.to_possible_value();
    name.map_or(String::new(), |name| String::from(name.get_name()))
}
