//! Messages whose life is over and whose archive row is not yet durable, in the order they ended.

use std::collections::VecDeque;

use crate::domain::message::Ended;

/// Numbers count around at 31 bits, so that an index entry has room for them.
const NUMBER_MASK: u32 = (1 << 31) - 1;

/// Endings, each with a number that stays its own while it is here.
#[derive(Debug, Default)]
pub struct Endings {
    entries: VecDeque<Ended>,
    first: u32,
}

impl Endings {
    /// Adds one and tells its number.
    pub fn push(&mut self, ended: Ended) -> u32 {
        let number = self.first.wrapping_add(self.entries.len() as u32) & NUMBER_MASK;
        self.entries.push_back(ended);
        number
    }

    /// The ending with this number.
    pub fn get(&self, number: u32) -> Option<&Ended> {
        self.entries
            .get((number.wrapping_sub(self.first) & NUMBER_MASK) as usize)
    }

    /// Removes the oldest.
    pub fn pop(&mut self) -> Option<Ended> {
        let ended = self.entries.pop_front()?;
        self.first = self.first.wrapping_add(1) & NUMBER_MASK;
        Some(ended)
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Ended> {
        self.entries.iter()
    }

    /// All of them with their numbers, oldest first.
    pub fn numbered(&self) -> impl Iterator<Item = (u32, &Ended)> {
        let number = |place: usize| self.first.wrapping_add(place as u32) & NUMBER_MASK;
        self.entries
            .iter()
            .enumerate()
            .map(move |(place, ended)| (number(place), ended))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Keeps those for which `stays` holds; numbers change, so this is for recovery alone.
    pub fn retain(&mut self, stays: impl FnMut(&Ended) -> bool) {
        self.entries.retain(stays);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{IdStamp, MessageId};
    use crate::domain::message::{Attributes, Content, End};
    use crate::domain::time::UnixMs;
    use crate::domain::username::{Route, Username};

    fn ended(ms: u64) -> Ended {
        let id = MessageId::new(
            IdStamp {
                ms: UnixMs(ms),
                counter: 0,
            },
            Route(0),
            0,
        );
        let content = Content::new("text", Attributes::default());
        Ended {
            id,
            username: Username::from_stored("a"),
            content,
            ended_at: UnixMs(ms),
            end: End::Read,
        }
    }

    #[test]
    fn a_number_finds_its_ending_until_it_is_popped_even_around_the_end_of_numbers() {
        let mut endings = Endings {
            first: NUMBER_MASK - 1,
            ..Endings::default()
        };
        let numbers: Vec<_> = (0..4).map(|ms| endings.push(ended(ms))).collect();
        assert_eq!(numbers, [NUMBER_MASK - 1, NUMBER_MASK, 0, 1]);
        assert_eq!(endings.pop().map(|e| e.ended_at.0), Some(0));
        let found: Vec<_> = numbers
            .iter()
            .map(|n| endings.get(*n).map(|e| e.ended_at.0))
            .collect();
        assert_eq!(found, [None, Some(1), Some(2), Some(3)]);
    }
}
