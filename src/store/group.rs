//! A group: the events that become durable together, as bytes in the order they happened, and the
//! shards that want to answer without an event.
//!
//! ```text
//! record = length u32 | shard u16 | time u64 (Unix ms) | event (postcard)      little-endian
//! ```
//! `length` counts what follows it. A worker fills one group while the committer writes another.

use crate::domain::event::{Event, UnknownEvent};
use crate::domain::id::IdStamp;
use crate::domain::time::UnixMs;
use crate::domain::username::ShardId;

const LENGTH_BYTES: usize = 4;
const HEADER_BYTES: usize = LENGTH_BYTES + 2 + 8;

/// The newest time and id stamp of some records: clocks start at or above it after a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HighWater {
    /// The latest event time.
    pub at: UnixMs,
    /// The greatest id stamp.
    pub stamp: IdStamp,
}

impl HighWater {
    /// The greater of each part.
    pub fn max(self, other: HighWater) -> HighWater {
        HighWater {
            at: self.at.max(other.at),
            stamp: self.stamp.max(other.stamp),
        }
    }
}

/// Records that become durable together, with what wants to be known when they are.
#[derive(Clone, Debug, Default)]
pub struct Group {
    bytes: Vec<u8>,
    records: u32,
    high_water: HighWater,
    asking: Vec<ShardId>,
}

impl Group {
    /// Appends one event of a shard at its time.
    pub fn push(&mut self, shard: ShardId, at: UnixMs, event: &Event<'_>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; LENGTH_BYTES]);
        self.bytes.extend_from_slice(&shard.0.to_le_bytes());
        self.bytes.extend_from_slice(&at.0.to_le_bytes());
        event.encode(&mut self.bytes);
        let length = (self.bytes.len() - start - LENGTH_BYTES) as u32;
        self.bytes[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
        self.records += 1;
        let stamp = if let Event::Posted(posted) = event {
            posted.id.stamp()
        } else {
            IdStamp::default()
        };
        self.high_water = self.high_water.max(HighWater { at, stamp });
    }

    /// Asks whether the shard is still this process's once the records are durable: an answer of it
    /// rests on no event here.
    pub fn ask(&mut self, shard: ShardId) {
        if !self.asking.contains(&shard) {
            self.asking.push(shard);
        }
    }

    /// The shards that were asked for, in any order, each once.
    pub fn asking(&self) -> &[ShardId] {
        &self.asking
    }

    /// Moves every record of `other` behind the ones here; `other` keeps its buffer.
    pub fn append(&mut self, other: &mut Group) {
        self.bytes.append(&mut other.bytes);
        self.records += std::mem::take(&mut other.records);
        for shard in other.asking.drain(..) {
            self.ask(shard);
        }
        self.high_water = self.high_water.max(std::mem::take(&mut other.high_water));
    }

    /// Forgets every record and keeps the buffer.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.asking.clear();
        self.records = 0;
        self.high_water = HighWater::default();
    }

    /// The encoded records.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many records there are.
    pub fn len(&self) -> u32 {
        self.records
    }

    /// Whether there is no record, and no shard was asked for.
    pub fn is_empty(&self) -> bool {
        self.records == 0 && self.asking.is_empty()
    }

    /// The newest time and id stamp among the records.
    pub fn high_water(&self) -> HighWater {
        self.high_water
    }
}

/// One event of one shard, as it stands in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Whose event.
    pub shard: ShardId,
    /// The shard's time at the event.
    pub at: UnixMs,
    event: &'a [u8],
}

impl<'a> Record<'a> {
    /// Decodes the event; records of other shards can be skipped without.
    ///
    /// # Errors
    /// [`UnknownEvent`] when a newer version wrote it.
    pub fn event(&self) -> Result<Event<'a>, UnknownEvent> {
        Event::decode(self.event)
    }

    /// How many bytes the record takes in a group.
    pub fn bytes(&self) -> usize {
        RECORD_OVERHEAD_BYTES + self.event.len()
    }

    /// Appends the record as it stands in a group.
    pub fn encode(&self, buffer: &mut Vec<u8>) {
        let length = (self.bytes() - LENGTH_BYTES) as u32;
        buffer.extend_from_slice(&length.to_le_bytes());
        buffer.extend_from_slice(&self.shard.0.to_le_bytes());
        buffer.extend_from_slice(&self.at.0.to_le_bytes());
        buffer.extend_from_slice(self.event);
    }
}

/// Reads the records of a group, in order; `None` in the iteration means bytes that are no record
/// (a bug of the writer: the checksum of the frame held).
pub fn records(mut bytes: &[u8]) -> impl Iterator<Item = Option<Record<'_>>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let record = split_record(&mut bytes);
        if record.is_none() {
            bytes = &[];
        }
        Some(record)
    })
}

fn split_record<'a>(bytes: &mut &'a [u8]) -> Option<Record<'a>> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
    let (body, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let (shard, body) = body.split_first_chunk::<2>()?;
    let (at, event) = body.split_first_chunk::<8>()?;
    *bytes = rest;
    Some(Record {
        shard: ShardId(u16::from_le_bytes(*shard)),
        at: UnixMs(u64::from_le_bytes(*at)),
        event,
    })
}

/// Bytes that one record takes beyond its event.
pub const RECORD_OVERHEAD_BYTES: usize = HEADER_BYTES;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_back_in_order_and_keep_the_high_water() {
        let (mut one, mut two) = (Group::default(), Group::default());
        one.push(ShardId(3), UnixMs(10), &Event::Advanced);
        two.push(
            ShardId(200),
            UnixMs(9),
            &Event::Archived { through: UnixMs(8) },
        );
        one.append(&mut two);
        assert!(two.is_empty() && two.bytes().is_empty());
        let read: Vec<_> = records(one.bytes())
            .map(|record| record.expect("whole"))
            .map(|record| (record.shard.0, record.at.0, record.event().expect("known")))
            .collect();
        assert_eq!(
            read,
            [
                (3, 10, Event::Advanced),
                (200, 9, Event::Archived { through: UnixMs(8) })
            ]
        );
        assert_eq!((one.len(), one.high_water().at), (2, UnixMs(10)));
    }

    #[test]
    fn bytes_that_are_no_record_end_the_iteration_with_none() {
        let mut group = Group::default();
        group.push(ShardId(3), UnixMs(10), &Event::Advanced);
        for cut in 1..group.bytes().len() {
            let read: Vec<_> = records(&group.bytes()[..cut]).collect();
            assert_eq!(read, [None], "cut at {cut}");
        }
    }
}
