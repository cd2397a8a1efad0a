//! The end of a process: announced on SIGTERM, at once on Ctrl-C, and immediate on a second signal.

use std::time::{Duration, Instant};

use actix_web::dev::{Server, ServerHandle};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Base;
use crate::http::admin::Phase;
use crate::http::traffic::Traffic;
use crate::node::view::{Drain, NodeHandle};
use crate::shard::clock::Clock;

/// How often the wall clock is compared with the process's.
const CLOCK_INTERVAL: Duration = Duration::from_secs(1);

/// How often the requests under way are counted at the end.
const FINISH_INTERVAL: Duration = Duration::from_millis(2);

/// How often the shards that are left are counted.
const HAND_OVER_INTERVAL: Duration = Duration::from_millis(50);

/// How much of the time to the end handing over may take.
const HAND_OVER_SHARE: f64 = 0.8;

/// How long no request may be under way before the workers stop: a connection that was accepted just
/// before may wait that long for its worker.
const QUIET: Duration = Duration::from_millis(250);

/// A step of the wall clock that is worth a line, in milliseconds.
const CLOCK_STEP_MS: i64 = 5_000;

/// Serves until a signal, then lets requests end; tells how much of the time to drain is left.
pub async fn serve_until_stopped(
    server: Server,
    base: &Base,
    clock: Clock,
) -> anyhow::Result<Duration> {
    let settings = &base.settings;
    let handle = server.handle();
    let mut signals = Signals::install()?;
    let mut serving = actix_web::rt::spawn(server);
    let is_announced = tokio::select! {
        is_announced = signals.first() => is_announced,
        () = watch_clock(base, clock) => false,
        ended = &mut serving => return ended?.map(|()| settings.drain_timeout).map_err(Into::into),
    };
    let started = Instant::now();
    base.lifecycle.enter(Phase::Draining);
    if is_announced {
        let seconds = settings.drain_announce.as_secs_f64();
        tracing::info!(seconds, "draining: serving on while /readyz says no");
        tokio::select! {
            () = tokio::time::sleep(settings.drain_announce) => {}
            () = signals.second() => exit_at_once(),
        }
    }
    let left = settings.drain_timeout.saturating_sub(started.elapsed());
    let end = async {
        if let Some(node) = base.node.get() {
            hand_over(node, left).await;
        }
        tracing::info!("stopping: requests under way are answered");
        let left = settings.drain_timeout.saturating_sub(started.elapsed());
        let _ = tokio::time::timeout(left, finish(&handle, &base.traffic)).await;
        if let Some(node) = base.node.get() {
            node.leave().await;
        }
    };
    tokio::select! {
        () = end => {}
        () = signals.second() => exit_at_once(),
    }
    tracing::info!("stopped");
    Ok(settings.drain_timeout.saturating_sub(started.elapsed()))
}

/// Has every shard handed over, in most of the time that is left; what is still here then fails over.
async fn hand_over(node: &NodeHandle, left: Duration) {
    let until = Instant::now() + left.mul_f64(HAND_OVER_SHARE);
    while let Some(Drain { left: 1.. }) = node.drain().await {
        if Instant::now() >= until {
            tracing::warn!("not every shard was handed over in time; the rest fails over");
            return;
        }
        tokio::time::sleep(HAND_OVER_INTERVAL).await;
    }
}

/// Takes no more connections, lets every request under way be answered, and only then stops the
/// workers: one that is idle would end at once, and its shards with it.
async fn finish(handle: &ServerHandle, traffic: &Traffic) {
    handle.pause().await;
    traffic.close();
    let mut quiet_since = Instant::now();
    while quiet_since.elapsed() < QUIET {
        tokio::time::sleep(FINISH_INTERVAL).await;
        if traffic.under_way() > 0 {
            quiet_since = Instant::now();
        }
    }
    handle.stop(true).await;
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn install() -> std::io::Result<Signals> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Signals {
            terminate,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the first signal and tells whether to announce the end.
    async fn first(&mut self) -> bool {
        tokio::select! {
            _ = self.terminate.recv() => true,
            _ = self.interrupt.recv() => false,
        }
    }

    async fn second(&mut self) {
        self.first().await;
    }
}

/// Everything acknowledged is durable, so nothing is lost by this.
fn exit_at_once() {
    tracing::warn!("stopping at once after a second signal");
    std::process::exit(0);
}

/// Logs and counts steps of the wall clock; never ends.
async fn watch_clock(base: &Base, clock: Clock) {
    let mut known_ms = clock.wall_ahead_ms();
    loop {
        tokio::time::sleep(CLOCK_INTERVAL).await;
        let ahead_ms = clock.wall_ahead_ms();
        if (ahead_ms - known_ms).abs() > CLOCK_STEP_MS {
            base.metrics.clock_steps.inc();
            let step_ms = ahead_ms - known_ms;
            tracing::warn!(
                step_ms,
                "the wall clock was set; deadlines follow it at the next start"
            );
            known_ms = ahead_ms;
        }
    }
}
