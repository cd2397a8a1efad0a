//! One shard at one node: the model application around a tenure.
//!
//! It owns the memory, what is staged for the next frame, and what waits for the gate. It does no IO;
//! its node does that.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::bug::PlantedBug;
use super::model::{Call, Event, Frame, FrameData, Id, Memory, OpId, Reply, Row, What};
use super::store::{FrameKey, Request};
use crate::member::Generation;
use crate::ownership::claim::Base;
use crate::ownership::tenure::{Input, Tenure};
use crate::ownership::time::ShardClock;
use crate::shard::Epoch;

/// Keys of clients are told from op ids by this bit.
pub(super) const KEY_BIT: OpId = 1 << 63;

pub(super) struct Host {
    /// Names this host alone: outcomes for an earlier one go nowhere.
    pub(super) serial: u64,
    pub(super) tenure: Tenure<Frame>,
    pub(super) memory: Memory,
    pub(super) clock: ShardClock,
    pub(super) serves: Option<Epoch>,
    pub(super) stage: Vec<Event>,
    /// A trim waits for the survivors in the stage.
    pub(super) trims: bool,
    pub(super) mark: u64,
    pub(super) said: VecDeque<Said>,
    /// Calls that wait for the end of a hand-off.
    pub(super) waiting: Vec<(Call, Generation)>,
    pub(super) handing: Option<Handing>,
    pub(super) source: Option<Generation>,
    pub(super) is_flushing: bool,
    pub(super) began_us: u64,
    pub(super) last_trim_seq: u64,
    pub(super) bug: Option<PlantedBug>,
    pub(super) spoiled: Spoiled,
}

/// What only planted bugs need.
#[derive(Default)]
pub(super) struct Spoiled {
    pub(super) snapshot: Option<BTreeMap<FrameKey, Frame>>,
    pub(super) held: Vec<Request>,
    pub(super) cut: Option<Epoch>,
    pub(super) old_replayed: bool,
    pub(super) early: u64,
    pub(super) outstanding: u32,
    pub(super) held_ask: u64,
    pub(super) undo: Option<Memory>,
    pub(super) in_flight_mark: u64,
    pub(super) is_undone: bool,
    pub(super) is_sealing: bool,
}

/// Something that waits for the gate.
pub(super) struct Said {
    pub(super) mark: u64,
    /// So many frames it rests on.
    pub(super) frames: u64,
    pub(super) say: Say,
}

#[derive(Clone)]
pub(super) enum Say {
    Reply {
        call: Call,
        to: Generation,
        reply: Reply,
    },
    Flush(Vec<(Id, Row)>),
}

#[derive(Clone, Copy)]
pub(super) struct Handing {
    pub(super) to: Generation,
    pub(super) since_us: u64,
    pub(super) is_offered: bool,
}

/// The clocks of a node.
#[derive(Clone, Copy)]
pub(super) struct Now {
    pub(super) wall_ms: u64,
    pub(super) monotonic_ms: u64,
}

impl Host {
    pub(super) fn new(serial: u64, tenure: Tenure<Frame>, memory: Memory, now_us: u64) -> Host {
        Host {
            serial,
            tenure,
            memory,
            clock: ShardClock::start(0, 0, 0),
            serves: None,
            stage: Vec::new(),
            trims: false,
            mark: 0,
            said: VecDeque::new(),
            waiting: Vec::new(),
            handing: None,
            source: None,
            is_flushing: false,
            began_us: now_us,
            last_trim_seq: 0,
            bug: None,
            spoiled: Spoiled::default(),
        }
    }

    pub(super) fn has(&self, bug: PlantedBug) -> bool {
        self.bug == Some(bug)
    }

    /// Begins to serve, or goes on under another epoch after taking back.
    pub(super) fn serve(&mut self, epoch: Epoch, now: Now) {
        if self.serves.is_none() {
            let is_floored = !self.has(PlantedBug::ClockNotFloored);
            let floor_ms = if is_floored { self.memory.hlc_ms } else { 0 };
            self.clock = ShardClock::start(floor_ms, self.wall_ms(now), now.monotonic_ms);
        }
        self.serves = Some(epoch);
        self.handing = None;
        self.last_trim_seq = 0;
        self.forget_what_the_bug_forgets();
    }

    fn forget_what_the_bug_forgets(&mut self) {
        let is_taken_over = self.source.is_some();
        let done = &mut self.memory.done;
        match self.bug {
            Some(PlantedBug::ReadKeyForgotten) if !is_taken_over => {
                done.retain(|id, _| id & KEY_BIT == 0);
            }
            Some(PlantedBug::OpIdsLeftBehind) if is_taken_over => done.clear(),
            Some(PlantedBug::OpIdUnrecorded) => done.retain(|id, _| id & KEY_BIT != 0),
            _ => {}
        }
    }

    pub(super) fn time(&mut self, now: Now) -> u64 {
        let wall_ms = self.wall_ms(now);
        self.clock.read(wall_ms, now.monotonic_ms)
    }

    fn wall_ms(&self, now: Now) -> u64 {
        let is_ignored = self.has(PlantedBug::ClockIgnoresWall) && self.memory.hlc_ms > 0;
        if is_ignored { 0 } else { now.wall_ms }
    }

    /// Lets the time be now; what expires by it is an event.
    pub(super) fn advance(&mut self, now: Now) -> u64 {
        let at_ms = self.time(now);
        if self.memory.advance(at_ms) && !self.has(PlantedBug::ExpiryWithoutFrame) {
            let what = What::Time;
            self.stage.push(Event { at_ms, what });
        }
        at_ms
    }

    /// Decides a call; memory changes at once, the answer waits.
    pub(super) fn decide(&mut self, call: &Call, now: Now) -> Reply {
        let at_ms = self.advance(now);
        let (reply, event) = self.memory.decide(call, at_ms);
        let Some(event) = event else {
            return reply;
        };
        self.memory.apply(&event);
        if self.has(PlantedBug::OpIdUnrecorded) {
            self.memory.done.remove(&call.op);
        }
        let is_recorded = match &event.what {
            What::Taken { ids, .. } => {
                let bug = match call.key {
                    Some(_) => PlantedBug::EmptyReadUnrecorded,
                    None => PlantedBug::EmptyRepeatUnrecorded,
                };
                let is_lost = ids.is_empty() && self.has(bug);
                if is_lost {
                    self.memory.done.remove(&call.reader());
                    self.memory.done.remove(&call.op);
                }
                !is_lost && !self.has(PlantedBug::ReadUnrecorded)
            }
            _ => true,
        };
        if is_recorded {
            self.stage.push(event);
        }
        reply
    }

    /// Keeps something until it passes the gate; gives the mark to ask for, if no frame will.
    pub(super) fn say(&mut self, say: Say) -> Option<Input<Frame>> {
        self.mark += 1;
        let next = self.tenure.next_frame().map_or(0, |next| next.seq);
        let in_flight = u64::from(!self.tenure.may_submit());
        let staged = u64::from(!self.stage.is_empty());
        self.said.push_back(Said {
            mark: self.mark,
            frames: next + in_flight + staged,
            say,
        });
        let mark = self.mark;
        (staged == 0).then_some(Input::Answer { mark })
    }

    /// The next frame and, behind its survivors, the trim.
    pub(super) fn submit(&mut self, cut: u64, now: Now) -> Vec<Input<Frame>> {
        if self.stage.is_empty() || !self.tenure.may_submit() {
            return Vec::new();
        }
        if self.has(PlantedBug::TrimBeforeGate) && (self.trims || !self.tenure.may_trim()) {
            return self.trim_too_early();
        }
        let hlc_ms = self.advance(now);
        if self.has(PlantedBug::UnConsume) {
            self.spoiled.undo = Some(self.memory.clone());
        }
        let next = self.tenure.next_frame().unwrap_or_default();
        let events = std::mem::take(&mut self.stage);
        self.mark += 1;
        self.spoiled.in_flight_mark = self.mark;
        let mut inputs = vec![Input::Submit {
            frame: Rc::new(FrameData { hlc_ms, events }),
            mark: self.mark,
        }];
        let base = Base {
            epoch: next.epoch,
            seq: next.seq.saturating_sub(cut),
        };
        let old = self.tenure.row().map(|row| row.base).unwrap_or_default();
        if std::mem::take(&mut self.trims) && self.tenure.may_trim() && base > old {
            self.last_trim_seq = base.seq;
            self.mark += 1;
            let mark = self.mark;
            inputs.push(Input::Trim { base, mark });
        }
        inputs
    }

    fn trim_too_early(&mut self) -> Vec<Input<Frame>> {
        let base = self.tenure.next_frame().unwrap_or_default();
        let old = self.tenure.row().map(|row| row.base).unwrap_or_default();
        if !std::mem::take(&mut self.trims) || base <= old || !self.tenure.may_trim() {
            return Vec::new();
        }
        self.last_trim_seq = base.seq;
        self.mark += 1;
        let mark = self.mark;
        vec![Input::Trim { base, mark }]
    }

    /// What may leave up to this mark, in order.
    pub(super) fn released(&mut self, through: u64) -> Vec<Said> {
        let count = self.said.iter().take_while(|said| said.mark <= through);
        let count = count.count();
        self.said.drain(..count).collect()
    }

    /// What is still needed, for the next frame (R10).
    pub(super) fn stage_survivors(&mut self, now: Now) {
        let at_ms = self.advance(now);
        let mut survivors = self.memory.clone();
        match self.bug {
            Some(PlantedBug::TrimForgetsOps) => survivors.done.clear(),
            Some(PlantedBug::TrimWithoutSurvivors) => survivors = Memory::default(),
            _ => {}
        }
        let what = What::Survivors(Rc::new(survivors));
        self.stage.push(Event { at_ms, what });
        self.trims = true;
    }
}
