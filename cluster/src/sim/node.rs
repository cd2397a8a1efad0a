//! One node: the shell around its tenures and its gate.
//!
//! It owns how effects become requests to the store and messages to peers, and how answers find
//! back. When to claim, hand over, flush and trim is in `duty`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use uuid::Uuid;

use super::bug::PlantedBug;
use super::duty::View;
pub(super) use super::exchange::{About, Asked, Fact, Message, Out};
use super::host::{Host, Now, Said, Say};
use super::model::{Ask, Call, Frame, Id, Memory, OpId, Reply, Row};
use super::store::{FRAMES_PER_SEGMENT, Request, Store};
use crate::member::Generation;
use crate::ownership::claim::Claimant;
use crate::ownership::gate::Gate;
use crate::ownership::tenure::{Effect, End, Input, Offer, Tenure};
use crate::ownership::time::CheckedWall;
use crate::shard::{Epoch, Shard};

/// Shards of the simulated cluster.
pub(super) const SHARDS: u16 = 3;

/// A call of a client that waits here for its answer.
pub(super) struct Pending {
    pub(super) call: Call,
    pub(super) client_op: OpId,
    pub(super) tried_us: u64,
    /// The last try had no answer yet.
    pub(super) is_in_doubt: bool,
    pub(super) deadline_us: u64,
}

impl Pending {
    /// Nothing was done by the last try.
    pub(super) fn refused(&mut self) {
        self.tried_us = 0;
        self.is_in_doubt = false;
    }
}

pub(super) struct Node {
    pub(super) me: Claimant,
    pub(super) bug: Option<PlantedBug>,
    pub(super) store: Rc<RefCell<Store>>,
    pub(super) now_us: u64,
    pub(super) wall_offset_ms: i64,
    pub(super) out: Vec<Out>,
    pub(super) gate: Gate,
    pub(super) hosts: BTreeMap<Shard, Host>,
    pub(super) pending: BTreeMap<OpId, Pending>,
    pub(super) inputs: VecDeque<(Shard, Input<Frame>)>,
    pub(super) view: View,
    /// Where calls go, as far as this node has heard.
    pub(super) routes: BTreeMap<Shard, Generation>,
    pub(super) is_fit: bool,
    pub(super) wall: CheckedWall,
    pub(super) damaged: BTreeSet<Shard>,
    pub(super) asked: BTreeMap<u64, Asked>,
    numbers: u64,
}

impl Node {
    pub(super) fn new(
        me: Generation,
        bug: Option<PlantedBug>,
        store: Rc<RefCell<Store>>,
        wall_offset_ms: i64,
    ) -> Node {
        Node {
            me: Claimant {
                node: me,
                address: String::new(),
            },
            bug,
            store,
            now_us: 0,
            wall_offset_ms,
            out: Vec::new(),
            gate: Gate::default(),
            hosts: BTreeMap::new(),
            pending: BTreeMap::new(),
            inputs: VecDeque::new(),
            view: View::new(),
            routes: BTreeMap::new(),
            is_fit: false,
            wall: CheckedWall::checked(0, 0),
            damaged: BTreeSet::new(),
            asked: BTreeMap::new(),
            numbers: 0,
        }
    }

    pub(super) fn has(&self, bug: PlantedBug) -> bool {
        self.bug == Some(bug)
    }

    pub(super) fn raw_wall_ms(&self) -> u64 {
        (1_000_000 + self.now_us / 1000).saturating_add_signed(self.wall_offset_ms)
    }

    pub(super) fn now(&self) -> Now {
        let (raw_ms, monotonic_ms) = (self.raw_wall_ms(), self.now_us / 1000);
        let wall_ms = match self.bug {
            Some(PlantedBug::ClockFollowsWall) => raw_ms,
            _ => self.wall.read(raw_ms, monotonic_ms),
        };
        Now {
            wall_ms,
            monotonic_ms,
        }
    }

    /// A number that this node never used.
    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// A uuid that nobody ever used.
    pub(super) fn uuid(&mut self) -> Uuid {
        let number = u128::from(self.number());
        Uuid::from_u128(self.me.node.0.as_u128() << 64 | number)
    }

    pub(super) fn ask(&mut self, asked: Asked, request: Request) {
        let ticket = self.number();
        self.asked.insert(ticket, asked);
        self.out.push(Out::Store(ticket, request));
    }

    pub(super) fn host_asks(&mut self, shard: Shard, about: About, request: Request) {
        if let Some(host) = self.hosts.get(&shard) {
            let asked = Asked::Host(shard, host.serial, about);
            self.ask(asked, request);
        }
    }

    /// Begins to claim a shard.
    pub(super) fn claim(&mut self, shard: Shard) {
        let (claim, mut effects) = (self.uuid(), Vec::new());
        let tenure = Tenure::claim(self.me.clone(), claim, FRAMES_PER_SEGMENT, &mut effects);
        self.host(shard, tenure, Memory::default(), effects);
    }

    pub(super) fn host(
        &mut self,
        shard: Shard,
        tenure: Tenure<Frame>,
        memory: Memory,
        effects: Vec<Effect<Frame>>,
    ) {
        let mut host = Host::new(self.number(), tenure, memory, self.now_us);
        host.bug = self.bug;
        self.hosts.insert(shard, host);
        self.effects(shard, effects);
    }

    /// Does what is to be done until nothing follows.
    pub(super) fn pump(&mut self) {
        while let Some((shard, input)) = self.inputs.pop_front() {
            self.feed(shard, input);
            self.submit(shard);
        }
        if self.gate.start() {
            self.ask(Asked::Gate, Request::ReadFences(self.me.node));
        }
    }

    pub(super) fn feed(&mut self, shard: Shard, input: Input<Frame>) {
        if let Some(host) = self.hosts.get_mut(&shard) {
            let mut effects = Vec::new();
            host.tenure.handle(input, &mut effects);
            self.effects(shard, effects);
        }
    }

    pub(super) fn submit(&mut self, shard: Shard) {
        let (now, cut) = (self.now(), self.now_us % 3);
        if let Some(host) = self.hosts.get_mut(&shard) {
            for input in host.submit(cut, now) {
                self.feed(shard, input);
            }
        }
    }

    pub(super) fn effects(&mut self, shard: Shard, effects: Vec<Effect<Frame>>) {
        for effect in effects {
            if let Some(effect) = self.plant(shard, effect) {
                self.effect(shard, effect);
            }
        }
    }

    pub(super) fn effect(&mut self, shard: Shard, effect: Effect<Frame>) {
        match effect {
            Effect::ReadRow => self.host_asks(shard, About::Row, Request::ReadRow(shard)),
            Effect::Swap { expected, row } => {
                self.host_asks(shard, About::Swap, Request::Swap(shard, expected, row));
            }
            Effect::WriteFence { node, epoch } => {
                let request = self.fence(node, shard, epoch);
                self.host_asks(shard, About::Fence(node), request);
            }
            Effect::ReadSegment {
                epoch,
                segment,
                from,
            } => {
                let request = Request::ReadSegment {
                    shard,
                    epoch,
                    segment,
                    from,
                };
                self.host_asks(shard, About::Segment { epoch, from }, request);
            }
            Effect::WriteFrame { epoch, seq, frame } => {
                let request = Request::WriteFrame((shard, epoch, seq), frame);
                self.host_asks(shard, About::Frame, request);
            }
            Effect::AskGate { epoch, mark } => self.gate.ask(shard, epoch, mark),
            Effect::Replay(frames) => self.replay(shard, &frames),
            Effect::Serve { epoch } => self.serve(shard, epoch),
            Effect::Release { through } => self.release(shard, through),
            Effect::Frozen(offer) => self.offer(shard, offer),
            Effect::DeleteSegment { epoch, segment } => {
                let request = Request::DeleteSegment {
                    shard,
                    epoch,
                    segment,
                };
                self.ask(Asked::Delete(request.clone()), request);
            }
            Effect::Trimmed(_) => {}
            Effect::Ended(end) => self.end(shard, end),
        }
    }

    pub(super) fn fence(&self, node: Generation, shard: Shard, epoch: Epoch) -> Request {
        let timestamp = match self.bug {
            Some(PlantedBug::FenceByWallClock) => self.now().wall_ms,
            _ => epoch.0,
        };
        Request::WriteFence {
            node,
            shard,
            epoch,
            timestamp,
        }
    }

    fn replay(&mut self, shard: Shard, frames: &[Frame]) {
        let Some(host) = self.hosts.get_mut(&shard) else {
            return;
        };
        for frame in frames {
            if frame.hlc_ms < host.memory.hlc_ms {
                self.out.push(Out::Fact(Fact::WentBack(shard)));
            }
            host.memory.replay(frame);
        }
    }

    fn serve(&mut self, shard: Shard, epoch: Epoch) {
        let now = self.now();
        let Some(host) = self.hosts.get_mut(&shard) else {
            return;
        };
        host.serve(epoch, now);
        if let Some(source) = host.source {
            let taken_over = Message::TakenOver(shard, epoch);
            self.out.push(Out::Peer(source, taken_over));
        }
        for (call, from) in std::mem::take(&mut host.waiting) {
            self.decide(call, from);
        }
    }

    /// Sends what passed the gate on its way.
    pub(super) fn release(&mut self, shard: Shard, through: u64) {
        let Some(host) = self.hosts.get_mut(&shard) else {
            return;
        };
        let (serial, epoch) = (host.serial, host.serves.unwrap_or_default());
        for said in host.released(through) {
            self.leave(shard, serial, epoch, said);
        }
    }

    pub(super) fn leave(&mut self, shard: Shard, serial: u64, epoch: Epoch, said: Said) {
        let fact = Fact::Released(shard, epoch, said.frames);
        self.out.push(Out::Fact(fact));
        match said.say {
            Say::Reply {
                call,
                to,
                reply: Reply::Missing,
            } if !self.has(PlantedBug::ArchiveBeforeOwner) => self.find(call, to, true),
            Say::Reply { call, to, reply } => self.reply(&call, to, reply),
            Say::Flush(rows) => self.flush(shard, serial, rows),
        }
    }

    pub(super) fn flush(&mut self, shard: Shard, serial: u64, rows: Vec<(Id, Row)>) {
        if self.has(PlantedBug::ForgetBeforeFlush)
            && let Some(host) = self.hosts.get_mut(&shard)
        {
            host.memory
                .ended
                .retain(|id, row| !rows.contains(&(*id, *row)));
        }
        let facts = rows.iter().map(|(id, row)| Fact::Flushed(*id, *row));
        self.out.extend(facts.map(Out::Fact));
        let request = Request::WriteArchive(rows.clone());
        self.ask(Asked::Flush(shard, serial, rows), request);
    }

    fn offer(&mut self, shard: Shard, offer: Offer) {
        if let Some(host) = self.hosts.get_mut(&shard)
            && let Some(handing) = &mut host.handing
        {
            handing.is_offered = true;
            let memory = Rc::new(host.memory.clone());
            let message = Message::Offered(shard, offer, memory, self.me.node);
            self.out.push(Out::Peer(handing.to, message));
        }
    }

    /// The shard is gone: what waits was not begun, what is in doubt stays unanswered.
    fn end(&mut self, shard: Shard, end: End) {
        let Some(host) = self.hosts.remove(&shard) else {
            return;
        };
        if let End::Damaged { .. } = end {
            self.damaged.insert(shard);
            self.out.push(Out::Fact(Fact::Damaged(shard)));
        }
        for (call, from) in host.waiting {
            self.refuse(&call, from);
        }
        if self.has(PlantedBug::RefuseInDoubt) {
            for said in host.said {
                if let Say::Reply { call, to, .. } = said.say {
                    self.reply(&call, to, Reply::Refused);
                }
            }
        }
    }
}

/// The shard of a request: ids and users carry it.
pub(super) fn shard_of(ask: &Ask) -> Shard {
    let number = match ask {
        Ask::Post { user, .. } | Ask::Take { user } => u64::from(*user),
        Ask::Find { id } => *id,
    };
    Shard((number % u64::from(SHARDS)) as u16)
}
