//! The public server: HTTP workers, each with its host of shards and its way to all others.

use std::any::Any;
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::rt::net::TcpStream;
use actix_web::{App, HttpServer, web};
use anyhow::Context;

use super::Parts;
use crate::config::Settings;
use crate::domain::limits::Limits;
use crate::http::admin::Lifecycle;
use crate::http::api::Api;
use crate::http::routes;
use crate::http::traffic::Traffic;
use crate::metrics::Metrics;
use crate::node::forward::{Forward, Shared};
use crate::service::{Service, Way};
use crate::shard::commit::Committer;
use crate::shard::flush::{Archiver, Pace};
use crate::shard::host::{Gate, Seat, SharedHost};
use crate::shard::hosts::Hosts;
use crate::shard::keeper::Keeper;
use crate::shard::value::Shard;
use crate::store::archive::Archive;
use crate::store::journal::Journal;

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may be idle between requests.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long a client may take nothing of an answer: what it was delivered is kept until it has it.
const TAKES_NOTHING_MAX: Duration = Duration::from_secs(30);

/// Open connections per worker; more wait in the backlog.
const CONNECTIONS_PER_WORKER_MAX: usize = 25_000;

/// Everything that an HTTP worker takes with it when it starts.
pub struct PublicServer<J, A> {
    hosts: Hosts,
    archive: Arc<A>,
    /// What the workers of a node of a cluster share.
    shared: Option<Arc<Shared>>,
    metrics: Arc<Metrics>,
    limits: Arc<Limits>,
    request_timeout: Duration,
    is_for_loopback: bool,
    seats: Arc<Mutex<Vec<Option<WorkerSeat<J>>>>>,
    lifecycle: Arc<Lifecycle>,
    traffic: Arc<Traffic>,
}

type WorkerSeat<J> = (Seat<J>, Vec<Shard>);

impl<J: Journal, A: Archive> PublicServer<J, A> {
    /// The server of these parts, whose workers begin with these shards.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn new(
        parts: &Parts<'_, J, A>,
        shards: Vec<Vec<Shard>>,
        committer: &Committer,
    ) -> anyhow::Result<PublicServer<J, A>> {
        let base = parts.base;
        let settings = &base.settings;
        let limits = Arc::new(settings.limits.clone());
        let pace = match parts.gate {
            Gate::Fence => Pace::CLUSTER,
            Gate::Open | Gate::Commit => Pace::ALONE,
        };
        let archiver = Archiver::start(
            parts.archive.clone(),
            settings.archive_retention,
            pace,
            parts.clock,
            base.metrics.clone(),
        );
        let archiver = archiver.context("cannot start the archiver")?;
        let seat = |worker| Seat {
            clock: parts.clock,
            limits: limits.clone(),
            usage: base.usage.clone(),
            staging: committer.staging(worker),
            journal: parts.journal.clone(),
            archiver: archiver.clone(),
            metrics: base.metrics.clone(),
            gate: parts.gate,
            request_timeout: settings.request_timeout,
            losses: parts.losses.clone(),
        };
        let seats = shards.into_iter().enumerate();
        let seats = seats
            .map(|(worker, shards)| Some((seat(worker), shards)))
            .collect();
        Ok(PublicServer {
            hosts: parts.hosts.clone(),
            archive: parts.archive.clone(),
            shared: parts.shared.clone(),
            metrics: base.metrics.clone(),
            limits,
            request_timeout: settings.request_timeout,
            is_for_loopback: settings.listen.ip().to_canonical().is_loopback()
                && !settings.insecure_open,
            seats: Arc::new(Mutex::new(seats)),
            lifecycle: base.lifecycle.clone(),
            traffic: base.traffic.clone(),
        })
    }

    /// Binds the public port and starts the workers, each with its host of shards.
    pub fn build(self, settings: &Settings) -> anyhow::Result<Server> {
        let next_worker = Arc::new(AtomicUsize::new(0));
        let drain = settings
            .drain_timeout
            .saturating_sub(settings.drain_announce);
        let server = Arc::new(self);
        let factory = move || {
            let worker = server.start_host(&next_worker);
            App::new()
                .app_data(web::Data::new(server.api(worker)))
                .configure(routes::configure::<A>)
        };
        let server = HttpServer::new(factory)
            .workers(settings.workers)
            .max_connections(CONNECTIONS_PER_WORKER_MAX)
            .client_request_timeout(HEAD_TIMEOUT)
            .keep_alive(KEEP_ALIVE)
            .on_connect(|connection, _| limit_waiting(connection))
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

    fn api(&self, worker: usize) -> Api<A> {
        let way = match &self.shared {
            None => Way::Here(self.hosts.clone()),
            Some(shared) => Way::Cluster(Forward::new(shared.clone())),
        };
        Api::new(
            Service::new(way, self.archive.clone(), self.request_timeout),
            self.limits.clone(),
            self.metrics.clone(),
            self.traffic.clone(),
            self.is_for_loopback,
            worker,
        )
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
        let host = Arc::new(SharedHost::new(seat, shards));
        let keeper = Keeper::start_here(host.clone());
        self.hosts.set(worker, host, keeper.recipient());
        if self.hosts.are_started() {
            self.lifecycle.serve();
        }
        WORKER.set(Some(worker));
        worker
    }
}

/// Has the system end a connection whose client takes nothing for long; without it the connection lasts.
fn limit_waiting(connection: &dyn Any) {
    #[cfg(target_os = "linux")]
    if let Some(stream) = connection.downcast_ref::<TcpStream>() {
        let limit_ms = TAKES_NOTHING_MAX.as_millis() as u32;
        if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(stream, limit_ms) {
            tracing::debug!(%error, "a client may take nothing for as long as it likes");
        }
    }
}
