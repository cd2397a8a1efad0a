//! The composition root: with its parts in `app/` the only place that names every concrete part. Builds
//! the service, runs it, and drains it.

mod alone;
mod clustered;
mod drain;
mod public;
mod recover;

use std::net::TcpListener;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix_web::{App, HttpServer, web};
use anyhow::{Context, anyhow};

use crate::config::Settings;
use crate::http::admin::{self, Admin, Lifecycle};
use crate::http::traffic::Traffic;
use crate::metrics::Metrics;
use crate::node::forward::Shared;
use crate::node::view::NodeHandle;
use crate::shard::clock::Clock;
use crate::shard::commit::{Committer, Pause};
use crate::shard::host::Gate;
use crate::shard::hosts::Hosts;
use crate::shard::moves::Losses;
use crate::shard::usage::Usage;
use crate::shard::value::Shard;
use crate::store::StoreError;
use crate::store::archive::Archive;
use crate::store::journal::Journal;
use public::PublicServer;

/// How long the last commit may take at least, after all the time to drain was used up.
const COMMIT_TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// Runs the service until it is told to stop.
///
/// # Errors
/// What kept it from starting.
pub fn run(settings: Settings) -> anyhow::Result<()> {
    exit_on_panic();
    raise_open_files_limit();
    let base = Base::new(settings);
    match base.settings.cluster.clone() {
        None => alone::run(&base),
        Some(cluster) => clustered::run(&base, cluster),
    }
}

/// What every server has, whatever its stores.
struct Base {
    settings: Settings,
    metrics: Arc<Metrics>,
    usage: Arc<Usage>,
    lifecycle: Arc<Lifecycle>,
    traffic: Arc<Traffic>,
    node: Arc<OnceLock<NodeHandle>>,
}

impl Base {
    fn new(settings: Settings) -> Base {
        let keys_max = settings.idempotency_keys_max as u64;
        Base {
            metrics: Arc::new(Metrics::new()),
            usage: Arc::new(Usage::new(settings.memory_limit_bytes, keys_max)),
            lifecycle: Arc::new(Lifecycle::default()),
            traffic: Arc::new(Traffic::new(settings.workers)),
            node: Arc::new(OnceLock::new()),
            settings,
        }
    }

    fn serve_admin(&self) -> anyhow::Result<()> {
        let admin = Admin {
            lifecycle: self.lifecycle.clone(),
            metrics: self.metrics.clone(),
            usage: self.usage.clone(),
            node: self.node.clone(),
        };
        serve_admin(&self.settings, admin)
    }
}

/// What the service is built from.
struct Parts<'a, J, A> {
    base: &'a Base,
    journal: Arc<J>,
    archive: Arc<A>,
    clock: Clock,
    hosts: Hosts,
    gate: Gate,
    commit: Commit,
    /// What the workers of a node of a cluster share.
    shared: Option<Arc<Shared>>,
    losses: Option<Losses>,
}

/// Where groups are committed.
enum Commit {
    /// On a thread of its own, which pauses between groups.
    Apart(Pause),
    /// Among the tasks of the store.
    On(tokio::runtime::Handle, Pause),
}

impl<J: Journal, A: Archive> Parts<'_, J, A> {
    /// Serves until it is told to stop, beginning with these shards by worker.
    fn serve(self, shards: Vec<Vec<Shard>>) -> anyhow::Result<()> {
        let settings = &self.base.settings;
        let committer = self.start_committer()?;
        let server = PublicServer::new(&self, shards, &committer)?;
        let stopped = actix_web::rt::System::new().block_on(async {
            let server = server.build(settings)?;
            tracing::info!(address = %settings.listen, admin = %settings.admin_listen, "serving");
            drain::serve_until_stopped(server, self.base, self.clock).await
        });
        let left = stopped.as_ref().copied().unwrap_or(COMMIT_TIMEOUT_MIN);
        // While the store of a cluster is away a commit waits for it. What was not answered by now is in
        // doubt, and the next owner finds it or not.
        if !self.journal.is_away() && !committer.stop(left.max(COMMIT_TIMEOUT_MIN)) {
            tracing::error!(
                "stopping without the last commit, which the store did not take in time"
            );
        }
        stopped.map(drop)
    }

    fn start_committer(&self) -> anyhow::Result<Committer> {
        let (journal, workers) = (self.journal.clone(), self.base.settings.workers);
        let failed = |error: StoreError| {
            tracing::error!(%error, "the journal cannot be written; stopping, so that nothing unwritten is answered");
            std::process::exit(1);
        };
        match &self.commit {
            Commit::Apart(pause) => Committer::start(journal, workers, *pause, failed)
                .context("cannot start the committer"),
            Commit::On(runtime, pause) => {
                let committer = Committer::start_on(runtime, journal, workers, *pause, failed);
                Ok(committer)
            }
        }
    }
}

/// Serves metrics and probes from a thread of their own, from before the recovery to the end.
fn serve_admin(settings: &Settings, admin: Admin) -> anyhow::Result<()> {
    let address = settings.admin_listen;
    let listener = TcpListener::bind(address).with_context(|| {
        format!("cannot listen on {address}; free it or give another --admin-listen")
    })?;
    let admin = web::Data::new(admin);
    let serve = move || -> std::io::Result<()> {
        let factory = move || {
            App::new()
                .app_data(admin.clone())
                .configure(admin::configure)
        };
        actix_web::rt::System::new().block_on(async {
            HttpServer::new(factory)
                .workers(1)
                .disable_signals()
                .listen(listener)?
                .run()
                .await
        })
    };
    let thread = std::thread::Builder::new().name("admin".into());
    thread
        .spawn(move || {
            if let Err(error) = serve() {
                tracing::error!(%error, "the admin port failed");
            }
        })
        .map_err(|error| anyhow!("cannot start the admin port: {error}"))?;
    Ok(())
}

/// A panic anywhere ends the process: memory may then be ahead of what was told to anyone, and a
/// restart is always right.
fn exit_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(%panic, "stopping after a broken invariant; please report this");
        std::process::exit(1);
    }));
}

/// Allows as many open files as the system lets this process have: each connection is one.
fn raise_open_files_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, allowed = limit.current, "cannot raise the limit of open files");
    }
}
