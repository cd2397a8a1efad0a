//! The tables as CQL text: what `mayfly schema apply` runs, and what it prints. No IO.
//!
//! What each column means is in `docs/FORMAT.md`. There is no DDL but this, and none at run time.

use std::time::Duration;

use crate::config::scylla::ScyllaSettings;

/// The version of the tables, kept in `meta`.
pub const VERSION: i32 = 1;

/// Windows of a time-windowed table at most: ScyllaDB refuses a TTL of 50 windows.
const WINDOWS_MAX: u64 = 40;

/// The longest TTL that CQL allows: 20 years.
const TTL_MAX: Duration = Duration::from_secs(20 * 365 * 24 * 3_600);

/// When a replica has not answered a read after this, another is asked. Without a number servers go by
/// what reads took before, and where there were none they wait for half of their time-out.
const READ_ANOTHER_AFTER: &str = "speculative_retry = '100ms'";

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// What a keyspace is made with and keeps for ever, besides the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaOptions {
    /// How long ended messages are kept; `None` is for ever.
    pub retention: Option<Duration>,
    /// How long ids are created into one partition of the archive.
    pub bucket: Duration,
    /// Frames of one partition of the journal.
    pub segment_frames: u64,
}

impl SchemaOptions {
    /// The usual ones, with this retention.
    pub fn keeping(retention: Option<Duration>) -> SchemaOptions {
        SchemaOptions {
            retention,
            bucket: Duration::from_secs(600),
            segment_frames: cluster::ownership::tenure::FRAMES_PER_SEGMENT,
        }
    }
}

/// The statement that makes the keyspace. `tablets_off` is for servers that refuse compare-and-sets
/// with tablets.
pub fn keyspace(settings: &ScyllaSettings, tablets_off: bool) -> String {
    let keyspace = &settings.address.keyspace;
    let datacenter = settings.datacenter.as_deref();
    let datacenter = datacenter.unwrap_or("replication_factor");
    let copies = settings.replication;
    let tablets = if tablets_off {
        " AND tablets = {'enabled': false}"
    } else {
        ""
    };
    format!(
        "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = \
         {{'class': 'NetworkTopologyStrategy', '{datacenter}': {copies}}}{tablets}"
    )
}

/// The statements that make the tables.
pub fn tables(keyspace: &str, options: &SchemaOptions) -> Vec<String> {
    const LASTING: [(&str, &str); 4] = [
        (
            "meta",
            "name text PRIMARY KEY, version int, cluster_name text, shards int, scope text, \
             datacenter text, replication int, bucket_ms bigint, segment_frames bigint, \
             retention_ms bigint",
        ),
        (
            "shard_owner",
            "shard int PRIMARY KEY, epoch bigint, owner uuid, owner_addr text, claim uuid, \
             state text, chain text, base_epoch bigint, base_seq bigint",
        ),
        (
            "fence",
            "node uuid, shard int, epoch bigint, PRIMARY KEY (node, shard)",
        ),
        (
            "journal",
            "shard int, epoch bigint, segment bigint, seq bigint, frame blob, \
             PRIMARY KEY ((shard, epoch, segment), seq)",
        ),
    ];
    const AGEING: [(&str, &str); 4] = [
        (
            "archive",
            "shard int, bucket bigint, id blob, ended_at bigint, row blob, \
             PRIMARY KEY ((shard, bucket), id)",
        ),
        (
            "history",
            "minute bigint, lane int, ended_at bigint, shard int, id blob, \
             PRIMARY KEY ((minute, lane), ended_at, shard, id)",
        ),
        (
            "history_minutes",
            "day bigint, minute bigint, lane int, PRIMARY KEY (day, minute, lane)",
        ),
        (
            "history_days",
            "era int, day bigint, PRIMARY KEY (era, day)",
        ),
    ];
    let ageing = options.retention.and_then(ageing).unwrap_or_default();
    let table = |(name, columns): &(&str, &str), with: &str| {
        format!(
            "CREATE TABLE IF NOT EXISTS {keyspace}.{name} ({columns}) \
             WITH {READ_ANOTHER_AFTER}{with}"
        )
    };
    let lasting = LASTING.iter().map(|one| table(one, ""));
    lasting
        .chain(AGEING.iter().map(|one| table(one, &ageing)))
        .collect()
}

/// Everything that `apply` does, as text for people.
pub fn script(settings: &ScyllaSettings, options: &SchemaOptions) -> String {
    let mut lines = vec![
        String::from(
            "-- ScyllaDB from 6.0 and before 2025.4 needs also: AND tablets = {'enabled': false}",
        ),
        format!("{};", keyspace(settings, false)),
    ];
    let tables = tables(&settings.address.keyspace, options);
    lines.extend(tables.into_iter().map(|table| format!("{table};")));
    lines.join("\n")
}

/// Whether a server of this version (`None` for Cassandra) has tablets, and refuses compare-and-sets
/// in a keyspace with them.
pub fn needs_tablets_off(scylla_version: Option<&str>) -> bool {
    let mut numbers = scylla_version.unwrap_or_default().split(['.', '-', '~']);
    let mut number = || numbers.next().and_then(|text| text.parse::<u32>().ok());
    match (number(), number()) {
        (Some(2024), Some(minor)) => minor >= 2,
        (Some(2025), Some(minor)) => minor < 4,
        (Some(major), _) => (6..2024).contains(&major),
        _ => false,
    }
}

/// The options of a table whose rows go after `retention`, and the day that it may take until whole
/// days are over; `None` where CQL cannot count so far, and rows stay.
fn ageing(retention: Duration) -> Option<String> {
    let ttl = retention + DAY;
    if ttl > TTL_MAX {
        return None;
    }
    let window_hours = window(ttl).as_secs() / HOUR.as_secs();
    Some(format!(
        " AND compaction = {{'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': \
         'HOURS', 'compaction_window_size': {window_hours}}} AND default_time_to_live = {}",
        ttl.as_secs()
    ))
}

/// The whole hours that one window takes, so that there are few enough of them.
fn window(ttl: Duration) -> Duration {
    let hours = ttl.as_secs().div_ceil(HOUR.as_secs() * WINDOWS_MAX);
    HOUR * u32::try_from(hours.max(1)).expect("20 years are fewer hours")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::scylla::{Scope, ScyllaAddress};

    fn settings(datacenter: Option<&str>) -> ScyllaSettings {
        ScyllaSettings {
            address: ScyllaAddress::parse("a/k").expect("an address"),
            login: None,
            ca: None,
            scope: Scope::Global,
            datacenter: datacenter.map(String::from),
            replication: 3,
            cluster_name: String::from("mayfly"),
        }
    }

    #[test]
    fn a_time_to_live_is_always_fewer_than_fifty_windows() {
        for days in [1, 2, 7, 30, 89, 90, 91, 365, 3_650, 7_298] {
            let ttl = DAY * (days + 1);
            let windows = ttl.as_secs().div_ceil(window(ttl).as_secs());
            assert!((1..50).contains(&windows), "{days} days: {windows} windows");
            let text = ageing(DAY * days).expect("less than 20 years");
            assert!(text.contains(&format!("default_time_to_live = {}", ttl.as_secs())));
        }
        assert_eq!(ageing(DAY * 7_300), None);
    }

    #[test]
    fn only_archive_and_history_ever_forget_by_themselves() {
        for (retention, ageing) in [(None, 0), (Some(DAY), 4)] {
            let tables = tables("k", &SchemaOptions::keeping(retention));
            assert_eq!(tables.len(), 8);
            let forgetful = tables.iter().filter(|table| table.contains("time_to_live"));
            assert_eq!(forgetful.clone().count(), ageing);
            for table in forgetful {
                let name = table.split(['.', ' ']).nth(6).expect("a name");
                assert!(
                    name.starts_with("archive") || name.starts_with("history"),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn the_keyspace_is_in_one_datacenter_or_in_all() {
        let all = keyspace(&settings(None), false);
        assert!(
            all.ends_with("'NetworkTopologyStrategy', 'replication_factor': 3}"),
            "{all}"
        );
        let one = keyspace(&settings(Some("east")), true);
        assert!(
            one.contains("'east': 3}") && one.ends_with("tablets = {'enabled': false}"),
            "{one}"
        );
    }

    #[test]
    fn tablets_are_off_only_on_scylladb_that_has_them_without_compare_and_set() {
        for (version, off) in [
            (None, false),
            (Some("5.4.9"), false),
            (Some("6.0.0"), true),
            (Some("6.2.3-0.20250119"), true),
            (Some("2024.1.9"), false),
            (Some("2024.2.0"), true),
            (Some("2025.1.0~rc1-0.2025"), true),
            (Some("2025.3.9"), true),
            (Some("2025.4.0"), false),
            (Some("2026.1.0"), false),
            (Some("unknown"), false),
        ] {
            assert_eq!(needs_tablets_off(version), off, "{version:?}");
        }
    }
}
