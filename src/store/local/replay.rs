//! Visiting what was appended, segment by segment, with bounded memory.

use std::sync::atomic::Ordering;

use super::frames::{FrameReader, Next};
use super::journal::LocalJournal;
use super::locked;
use super::segment::{self, HEADER_BYTES, SegmentId};
use super::upkeep::InUse;
use crate::domain::username::{SHARDS, ShardId};
use crate::store::StoreError;
use crate::store::group::{self, HighWater};
use crate::store::journal::{Position, Visit};

impl LocalJournal {
    /// Visits the records of `shards`. It must not run while segments are let go.
    pub(super) fn replay_now(
        &self,
        shards: &[ShardId],
        visit: &mut Visit<'_>,
    ) -> Result<HighWater, StoreError> {
        let mut wanted = [false; SHARDS];
        for shard in shards {
            wanted[shard.index()] = true;
        }
        let (segments, high_water) = self.segments();
        let bytes: u64 = segments.iter().map(|segment| segment.end).sum();
        self.replay_total.fetch_add(bytes, Ordering::Relaxed);
        for segment in &segments {
            self.replay_segment(segment, &wanted, visit)?;
        }
        Ok(high_water)
    }

    fn replay_segment(
        &self,
        segment: &InUse,
        wanted: &[bool; SHARDS],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let path = segment::path(&self.directory, segment.number);
        let id = SegmentId {
            journal: self.journal,
            number: segment.number,
        };
        let start = HEADER_BYTES as u64;
        let mut frames = FrameReader::new(&path, id, start, segment.first_group)?;
        let position = Position(segment.number);
        self.replay_done
            .fetch_add(start.min(segment.end), Ordering::Relaxed);
        loop {
            let offset = frames.offset();
            if offset >= segment.end {
                return Ok(());
            }
            let what = match frames.next()? {
                Next::Frame(frame, group) => {
                    visit_group(group, position, wanted, visit)?;
                    self.replay_done.fetch_add(frame.bytes(), Ordering::Relaxed);
                    continue;
                }
                Next::End => "a group is gone since the journal was opened".to_owned(),
                Next::Bad(what) => what,
            };
            return Err(StoreError::Damaged {
                file: path,
                offset,
                what,
            });
        }
    }

    /// The segments with what is durable in them now, and its high water.
    fn segments(&self) -> (Vec<InUse>, HighWater) {
        let writer = locked(&self.writer);
        let mut segments: Vec<_> = locked(&self.upkeep.in_use).iter().copied().collect();
        if let Some(last) = segments.last_mut() {
            last.end = writer.offset;
        }
        (segments, writer.high_water)
    }
}

fn visit_group(
    bytes: &[u8],
    position: Position,
    wanted: &[bool; SHARDS],
    visit: &mut Visit<'_>,
) -> Result<(), StoreError> {
    for record in group::records(bytes) {
        let record = record.expect("a group whose checksum holds is made of records");
        if wanted.get(record.shard.index()) == Some(&true) {
            visit(position, record)?;
        }
    }
    Ok(())
}
