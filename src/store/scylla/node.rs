//! This node as an owner: its tables, its gate, and a seat for each shard that it holds.
//!
//! What the protocol says to do is in `cluster::ownership`; a shard's part of the IO is in `seat`,
//! this file has what they share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use cluster::ownership::claim::Claimant;
use cluster::ownership::gate::{Gate, Verdict};
use cluster::ownership::tenure::{Input, NoAnswer};
use cluster::shard::{Epoch, Shard};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::claim_table::ClaimTable;
use super::error::{CqlError, ScyllaError};
use super::fence_table::FenceTable;
use super::frame_table::FrameTable;
use super::frame_writer::FrameWriter;
use super::health::Health;
use super::seat::{Seat, Write};
use super::session::Cql;
use crate::domain::username::SHARDS;

/// How long the next try of a call waits after one without an answer.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Fence reads start at most 500 times a second (R4).
const FENCE_PAUSE: Duration = Duration::from_millis(2);

/// How often the store is probed while it takes a frame not.
const PROBE_PAUSE: Duration = Duration::from_millis(250);

/// What all seats of this process share.
pub(super) struct Node {
    pub(super) me: Claimant,
    pub(super) cql: Arc<Cql>,
    pub(super) claims: ClaimTable,
    pub(super) fences: FenceTable,
    pub(super) frames: Arc<FrameTable>,
    pub(super) writer: Arc<FrameWriter>,
    pub(super) on: Handle,
    seats: RwLock<BTreeMap<Shard, Arc<Seat>>>,
    gate: Mutex<GateKeeper>,
    health: Mutex<Health>,
    /// What `health` says, for whoever asks at every request.
    is_away: AtomicBool,
    /// Where the next frame of each shard goes, for whoever must not wait for its seat.
    positions: Vec<AtomicU64>,
}

#[derive(Default)]
struct GateKeeper {
    gate: Gate,
    /// Whether somebody waits for what was asked.
    is_wanted: bool,
    /// Whether it is read even if nothing was asked, to see whether the store answers.
    is_probing: bool,
    is_reading: bool,
}

impl Node {
    /// A node that holds nothing yet.
    ///
    /// # Errors
    /// [`CqlError::NotSent`] and [`CqlError::Refused`].
    pub(super) async fn new(
        cql: Arc<Cql>,
        me: Claimant,
        segment_frames: u64,
    ) -> Result<Node, CqlError> {
        let frames = Arc::new(FrameTable::prepare(&cql, segment_frames).await?);
        Ok(Node {
            me,
            claims: ClaimTable::prepare(&cql).await?,
            fences: FenceTable::prepare(&cql).await?,
            writer: Arc::new(FrameWriter::new(
                Handle::current(),
                cql.clone(),
                frames.clone(),
            )),
            frames,
            cql,
            on: Handle::current(),
            seats: RwLock::default(),
            gate: Mutex::default(),
            health: Mutex::default(),
            is_away: AtomicBool::new(false),
            positions: (0..SHARDS).map(|_| AtomicU64::new(0)).collect(),
        })
    }

    /// The seat of a shard that was claimed, whatever became of it.
    pub(super) fn seat(&self, shard: Shard) -> Result<Arc<Seat>, ScyllaError> {
        let seats = self.seats.read().unwrap_or_else(PoisonError::into_inner);
        seats
            .get(&shard)
            .cloned()
            .ok_or(ScyllaError::NotHeld(shard))
    }

    /// Seats a new tenure; the one before ends, with its memory (R5).
    pub(super) fn seat_anew(&self, shard: Shard, seat: Arc<Seat>) {
        let mut seats = self.seats.write().unwrap_or_else(PoisonError::into_inner);
        let before = seats.insert(shard, seat);
        drop(seats);
        if let Some(before) = before {
            before.handle(Input::GiveUp);
        }
    }

    /// Ends the tenure of a shard, if there is one.
    pub(super) fn unseat(&self, shard: Shard) {
        let mut seats = self.seats.write().unwrap_or_else(PoisonError::into_inner);
        let before = seats.remove(&shard);
        drop(seats);
        if let Some(before) = before {
            before.handle(Input::GiveUp);
        }
    }

    /// Where the next frame of a shard goes, as a number that grows.
    pub(super) fn position(&self, shard: Shard) -> u64 {
        let position = self.positions.get(usize::from(shard.0));
        position.map_or(0, |position| position.load(Ordering::Acquire))
    }

    /// Notes where the next frame of a shard goes.
    pub(super) fn set_position(&self, shard: Shard, position: u64) {
        if let Some(place) = self.positions.get(usize::from(shard.0)) {
            place.fetch_max(position, Ordering::AcqRel);
        }
    }

    /// Asks the gate for a shard; it is read only when somebody waits.
    pub(super) fn ask_gate(&self, shard: Shard, epoch: Epoch, mark: u64) {
        self.gate().gate.ask(shard, epoch, mark);
    }

    /// Has the gate read for everything that was asked so far.
    pub(super) fn read_gate(self: &Arc<Self>) {
        let mut keeper = self.gate();
        keeper.is_wanted = true;
        self.begin_reading(&mut keeper);
    }

    /// Has the fence read to see whether the store answers, until it does.
    pub(super) fn probe(self: &Arc<Self>) {
        let mut keeper = self.gate();
        keeper.is_probing = true;
        self.begin_reading(&mut keeper);
    }

    fn begin_reading(self: &Arc<Self>, keeper: &mut GateKeeper) {
        if !keeper.is_reading {
            keeper.is_reading = true;
            let node = self.clone();
            self.on.spawn(async move { node.read_fences().await });
        }
    }

    async fn read_fences(self: Arc<Self>) {
        while let Some(is_probe) = self.start_fence_read() {
            let started = tokio::time::Instant::now();
            let rows = self.read_fence(is_probe).await;
            self.note(rows.is_ok());
            let rows = self.answer("cannot read the fence", rows).await;
            let mut verdicts = Vec::new();
            let rows = rows.as_ref().map(Vec::as_slice).map_err(|_| NoAnswer);
            {
                let mut keeper = self.gate();
                if rows.is_err() {
                    keeper.is_wanted = true;
                    keeper.is_probing = true;
                }
                keeper.gate.read(rows, &mut verdicts);
            }
            for verdict in verdicts {
                self.tell(verdict);
            }
            tokio::time::sleep_until(started + FENCE_PAUSE).await;
        }
    }

    /// Whether the fence is to be read now, and that as a probe. A read that only probes covers nothing:
    /// what is asked meanwhile waits for the next one.
    fn start_fence_read(&self) -> Option<bool> {
        let mut keeper = self.gate();
        let is_wanted = std::mem::take(&mut keeper.is_wanted);
        let is_probe = std::mem::take(&mut keeper.is_probing);
        keeper.is_reading = is_wanted && keeper.gate.start() || is_probe;
        keeper.is_reading.then_some(is_probe)
    }

    /// A probe writes before it reads: a store that takes no writes is as good as away. Epoch 0 is before
    /// all claims, so it fences nobody.
    async fn read_fence(&self, is_probe: bool) -> Result<Vec<(Shard, Epoch)>, CqlError> {
        let (fences, cql, me) = (&self.fences, &self.cql, self.me.node);
        if is_probe {
            fences.write(cql, me, Shard(0), Epoch(0)).await?;
        }
        fences.read(cql, me).await
    }

    fn tell(&self, verdict: Verdict) {
        let (shard, input) = match verdict {
            Verdict::Passed {
                shard,
                epoch,
                through,
            } => (shard, Input::Passed { epoch, through }),
            Verdict::Lost { shard, epoch } => (shard, Input::Seen(epoch)),
        };
        if let Ok(seat) = self.seat(shard) {
            seat.handle(input);
        }
    }

    /// Whether the last fence reads got no answer.
    pub(super) fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
    }

    /// Whether a fence read was answered not longer ago than this.
    pub(super) fn has_answered_within(&self, limit: Duration) -> bool {
        self.health().has_answered_within(limit, Instant::now())
    }

    fn note(&self, is_answered: bool) {
        let mut health = self.health();
        health.note(is_answered, Instant::now());
        self.is_away.store(health.is_away(), Ordering::Relaxed);
    }

    /// Waits for what is written to a shard, as long as the store may be away; nothing when the shard is
    /// lost. What one partition does not take must not stop all others: then the shard is given up, and
    /// comes back by a new claim, wherever that gets through (R5).
    pub(super) async fn outlast(self: &Arc<Self>, mut write: Write) -> Option<u64> {
        loop {
            self.probe();
            // One of several that were outlasted together is asked once more, and costs no time of its own.
            let pause = match self.health().has_outlasted(write.sent()) {
                true => Duration::ZERO,
                false => PROBE_PAUSE,
            };
            if let Ok(written) = timeout(pause, write.done()).await {
                return written.ok();
            }
            // It is the last frame that counts: those before it were taken.
            if self.health().has_outlasted(write.sent()) {
                break;
            }
        }
        let shard = write.seat.shard;
        tracing::warn!(
            shard = shard.0,
            "giving up a shard whose journal takes nothing"
        );
        // Its seat stays until the shard is released: what has left of it is seen there.
        write.seat.handle(Input::GiveUp);
        write.done().await.ok()
    }

    /// The answer, or after the back-off that there was none. A store that is away is told once a
    /// call, quietly: it is tried again until it is back.
    pub(super) async fn answer<T>(
        &self,
        action: &'static str,
        answer: Result<T, CqlError>,
    ) -> Result<T, NoAnswer> {
        match answer {
            Ok(answer) => Ok(answer),
            Err(error) => {
                tracing::warn!(%error, "{action}; it is tried again");
                tokio::time::sleep(BACK_OFF).await;
                Err(NoAnswer)
            }
        }
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gate(&self) -> MutexGuard<'_, GateKeeper> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
