//! The end of a process: announced on SIGTERM, at once on Ctrl-C, and immediate on a second signal.

use std::time::{Duration, Instant};

use actix_web::dev::{Server, ServerHandle};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Parts;
use crate::config::Settings;
use crate::http::admin::Phase;
use crate::http::traffic::Traffic;

/// How often the wall clock is compared with the process's.
const CLOCK_INTERVAL: Duration = Duration::from_secs(1);

/// How often the requests under way are counted at the end.
const FINISH_INTERVAL: Duration = Duration::from_millis(2);

/// How long no request may be under way before the workers stop: a connection that was accepted just
/// before may wait that long for its worker.
const QUIET: Duration = Duration::from_millis(250);

/// A step of the wall clock that is worth a line, in milliseconds.
const CLOCK_STEP_MS: i64 = 5_000;

/// Serves until a signal, then lets requests end.
pub async fn serve_until_stopped(
    server: Server,
    settings: &Settings,
    parts: &Parts<'_>,
) -> anyhow::Result<()> {
    let handle = server.handle();
    let mut signals = Signals::install()?;
    let mut serving = actix_web::rt::spawn(server);
    let is_announced = tokio::select! {
        is_announced = signals.first() => is_announced,
        () = watch_clock(parts) => false,
        ended = &mut serving => return Ok(ended??),
    };
    let started = Instant::now();
    parts.lifecycle.enter(Phase::Draining);
    if is_announced {
        let seconds = settings.drain_announce.as_secs_f64();
        tracing::info!(seconds, "draining: serving on while /readyz says no");
        tokio::select! {
            () = tokio::time::sleep(settings.drain_announce) => {}
            () = signals.second() => exit_at_once(),
        }
    }
    tracing::info!("stopping: requests under way are answered");
    let left = settings.drain_timeout.saturating_sub(started.elapsed());
    tokio::select! {
        _ = tokio::time::timeout(left, finish(&handle, &parts.traffic)) => {}
        () = signals.second() => exit_at_once(),
    }
    tracing::info!("stopped");
    Ok(())
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
async fn watch_clock(parts: &Parts<'_>) {
    let mut known_ms = parts.clock.wall_ahead_ms();
    loop {
        tokio::time::sleep(CLOCK_INTERVAL).await;
        let ahead_ms = parts.clock.wall_ahead_ms();
        if (ahead_ms - known_ms).abs() > CLOCK_STEP_MS {
            parts.metrics.clock_steps.inc();
            let step_ms = ahead_ms - known_ms;
            tracing::warn!(
                step_ms,
                "the wall clock was set; deadlines follow it at the next start"
            );
            known_ms = ahead_ms;
        }
    }
}
