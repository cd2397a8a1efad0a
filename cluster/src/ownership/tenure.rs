//! One node's hold on one shard, from its claim to its end.
//!
//! It owns the words between the protocol and its shell: what may happen ([`Input`]) and what is to
//! be done ([`Effect`]). How a claim is won is in `claiming`, what an owner does in `serving`. It does
//! no IO, and knows neither what is in a frame nor what is in an answer.
//!
//! The shell does each effect, in order, and gives the outcome of each IO back exactly once. An error
//! and a time-out are the same [`NoAnswer`]; the shell gives it back only after its back-off, for what
//! follows is mostly the same effect again. A tenure has at most one `ReadRow` or `Swap`, one
//! `ReadSegment` and one `WriteFrame` under way. When it has ended, outcomes of its effects go nowhere:
//! the shard comes back only by another tenure (R5).

use uuid::Uuid;

use super::claim::{Base, ClaimRow, Claimant, Expected, Swap};
use super::claiming::{Claiming, Next};
use super::recovery::Stored;
use super::serving::Serving;
use crate::member::Generation;
use crate::shard::Epoch;

/// How many frames one segment of a journal holds (R10).
pub const FRAMES_PER_SEGMENT: u64 = 1024;

/// An error or a time-out: whether it was done, or will be, is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAnswer;

/// What happened. `F` is a frame: cheap to clone, the same bytes each time.
///
/// Marks number what an owner wants to say: an answer, an empty answer, a count, a miss, an archive
/// row. They grow within one tenure, from 1.
#[derive(Clone, Debug)]
pub enum Input<F> {
    /// The claim row as read at SERIAL.
    Row(Result<Option<ClaimRow>, NoAnswer>),
    /// What became of the compare-and-set.
    Swapped(Result<Swap, NoAnswer>),
    /// What became of the fence for this node.
    FenceWritten(Generation, Result<(), NoAnswer>),
    /// The frames of the segment, in order.
    SegmentRead(Result<Vec<(u64, Stored<F>)>, NoAnswer>),
    /// The first frames of the segment, in order, at least one; the rest is to be asked for.
    SegmentPart(Vec<(u64, Stored<F>)>),
    /// Whether the frame is durable at QUORUM.
    FrameWritten(Result<(), NoAnswer>),
    /// The owner's next frame, and the last mark that it carries; only if [`Tenure::may_submit`].
    Submit {
        /// The frame.
        frame: F,
        /// The last mark whose answer rests on this frame or an earlier one.
        mark: u64,
    },
    /// The owner wants to say something that needs no frame but those submitted so far.
    Answer {
        /// Its mark.
        mark: u64,
    },
    /// The gate passed everything that was asked up to this mark.
    Passed {
        /// The epoch that asked.
        epoch: Epoch,
        /// The mark.
        through: u64,
    },
    /// A fence, a claim row or a peer showed this epoch of the shard.
    Seen(Epoch),
    /// Prepare the hand-off: every event is submitted, and the shell accepts no more.
    Freeze,
    /// The target of a hand-off stalls: claim the next epoch with the memory at hand.
    TakeBack {
        /// A new uuid.
        claim: Uuid,
    },
    /// The survivors of everything before `base` are submitted again: let go of it (R10).
    Trim {
        /// The new base; only if [`Tenure::may_trim`].
        base: Base,
        /// A new mark.
        mark: u64,
    },
    /// End, whatever is under way.
    GiveUp,
}

/// What is to be done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<F> {
    /// Read the claim row at SERIAL.
    ReadRow,
    /// Change the claim row, if it is as expected, at SERIAL and QUORUM.
    Swap {
        /// What must hold.
        expected: Expected,
        /// The row after.
        row: ClaimRow,
    },
    /// Write the fence of this node for the shard at QUORUM.
    WriteFence {
        /// Whose.
        node: Generation,
        /// The epoch that fences it, also the timestamp of the write.
        epoch: Epoch,
    },
    /// Read what the journal holds of a segment at QUORUM.
    ReadSegment {
        /// Whose epoch.
        epoch: Epoch,
        /// The segment.
        segment: u64,
        /// Frames before it are not wanted.
        from: u64,
    },
    /// Apply these frames to the memory, after all earlier ones.
    Replay(Vec<F>),
    /// Write this frame at QUORUM. A repeat has the same bytes.
    WriteFrame {
        /// The epoch.
        epoch: Epoch,
        /// The frame's number in it.
        seq: u64,
        /// The bytes.
        frame: F,
    },
    /// The memory is that of the owner: accept requests.
    Serve {
        /// Under this epoch.
        epoch: Epoch,
    },
    /// Ask the gate of the node, which answers by [`Input::Passed`] or [`Input::Seen`].
    AskGate {
        /// The epoch.
        epoch: Epoch,
        /// The mark.
        mark: u64,
    },
    /// Everything up to this mark may leave the node.
    Release {
        /// The mark.
        through: u64,
    },
    /// Every event is durable and past the gate: offer the shard and its memory to the target.
    Frozen(Offer),
    /// Delete a segment as a whole partition, at leisure, until it succeeds.
    DeleteSegment {
        /// Whose epoch.
        epoch: Epoch,
        /// The segment.
        segment: u64,
    },
    /// The base was moved.
    Trimmed(Base),
    /// The tenure is over. Drop the memory, and everything not released.
    Ended(End),
}

/// What the target of a hand-off is given along with the memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The claim row of the owner.
    pub row: ClaimRow,
    /// The final count of frames of its epoch.
    pub frames: u64,
}

/// Why a tenure ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Somebody else has a claim.
    Superseded,
    /// A frame of the journal is lost or broken: the shard stays without an owner. Alarm.
    Damaged {
        /// Whose epoch.
        epoch: Epoch,
        /// The frame.
        seq: u64,
    },
    /// The shell wanted it.
    GivenUp,
}

/// The state machine of one claim of one shard.
#[derive(Clone, Debug)]
pub struct Tenure<F> {
    me: Claimant,
    frames_per_segment: u64,
    phase: Phase<F>,
}

#[derive(Clone, Debug)]
enum Phase<F> {
    Claiming(Claiming<F>),
    Serving(Serving<F>),
    Ended,
}

impl<F: Clone> Tenure<F> {
    /// Begins to claim a shard, under a uuid that was never used.
    pub fn claim(
        me: Claimant,
        claim: Uuid,
        frames_per_segment: u64,
        effects: &mut Vec<Effect<F>>,
    ) -> Tenure<F> {
        effects.push(Effect::ReadRow);
        Tenure {
            me,
            frames_per_segment,
            phase: Phase::Claiming(Claiming::new(claim, frames_per_segment)),
        }
    }

    /// Begins to take over a shard whose owner froze it and gave its memory along with this offer.
    pub fn take_over(
        me: Claimant,
        claim: Uuid,
        offer: &Offer,
        frames_per_segment: u64,
        effects: &mut Vec<Effect<F>>,
    ) -> Tenure<F> {
        let row = offer.row.handed_to(&me, claim, offer.frames);
        let claiming = Claiming::take_over(offer.row.expected(), row, claim, effects);
        Tenure {
            me,
            frames_per_segment,
            phase: Phase::Claiming(claiming),
        }
    }

    /// Takes what happened and says what is to be done.
    pub fn handle(&mut self, input: Input<F>, effects: &mut Vec<Effect<F>>) {
        let next = match (&mut self.phase, input) {
            (Phase::Ended, _) => return,
            (_, Input::GiveUp) => Next::Ended(End::GivenUp),
            (Phase::Claiming(claiming), input) => claiming.handle(&self.me, input, effects),
            (Phase::Serving(serving), input) => serving.handle(&self.me, input, effects),
        };
        match next {
            Next::Stay => {}
            Next::Serve(row) => {
                effects.push(Effect::Serve { epoch: row.epoch });
                self.phase = Phase::Serving(Serving::new(row, self.frames_per_segment));
            }
            Next::Ended(end) => {
                effects.push(Effect::Ended(end));
                self.phase = Phase::Ended;
            }
        }
    }

    /// Whether the owner may submit a frame: none is in flight (R5), and the shard is not frozen.
    pub fn may_submit(&self) -> bool {
        matches!(&self.phase, Phase::Serving(serving) if serving.may_submit())
    }

    /// Whether the owner may begin a trim: none is under way, and the shard is not frozen.
    pub fn may_trim(&self) -> bool {
        matches!(&self.phase, Phase::Serving(serving) if serving.may_trim())
    }

    /// The claim row of an owner that serves, or that froze its shard.
    pub fn row(&self) -> Option<&ClaimRow> {
        match &self.phase {
            Phase::Serving(serving) => Some(serving.row()),
            _ => None,
        }
    }

    /// Where the owner's next frame goes.
    pub fn next_frame(&self) -> Option<Base> {
        match &self.phase {
            Phase::Serving(serving) => Some(serving.next_frame()),
            _ => None,
        }
    }

    /// Whether it is over.
    pub fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }
}

#[cfg(test)]
#[path = "tenure_tests.rs"]
mod tests;
