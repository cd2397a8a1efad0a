//! Reading the journal of one shard: to recover it, or once more while it is served.

use std::sync::Arc;
use std::time::Instant;

use cluster::ownership::claim::Link;
use cluster::ownership::recovery::{Scan, Step};
use cluster::ownership::tenure::{Input, NoAnswer};
use cluster::shard::Epoch;

use super::error::ScyllaError;
use super::frame::Frame;
use super::frame_table::SegmentPart;
use super::patience::Patience;
use super::seat::Seat;

/// The reading of one shard's journal: the recovery of a claim, or once more what is durable.
pub(super) struct Reading {
    pub(super) seat: Arc<Seat>,
    /// What is still to be read again; `None` for a recovery.
    again: Option<Again>,
}

/// What is still to be read again.
struct Again {
    /// The epochs, the next one last.
    scans: Vec<Scan<Frame>>,
    /// How long the store may answer nothing: whoever reads keeps others from it.
    patience: Patience,
}

impl Reading {
    /// Of a shard that is claimed, or served.
    pub(super) fn of(seat: Arc<Seat>) -> Reading {
        let again = seat.is_serving().then(|| {
            let mut scans = seat.scans();
            scans.reverse();
            Again {
                scans,
                patience: Patience::default(),
            }
        });
        Reading { seat, again }
    }

    /// The next frames, and `None` after the last ones.
    pub(super) async fn next(mut self) -> (Reading, Result<Option<Vec<Frame>>, ScyllaError>) {
        let frames = match &mut self.again {
            None => self.seat.recover().await,
            Some(again) => read_again(&self.seat, again).await,
        };
        (self, frames)
    }
}

async fn read_again(
    seat: &Arc<Seat>,
    again: &mut Again,
) -> Result<Option<Vec<Frame>>, ScyllaError> {
    let Some(scan) = again.scans.last_mut() else {
        return Ok(None);
    };
    let mut found = Vec::new();
    let mut step = scan.step();
    while let Step::Read { segment, from } = step {
        let part = seat.segment(scan.epoch(), segment, from).await;
        if again.patience.is_over(part.is_ok(), Instant::now()) {
            return Err(ScyllaError::GivenUp(seat.shard));
        }
        step = match part {
            Ok(part) if part.has_more => scan.part_read(part.frames, &mut found),
            Ok(part) => scan.segment_read(part.frames, &mut found),
            Err(NoAnswer) => {
                // Nobody needs it any more when the shard is another's.
                seat.until(|_| true).await?;
                continue;
            }
        };
    }
    if let Step::Damaged(seq) = step {
        return Err(doubted(seat, scan.epoch(), seq).await);
    }
    again.scans.pop();
    Ok(Some(found))
}

/// What a frame that is lost or broken means: damage only if the claim still stands, for a successor that
/// is not known here may have trimmed the journal.
async fn doubted(seat: &Arc<Seat>, epoch: Epoch, seq: u64) -> ScyllaError {
    let node = &seat.node;
    loop {
        let row = node.claims.read(&node.cql, seat.shard).await;
        let Ok(row) = seat.answer("cannot read a claim", row).await else {
            continue;
        };
        return match row.is_some_and(|row| row.owner == node.me.node && seat.serves(row.epoch)) {
            true => seat.damaged(epoch, seq),
            false => ScyllaError::Superseded(seat.shard),
        };
    }
}

impl Seat {
    /// The next frames to visit, in order; `None` when the shard is served.
    ///
    /// # Errors
    /// As [`Seat::until`].
    pub(super) async fn recover(self: &Arc<Self>) -> Result<Option<Vec<Frame>>, ScyllaError> {
        loop {
            let mut progress = self.progress.subscribe();
            let read = {
                let mut state = self.state();
                if !state.replay.is_empty() {
                    return Ok(Some(std::mem::take(&mut state.replay)));
                }
                state.read.take()
            };
            if let Some(read) = read {
                let part = self.segment(read.epoch, read.segment, read.from).await;
                self.handle(match part {
                    Ok(part) if part.has_more => Input::SegmentPart(part.frames),
                    Ok(part) => Input::SegmentRead(Ok(part.frames)),
                    Err(NoAnswer) => Input::SegmentRead(Err(NoAnswer)),
                });
                continue;
            }
            let served = self.until(|_| true).await?.serves;
            if served.is_some() {
                return Ok(None);
            }
            // Its last frame is being written again, or the epochs are being sealed.
            let _ = progress.changed().await;
        }
    }

    /// Reads what a segment holds from the frame `from` on.
    pub(super) async fn segment(
        self: &Arc<Self>,
        epoch: Epoch,
        segment: u64,
        from: u64,
    ) -> Result<SegmentPart, NoAnswer> {
        let node = &self.node;
        let frames = node
            .frames
            .read_segment(&node.cql, self.shard, epoch, segment, from);
        self.answer("cannot read the journal", frames.await).await
    }

    /// What to read in order to visit again everything that is durable now.
    pub(super) fn scans(&self) -> Vec<Scan<Frame>> {
        let (state, frames) = (self.state(), self.node.frames.segment_frames());
        let (Some(row), Some(next)) = (state.tenure.row(), state.tenure.next_frame()) else {
            return Vec::new();
        };
        let scan = |link: &Link| {
            let end = if link.epoch == next.epoch {
                Some(next.seq)
            } else {
                link.sealed
            };
            Scan::new(link.epoch, row.starts_at(link.epoch), end, frames)
        };
        row.chain.iter().map(scan).collect()
    }
}
