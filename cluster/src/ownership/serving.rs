//! What an owner does: one frame in flight, answers through the gate, freeze, take back, trim
//! (R4, R5, R10).
//!
//! It owns which mark may leave and when the shard is at rest. What a mark stands for is the shell's.

use super::change::{Change, Fate};
use super::claim::{Base, ClaimRow, Claimant};
use super::claiming::Next;
use super::tenure::{Effect, End, Input, NoAnswer, Offer};

#[derive(Clone, Debug)]
pub(super) struct Serving<F> {
    row: ClaimRow,
    frames_per_segment: u64,
    next_seq: u64,
    in_flight: Option<InFlight<F>>,
    /// The last mark that was given.
    given: u64,
    /// The last mark that passed the gate.
    passed: u64,
    mode: Mode,
    trim: Option<Trim>,
}

#[derive(Clone, Debug)]
struct InFlight<F> {
    frame: F,
    /// The last mark that rests on it.
    mark: u64,
}

#[derive(Clone, Debug)]
enum Mode {
    Open,
    /// No new events; those before are on their way.
    Freezing,
    /// All is past the gate, and offered to another. It is never opened again under this epoch.
    Frozen,
    TakingBack(Box<Change>),
}

#[derive(Clone, Debug)]
enum Trim {
    /// The survivors are on their way through the gate.
    Gating {
        base: Base,
        mark: u64,
    },
    Moving(Box<Change>),
}

impl<F: Clone> Serving<F> {
    pub(super) fn new(row: ClaimRow, frames_per_segment: u64) -> Serving<F> {
        Serving {
            row,
            frames_per_segment,
            next_seq: 0,
            in_flight: None,
            given: 0,
            passed: 0,
            mode: Mode::Open,
            trim: None,
        }
    }

    pub(super) fn may_submit(&self) -> bool {
        self.in_flight.is_none() && matches!(self.mode, Mode::Open)
    }

    pub(super) fn may_trim(&self) -> bool {
        self.trim.is_none() && matches!(self.mode, Mode::Open)
    }

    pub(super) fn row(&self) -> &ClaimRow {
        &self.row
    }

    pub(super) fn next_frame(&self) -> Base {
        Base {
            epoch: self.row.epoch,
            seq: self.next_seq,
        }
    }

    pub(super) fn handle(
        &mut self,
        me: &Claimant,
        input: Input<F>,
        effects: &mut Vec<Effect<F>>,
    ) -> Next {
        match input {
            Input::Submit { frame, mark } => self.submit(frame, mark, effects),
            Input::Answer { mark } => self.answer(mark, effects),
            Input::FrameWritten(answer) => self.frame_written(answer, effects),
            Input::Passed { epoch, through } if epoch == self.row.epoch => {
                self.passed = self.passed.max(through);
                effects.push(Effect::Release {
                    through: self.passed,
                });
                self.begin_to_trim(effects);
                self.rest(effects);
            }
            Input::Seen(epoch) if epoch > self.row.epoch => return Next::Ended(End::Superseded),
            Input::Freeze if matches!(self.mode, Mode::Open) => {
                self.mode = Mode::Freezing;
                self.rest(effects);
            }
            Input::TakeBack { claim } => {
                assert!(
                    matches!(self.mode, Mode::Frozen),
                    "only what was offered is taken back"
                );
                let row = self.row.handed_to(me, claim, self.next_seq);
                let change = Change::begin(self.row.expected(), row, effects);
                self.mode = Mode::TakingBack(Box::new(change));
            }
            Input::Trim { base, mark } => self.trim(base, mark, effects),
            input @ (Input::Swapped(_) | Input::Row(_)) => return self.changed(input, effects),
            _ => {}
        }
        Next::Stay
    }

    fn submit(&mut self, frame: F, mark: u64, effects: &mut Vec<Effect<F>>) {
        assert!(self.may_submit(), "one frame is in flight at a time");
        self.give(mark);
        self.in_flight = Some(InFlight { frame, mark });
        self.write(effects);
    }

    /// A mark that needs no frame waits for the one in flight, if there is one.
    fn answer(&mut self, mark: u64, effects: &mut Vec<Effect<F>>) {
        self.give(mark);
        match &mut self.in_flight {
            Some(in_flight) => in_flight.mark = mark,
            None => self.ask(mark, effects),
        }
    }

    fn frame_written(&mut self, answer: Result<(), NoAnswer>, effects: &mut Vec<Effect<F>>) {
        if answer.is_err() {
            return self.write(effects);
        }
        if let Some(InFlight { mark, .. }) = self.in_flight.take() {
            self.next_seq += 1;
            self.ask(mark, effects);
        }
    }

    fn write(&self, effects: &mut Vec<Effect<F>>) {
        if let Some(InFlight { frame, .. }) = &self.in_flight {
            effects.push(Effect::WriteFrame {
                epoch: self.row.epoch,
                seq: self.next_seq,
                frame: frame.clone(),
            });
        }
    }

    fn give(&mut self, mark: u64) {
        assert!(mark > self.given, "marks grow");
        self.given = mark;
    }

    fn ask(&self, mark: u64, effects: &mut Vec<Effect<F>>) {
        let epoch = self.row.epoch;
        effects.push(Effect::AskGate { epoch, mark });
    }

    fn trim(&mut self, base: Base, mark: u64, effects: &mut Vec<Effect<F>>) {
        assert!(self.may_trim(), "one trim at a time, of an open shard");
        assert!(
            base > self.row.base && base <= self.next_frame(),
            "a base moves forward, over frames that are durable"
        );
        self.trim = Some(Trim::Gating { base, mark });
        self.answer(mark, effects);
    }

    fn begin_to_trim(&mut self, effects: &mut Vec<Effect<F>>) {
        if let Some(Trim::Gating { base, mark }) = self.trim
            && mark <= self.passed
        {
            let row = self.row.trimmed(base);
            let change = Change::begin(self.row.expected(), row, effects);
            self.trim = Some(Trim::Moving(Box::new(change)));
        }
    }

    /// Offers a freezing shard once nothing of it is under way.
    fn rest(&mut self, effects: &mut Vec<Effect<F>>) {
        let at_rest = self.in_flight.is_none() && self.passed == self.given && self.trim.is_none();
        if at_rest && matches!(self.mode, Mode::Freezing) {
            self.mode = Mode::Frozen;
            effects.push(Effect::Frozen(Offer {
                row: self.row.clone(),
                frames: self.next_seq,
            }));
        }
    }

    /// A change of the row is that of a trim or that of taking back, never both.
    fn changed(&mut self, input: Input<F>, effects: &mut Vec<Effect<F>>) -> Next {
        let change = match (&self.trim, &self.mode) {
            (Some(Trim::Moving(change)), _) | (_, Mode::TakingBack(change)) => change,
            _ => return Next::Stay,
        };
        match change.handle(input, effects) {
            Fate::Open => Next::Stay,
            Fate::Overtaken => Next::Ended(End::Superseded),
            Fate::Applied => {
                let row = change.row.clone();
                if row.epoch != self.row.epoch {
                    return Next::Serve(row);
                }
                self.trimmed(row, effects);
                Next::Stay
            }
        }
    }

    fn trimmed(&mut self, row: ClaimRow, effects: &mut Vec<Effect<F>>) {
        let before = std::mem::replace(&mut self.row, row);
        self.trim = None;
        for link in &before.chain {
            let first = before.starts_at(link.epoch) / self.frames_per_segment;
            let end = if link.epoch == self.row.base.epoch {
                self.row.base.seq / self.frames_per_segment
            } else if link.epoch < self.row.base.epoch {
                self.end_of(link.sealed)
            } else {
                first
            };
            let epoch = link.epoch;
            effects.extend((first..end).map(|segment| Effect::DeleteSegment { epoch, segment }));
        }
        effects.push(Effect::Trimmed(self.row.base));
        self.rest(effects);
    }

    /// One segment more than the frames that count: its owner may have written past the seal.
    fn end_of(&self, sealed: Option<u64>) -> u64 {
        sealed.unwrap_or_default() / self.frames_per_segment + 2
    }
}
