//! This node as an owner: its tables, its gate, and a seat for each shard that it holds.
//!
//! What the protocol says to do is in `cluster::ownership`; a shard's part of the IO is in `seat`,
//! this file has what they share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use cluster::ownership::claim::Claimant;
use cluster::ownership::gate::{Gate, Verdict};
use cluster::ownership::tenure::{Input, NoAnswer};
use cluster::shard::Shard;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::claim_table::ClaimTable;
use super::error::{CqlError, ScyllaError};
use super::fence_table::FenceTable;
use super::frame_table::FrameTable;
use super::seat::Seat;
use super::session::Cql;
use crate::domain::username::SHARDS;

/// How long the next try of a call waits after one without an answer.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Fence reads start at most 500 times a second (R4).
const FENCE_PAUSE: Duration = Duration::from_millis(2);

/// As many calls without an answer, and none with one between, say that the store is away.
const UNANSWERED_MAX: u32 = 2;

/// What all seats of this process share.
pub(super) struct Node {
    pub(super) me: Claimant,
    pub(super) cql: Arc<Cql>,
    pub(super) claims: ClaimTable,
    pub(super) fences: FenceTable,
    pub(super) frames: FrameTable,
    pub(super) on: Handle,
    seats: RwLock<BTreeMap<Shard, Arc<Seat>>>,
    gate: Mutex<GateKeeper>,
    /// Calls for shards since the last one that was answered.
    unanswered: AtomicU32,
    /// Where the next frame of each shard goes, for whoever must not wait for its seat.
    positions: Vec<AtomicU64>,
}

#[derive(Default)]
struct GateKeeper {
    gate: Gate,
    /// Whether somebody waits for what was asked.
    is_wanted: bool,
    is_reading: bool,
}

impl Node {
    /// A node that holds nothing yet.
    ///
    /// # Errors
    /// [`CqlError::NotSent`].
    pub(super) async fn new(
        cql: Arc<Cql>,
        me: Claimant,
        segment_frames: u64,
    ) -> Result<Node, CqlError> {
        Ok(Node {
            me,
            claims: ClaimTable::prepare(&cql).await?,
            fences: FenceTable::prepare(&cql).await?,
            frames: FrameTable::prepare(&cql, segment_frames).await?,
            cql,
            on: Handle::current(),
            seats: RwLock::default(),
            gate: Mutex::default(),
            unanswered: AtomicU32::new(0),
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
    pub(super) fn ask_gate(&self, shard: Shard, epoch: cluster::shard::Epoch, mark: u64) {
        self.gate().gate.ask(shard, epoch, mark);
    }

    /// Has the gate read for everything that was asked so far.
    pub(super) fn read_gate(self: &Arc<Self>) {
        let mut keeper = self.gate();
        keeper.is_wanted = true;
        if !keeper.is_reading {
            keeper.is_reading = true;
            let node = self.clone();
            self.on.spawn(async move { node.read_fences().await });
        }
    }

    async fn read_fences(self: Arc<Self>) {
        while self.start_fence_read() {
            let started = Instant::now();
            let rows = self.fences.read(&self.cql, self.me.node).await;
            let rows = self.answer("cannot read the fence", rows).await;
            let mut verdicts = Vec::new();
            let rows = rows.as_ref().map(Vec::as_slice).map_err(|_| NoAnswer);
            if rows.is_err() {
                self.gate().is_wanted = true;
            }
            self.gate().gate.read(rows, &mut verdicts);
            for verdict in verdicts {
                self.tell(verdict);
            }
            tokio::time::sleep_until(started + FENCE_PAUSE).await;
        }
    }

    fn start_fence_read(&self) -> bool {
        let mut keeper = self.gate();
        let is_wanted = std::mem::take(&mut keeper.is_wanted);
        keeper.is_reading = is_wanted && keeper.gate.start();
        keeper.is_reading
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

    /// Whether the last calls for shards got no answer. One alone may only have lost against another.
    /// Look-ups in the archive do not count: what they meet may be the trouble of one partition.
    pub(super) fn is_away(&self) -> bool {
        self.unanswered.load(Ordering::Relaxed) >= UNANSWERED_MAX
    }

    /// Notes whether a call got an answer.
    pub(super) fn note(&self, is_answered: bool) {
        if is_answered {
            self.unanswered.store(0, Ordering::Relaxed);
        } else {
            self.unanswered.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The answer, or after the back-off that there was none. A store that is away is told once a
    /// call, quietly: it is tried again until it is back.
    pub(super) async fn answer<T>(
        &self,
        action: &'static str,
        answer: Result<T, CqlError>,
    ) -> Result<T, NoAnswer> {
        self.note(answer.is_ok());
        match answer {
            Ok(answer) => Ok(answer),
            Err(error) => {
                tracing::warn!(%error, "{action}; it is tried again");
                tokio::time::sleep(BACK_OFF).await;
                Err(NoAnswer)
            }
        }
    }

    fn gate(&self) -> std::sync::MutexGuard<'_, GateKeeper> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
