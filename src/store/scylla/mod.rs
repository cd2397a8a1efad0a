//! The stores of a cluster, on ScyllaDB (or Cassandra): claims, journals and archive as tables.
//!
//! The rules are those of `cluster::ownership`, the bytes and tables are in `docs/FORMAT.md`, the
//! reasons in ADR-0004. Every statement has its consistency from one setting, every call a time-out,
//! and all IO is done on threads of its own (`background`).

pub mod error;

pub mod statement;

pub mod connect;

pub mod session;

mod rows;

pub mod schema;

pub mod meta;

mod chain;

pub mod claim_table;

pub mod fence_table;

pub mod frame;

pub mod frame_table;

mod frame_writer;

#[cfg(debug_assertions)]
pub mod failpoint;

mod background;

mod health;

mod node;

mod patience;

mod seat;

mod reading;

mod effects;

mod claims;

mod journal;

mod packing;

mod history;

mod archive_row;

mod archive;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::ownership::claim::Claimant;

use super::StoreError;
use crate::config::scylla::ScyllaSettings;
use crate::metrics::StoreMetrics;
pub use archive::ScyllaArchive;
use background::Background;
pub use claims::{Owners, Released, ScyllaClaims};
use connect::Purpose;
use error::{CqlError, ScyllaError};
pub use journal::ScyllaJournal;
use node::Node;
use schema::SchemaOptions;
use session::Cql;
use tokio::runtime::Handle;

/// How long after its begin a start whose calls fail, though a server was reached, is tried again: as long
/// as a replica takes to come back.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// How long after a start that failed the next is tried.
const START_PAUSE: Duration = Duration::from_secs(1);

/// The three stores of a keyspace, as one node sees them.
pub struct ScyllaStores {
    /// Takes shards and gives them away.
    pub claims: ScyllaClaims,
    /// What happened.
    pub journal: Arc<ScyllaJournal>,
    /// What ended.
    pub archive: Arc<ScyllaArchive>,
    on: Arc<Background>,
}

impl ScyllaStores {
    /// Connects, compares the schema with the settings, and tries a compare-and-set, for up to 30 s
    /// while the store has no majority. Nothing is claimed yet. `me` is one start of one node, and never
    /// used again. Calls are counted in `metrics`, if there are any.
    ///
    /// # Errors
    /// [`ScyllaError`], each one line that says what to do.
    pub fn open(
        settings: &ScyllaSettings,
        me: Claimant,
        metrics: Option<StoreMetrics>,
    ) -> Result<ScyllaStores, StoreError> {
        let on = Arc::new(start()?);
        let settings = settings.clone();
        let (claims, journal, archive) = on.block_on({
            let on = on.clone();
            async move {
                let mut patience = StartPatience::begin();
                let cql = loop {
                    match Cql::connect(&settings, Purpose::Serve, metrics.clone()).await {
                        Ok(cql) => break Arc::new(cql),
                        Err(error) => patience.after(error).await?,
                    }
                };
                patience.is_reached = true;
                let meta = loop {
                    match meta::check(&cql, &settings).await {
                        Ok(meta) => break meta,
                        Err(error) => patience.after(error).await?,
                    }
                };
                let unfit = ScyllaError::of("cannot prepare a statement");
                let node = Node::new(cql.clone(), me, meta.segment_frames).await;
                let node = Arc::new(node.map_err(unfit)?);
                let archive = ScyllaArchive::open(cql, meta.bucket, on.clone()).await;
                Ok::<_, ScyllaError>((
                    ScyllaClaims::new(node.clone(), on.clone()),
                    ScyllaJournal::new(node, on),
                    archive.map_err(unfit)?,
                ))
            }
        })?;
        Ok(ScyllaStores {
            claims,
            journal: Arc::new(journal),
            archive: Arc::new(archive),
            on,
        })
    }

    /// Where all calls of the stores are made: who does nothing but wait for them is best there, too.
    pub fn runtime(&self) -> Handle {
        self.on.handle()
    }
}

/// Makes keyspace and tables where they are missing, for up to 30 s while the store has no majority;
/// tells whether they are new.
///
/// # Errors
/// As [`meta::apply`].
pub fn apply_schema(settings: &ScyllaSettings, options: SchemaOptions) -> Result<bool, StoreError> {
    let on = start()?;
    let settings = settings.clone();
    let applied = on.block_on(async move {
        let mut patience = StartPatience::begin();
        loop {
            match meta::apply(&settings, &options).await {
                Ok(is_new) => break Ok::<_, ScyllaError>(is_new),
                Err(error) => patience.after(error).await?,
            }
        }
    })?;
    Ok(applied)
}

/// The patience of one start. A cluster that starts as a whole, or loses a replica just now, has a
/// majority in a moment; an address where nobody is, and all that is wrong for good, is told at once.
struct StartPatience {
    ends: Instant,
    is_reached: bool,
}

impl StartPatience {
    fn begin() -> StartPatience {
        StartPatience {
            ends: Instant::now() + START_PATIENCE,
            is_reached: false,
        }
    }

    /// Waits before the next try, if there is one after this error.
    async fn after(&mut self, error: ScyllaError) -> Result<(), ScyllaError> {
        let is_moment = match &error {
            ScyllaError::Call { source, .. } => match source {
                CqlError::Ambiguous(_) | CqlError::Silent(_) => true,
                CqlError::NotSent(_) => self.is_reached,
                CqlError::Refused(_) | CqlError::Unreadable { .. } => false,
            },
            _ => false,
        };
        if !is_moment || Instant::now() >= self.ends {
            return Err(error);
        }
        self.is_reached = true;
        tracing::warn!(%error, "the store has no answer yet; trying again");
        tokio::time::sleep(START_PAUSE).await;
        Ok(())
    }
}

fn start() -> Result<Background, StoreError> {
    Background::start().map_err(|source| StoreError::Io {
        action: "cannot start threads for",
        path: "ScyllaDB".into(),
        source,
    })
}
