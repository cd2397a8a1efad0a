//! The store: three replicas that lose, delay and repeat what they are sent, and the claim rows.
//!
//! It owns what QUORUM and compare-and-set mean. A plain write may reach any replica at any later
//! time; a change without an answer may be applied at any later time, or never.

use std::collections::BTreeMap;

use super::bug::PlantedBug;
use super::chance::Chance;
use super::model::{Frame, Id, Row};
use crate::member::Generation;
use crate::ownership::claim::{ClaimRow, Expected, Swap};
use crate::shard::{Epoch, Shard};

/// Frames of one segment here, few so that segments come and go.
pub(super) const FRAMES_PER_SEGMENT: u64 = 4;

/// After so long without an answer there is none.
const TIME_OUT_US: u64 = 100_000;

const REPLICAS: usize = 3;
const QUORUM: u32 = 2;

#[derive(Clone, Debug)]
pub(super) enum Request {
    ReadRow(Shard),
    Swap(Shard, Expected, ClaimRow),
    WriteFence {
        node: Generation,
        shard: Shard,
        epoch: Epoch,
        timestamp: u64,
    },
    ReadFences(Generation),
    ReadSegment {
        shard: Shard,
        epoch: Epoch,
        segment: u64,
        from: u64,
    },
    WriteFrame(FrameKey, Frame),
    DeleteSegment {
        shard: Shard,
        epoch: Epoch,
        segment: u64,
    },
    WriteArchive(Vec<(Id, Row)>),
    ReadArchive(Id),
}

pub(super) type FrameKey = (Shard, Epoch, u64);

#[derive(Clone, Debug)]
pub(super) enum Answer {
    Row(Option<ClaimRow>),
    Swapped(Swap),
    Written,
    Fences(Vec<(Shard, Epoch)>),
    Segment(BTreeMap<u64, Frame>),
    Archived(Option<Row>),
    /// A time-out.
    Nothing,
}

/// Who asked: a node, by its place and its start, and the node's own number for the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) node: usize,
    pub(super) generation: Generation,
    pub(super) ticket: u64,
}

/// What will happen to an operation, at some time.
#[derive(Clone, Copy, Debug)]
pub(super) enum StoreEvent {
    Arrive { op: u64, replica: usize },
    Apply { op: u64 },
    TimeOut { op: u64 },
}

/// How bad the roads are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weather {
    /// Of a thousand messages to a replica, so many are lost.
    pub(super) lost: u64,
    /// Of a thousand, so many are late by seconds.
    pub(super) late: u64,
    /// A replica that gets nothing.
    pub(super) down: Option<usize>,
    /// Each replica is reached long after the one before.
    pub(super) is_spread: bool,
}

#[derive(Debug, Default)]
struct Replica {
    frames: BTreeMap<FrameKey, (u64, Frame)>,
    fences: BTreeMap<(Generation, Shard), (u64, u64, Epoch)>,
    archive: BTreeMap<Id, Row>,
}

#[derive(Debug)]
struct Op {
    caller: Caller,
    request: Request,
    /// Replicas that answered, as bits.
    answered: u8,
    is_over: bool,
    merged: Option<Answer>,
}

#[derive(Debug)]
pub(super) struct Store {
    bug: Option<PlantedBug>,
    replicas: [Replica; REPLICAS],
    pub(super) claims: BTreeMap<Shard, ClaimRow>,
    ops: BTreeMap<u64, Op>,
    next_op: u64,
}

impl Store {
    pub(super) fn new(bug: Option<PlantedBug>) -> Store {
        Store {
            bug,
            replicas: Default::default(),
            claims: BTreeMap::new(),
            ops: BTreeMap::new(),
            next_op: 0,
        }
    }

    /// Sends a request on its way; gives back what will happen, and after how many microseconds.
    pub(super) fn begin(
        &mut self,
        caller: Caller,
        request: Request,
        weather: Weather,
        chance: &mut Chance,
    ) -> Vec<(u64, StoreEvent)> {
        let op = self.next_op;
        self.next_op += 1;
        let is_serial = matches!(request, Request::ReadRow(_) | Request::Swap(..));
        let mut events = vec![(TIME_OUT_US, StoreEvent::TimeOut { op })];
        if is_serial {
            if let Some(delay) = delay(weather, chance) {
                events.push((delay, StoreEvent::Apply { op }));
            }
        } else {
            let first = chance.below(REPLICAS as u64) as usize;
            for replica in 0..REPLICAS {
                let behind = (replica + first) % REPLICAS * usize::from(weather.is_spread);
                let behind_us = behind as u64 * chance.between(8_000, 45_000);
                let arrivals = 1 + usize::from(chance.happens(weather.late));
                for _ in 0..arrivals {
                    let delay = delay(weather, chance);
                    if let Some(delay) = delay.filter(|_| weather.down != Some(replica)) {
                        let arrive = StoreEvent::Arrive { op, replica };
                        events.push((delay + behind_us, arrive));
                    }
                }
            }
        }
        let entry = Op {
            caller,
            request,
            answered: 0,
            is_over: false,
            merged: None,
        };
        self.ops.insert(op, entry);
        events
    }

    /// Lets it happen; gives back the answer, if there is one now.
    pub(super) fn happen(
        &mut self,
        event: StoreEvent,
        now_us: u64,
        chance: &mut Chance,
    ) -> Option<(Caller, Answer)> {
        match event {
            StoreEvent::TimeOut { op } => {
                let op = self.ops.get_mut(&op)?;
                let was_over = std::mem::replace(&mut op.is_over, true);
                (!was_over).then_some((op.caller, Answer::Nothing))
            }
            StoreEvent::Apply { op } => {
                let op = self.ops.remove(&op)?;
                let answer = self.serial(&op.request);
                // The answer may be lost though the change was applied.
                let is_heard = !op.is_over && !chance.happens(30);
                let heard = if is_heard { answer } else { Answer::Nothing };
                (!op.is_over).then_some((op.caller, heard))
            }
            StoreEvent::Arrive { op, replica } => self.arrive(op, replica, now_us),
        }
    }

    fn serial(&mut self, request: &Request) -> Answer {
        match request {
            Request::Swap(shard, expected, row) => {
                let found = self.claims.get(shard);
                let found = found.map_or(Expected::Absent, ClaimRow::expected);
                if found == *expected || self.swaps_anyway(found, *expected) {
                    self.claims.insert(*shard, row.clone());
                    return Answer::Swapped(Swap::Applied);
                }
                Answer::Swapped(Swap::Refused)
            }
            Request::ReadRow(shard) => Answer::Row(self.claims.get(shard).cloned()),
            _ => unreachable!("only claim rows are serial"),
        }
    }

    fn swaps_anyway(&self, found: Expected, expected: Expected) -> bool {
        match (self.bug, found, expected) {
            (Some(PlantedBug::ClaimWithoutCompare), ..) => true,
            (
                Some(PlantedBug::CompareWithoutBase),
                Expected::Claim(claim, state, _),
                Expected::Claim(wanted, wanted_state, _),
            ) => (claim, state) == (wanted, wanted_state),
            _ => false,
        }
    }

    fn arrive(&mut self, op: u64, replica: usize, now_us: u64) -> Option<(Caller, Answer)> {
        let op = self.ops.get_mut(&op)?;
        let answer = self.replicas[replica].answer(&op.request, now_us, self.bug);
        let merged = match op.merged.take() {
            Some(before) => merge(before, answer),
            None => answer,
        };
        op.answered |= 1 << replica;
        let enough = match (self.bug, &op.request) {
            (Some(PlantedBug::FrameAtOne), Request::WriteFrame(..))
            | (Some(PlantedBug::JournalReadAtOne), Request::ReadSegment { .. })
            | (Some(PlantedBug::FenceReadAtOne), Request::ReadFences(_))
            | (Some(PlantedBug::FenceAtOne), Request::WriteFence { .. })
            | (Some(PlantedBug::ArchiveAtOne), Request::WriteArchive(_)) => 1,
            _ => QUORUM,
        };
        if op.is_over || op.answered.count_ones() < enough {
            op.merged = Some(merged);
            return None;
        }
        op.is_over = true;
        Some((op.caller, merged))
    }

    /// The row of the archive, if it is durable.
    pub(super) fn archived(&self, id: Id) -> Option<Row> {
        let rows = self.replicas.iter().filter_map(|r| r.archive.get(&id));
        rows.copied().nth(QUORUM as usize - 1)
    }

    /// What a majority holds of a shard's journal now: for the planted bugs and for damage.
    pub(super) fn frames(&self, shard: Shard) -> BTreeMap<FrameKey, Frame> {
        let held = self.replicas[..QUORUM as usize]
            .iter()
            .flat_map(|r| &r.frames);
        let mine = held.filter(|((of, ..), _)| *of == shard);
        mine.map(|(key, (_, frame))| (*key, frame.clone()))
            .collect()
    }

    /// Loses a frame on every replica.
    pub(super) fn damage(&mut self, key: FrameKey) {
        for replica in &mut self.replicas {
            replica.frames.remove(&key);
        }
    }
}

impl Replica {
    fn answer(&mut self, request: &Request, now_us: u64, bug: Option<PlantedBug>) -> Answer {
        match request {
            Request::WriteFrame(key, frame) => {
                self.frames.insert(*key, (now_us, frame.clone()));
            }
            Request::WriteFence {
                node,
                shard,
                epoch,
                timestamp,
            } => {
                let fence = self.fences.entry((*node, *shard)).or_default();
                *fence = (*fence).max((*timestamp, now_us, *epoch));
            }
            Request::WriteArchive(rows) => self.archive.extend(rows.iter().copied()),
            Request::DeleteSegment {
                shard,
                epoch,
                segment,
            } => {
                let range = segment_range(*shard, *epoch, *segment, 0);
                let keys: Vec<_> = self.frames.range(range).map(|(key, _)| *key).collect();
                keys.iter().for_each(|key| {
                    self.frames.remove(key);
                });
            }
            Request::ReadFences(node) => {
                let mine = self.fences.range((*node, Shard(0))..=(*node, Shard(4095)));
                let ttl = bug == Some(PlantedBug::FenceWithTtl);
                let live = mine.filter(|(_, (_, at, _))| !ttl || now_us - at < 500_000);
                return Answer::Fences(live.map(|((_, s), (.., epoch))| (*s, *epoch)).collect());
            }
            Request::ReadSegment {
                shard,
                epoch,
                segment,
                from,
            } => {
                let range = segment_range(*shard, *epoch, *segment, *from);
                let ttl = bug == Some(PlantedBug::JournalWithTtl);
                let held = self.frames.range(range);
                let live = held.filter(|(_, (at, _))| !ttl || now_us - at < 2_000_000);
                return Answer::Segment(
                    live.map(|((.., seq), (_, f))| (*seq, f.clone())).collect(),
                );
            }
            Request::ReadArchive(id) => return Answer::Archived(self.archive.get(id).copied()),
            Request::ReadRow(_) | Request::Swap(..) => {
                unreachable!("claim rows are not read from one replica")
            }
        }
        Answer::Written
    }
}

fn segment_range(shard: Shard, epoch: Epoch, segment: u64, from: u64) -> std::ops::Range<FrameKey> {
    let start = (segment * FRAMES_PER_SEGMENT).max(from);
    let end = ((segment + 1) * FRAMES_PER_SEGMENT).max(start);
    (shard, epoch, start)..(shard, epoch, end)
}

fn merge(one: Answer, other: Answer) -> Answer {
    match (one, other) {
        (Answer::Segment(mut frames), Answer::Segment(more)) => {
            frames.extend(more);
            Answer::Segment(frames)
        }
        // The gate keeps the highest fence of each shard.
        (Answer::Fences(mut fences), Answer::Fences(more)) => {
            fences.extend(more);
            Answer::Fences(fences)
        }
        (Answer::Archived(one), Answer::Archived(other)) => Answer::Archived(one.or(other)),
        (_, other) => other,
    }
}

fn delay(weather: Weather, chance: &mut Chance) -> Option<u64> {
    if chance.happens(weather.lost) {
        return None;
    }
    if chance.happens(weather.late) {
        return Some(chance.between(10_000, 3_000_000));
    }
    Some(chance.between(300, 6_000))
}
