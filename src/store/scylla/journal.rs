//! The journal in a table: a group becomes a frame for each shard, then passes the gate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cluster::ownership::recovery::{Scan, Step};
use cluster::shard::{Epoch, Shard};
use tokio::time::timeout_at;

use super::background::Background;
use super::error::ScyllaError;
use super::frame::{self, Frame, Part};
use super::node::Node;
use super::seat::Seat;
use crate::domain::username::ShardId;
use crate::store::StoreError;
use crate::store::group::{Group, HighWater};
use crate::store::journal::{Appended, Journal, Position, Visit};

/// Shards that are recovered at once: each has at most one segment in memory.
const RECOVERED_AT_ONCE: usize = 4;

/// A group that is on its way for longer is a sign that the store is away.
const SILENT_MS: u64 = 1_100;

/// A frame that is on its way for longer, when others got through, is given up with its shard.
const SILENT: Duration = Duration::from_secs(3);

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

    /// The store did not answer the last call, or is silent for so long that it looks like it.
    fn is_away(&self) -> bool {
        let since_ms = self.appending_since.load(Ordering::Relaxed);
        self.node.is_away() || since_ms > 0 && self.now_ms() > since_ms + SILENT_MS
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
            Ok(seat) => writes.push((
                shard,
                seat.clone(),
                node.on
                    .spawn(async move { seat.write(pieces, high_water).await }),
            )),
            Err(_) => lost.push(ShardId(shard.0)),
        }
    }
    let mut marks = Vec::with_capacity(writes.len());
    let (mut silent, until) = (Vec::new(), Instant::now() + SILENT);
    for (shard, seat, mut write) in writes {
        match timeout_at(until.into(), &mut write).await {
            Ok(Ok(Ok(mark))) => marks.push((shard, seat, mark)),
            Ok(_) => lost.push(ShardId(shard.0)),
            Err(_) => silent.push((shard, seat, write)),
        }
    }
    let is_store_well = !marks.is_empty();
    for (shard, seat, write) in silent {
        if is_store_well {
            // What one partition does not take must not stop all others: the shard is given up, and comes
            // back by a new claim, wherever that gets through (R5).
            tracing::warn!(
                shard = shard.0,
                "giving up a shard whose journal takes nothing"
            );
            node.unseat(shard);
        }
        match write.await {
            Ok(Ok(mark)) => marks.push((shard, seat, mark)),
            _ => lost.push(ShardId(shard.0)),
        }
    }
    for shard in asking.iter().filter(|shard| !written.contains(shard)) {
        let seat = node.seat(Shard(shard.0)).ok();
        match seat.and_then(|seat| seat.ask().map(|mark| (seat, mark))) {
            Some((seat, mark)) => marks.push((Shard(shard.0), seat, mark)),
            None => lost.push(*shard),
        }
    }
    lost.extend(released(node, marks).await);
    lost
}

/// Has the gate read, and tells which shards did not pass it.
async fn released(node: &Arc<Node>, marks: Vec<(Shard, Arc<Seat>, u64)>) -> Vec<ShardId> {
    node.read_gate();
    let (mut lost, started) = (Vec::new(), Instant::now());
    for (shard, seat, mark) in marks {
        if seat.released(mark).await.is_err() {
            lost.push(ShardId(shard.0));
        }
        #[cfg(debug_assertions)]
        super::failpoint::reach("gate-passed", shard).await;
    }
    if let Some(metrics) = node.cql.metrics() {
        metrics.gate.observe(started.elapsed().as_secs_f64());
    }
    lost
}

/// The reading of one shard's journal: the recovery of a claim, or once more what is durable.
struct Reading {
    seat: Arc<Seat>,
    /// The epochs still to be read again; `None` for a recovery.
    again: Option<Vec<Scan<Frame>>>,
}

impl Reading {
    fn of(seat: Arc<Seat>) -> Reading {
        let again = seat.is_serving().then(|| {
            let mut scans = seat.scans();
            scans.reverse();
            scans
        });
        Reading { seat, again }
    }

    /// The next frames, and `None` after the last ones.
    async fn next(mut self) -> (Reading, Result<Option<Vec<Frame>>, ScyllaError>) {
        let frames = match &mut self.again {
            None => self.seat.recover().await,
            Some(scans) => read_again(&self.seat, scans).await,
        };
        (self, frames)
    }
}

async fn read_again(
    seat: &Arc<Seat>,
    scans: &mut Vec<Scan<Frame>>,
) -> Result<Option<Vec<Frame>>, ScyllaError> {
    let Some(scan) = scans.last_mut() else {
        return Ok(None);
    };
    let mut found = Vec::new();
    let mut step = scan.step();
    while let Step::Read { segment, from } = step {
        let frames = seat.segment(scan.epoch(), segment, from).await;
        match frames {
            Ok(frames) => step = scan.segment_read(frames, &mut found),
            Err(_) => continue,
        }
    }
    if let Step::Damaged(seq) = step {
        return Err(doubted(seat, scan.epoch(), seq).await);
    }
    scans.pop();
    Ok(Some(found))
}

/// What a frame that is lost or broken means: damage only if the claim still stands, for a successor that
/// is not known here may have trimmed the journal.
async fn doubted(seat: &Arc<Seat>, epoch: Epoch, seq: u64) -> ScyllaError {
    let node = &seat.node;
    loop {
        let row = node.claims.read(&node.cql, seat.shard).await;
        let Ok(row) = node.answer("cannot read a claim", row).await else {
            continue;
        };
        return match row.is_some_and(|row| row.owner == node.me.node && seat.serves(row.epoch)) {
            true => seat.damaged(epoch, seq),
            false => ScyllaError::Superseded(seat.shard),
        };
    }
}

fn visit_frame(frame: &Frame, visit: &mut Visit<'_>) -> Result<(), StoreError> {
    let position = Position(frame::position(frame.place()));
    for record in frame.records() {
        let record = record.expect("a frame whose checksum holds is made of records");
        visit(position, record)?;
    }
    Ok(())
}
