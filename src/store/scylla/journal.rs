//! The journal in a table: a group becomes a frame for each shard, then passes the gate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cluster::shard::Shard;
use tokio::time::timeout_at;

use super::background::Background;
use super::frame::{self, Frame, Part};
use super::node::Node;
use super::reading::Reading;
use super::seat::Seat;
use crate::domain::username::ShardId;
use crate::store::StoreError;
use crate::store::group::{Group, HighWater};
use crate::store::journal::{Appended, Journal, Position, Visit};

/// Shards that are recovered at once: each has at most one part of a segment in memory.
const RECOVERED_AT_ONCE: usize = 4;

/// A group that is on its way for longer is a sign that the store is away.
const SILENT: Duration = Duration::from_millis(1_100);

/// A frame that is on its way for longer has the store probed, which may take others.
const PROBE_AFTER: Duration = Duration::from_millis(500);

/// The journals of the shards that this process holds.
pub struct ScyllaJournal {
    node: Arc<Node>,
    on: Arc<Background>,
    opened: Instant,
    /// Since when a group is on its way, in milliseconds since `opened`; 0 while none is.
    appending_since: AtomicU64,
}

impl ScyllaJournal {
    pub(super) fn new(node: Arc<Node>, on: Arc<Background>) -> ScyllaJournal {
        ScyllaJournal {
            node,
            on,
            opened: Instant::now(),
            appending_since: AtomicU64::new(0),
        }
    }
}

impl ScyllaJournal {
    fn now_ms(&self) -> u64 {
        1 + self.opened.elapsed().as_millis() as u64
    }
}

impl Journal for ScyllaJournal {
    /// While the store is away this waits: nothing is given up, and nothing is answered.
    async fn append(&self, group: &Group) -> Result<Appended, StoreError> {
        let (node, high_water) = (self.node.clone(), group.high_water());
        let (parts, asking) = (frame::split(group.bytes()), group.asking().to_vec());
        if parts.is_empty() && asking.is_empty() {
            return Ok(Appended::default());
        }
        self.appending_since.store(self.now_ms(), Ordering::Relaxed);
        let lost = async move { append(&node, parts, &asking, high_water).await };
        let lost = self.on.run(lost).await;
        self.appending_since.store(0, Ordering::Relaxed);
        Ok(Appended { lost })
    }

    /// The store did not answer the last fence reads, or is silent for so long that it looks like it.
    fn is_away(&self) -> bool {
        let since_ms = self.appending_since.load(Ordering::Relaxed);
        let is_silent = since_ms > 0 && self.now_ms() > since_ms + SILENT.as_millis() as u64;
        self.node.is_away() || is_silent && !self.node.has_answered_within(SILENT)
    }

    fn position(&self, shard: ShardId) -> Position {
        Position(self.node.position(Shard(shard.0)))
    }

    fn has_room(&self) -> bool {
        true
    }

    async fn replay(
        &self,
        shards: &[ShardId],
        visit: &mut Visit<'_>,
    ) -> Result<HighWater, StoreError> {
        let mut high_water = HighWater::default();
        for shards in shards.chunks(RECOVERED_AT_ONCE) {
            let mut readings = Vec::with_capacity(shards.len());
            for shard in shards {
                let reading = Reading::of(self.node.seat(Shard(shard.0))?);
                readings.push(self.on.begin(reading.next()));
            }
            for reading in readings {
                let (mut reading, mut frames) = reading.await;
                while let Some(found) = frames? {
                    for frame in found {
                        visit_frame(&frame, visit)?;
                    }
                    (reading, frames) = self.on.begin(reading.next()).await;
                }
                high_water = high_water.max(reading.seat.high_water());
            }
        }
        Ok(high_water)
    }

    /// Begins the trim; the segments go a little later, unless the shard is lost meanwhile.
    async fn trim(&self, shard: ShardId, base: Position) -> Result<(), StoreError> {
        if let Ok(seat) = self.node.seat(Shard(shard.0)) {
            seat.trim(frame::place(base.0));
        }
        Ok(())
    }
}

/// Writes the frames of all shards at once, has the gate read once, for them and for those that ask,
/// and tells which shards are lost.
async fn append(
    node: &Arc<Node>,
    parts: Vec<Part>,
    asking: &[ShardId],
    high_water: HighWater,
) -> Vec<ShardId> {
    let written: Vec<_> = parts.iter().map(|part| ShardId(part.shard.0)).collect();
    let mut lost = Vec::new();
    let mut writes = Vec::with_capacity(parts.len());
    for Part { shard, pieces, at } in parts {
        // The time is the shard's own; an id stamp of others does no harm.
        let high_water = HighWater { at, ..high_water };
        match node.seat(shard) {
            Ok(seat) => writes.push(seat.write(pieces, high_water)),
            Err(_) => lost.push(ShardId(shard.0)),
        }
    }
    let mut marks = Vec::with_capacity(writes.len());
    let (mut silent, sent) = (Vec::new(), Instant::now());
    for mut write in writes {
        match timeout_at((sent + PROBE_AFTER).into(), write.done()).await {
            Ok(Ok(mark)) => marks.push((write.seat, mark)),
            Ok(Err(_)) => lost.push(ShardId(write.seat.shard.0)),
            Err(_) => silent.push(write),
        }
    }
    for write in silent {
        let seat = write.seat.clone();
        match node.outlast(write).await {
            Some(mark) => marks.push((seat, mark)),
            None => lost.push(ShardId(seat.shard.0)),
        }
    }
    for shard in asking.iter().filter(|shard| !written.contains(shard)) {
        let seat = node.seat(Shard(shard.0)).ok();
        match seat.and_then(|seat| seat.ask().map(|mark| (seat, mark))) {
            Some((seat, mark)) => marks.push((seat, mark)),
            None => lost.push(*shard),
        }
    }
    lost.extend(released(node, marks).await);
    lost
}

/// Has the gate read, and tells which shards did not pass it.
async fn released(node: &Arc<Node>, marks: Vec<(Arc<Seat>, u64)>) -> Vec<ShardId> {
    node.read_gate();
    let (mut lost, started) = (Vec::new(), Instant::now());
    for (seat, mark) in marks {
        if seat.released(mark).await.is_err() {
            lost.push(ShardId(seat.shard.0));
        }
        #[cfg(debug_assertions)]
        super::failpoint::reach("gate-passed", seat.shard).await;
    }
    if let Some(metrics) = node.cql.metrics() {
        metrics.gate.observe(started.elapsed().as_secs_f64());
    }
    lost
}

fn visit_frame(frame: &Frame, visit: &mut Visit<'_>) -> Result<(), StoreError> {
    let position = Position(frame::position(frame.place()));
    for record in frame.records() {
        let record = record.expect("a frame whose checksum holds is made of records");
        visit(position, record)?;
    }
    Ok(())
}
