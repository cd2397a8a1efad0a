//! A server on its own: every shard is here, on this machine's disk.

use std::time::Duration;

use super::recover::recover_all;
use super::{Base, Commit, Parts};
use crate::config::Durability;
use crate::domain::username::ShardId;
use crate::shard::clock::Clock;
use crate::shard::commit::Pause;
use crate::shard::host::Gate;
use crate::shard::hosts::Hosts;
use crate::store::claims::Claims;
use crate::store::local::{LocalOptions, LocalStores};

/// With answers after the commit: a sync costs as much CPU as tens of requests, so after a group of
/// several records the next one is given time to fill, the more the busier it is.
const PAUSE_GATED: Pause = Pause {
    per_record: Duration::from_micros(16),
    longest: Duration::from_millis(1),
};

/// With answers before the commit: about how much a crash may lose.
const PAUSE_UNGATED: Pause = Pause {
    per_record: Duration::from_millis(40),
    longest: Duration::from_millis(40),
};

/// Recovers everything, then serves until it is told to stop.
///
/// # Errors
/// What kept it from starting.
pub fn run(base: &Base) -> anyhow::Result<()> {
    let (settings, metrics) = (&base.settings, &base.metrics);
    let stores = LocalStores::open(&settings.data_dir, LocalOptions::default())?;
    base.serve_admin()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let all = ShardId::all().collect::<Vec<_>>();
    let epochs = runtime.block_on(stores.claims.claim(&all))?;
    let recovered = recover_all(&stores.journal, settings.workers, &base.usage)?;
    metrics.unread.set(recovered.unread as i64);
    metrics.recovery_seconds.set(recovered.took.as_secs_f64());
    metrics.torn_tails.inc_by(stores.journal.torn_tails());
    tracing::info!(
        epoch = epochs.iter().map(|epoch| epoch.0).max(),
        unread = recovered.unread,
        took_ms = recovered.took.as_millis() as u64,
        "recovered the journal"
    );
    let (gate, pause) = match settings.durability {
        Durability::Committed => (Gate::Commit, PAUSE_GATED),
        Durability::Memory => (Gate::Open, PAUSE_UNGATED),
    };
    let parts = Parts {
        base,
        journal: stores.journal.clone(),
        archive: stores.archive.clone(),
        clock: Clock::start(recovered.high_water.at),
        hosts: Hosts::new(settings.workers),
        gate,
        commit: Commit::Apart(pause),
        shared: None,
        losses: None,
    };
    parts.serve(recovered.shards)
}
