//! What a tenure wants done: noted where somebody waits for it, or done as IO whose outcome goes back
//! to the tenure.

use std::sync::Arc;
use std::time::Duration;

use cluster::ownership::claim::ClaimState;
#[cfg(debug_assertions)]
use cluster::ownership::claim::{ClaimRow, Expected};
use cluster::ownership::tenure::{Effect, Input};
use tokio::time::sleep;

use super::error::CqlError;
#[cfg(debug_assertions)]
use super::failpoint;
use super::frame::Frame;
use super::seat::{Seat, SegmentRead, State};

/// How long the next try waits to delete a segment that nobody needs.
const AT_LEISURE: Duration = Duration::from_secs(10);

impl Seat {
    /// Does the effects in their order; the state is locked, so those of two inputs do not mix.
    pub(super) fn perform(self: &Arc<Self>, state: &mut State, effects: Vec<Effect<Frame>>) {
        for effect in effects {
            if let Some(outward) = self.note(state, effect) {
                self.begin(outward);
            }
        }
    }

    /// Notes what needs no IO, and gives back what does.
    fn note(&self, state: &mut State, effect: Effect<Frame>) -> Option<Effect<Frame>> {
        let progress = &self.progress;
        match effect {
            Effect::ReadSegment {
                epoch,
                segment,
                from,
            } => {
                state.read = Some(SegmentRead {
                    epoch,
                    segment,
                    from,
                });
                progress.send_modify(|progress| progress.is_claimed = true);
            }
            Effect::Replay(frames) => {
                let high_waters = frames.iter().map(Frame::high_water);
                state.high_water = high_waters.fold(state.high_water, |all, one| all.max(one));
                state.replay.extend(frames);
                progress.send_modify(|_| ());
            }
            Effect::Serve { epoch } => {
                state.serve(epoch);
                progress.send_modify(|progress| {
                    progress.is_claimed = true;
                    progress.serves = Some(epoch);
                    progress.offer = None;
                });
            }
            Effect::AskGate { epoch, mark } => {
                self.node.ask_gate(self.shard, epoch, mark);
                progress.send_modify(|progress| progress.written = mark);
            }
            Effect::Release { through } => {
                state.release(through);
                progress.send_modify(|progress| progress.released = through);
            }
            Effect::Frozen(offer) => {
                progress.send_modify(|progress| progress.offer = Some(offer));
            }
            Effect::Trimmed(base) => {
                tracing::debug!(shard = self.shard.0, ?base, "the base was moved");
            }
            Effect::Ended(end) => {
                state.replay.clear();
                progress.send_modify(|progress| progress.ended = Some(end));
            }
            Effect::Swap { expected, row } => {
                if row.state == ClaimState::Claimed {
                    progress.send_modify(|progress| progress.epoch = row.epoch);
                }
                return Some(Effect::Swap { expected, row });
            }
            outward => return Some(outward),
        }
        None
    }

    /// Begins an IO; its outcome comes back as an input.
    fn begin(self: &Arc<Self>, effect: Effect<Frame>) {
        if let Effect::WriteFrame { frame, .. } = effect {
            return self.begin_write(frame);
        }
        let seat = self.clone();
        self.node.on.spawn(async move {
            if let Some(input) = seat.do_io(effect).await {
                seat.handle(input);
            }
        });
    }

    #[cfg(not(debug_assertions))]
    fn begin_write(self: &Arc<Self>, frame: Frame) {
        self.node.writer.begin(self.clone(), frame);
    }

    #[cfg(debug_assertions)]
    fn begin_write(self: &Arc<Self>, frame: Frame) {
        let seat = self.clone();
        self.node.on.spawn(async move {
            failpoint::reach("frame-sent", seat.shard).await;
            seat.node.writer.begin(seat.clone(), frame);
        });
    }

    /// What became of a frame.
    pub(super) async fn frame_written(self: &Arc<Self>, written: Result<(), CqlError>) {
        #[cfg(debug_assertions)]
        failpoint::reach("frame-written", self.shard).await;
        if written.is_err() {
            // It may be the trouble of this shard, or of all.
            self.node.probe();
        }
        let written = self.answer("cannot write a frame", written).await;
        self.handle(Input::FrameWritten(written));
    }

    async fn do_io(self: &Arc<Self>, effect: Effect<Frame>) -> Option<Input<Frame>> {
        let (node, shard) = (&self.node, self.shard);
        let (cql, claims, frames) = (&node.cql, &node.claims, &node.frames);
        Some(match effect {
            Effect::ReadRow => {
                let row = claims.read(cql, shard).await;
                Input::Row(self.answer("cannot read a claim", row).await)
            }
            Effect::Swap { expected, row } => {
                #[cfg(debug_assertions)]
                let places = swap_places(expected, &row);
                #[cfg(debug_assertions)]
                failpoint::reach(places.0, shard).await;
                let swap = claims.swap(cql, shard, expected, &row).await;
                #[cfg(debug_assertions)]
                failpoint::reach(places.1, shard).await;
                Input::Swapped(self.answer("cannot swap a claim", swap).await)
            }
            Effect::WriteFence { node: whose, epoch } => {
                let written = node.fences.write(cql, whose, shard, epoch).await;
                let written = self.answer("cannot write a fence", written).await;
                #[cfg(debug_assertions)]
                failpoint::reach("fenced", shard).await;
                Input::FenceWritten(whose, written)
            }
            Effect::DeleteSegment { epoch, segment } => {
                while let Err(error) = frames.delete_segment(cql, shard, epoch, segment).await {
                    tracing::warn!(%error, "cannot delete a segment; it is tried again");
                    sleep(AT_LEISURE).await;
                }
                return None;
            }
            _ => return None,
        })
    }
}

/// What is reached before and after a change of a claim row.
#[cfg(debug_assertions)]
fn swap_places(expected: Expected, row: &ClaimRow) -> (&'static str, &'static str) {
    match expected {
        _ if row.state == ClaimState::Claimed => ("claim-sent", "claim-won"),
        Expected::Claim(_, ClaimState::Claimed, _) => ("recovered", "sealed"),
        Expected::Claim(claim, ..) if claim == row.claim => ("trim-sent", "trimmed"),
        _ => ("offered", "taken"),
    }
}
