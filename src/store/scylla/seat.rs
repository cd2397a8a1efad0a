//! This node's hold on one shard: what can be asked of it, and what others wait for.
//!
//! It is driven from outside (claim, write, freeze, trim) and by the outcomes of its own IO, which is
//! done in `effects`. It decides nothing: that is `cluster::ownership::tenure`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use cluster::ownership::claim::Base;
use cluster::ownership::tenure::{Effect, End, Input, NoAnswer, Offer, Tenure};
use cluster::shard::{Epoch, Shard};
use tokio::sync::watch;
use uuid::Uuid;

use super::error::{CqlError, ScyllaError};
use super::frame::{self, Frame};
use super::node::Node;
use super::patience::Patience;
use crate::store::group::HighWater;

/// This node's hold on one shard.
pub(super) struct Seat {
    pub(super) shard: Shard,
    pub(super) node: Arc<Node>,
    state: Mutex<State>,
    pub(super) progress: watch::Sender<Progress>,
}

/// What others wait for; it only grows.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// The epoch of the claim, once it was sent.
    pub(super) epoch: Epoch,
    /// Whether the claim is won, and the older journals are to be read.
    pub(super) is_claimed: bool,
    /// The epoch that is served.
    pub(super) serves: Option<Epoch>,
    /// The last mark whose frames are durable.
    pub(super) written: u64,
    /// The last mark that passed the gate.
    pub(super) released: u64,
    /// What a hand-off gives.
    pub(super) offer: Option<Offer>,
    /// Why the tenure is over.
    pub(super) ended: Option<End>,
}

/// What a seat keeps under its lock.
pub(super) struct State {
    pub(super) tenure: Tenure<Frame>,
    mark: u64,
    pub(super) high_water: HighWater,
    patience: Patience,
    /// The read of a segment that waits until the frames before it were visited.
    pub(super) read: Option<SegmentRead>,
    /// Frames that wait to be visited.
    pub(super) replay: Vec<Frame>,
    /// What answers have left of, and the frames by the marks that will let more leave.
    pub(super) released: Released,
    pub(super) submitted: VecDeque<(u64, u64)>,
}

/// How much of an epoch's journal answers rest on that have left this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// The epoch.
    pub epoch: Epoch,
    /// Its frames up to the last of them: no seal may be shorter.
    pub frames: u64,
    /// Whether this node gave the shard up, before anybody else was seen to have it.
    pub is_given_up: bool,
}

/// A segment to read, from one of its frames on.
#[derive(Clone, Copy)]
pub(super) struct SegmentRead {
    pub(super) epoch: Epoch,
    pub(super) segment: u64,
    pub(super) from: u64,
}

impl Seat {
    /// Begins to claim a shard.
    pub(super) fn claim(node: &Arc<Node>, shard: Shard) -> Arc<Seat> {
        let frames = node.frames.segment_frames();
        Seat::start(node, shard, HighWater::default(), |effects| {
            Tenure::claim(node.me.clone(), Uuid::now_v7(), frames, effects)
        })
    }

    /// Begins to take over a frozen shard with its memory, whose clocks stand at `high_water`.
    pub(super) fn take_over(
        node: &Arc<Node>,
        shard: Shard,
        offer: &Offer,
        high_water: HighWater,
    ) -> Arc<Seat> {
        let frames = node.frames.segment_frames();
        Seat::start(node, shard, high_water, |effects| {
            Tenure::take_over(node.me.clone(), Uuid::now_v7(), offer, frames, effects)
        })
    }

    fn start(
        node: &Arc<Node>,
        shard: Shard,
        high_water: HighWater,
        tenure: impl FnOnce(&mut Vec<Effect<Frame>>) -> Tenure<Frame>,
    ) -> Arc<Seat> {
        let mut effects = Vec::new();
        let state = State {
            tenure: tenure(&mut effects),
            mark: 0,
            high_water,
            patience: Patience::default(),
            read: None,
            replay: Vec::new(),
            released: Released::default(),
            submitted: VecDeque::new(),
        };
        let seat = Arc::new(Seat {
            shard,
            node: node.clone(),
            state: Mutex::new(state),
            progress: watch::Sender::default(),
        });
        let mut state = seat.state();
        seat.perform(&mut state, effects);
        drop(state);
        seat
    }

    /// Tells the tenure what happened, and does what follows.
    pub(super) fn handle(self: &Arc<Self>, input: Input<Frame>) {
        let mut state = self.state();
        self.handle_locked(&mut state, input);
    }

    /// Waits until the progress is as wanted, or the tenure is over.
    ///
    /// # Errors
    /// [`ScyllaError::Superseded`], [`ScyllaError::GivenUp`] and [`ScyllaError::Damaged`] when it is over.
    pub(super) async fn until(
        &self,
        is_reached: impl Fn(&Progress) -> bool,
    ) -> Result<Progress, ScyllaError> {
        let mut progress = self.progress.subscribe();
        let reached = progress
            .wait_for(|progress| progress.ended.is_some() || is_reached(progress))
            .await;
        let reached = reached.expect("a seat keeps its progress").clone();
        match reached.ended {
            None => Ok(reached),
            Some(End::Damaged { epoch, seq }) => Err(self.damaged(epoch, seq)),
            Some(End::Superseded) => Err(ScyllaError::Superseded(self.shard)),
            Some(End::GivenUp) => Err(ScyllaError::GivenUp(self.shard)),
        }
    }

    /// Begins to write records as frames, one after the other.
    pub(super) fn write(self: &Arc<Self>, pieces: Vec<Vec<u8>>, high_water: HighWater) -> Write {
        let mut write = Write {
            seat: self.clone(),
            pieces: pieces.into_iter(),
            high_water,
            mark: Some(0),
            sent: Instant::now(),
        };
        write.submit_next();
        write
    }

    fn submit(self: &Arc<Self>, records: &[u8], high_water: HighWater) -> Option<u64> {
        let mut state = self.state();
        let place = state.tenure.next_frame()?;
        if !state.tenure.may_submit() {
            return None;
        }
        state.high_water = state.high_water.max(high_water);
        let frame = Frame::new(self.shard, place, state.high_water, records);
        let mark = state.next_mark();
        state.submitted.push_back((mark, place.seq + 1));
        self.handle_locked(&mut state, Input::Submit { frame, mark });
        Some(mark)
    }

    /// A mark for something that needs no frame of its own: to be released like those of frames.
    /// `None` while the shard is not served.
    pub(super) fn ask(self: &Arc<Self>) -> Option<u64> {
        let mut state = self.state();
        state.tenure.row()?;
        let mark = state.next_mark();
        self.handle_locked(&mut state, Input::Answer { mark });
        Some(mark)
    }

    /// Waits until the gate let a mark pass; somebody has the gate read.
    ///
    /// # Errors
    /// As [`Seat::until`]: nothing may be answered.
    pub(super) async fn released(&self, mark: u64) -> Result<(), ScyllaError> {
        let is_released = |progress: &Progress| progress.released >= mark;
        self.until(is_released).await.map(drop)
    }

    /// As [`Node::answer`]; gives the tenure up if that is the end of its patience.
    pub(super) async fn answer<T>(
        self: &Arc<Self>,
        action: &'static str,
        answer: Result<T, CqlError>,
    ) -> Result<T, NoAnswer> {
        let has_stalled = {
            let mut state = self.state();
            // What an owner has in memory is not given up because the store is away.
            let is_served = state.tenure.row().is_some();
            let is_well = answer.is_ok() || is_served;
            state.patience.is_over(is_well, Instant::now())
        };
        if has_stalled {
            tracing::warn!(shard = self.shard.0, "giving up a claim that has stalled");
            self.handle(Input::GiveUp);
        }
        self.node.answer(action, answer).await
    }

    /// Whether the shard takes events, or did until it was frozen.
    pub(super) fn is_serving(&self) -> bool {
        self.state().tenure.row().is_some()
    }

    /// Whether the shard takes events under this epoch, or did until it was frozen.
    pub(super) fn serves(&self, epoch: Epoch) -> bool {
        let state = self.state();
        state.tenure.row().is_some_and(|row| row.epoch == epoch)
    }

    /// That a frame is lost or broken.
    pub(super) fn damaged(&self, epoch: Epoch, seq: u64) -> ScyllaError {
        ScyllaError::Damaged {
            shard: self.shard,
            epoch: epoch.0,
            seq,
        }
    }

    /// What answers have left of.
    pub(super) fn released_frames(&self) -> Released {
        Released {
            is_given_up: self.progress.borrow().ended == Some(End::GivenUp),
            ..self.state().released
        }
    }

    /// At or above the time and id of every record of the shard.
    pub(super) fn high_water(&self) -> HighWater {
        self.state().high_water
    }

    /// Freezes the shard and waits until nothing of it is under way.
    ///
    /// # Errors
    /// As [`Seat::until`].
    pub(super) async fn freeze(self: &Arc<Self>) -> Result<Offer, ScyllaError> {
        self.handle(Input::Freeze);
        self.node.read_gate();
        let frozen = self.until(|progress| progress.offer.is_some()).await?;
        Ok(frozen.offer.expect("waited for"))
    }

    /// Claims the next epoch of a shard that was offered in vain; its memory is still that of the
    /// owner.
    ///
    /// # Errors
    /// As [`Seat::until`]: the target has it after all.
    pub(super) async fn take_back(self: &Arc<Self>) -> Result<Epoch, ScyllaError> {
        let frozen = self.until(|progress| progress.offer.is_some()).await?;
        let claim = Uuid::now_v7();
        self.handle(Input::TakeBack { claim });
        let is_back = |progress: &Progress| progress.serves > frozen.serves;
        let back = self.until(is_back).await?;
        Ok(back.serves.expect("waited for"))
    }

    /// Begins to let go of the segments before `wanted`, but never of the last frame: it holds the
    /// high water. Whether it comes to that is seen by asking again.
    pub(super) fn trim(self: &Arc<Self>, wanted: Base) {
        let frames = self.node.frames.segment_frames();
        let mut state = self.state();
        let (Some(row), Some(next)) = (state.tenure.row(), state.tenure.next_frame()) else {
            return;
        };
        let last = match next.seq {
            0 => row.older().last().and_then(|link| {
                let seq = link.sealed?.checked_sub(1)?;
                let epoch = link.epoch;
                Some(Base { epoch, seq })
            }),
            seq => Some(Base {
                seq: seq - 1,
                ..next
            }),
        };
        let Some(mut base) = last.map(|last| last.min(wanted)) else {
            return;
        };
        base.seq -= base.seq % frames;
        if base <= row.base || !state.tenure.may_trim() {
            return;
        }
        let mark = state.next_mark();
        self.handle_locked(&mut state, Input::Trim { base, mark });
        drop(state);
        self.node.read_gate();
    }

    fn handle_locked(self: &Arc<Self>, state: &mut State, input: Input<Frame>) {
        let mut effects = Vec::new();
        state.tenure.handle(input, &mut effects);
        self.perform(state, effects);
        if let Some(next) = state.tenure.next_frame() {
            self.node.set_position(self.shard, frame::position(next));
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records on their way into the journal of a shard.
pub(super) struct Write {
    pub(super) seat: Arc<Seat>,
    /// What is not yet submitted.
    pieces: std::vec::IntoIter<Vec<u8>>,
    high_water: HighWater,
    /// Of the last piece that was submitted; none when the shard did not take it.
    mark: Option<u64>,
    /// When that was.
    sent: Instant,
}

impl Write {
    /// The mark that rests on the last frame: it is durable, and not yet past the gate. May be dropped and
    /// asked for again.
    ///
    /// # Errors
    /// [`ScyllaError::Superseded`] when the shard is lost, or was frozen: nothing may be answered.
    pub(super) async fn done(&mut self) -> Result<u64, ScyllaError> {
        loop {
            let mark = self.mark.ok_or(ScyllaError::Superseded(self.seat.shard))?;
            self.seat.until(|progress| progress.written >= mark).await?;
            if !self.submit_next() {
                return Ok(mark);
            }
        }
    }

    /// When the last piece so far was sent.
    pub(super) fn sent(&self) -> Instant {
        self.sent
    }

    fn submit_next(&mut self) -> bool {
        let piece = self.pieces.next();
        if let Some(records) = &piece {
            self.sent = Instant::now();
            self.mark = self.seat.submit(records, self.high_water);
        }
        piece.is_some()
    }
}

impl State {
    /// Notes that everything up to this mark may leave.
    pub(super) fn release(&mut self, through: u64) {
        while let Some((_, frames)) = self.submitted.pop_front_if(|(mark, _)| *mark <= through) {
            self.released.frames = frames;
        }
    }

    /// Notes that an epoch begins.
    pub(super) fn serve(&mut self, epoch: Epoch) {
        self.submitted.clear();
        self.released = Released {
            epoch,
            ..Released::default()
        };
    }

    fn next_mark(&mut self) -> u64 {
        self.mark += 1;
        self.mark
    }
}
