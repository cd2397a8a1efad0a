//! What became of a node's requests to the store: back to the tenure, the gate or the reader.
//!
//! It owns how an answer finds its way; who sent the request is in `node`.

use super::model::{Call, Reply, Status};
use super::node::{About, Asked, Node};
use super::store::Answer;
use crate::member::Generation;
use crate::ownership::gate::Verdict;
use crate::ownership::recovery::Stored;
use crate::ownership::tenure::{Input, NoAnswer};
use crate::shard::Shard;

/// Frames that a node takes of a segment at once.
const FRAMES_AT_ONCE: usize = 2;

impl Node {
    /// An answer of the store.
    pub(super) fn answered(&mut self, ticket: u64, answer: Answer) {
        match (self.asked.remove(&ticket), answer) {
            (Some(Asked::Host(shard, serial, about)), answer)
                if self.hosts.get(&shard).is_some_and(|h| h.serial == serial) =>
            {
                self.host_answered(shard, about, answer);
            }
            (Some(Asked::Gate), answer) => self.gate_answered(&answer),
            (Some(Asked::Flush(shard, serial, rows)), Answer::Nothing)
                if self.hosts.get(&shard).is_some_and(|h| h.serial == serial) =>
            {
                self.flush(shard, serial, rows);
            }
            (Some(Asked::Flush(shard, serial, rows)), _) => {
                if let Some(host) = self.hosts.get_mut(&shard).filter(|h| h.serial == serial) {
                    host.memory
                        .ended
                        .retain(|id, _| !rows.iter().any(|r| r.0 == *id));
                    host.is_flushing = false;
                }
            }
            (Some(Asked::Delete(request)), Answer::Nothing) => {
                self.ask(Asked::Delete(request.clone()), request);
            }
            (Some(Asked::Find(call, to, is_final)), answer) => {
                self.found(call, to, is_final, &answer);
            }
            (Some(Asked::FindFirst(call, from)), answer) => self.find_second(call, from, &answer),
            _ => {}
        }
    }

    fn found(&mut self, call: Call, to: Generation, is_final: bool, answer: &Answer) {
        match answer {
            Answer::Archived(Some(row)) => {
                let status = Status::Ended(row.how);
                self.reply(&call, to, Reply::Found(status));
            }
            Answer::Archived(None) if is_final => self.reply(&call, to, Reply::Missing),
            Answer::Nothing if is_final => self.find(call, to, is_final),
            _ => {}
        }
    }

    fn gate_answered(&mut self, answer: &Answer) {
        let rows = match answer {
            Answer::Fences(rows) => Ok(rows.as_slice()),
            _ => Err(NoAnswer),
        };
        let mut verdicts = Vec::new();
        self.gate.read(rows, &mut verdicts);
        self.inputs
            .extend(verdicts.into_iter().map(|verdict| match verdict {
                Verdict::Lost { shard, epoch } => (shard, Input::Seen(epoch)),
                Verdict::Passed {
                    shard,
                    epoch,
                    through,
                } => (shard, Input::Passed { epoch, through }),
            }));
    }

    fn host_answered(&mut self, shard: Shard, about: About, answer: Answer) {
        let written = match &answer {
            Answer::Nothing => Err(NoAnswer),
            _ => Ok(()),
        };
        let input = match (&about, answer) {
            (About::Row, Answer::Row(row)) => Input::Row(Ok(row)),
            (About::Row, _) => Input::Row(Err(NoAnswer)),
            (About::Swap, Answer::Swapped(swap)) => Input::Swapped(Ok(swap)),
            (About::Swap, _) => Input::Swapped(Err(NoAnswer)),
            (About::Fence(node), _) => Input::FenceWritten(*node, written),
            (About::Segment { .. }, Answer::Segment(frames)) => {
                let whole = frames.into_iter().map(|(seq, f)| (seq, Stored::Whole(f)));
                let mut whole: Vec<_> = whole.collect();
                // Spoiled nodes look at segments as a whole.
                if self.bug.is_none() && whole.len() > FRAMES_AT_ONCE {
                    whole.truncate(FRAMES_AT_ONCE);
                    Input::SegmentPart(whole)
                } else {
                    Input::SegmentRead(Ok(whole))
                }
            }
            (About::Segment { .. }, _) => Input::SegmentRead(Err(NoAnswer)),
            (About::Frame, _) => Input::FrameWritten(written),
            (About::EarlyFence(_) | About::EarlyFrame(_), answer) => {
                return self.spoiled_answer(shard, about, &answer);
            }
        };
        if let Some(input) = self.tamper(shard, &about, input) {
            self.inputs.push_back((shard, input));
        }
    }
}
