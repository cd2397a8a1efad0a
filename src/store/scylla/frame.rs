//! A frame of the journal: some records of one shard with what proves that they are whole and in
//! their place. The bytes are in `docs/FORMAT.md`.

use bytes::Bytes;
use cluster::ownership::claim::Base;
use cluster::shard::{Epoch, Shard};

use crate::domain::id::IdStamp;
use crate::domain::time::UnixMs;
use crate::store::group::{self, HighWater, Record};

/// Longest frame, in bytes; only a record that is longer by itself makes a longer one.
pub const FRAME_BYTES_MAX: usize = 256 * 1024;

/// The first byte of a frame.
const VERSION: u8 = 1;

/// Version, shard, epoch, seq, high water, checksum.
const HEADER_BYTES: usize = 1 + 2 + 8 + 8 + 18 + 4;

/// Bytes of the header that the checksum covers, besides the records.
const CHECKED_BYTES: usize = HEADER_BYTES - 4;

/// A whole frame: cheap to clone, the same bytes each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    place: Base,
    high_water: HighWater,
    bytes: Bytes,
}

impl Frame {
    /// Puts records behind a header.
    pub fn new(shard: Shard, place: Base, high_water: HighWater, records: &[u8]) -> Frame {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + records.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&shard.0.to_le_bytes());
        bytes.extend_from_slice(&place.epoch.0.to_le_bytes());
        bytes.extend_from_slice(&place.seq.to_le_bytes());
        bytes.extend_from_slice(&high_water.at.0.to_le_bytes());
        bytes.extend_from_slice(&high_water.stamp.ms.0.to_le_bytes());
        bytes.extend_from_slice(&high_water.stamp.counter.to_le_bytes());
        let checksum = checksum(&bytes, records);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes.extend_from_slice(records);
        Frame {
            place,
            high_water,
            bytes: bytes.into(),
        }
    }

    /// The frame in these bytes; `None` if they are not whole, or belong to another place.
    pub fn open(shard: Shard, place: Base, bytes: Bytes) -> Option<Frame> {
        let (header, records) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let (checked, sum) = header.split_at(CHECKED_BYTES);
        let mut rest = checked;
        let is_in_place = take::<1>(&mut rest)? == [VERSION]
            && take(&mut rest)? == shard.0.to_le_bytes()
            && take(&mut rest)? == place.epoch.0.to_le_bytes()
            && take(&mut rest)? == place.seq.to_le_bytes();
        if !is_in_place || sum != checksum(checked, records).to_le_bytes() {
            return None;
        }
        let at = UnixMs(u64::from_le_bytes(take(&mut rest)?));
        let ms = UnixMs(u64::from_le_bytes(take(&mut rest)?));
        let counter = u16::from_le_bytes(take(&mut rest)?);
        let stamp = IdStamp { ms, counter };
        Some(Frame {
            place,
            high_water: HighWater { at, stamp },
            bytes,
        })
    }

    /// The format of whole bytes that a newer version wrote; `None` of all others. Every format keeps
    /// the places of version and checksum, and what the checksum covers.
    pub fn newer_format(bytes: &[u8]) -> Option<u8> {
        let (header, records) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let (checked, sum) = header.split_at(CHECKED_BYTES);
        let is_whole = sum == checksum(checked, records).to_le_bytes();
        (header[0] > VERSION && is_whole).then_some(header[0])
    }

    /// Its epoch and number.
    pub fn place(&self) -> Base {
        self.place
    }

    /// At or above the time and id of every record of the shard up to this frame.
    pub fn high_water(&self) -> HighWater {
        self.high_water
    }

    /// The bytes of the journal's blob.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The records, in order; `None` where the bytes are no record.
    pub fn records(&self) -> impl Iterator<Item = Option<Record<'_>>> {
        group::records(&self.bytes[HEADER_BYTES..])
    }
}

/// What one shard gets of a group: the records of each of its frames.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    /// Whose.
    pub shard: Shard,
    /// Encoded records, each piece one frame.
    pub pieces: Vec<Vec<u8>>,
    /// The newest time of its records.
    pub at: UnixMs,
}

/// Splits the records of a group by shard, and those of a shard into frames.
pub fn split(group: &[u8]) -> Vec<Part> {
    const RECORDS_BYTES_MAX: usize = FRAME_BYTES_MAX - HEADER_BYTES;
    let mut parts: Vec<Part> = Vec::new();
    for record in group::records(group) {
        let record = record.expect("a group is made of records");
        let shard = Shard(record.shard.0);
        // A group touches few shards, mostly the same one several times in a row.
        let place = parts.iter().rposition(|part| part.shard == shard);
        let place = place.unwrap_or_else(|| {
            let pieces = vec![Vec::new()];
            let at = record.at;
            parts.push(Part { shard, pieces, at });
            parts.len() - 1
        });
        parts[place].at = parts[place].at.max(record.at);
        let pieces = &mut parts[place].pieces;
        let last = pieces.last_mut().expect("a part has a piece");
        if !last.is_empty() && last.len() + record.bytes() > RECORDS_BYTES_MAX {
            pieces.push(Vec::new());
        }
        let last = pieces.last_mut().expect("a part has a piece");
        record.encode(last);
    }
    parts
}

fn checksum(header: &[u8], records: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(records);
    hasher.finalize()
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

/// The place of a frame as one number that grows: 24 bits of the epoch, 40 of the frame.
pub fn position(place: Base) -> u64 {
    const SEQ_BITS: u32 = 40;
    place.epoch.0 << SEQ_BITS | place.seq
}

/// The place of such a number.
pub fn place(position: u64) -> Base {
    const SEQ_BITS: u32 = 40;
    Base {
        epoch: Epoch(position >> SEQ_BITS),
        seq: position & ((1 << SEQ_BITS) - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Event;
    use crate::domain::username::ShardId;
    use crate::store::group::Group;

    const PLACE: Base = Base {
        epoch: Epoch(3),
        seq: 77,
    };

    fn high_water() -> HighWater {
        HighWater {
            at: UnixMs(11),
            stamp: IdStamp {
                ms: UnixMs(12),
                counter: 13,
            },
        }
    }

    #[test]
    fn a_frame_reads_back_only_in_its_place() {
        let frame = Frame::new(Shard(5), PLACE, high_water(), b"records");
        let bytes = Bytes::copy_from_slice(frame.bytes());
        let open = |shard, epoch, seq| {
            let epoch = Epoch(epoch);
            Frame::open(Shard(shard), Base { epoch, seq }, bytes.clone())
        };
        assert_eq!(open(5, 3, 77), Some(frame.clone()));
        assert_eq!(open(6, 3, 77), None);
        assert_eq!(open(5, 4, 77), None);
        assert_eq!(open(5, 3, 78), None);
    }

    #[test]
    fn a_frame_of_a_newer_version_is_told_from_a_broken_one() {
        let frame = Frame::new(Shard(5), PLACE, high_water(), b"records");
        let mut newer = frame.bytes().to_vec();
        newer[0] = VERSION + 1;
        assert_eq!(Frame::newer_format(&newer), None, "a flipped bit");
        let sum = checksum(&newer[..CHECKED_BYTES], b"records");
        newer[CHECKED_BYTES..HEADER_BYTES].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(Frame::newer_format(&newer), Some(VERSION + 1));
        assert_eq!(Frame::newer_format(frame.bytes()), None);
        assert_eq!(Frame::open(Shard(5), PLACE, newer.into()), None);
    }

    #[test]
    fn a_frame_with_any_bit_flipped_or_any_byte_cut_is_none() {
        let frame = Frame::new(Shard(5), PLACE, high_water(), b"records");
        for bit in 0..frame.bytes().len() * 8 {
            let mut bytes = frame.bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                Frame::open(Shard(5), PLACE, bytes.into()),
                None,
                "bit {bit}"
            );
        }
        for cut in 0..frame.bytes().len() {
            let bytes = Bytes::copy_from_slice(&frame.bytes()[..cut]);
            assert_eq!(Frame::open(Shard(5), PLACE, bytes), None, "cut at {cut}");
        }
    }

    #[test]
    fn a_group_is_split_by_shard_in_order_and_long_parts_into_frames() {
        let mut group = Group::default();
        for number in 0..40_000_u64 {
            let event = Event::Archived {
                through: UnixMs(u64::MAX),
            };
            group.push(ShardId((number % 3) as u16), UnixMs(number), &event);
        }
        let parts = split(group.bytes());
        assert_eq!(parts.len(), 3);
        for part in parts {
            assert!(part.pieces.len() > 1);
            let all: Vec<_> = part.pieces.concat();
            let times: Vec<_> = group::records(&all)
                .map(|record| record.expect("whole").at.0)
                .collect();
            let expected = (0..40_000).filter(|n| n % 3 == u64::from(part.shard.0));
            assert_eq!(times, expected.collect::<Vec<_>>());
            for piece in part.pieces {
                let frame = Frame::new(part.shard, PLACE, high_water(), &piece);
                assert!(frame.bytes().len() <= FRAME_BYTES_MAX);
            }
        }
        assert!(split(&[]).is_empty());
    }

    #[test]
    fn positions_grow_as_places_do() {
        let places = [
            (0, 0),
            (0, 1),
            (1, 0),
            (1, (1 << 40) - 1),
            ((1 << 24) - 1, 5),
        ];
        let places = places.map(|(epoch, seq)| Base {
            epoch: Epoch(epoch),
            seq,
        });
        assert!(places.map(position).is_sorted());
        assert_eq!(places.map(|base| place(position(base))), places);
    }
}
