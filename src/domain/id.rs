//! Message ids: UUIDv7 whose free bits route, order and hide.
//!
//! ```text
//! | 48 bits: Unix ms | 4: version 7 | 12: top of the username's hash |
//! | 2: variant 10 | 12: counter within the millisecond | 50: random |
//! ```
//! So an id alone names its shard, ids of one mailbox grow in the order of arrival, and nobody can
//! guess one: an id is a capability (RFC 9562, section 5.7, for the layout around our bits).

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::time::UnixMs;
use super::username::Route;

const COUNTER_BITS: u32 = 12;
const RANDOM_BITS: u32 = 50;
const COUNTER_MAX: u16 = (1 << COUNTER_BITS) - 1;

/// The id of one message; ordered by time, then counter, within one mailbox.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "[u8; 16]", into = "[u8; 16]")]
pub struct MessageId {
    high: u64,
    low: u64,
}

impl MessageId {
    /// Puts an id together; of `random` the low 50 bits are used.
    pub fn new(stamp: IdStamp, route: Route, random: u64) -> MessageId {
        let low_random = random & ((1 << RANDOM_BITS) - 1);
        MessageId {
            high: stamp.ms.0 << 16 | 0x7 << 12 | u64::from(route.0 & 0xfff),
            low: 0b10 << 62 | u64::from(stamp.counter) << RANDOM_BITS | low_random,
        }
    }

    /// Reads the hyphenated text form, in either case; anything else is no id of ours.
    pub fn parse(text: &str) -> Option<MessageId> {
        if text.len() != 36 {
            return None;
        }
        let uuid = Uuid::try_parse(text).ok()?;
        let (high, low) = uuid.as_u64_pair();
        (high >> 12 & 0xf == 0x7 && low >> 62 == 0b10).then_some(MessageId { high, low })
    }

    /// The 36 characters of the text form, lower case.
    pub fn text(self) -> [u8; 36] {
        let mut text = [0; 36];
        Uuid::from_u64_pair(self.high, self.low)
            .hyphenated()
            .encode_lower(&mut text);
        text
    }

    /// When the message was accepted.
    pub fn created_at(self) -> UnixMs {
        UnixMs(self.high >> 16)
    }

    /// The bits that name the shard.
    pub fn route(self) -> Route {
        Route((self.high & 0xfff) as u16)
    }

    /// When and as which of its millisecond this id was made.
    pub fn stamp(self) -> IdStamp {
        IdStamp {
            ms: self.created_at(),
            counter: (self.low >> RANDOM_BITS) as u16 & COUNTER_MAX,
        }
    }

    /// The lower half: variant, counter and the random bits.
    pub fn low(self) -> u64 {
        self.low
    }

    /// The id as 16 bytes, big-endian, so that bytes sort as ids do.
    pub fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.high) << 64 | u128::from(self.low)).to_be_bytes()
    }
}

impl From<[u8; 16]> for MessageId {
    fn from(bytes: [u8; 16]) -> MessageId {
        let value = u128::from_be_bytes(bytes);
        MessageId {
            high: (value >> 64) as u64,
            low: value as u64,
        }
    }
}

impl From<MessageId> for [u8; 16] {
    fn from(id: MessageId) -> [u8; 16] {
        id.to_bytes()
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_u64_pair(self.high, self.low).hyphenated().fmt(f)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The part of an id that orders the ids of one shard: a millisecond and a counter within it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct IdStamp {
    /// The time in the id; it may run ahead of the clock after a burst.
    pub ms: UnixMs,
    /// 0 to 4,095 within the millisecond.
    pub counter: u16,
}

impl IdStamp {
    /// The stamp as a number, in the same order.
    pub fn number(self) -> u64 {
        self.ms.0 << COUNTER_BITS | u64::from(self.counter)
    }
}

/// Makes the stamps of one shard: each greater than the one before, whatever the clock does.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdClock {
    last: IdStamp,
}

impl IdClock {
    /// The next stamp: `now`, or just after the last one where the clock stands still or went back.
    /// A full counter takes the next millisecond.
    pub fn next(&mut self, now: UnixMs) -> IdStamp {
        self.last = if now > self.last.ms {
            IdStamp {
                ms: now,
                counter: 0,
            }
        } else if self.last.counter < COUNTER_MAX {
            IdStamp {
                ms: self.last.ms,
                counter: self.last.counter + 1,
            }
        } else {
            IdStamp {
                ms: self.last.ms.plus_ms(1),
                counter: 0,
            }
        };
        self.last
    }

    /// Never again makes a stamp at or before `stamp` (recovery tells what was made before).
    pub fn advance_past(&mut self, stamp: IdStamp) {
        self.last = self.last.max(stamp);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_holds_its_parts_and_is_a_version_7_uuid() {
        let stamp = IdStamp {
            ms: UnixMs(1_700_000_000_123),
            counter: 4_095,
        };
        let id = MessageId::new(stamp, Route(0xabc), u64::MAX);
        assert_eq!(id.stamp(), stamp);
        assert_eq!(id.route(), Route(0xabc));
        assert_eq!(id.created_at(), stamp.ms);
        let uuid = Uuid::parse_str(&id.to_string()).expect("a uuid");
        assert_eq!(uuid.get_version_num(), 7);
        assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
        assert_eq!(id.text(), *id.to_string().as_bytes());
    }

    #[test]
    fn the_text_of_an_id_reads_back_in_either_case() {
        let id = MessageId::new(
            IdStamp {
                ms: UnixMs(1_700_000_000_123),
                counter: 7,
            },
            Route(1),
            0xdead_beef,
        );
        assert_eq!(MessageId::parse(&id.to_string()), Some(id));
        assert_eq!(MessageId::parse(&id.to_string().to_uppercase()), Some(id));
        assert_eq!(MessageId::from(id.to_bytes()), id);
    }

    #[test]
    fn other_texts_are_no_ids() {
        let not_ours = [
            "",
            "1",
            "not-an-id",
            "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "018bcfe5687b7abcbfff0000deadbeef",
        ];
        for text in not_ours {
            assert_eq!(MessageId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn stamps_grow_when_the_clock_stands_still_goes_back_or_the_counter_fills() {
        let mut clock = IdClock::default();
        let mut last = clock.next(UnixMs(1_000));
        for now in [1_000, 1_000, 999, 0, 1_001, 5]
            .into_iter()
            .chain([1_001; 10_000])
        {
            let next = clock.next(UnixMs(now));
            assert!(next > last, "{next:?} after {last:?}");
            last = next;
        }
        assert_eq!(
            last.ms,
            UnixMs(1_003),
            "10,000 ids need the next two milliseconds"
        );
    }

    #[test]
    fn a_recovered_clock_never_repeats_a_stamp() {
        let mut clock = IdClock::default();
        clock.advance_past(IdStamp {
            ms: UnixMs(2_000),
            counter: 9,
        });
        assert_eq!(
            clock.next(UnixMs(1_500)),
            IdStamp {
                ms: UnixMs(2_000),
                counter: 10
            }
        );
    }
}
