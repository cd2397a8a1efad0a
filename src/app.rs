//! The composition root: the only file that names every concrete part. Builds the service, runs it,
//! and drains it.

mod drain;
mod recover;

use std::cell::Cell;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App, HttpServer, web};
use anyhow::{Context, anyhow};

use crate::config::{Durability, Settings};
use crate::http::admin::{self, Admin, Lifecycle};
use crate::http::api::Api;
use crate::http::routes;
use crate::http::traffic::Traffic;
use crate::metrics::Metrics;
use crate::service::Service;
use crate::shard::clock::Clock;
use crate::shard::commit::{Committer, Pause};
use crate::shard::flush::Archiver;
use crate::shard::host::{Gate, Seat, ShardHost};
use crate::shard::hosts::Hosts;
use crate::shard::usage::Usage;
use crate::shard::value::Shard;
use crate::store::claims::Claims;
use crate::store::local::{LocalArchive, LocalJournal, LocalOptions, LocalStores};

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may be idle between requests.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Open connections per worker; more wait in the backlog.
const CONNECTIONS_PER_WORKER_MAX: usize = 25_000;

/// With answers after the commit: a sync costs as much CPU as tens of requests, so after a group of
/// several records the next one is given time to fill, the more the busier it is.
const PAUSE_GATED: Pause = Pause {
    per_record: Duration::from_micros(16),
    longest: Duration::from_millis(1),
};

/// With answers before the commit: about how much a crash may lose.
const PAUSE_UNGATED: Pause = Pause {
    per_record: Duration::from_millis(10),
    longest: Duration::from_millis(10),
};

/// Runs the service until it is told to stop.
///
/// # Errors
/// What kept it from starting.
pub fn run(settings: Settings) -> anyhow::Result<()> {
    exit_on_panic();
    raise_open_files_limit();
    let metrics = Arc::new(Metrics::new());
    let lifecycle = Arc::new(Lifecycle::default());
    let keys_max = settings.idempotency_keys_max as u64;
    let usage = Arc::new(Usage::new(settings.memory_limit_bytes, keys_max));
    let stores = LocalStores::open(&settings.data_dir, LocalOptions::default())?;
    let admin = Admin {
        lifecycle: lifecycle.clone(),
        metrics: metrics.clone(),
        usage: usage.clone(),
    };
    serve_admin(&settings, admin)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let all = crate::domain::username::ShardId::all().collect::<Vec<_>>();
    let epochs = runtime.block_on(stores.claims.claim(&all))?;
    let recovered = recover::recover_all(&stores.journal, settings.workers, &usage)?;
    metrics.unread.set(recovered.unread as i64);
    metrics.recovery_seconds.set(recovered.took.as_secs_f64());
    metrics.torn_tails.inc_by(stores.journal.torn_tails());
    tracing::info!(
        epoch = epochs.iter().map(|epoch| epoch.0).max(),
        unread = recovered.unread,
        took_ms = recovered.took.as_millis() as u64,
        "recovered the journal"
    );
    let clock = Clock::start(recovered.high_water.at);
    let parts = Parts {
        settings: &settings,
        stores: &stores,
        metrics,
        usage,
        clock,
        lifecycle,
        traffic: Arc::new(Traffic::new(settings.workers)),
    };
    let committer = parts.start_committer()?;
    let server = parts.public_server(recovered.shards, &committer)?;
    let stopped = actix_web::rt::System::new().block_on(async {
        let server = server.build(&settings)?;
        tracing::info!(address = %settings.listen, admin = %settings.admin_listen, "serving");
        drain::serve_until_stopped(server, &settings, &parts).await
    });
    committer.stop();
    stopped
}

/// What the parts of the service are built from.
struct Parts<'a> {
    settings: &'a Settings,
    stores: &'a LocalStores,
    metrics: Arc<Metrics>,
    usage: Arc<Usage>,
    clock: Clock,
    lifecycle: Arc<Lifecycle>,
    traffic: Arc<Traffic>,
}

/// Everything that an HTTP worker takes with it when it starts.
#[derive(Clone)]
struct PublicServer {
    hosts: Hosts,
    service: Service<LocalArchive>,
    metrics: Arc<Metrics>,
    limits: Arc<crate::domain::limits::Limits>,
    is_for_loopback: bool,
    seats: Arc<Mutex<Vec<Option<WorkerSeat>>>>,
    lifecycle: Arc<Lifecycle>,
    traffic: Arc<Traffic>,
}

type WorkerSeat = (Seat<LocalJournal>, Vec<Shard>);

impl Parts<'_> {
    fn start_committer(&self) -> anyhow::Result<Committer> {
        let pause = match self.settings.durability {
            Durability::Committed => PAUSE_GATED,
            Durability::Memory => PAUSE_UNGATED,
        };
        let journal = self.stores.journal.clone();
        let committer = Committer::start(journal, self.settings.workers, pause, |error| {
            tracing::error!(%error, "the journal cannot be written; stopping, so that nothing unwritten is answered");
            std::process::exit(1);
        });
        committer.context("cannot start the committer")
    }

    fn public_server(
        &self,
        shards: Vec<Vec<Shard>>,
        committer: &Committer,
    ) -> anyhow::Result<PublicServer> {
        let settings = self.settings;
        let limits = Arc::new(settings.limits.clone());
        let archive = self.stores.archive.clone();
        let archiver = Archiver::start(archive, settings.archive_retention, self.metrics.clone());
        let archiver = archiver.context("cannot start the archiver")?;
        let seat = |worker| Seat {
            clock: self.clock,
            limits: limits.clone(),
            usage: self.usage.clone(),
            staging: committer.staging(worker),
            journal: self.stores.journal.clone(),
            archiver: archiver.clone(),
            metrics: self.metrics.clone(),
            gate: match settings.durability {
                Durability::Committed => Gate::Commit,
                Durability::Memory => Gate::Open,
            },
            request_timeout: settings.request_timeout,
        };
        let seats = shards.into_iter().enumerate();
        let seats = seats
            .map(|(worker, shards)| Some((seat(worker), shards)))
            .collect();
        let hosts = Hosts::new(settings.workers);
        Ok(PublicServer {
            service: Service::new(hosts.clone(), self.stores.archive.clone()),
            hosts,
            metrics: self.metrics.clone(),
            limits: limits.clone(),
            is_for_loopback: settings.listen.ip().to_canonical().is_loopback()
                && !settings.insecure_open,
            seats: Arc::new(Mutex::new(seats)),
            lifecycle: self.lifecycle.clone(),
            traffic: self.traffic.clone(),
        })
    }
}

impl PublicServer {
    /// Binds the public port and starts the workers, each with its host of shards.
    fn build(self, settings: &Settings) -> anyhow::Result<Server> {
        let next_worker = Arc::new(AtomicUsize::new(0));
        let drain = settings
            .drain_timeout
            .saturating_sub(settings.drain_announce);
        let factory = move || {
            let worker = self.start_host(&next_worker);
            let (limits, metrics) = (self.limits.clone(), self.metrics.clone());
            let api = Api::new(
                self.service.clone(),
                limits,
                metrics,
                self.traffic.clone(),
                self.is_for_loopback,
                worker,
            );
            App::new()
                .app_data(web::Data::new(api))
                .configure(routes::configure::<LocalArchive>)
        };
        let server = HttpServer::new(factory)
            .workers(settings.workers)
            .max_connections(CONNECTIONS_PER_WORKER_MAX)
            .client_request_timeout(HEAD_TIMEOUT)
            .keep_alive(KEEP_ALIVE)
            .shutdown_timeout(drain.as_secs().max(1))
            .disable_signals()
            .bind(settings.listen)
            .with_context(|| {
                format!(
                    "cannot listen on {}; free it or give another --listen",
                    settings.listen
                )
            })?;
        Ok(server.run())
    }

    /// Starts the host of this thread's shards, once, and tells the number of the worker. The
    /// factory around this runs once per listener.
    fn start_host(&self, next_worker: &AtomicUsize) -> usize {
        thread_local! {
            static WORKER: Cell<Option<usize>> = const { Cell::new(None) };
        }
        if let Some(worker) = WORKER.get() {
            return worker;
        }
        let worker = next_worker.fetch_add(1, Ordering::SeqCst);
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let seat = seats.get_mut(worker).and_then(Option::take);
        let (seat, shards) = seat.expect("a worker starts once; a fault ends the process");
        let host = ShardHost::start_here(seat, shards);
        self.hosts
            .set(worker, host.clone().recipient(), host.recipient());
        if self.hosts.are_started() {
            self.lifecycle.serve();
        }
        WORKER.set(Some(worker));
        worker
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
