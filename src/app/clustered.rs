//! A node among others: its shards come and go, on stores that all nodes reach.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use cluster::member::Generation;
use cluster::ownership::claim::Claimant;
use cluster::peer::counters::ClientCounters;
use cluster::peer::identity::{Identity, Secret};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Base, Commit, Parts};
use crate::config::cluster::ClusterSettings;
use crate::domain::time::UnixMs;
use crate::node::detours::Detours;
use crate::node::forward::Shared;
use crate::node::start::{NodeParts, start};
use crate::shard::clock::Clock;
use crate::shard::commit::Pause;
use crate::shard::host::Gate;
use crate::shard::hosts::Hosts;
use crate::store::scylla::ScyllaStores;

/// Who was answered just now asks again soon. To begin the next group without them would make two halves
/// of those who ask, each of which waits for the other: so a group of several records is followed by a
/// pause, shorter than a call of the store takes.
const PAUSE: Pause = Pause {
    per_record: Duration::from_micros(100),
    longest: Duration::from_millis(2),
};

/// A secret that is shorter can be guessed.
const SECRET_BYTES_MIN: usize = 16;

/// Joins the others, then serves until it is told to stop.
///
/// # Errors
/// What kept it from starting.
pub fn run(base: &Base, cluster: ClusterSettings) -> anyhow::Result<()> {
    let settings = &base.settings;
    let scylla = settings.scylla.as_ref();
    let scylla = scylla.ok_or_else(|| anyhow!("--redis: needs --scylla"))?;
    let secret = secret(cluster.secret_file.as_deref())?;
    let generation = Generation(Uuid::now_v7());
    let address = cluster.advertise.to_string();
    let me = Claimant {
        node: generation,
        address: address.clone(),
    };
    let counted = base.metrics.cluster.stores.clone();
    // First: the stores may have no majority for a while, and a probe of liveness looks at no store.
    base.serve_admin()?;
    let stores = Arc::new(ScyllaStores::open(scylla, me, Some(counted))?);
    let identity = Identity::new(&scylla.cluster_name, generation, &address, secret)?;
    let shared = Arc::new(Shared {
        address: address.into(),
        hosts: Hosts::new(settings.workers),
        routing: Arc::default(),
        detours: Detours::default(),
        identity: Arc::new(identity.clone()),
        counters: Arc::new(ClientCounters::default()),
        metrics: base.metrics.clone(),
        request_timeout: settings.request_timeout,
    });
    let clock = Clock::start(UnixMs::default());
    let (lost, losses) = mpsc::unbounded_channel();
    let name = scylla.cluster_name.parse();
    let node = start(NodeParts {
        redis: cluster.redis,
        cluster: name.context("--cluster-name")?,
        node: cluster.node,
        generation,
        advertise: cluster.advertise,
        listen: cluster.peer_listen,
        expect_members: cluster.expect_members,
        stores: stores.clone(),
        shared: shared.clone(),
        identity,
        clock,
        usage: base.usage.clone(),
        losses,
    })?;
    tracing::info!(%generation, peers = %shared.address, "joining the cluster");
    base.node.get_or_init(|| node);
    let parts = Parts {
        base,
        journal: stores.journal.clone(),
        archive: stores.archive.clone(),
        clock,
        hosts: shared.hosts.clone(),
        gate: Gate::Fence,
        commit: Commit::On(stores.runtime(), PAUSE),
        shared: Some(shared),
        losses: Some(lost),
    };
    let none = std::iter::repeat_with(Vec::new).take(settings.workers);
    parts.serve(none.collect())
}

/// The secret that all nodes know, without the line end that editors add.
fn secret(file: Option<&Path>) -> anyhow::Result<Secret> {
    let Some(path) = file else {
        tracing::warn!("without --cluster-secret-file whoever reaches --peer-listen is a peer");
        return Ok(Secret::none());
    };
    let read = std::fs::read(path);
    let bytes = read.with_context(|| format!("--cluster-secret-file {}", path.display()))?;
    let secret = bytes.trim_ascii_end();
    if secret.len() < SECRET_BYTES_MIN {
        bail!(
            "--cluster-secret-file {}: holds fewer than {SECRET_BYTES_MIN} bytes; write a longer secret",
            path.display()
        );
    }
    Ok(Secret::new(secret))
}
