//! `journal`: the frames of every shard and epoch, a partition for each segment of them.

use bytes::Bytes;
use cluster::ownership::claim::Base;
use cluster::ownership::recovery::Stored;
use cluster::shard::{Epoch, Shard};
use scylla::response::PagingState;
use scylla::statement::batch::Batch;
use scylla::statement::prepared::PreparedStatement;
use std::ops::ControlFlow;

use super::error::CqlError;
use super::frame::Frame;
use super::packing::PARTITIONS_PER_CALL;
use super::rows;
use super::session::Cql;
use super::statement::{Kind, impatient};

/// Frames of one page: so many of the longest are 8 MiB.
const FRAMES_PER_PAGE: i32 = 32;

/// No more pages of a segment are read at once than have so many bytes: what is in memory beside the
/// shards themselves.
const PART_BYTES: usize = 8 * 1024 * 1024;

/// The frames of a segment, or the first of them.
#[derive(Debug)]
pub struct SegmentPart {
    /// In order, at least one if there are more.
    pub frames: Vec<(u64, Stored<Frame>)>,
    /// Whether the segment has more.
    pub has_more: bool,
}

/// Writes, reads and deletes frames.
pub struct FrameTable {
    segment_frames: u64,
    write: PreparedStatement,
    /// That for 0, 1, 2 … frames at once.
    write_all: Vec<Batch>,
    read: PreparedStatement,
    delete: PreparedStatement,
}

impl FrameTable {
    /// Prepares the statements.
    ///
    /// # Errors
    /// [`CqlError::NotSent`] and [`CqlError::Refused`].
    pub async fn prepare(cql: &Cql, segment_frames: u64) -> Result<FrameTable, CqlError> {
        let write =
            "INSERT INTO {}journal (shard, epoch, segment, seq, frame) VALUES (?, ?, ?, ?, ?)";
        let read = "SELECT seq, frame FROM {}journal \
                    WHERE shard = ? AND epoch = ? AND segment = ? AND seq >= ?";
        let delete = "DELETE FROM {}journal WHERE shard = ? AND epoch = ? AND segment = ?";
        let mut read = cql.prepare(Kind::Read, read).await?;
        read.set_page_size(FRAMES_PER_PAGE);
        let write = impatient(cql.prepare(Kind::Write, write).await?);
        let write_all = (0..=PARTITIONS_PER_CALL).map(|frames| cql.repeat(&write, frames));
        Ok(FrameTable {
            segment_frames,
            write_all: write_all.collect(),
            write,
            read,
            delete: cql.prepare(Kind::Write, delete).await?,
        })
    }

    /// Frames of one segment.
    pub fn segment_frames(&self) -> u64 {
        self.segment_frames
    }

    /// Writes a frame where it says it belongs; durable at a majority when it returns. The same frame
    /// again changes nothing.
    ///
    /// # Errors
    /// [`CqlError`]: repeat it with the same bytes.
    pub async fn write(&self, cql: &Cql, shard: Shard, frame: &Frame) -> Result<(), CqlError> {
        let values = self.values(shard, frame);
        cql.execute(&self.write, values).await.map(drop)
    }

    /// Writes up to [`PARTITIONS_PER_CALL`] frames with one call; each is durable at a majority when it
    /// returns. After an error any of them may be.
    ///
    /// # Errors
    /// [`CqlError`]: repeat each with the same bytes.
    pub async fn write_all(&self, cql: &Cql, frames: &[(Shard, &Frame)]) -> Result<(), CqlError> {
        let values = frames
            .iter()
            .map(|(shard, frame)| self.values(*shard, frame));
        let values: Vec<_> = values.collect();
        cql.run_batch(&self.write_all[values.len()], &values).await
    }

    fn values<'a>(&self, shard: Shard, frame: &'a Frame) -> (i32, i64, i64, i64, &'a [u8]) {
        let Base { epoch, seq } = frame.place();
        let segment = (seq / self.segment_frames) as i64;
        let (shard, epoch) = (i32::from(shard.0), epoch.0 as i64);
        (shard, epoch, segment, seq as i64, frame.bytes())
    }

    /// The frames of a segment from the number `from` on, as many as come at once.
    ///
    /// # Errors
    /// [`CqlError`]; [`CqlError::Unreadable`] when a newer version wrote one of them: that is no damage.
    pub async fn read_segment(
        &self,
        cql: &Cql,
        shard: Shard,
        epoch: Epoch,
        segment: u64,
        from: u64,
    ) -> Result<SegmentPart, CqlError> {
        let values = (
            i32::from(shard.0),
            epoch.0 as i64,
            segment as i64,
            from as i64,
        );
        let (mut frames, mut length, mut state) = (Vec::new(), 0, PagingState::start());
        loop {
            let (page, next) = cql.page(&self.read, values, state).await?;
            for (seq, bytes) in rows::all::<(i64, Vec<u8>)>("journal", page)? {
                let seq = seq as u64;
                if let Some(format) = Frame::newer_format(&bytes) {
                    let (epoch, shard) = (epoch.0, shard.0);
                    let what = format!(
                        "frame {seq} of epoch {epoch} of shard {shard} has format {format}"
                    );
                    return Err(CqlError::unreadable("journal")(what));
                }
                length += bytes.len();
                let frame = Frame::open(shard, Base { epoch, seq }, Bytes::from(bytes));
                frames.push((seq, frame.map_or(Stored::Broken, Stored::Whole)));
            }
            let next = match next.into_paging_control_flow() {
                ControlFlow::Break(()) => {
                    let has_more = false;
                    return Ok(SegmentPart { frames, has_more });
                }
                ControlFlow::Continue(next) => next,
            };
            if length >= PART_BYTES {
                let has_more = true;
                return Ok(SegmentPart { frames, has_more });
            }
            state = next;
        }
    }

    /// Deletes a segment as a whole partition.
    ///
    /// # Errors
    /// [`CqlError`]; it can be repeated.
    pub async fn delete_segment(
        &self,
        cql: &Cql,
        shard: Shard,
        epoch: Epoch,
        segment: u64,
    ) -> Result<(), CqlError> {
        let values = (i32::from(shard.0), epoch.0 as i64, segment as i64);
        cql.execute(&self.delete, values).await.map(drop)
    }
}
