//! What a keyspace was made with: applied once, compared at every start.
//!
//! One row of facts that is only ever changed by compare-and-set, so that of two who apply at once
//! one wins and the other compares.

use std::time::Duration;

use scylla::value::{CqlValue, Row};

use super::connect::Purpose;
use super::error::{CqlError, ScyllaError};
use super::rows;
use super::schema::{self, SchemaOptions, VERSION};
use super::session::Cql;
use super::statement::Kind;
use crate::config::scylla::{Scope, ScyllaSettings};
use crate::domain::username::SHARDS;

/// The name of the one row.
const ROW: &str = "cluster";

/// Copies below which a lost machine loses data.
const REPLICATION_SAFE: i32 = 3;

const COLUMNS: &str = "version, cluster_name, shards, scope, datacenter, replication, bucket_ms, \
                       segment_frames, retention_ms";

/// What a keyspace was made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    version: i32,
    cluster_name: String,
    shards: i32,
    scope: String,
    datacenter: String,
    replication: i32,
    /// How long ids are created into one partition of the archive.
    pub bucket: Duration,
    /// Frames of one partition of the journal.
    pub segment_frames: u64,
    /// How long ended messages are kept; `None` is for ever.
    pub retention: Option<Duration>,
}

/// Makes keyspace and tables where they are missing, and tells whether the facts are new. A second
/// run changes nothing.
///
/// # Errors
/// [`ScyllaError::OtherSchema`] when the keyspace was made with other settings; [`ScyllaError::Call`]
/// and [`ScyllaError::Setting`].
pub async fn apply(
    settings: &ScyllaSettings,
    options: &SchemaOptions,
) -> Result<bool, ScyllaError> {
    let failed = ScyllaError::of("cannot apply the schema");
    let cql = Cql::connect(settings, Purpose::Schema, None).await?;
    let version = scylla_version(&cql).await;
    let tablets_off = schema::needs_tablets_off(version.as_deref());
    cql.run(&schema::keyspace(settings, tablets_off))
        .await
        .map_err(failed)?;
    for table in schema::tables(cql.keyspace(), options) {
        cql.run(&table).await.map_err(failed)?;
    }
    let wanted = Meta::of(settings, options);
    let is_new = wanted.insert(&cql).await.map_err(failed)?;
    if !is_new {
        check(&cql, settings).await?;
    }
    Ok(is_new)
}

/// The facts of the keyspace, if they are those of the settings, and if it takes compare-and-sets.
///
/// # Errors
/// [`ScyllaError::NoSchema`], [`ScyllaError::OtherSchema`], [`ScyllaError::NoSwap`], each of which
/// names `mayfly schema apply`; [`ScyllaError::Call`].
pub async fn check(cql: &Cql, settings: &ScyllaSettings) -> Result<Meta, ScyllaError> {
    let found = read(cql).await?;
    let wanted = Meta::of(settings, &found.options());
    let facts = |meta: &Meta| {
        [
            ("version", meta.version.to_string()),
            ("--cluster-name", meta.cluster_name.clone()),
            ("shards", meta.shards.to_string()),
            ("--scylla-scope", meta.scope.clone()),
            ("--scylla-datacenter", named(&meta.datacenter)),
            ("--scylla-replication", meta.replication.to_string()),
        ]
    };
    for ((setting, made), (_, given)) in facts(&found).into_iter().zip(facts(&wanted)) {
        if made != given {
            return Err(ScyllaError::OtherSchema {
                keyspace: String::from(cql.keyspace()),
                setting,
                made,
                given,
            });
        }
    }
    found.try_a_swap(cql).await?;
    if found.replication < REPLICATION_SAFE {
        tracing::warn!(
            replication = found.replication,
            "the keyspace has fewer than 3 copies: a lost machine loses messages, or stops the service"
        );
    }
    Ok(found)
}

impl Meta {
    fn of(settings: &ScyllaSettings, options: &SchemaOptions) -> Meta {
        let scope = match settings.scope {
            Scope::Global => "global",
            Scope::Local => "local",
        };
        Meta {
            version: VERSION,
            cluster_name: settings.cluster_name.clone(),
            shards: SHARDS as i32,
            scope: String::from(scope),
            datacenter: settings.datacenter.clone().unwrap_or_default(),
            replication: settings.replication as i32,
            bucket: options.bucket,
            segment_frames: options.segment_frames,
            retention: options.retention,
        }
    }

    fn options(&self) -> SchemaOptions {
        SchemaOptions {
            retention: self.retention,
            bucket: self.bucket,
            segment_frames: self.segment_frames,
        }
    }

    /// Inserts the row, and tells whether there was none.
    async fn insert(&self, cql: &Cql) -> Result<bool, CqlError> {
        let text = format!(
            "INSERT INTO {{}}meta (name, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS"
        );
        let insert = cql.prepare(Kind::Swap, &text).await?;
        let retention_ms = self.retention.map_or(0, ms_of);
        let values = (
            ROW,
            self.version,
            &self.cluster_name,
            self.shards,
            &self.scope,
            &self.datacenter,
            self.replication,
            ms_of(self.bucket),
            self.segment_frames as i64,
            retention_ms,
        );
        rows::is_applied("meta", cql.execute(&insert, values).await?)
    }

    /// Sets the version to itself: a keyspace that takes no compare-and-sets says so here.
    async fn try_a_swap(&self, cql: &Cql) -> Result<(), ScyllaError> {
        let no_swap = |source| ScyllaError::NoSwap {
            keyspace: String::from(cql.keyspace()),
            source,
        };
        let text = "UPDATE {}meta SET version = ? WHERE name = ? IF version = ?";
        let values = (self.version, ROW, self.version);
        let tried = async {
            let swap = cql.prepare(Kind::Swap, text).await?;
            cql.execute(&swap, values).await
        };
        match tried.await {
            Ok(_) => Ok(()),
            Err(refused @ CqlError::Refused(_)) => Err(no_swap(refused)),
            Err(error) => Err(ScyllaError::of("cannot try a compare-and-set")(error)),
        }
    }
}

async fn read(cql: &Cql) -> Result<Meta, ScyllaError> {
    let missing = |what: String| ScyllaError::NoSchema {
        keyspace: String::from(cql.keyspace()),
        what,
    };
    let text = format!("SELECT {COLUMNS} FROM {{}}meta WHERE name = ?");
    let failed = ScyllaError::of("cannot read what the keyspace was made with");
    let select = match cql.prepare(Kind::SerialRead, &text).await {
        Err(refused @ CqlError::Refused(_)) => return Err(missing(refused.to_string())),
        prepared => prepared.map_err(failed)?,
    };
    let result = cql.execute(&select, (ROW,)).await.map_err(failed)?;
    type Facts = (i32, String, i32, String, String, i32, i64, i64, i64);
    let facts = rows::first::<Facts>("meta", result).map_err(failed)?;
    let facts = facts.ok_or_else(|| missing(String::from("its facts are missing")))?;
    let (version, cluster_name, shards, scope, datacenter, replication, bucket, frames, retention) =
        facts;
    Ok(Meta {
        version,
        cluster_name,
        shards,
        scope,
        datacenter,
        replication,
        bucket: Duration::from_millis(bucket.max(1) as u64),
        segment_frames: frames.max(1) as u64,
        retention: (retention > 0).then(|| Duration::from_millis(retention as u64)),
    })
}

/// The version of ScyllaDB; `None` for Cassandra, which has no such table.
async fn scylla_version(cql: &Cql) -> Option<String> {
    let text = "SELECT version FROM system.versions WHERE key = 'local'";
    let result = cql.run(text).await.ok()?.into_rows_result().ok()?;
    let row = result.maybe_first_row::<Row>().ok()??;
    match row.columns.into_iter().next()?? {
        CqlValue::Text(version) => Some(version),
        _ => None,
    }
}

fn named(datacenter: &str) -> String {
    String::from(match datacenter {
        "" => "none",
        name => name,
    })
}

fn ms_of(duration: Duration) -> i64 {
    duration.as_millis() as i64
}
