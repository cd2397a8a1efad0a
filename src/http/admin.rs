//! The admin port: metrics and probes. Nothing of the public API is here.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, web};

use crate::metrics::Metrics;
use crate::node::view::{Drain, NodeHandle};
use crate::shard::usage::Usage;

/// How far the process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Recovering; the public port is not yet bound.
    Starting = 0,
    /// Serving.
    Serving = 1,
    /// Still serving, but no new clients should come.
    Draining = 2,
}

/// The phase, as probes see it.
#[derive(Debug, Default)]
pub struct Lifecycle(AtomicU8);

impl Lifecycle {
    /// Enters a phase.
    pub fn enter(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::SeqCst);
    }

    /// Enters [`Phase::Serving`], unless it drains already.
    pub fn serve(&self) {
        let (from, to) = (Phase::Starting as u8, Phase::Serving as u8);
        let _ = self
            .0
            .compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// The phase now.
    pub fn phase(&self) -> Phase {
        match self.0.load(Ordering::SeqCst) {
            0 => Phase::Starting,
            1 => Phase::Serving,
            _ => Phase::Draining,
        }
    }
}

/// What the admin port tells of.
#[derive(Debug)]
pub struct Admin {
    /// The phase of the process.
    pub lifecycle: Arc<Lifecycle>,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// Memory and keys, read when metrics are.
    pub usage: Arc<Usage>,
    /// The node, once it has started, where there are others.
    pub node: Arc<OnceLock<NodeHandle>>,
}

/// Registers the resources of the admin port.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/metrics", web::get().to(metrics))
        .route("/cluster", web::get().to(cluster))
        .route("/drain", web::post().to(drain))
        .route("/livez", web::get().to(async || ok("ok")))
        .route("/readyz", web::get().to(ready))
        .route("/startupz", web::get().to(started));
}

async fn metrics(admin: web::Data<Admin>) -> HttpResponse {
    let (bytes, keys) = admin.usage.now();
    admin.metrics.memory_bytes.set(bytes as i64);
    admin.metrics.keys.set(keys as i64);
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    HttpResponse::Ok()
        .content_type(content_type)
        .body(admin.metrics.render())
}

/// The cluster as this node sees it.
async fn cluster(admin: web::Data<Admin>) -> HttpResponse {
    let Some(node) = admin.node.get() else {
        return no_cluster(&admin);
    };
    match node.view().await {
        Some(view) => HttpResponse::Ok().json(view),
        None => unavailable("stopping"),
    }
}

/// Has the node hand every shard over; it goes on forwarding until it is stopped.
async fn drain(admin: web::Data<Admin>) -> HttpResponse {
    let Some(node) = admin.node.get() else {
        return no_cluster(&admin);
    };
    admin.lifecycle.enter(Phase::Draining);
    match node.drain().await {
        Some(Drain { left }) => HttpResponse::Accepted()
            .insert_header(ContentType::plaintext())
            .body(format!("draining; {left} shards left")),
        None => unavailable("stopping"),
    }
}

fn no_cluster(admin: &Admin) -> HttpResponse {
    if admin.lifecycle.phase() == Phase::Starting {
        return unavailable("starting");
    }
    HttpResponse::NotFound()
        .insert_header(ContentType::plaintext())
        .body("this server is alone; start it with --redis and --scylla for a cluster")
}

async fn ready(admin: web::Data<Admin>) -> HttpResponse {
    match admin.lifecycle.phase() {
        Phase::Starting => unavailable("starting"),
        Phase::Serving => ok("ok"),
        Phase::Draining => unavailable("draining"),
    }
}

async fn started(admin: web::Data<Admin>) -> HttpResponse {
    match admin.lifecycle.phase() {
        Phase::Starting => unavailable("starting"),
        Phase::Serving | Phase::Draining => ok("ok"),
    }
}

fn ok(text: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(ContentType::plaintext())
        .body(text)
}

fn unavailable(text: &'static str) -> HttpResponse {
    HttpResponse::ServiceUnavailable()
        .insert_header(ContentType::plaintext())
        .body(text)
}
