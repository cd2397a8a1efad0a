//! Messages whose life is over and whose archive row is not yet durable, in the order they ended.
//!
//! They are handed over to the archive as they are, without a copy: the oldest part is then in two
//! hands, and does not change.

use std::sync::Arc;

use crate::domain::message::Ended;
use crate::domain::time::UnixMs;

/// Numbers count around at 31 bits, so that an index entry has room for them.
const NUMBER_MASK: u32 = (1 << 31) - 1;

/// Endings, each with a number that stays its own while it is here.
#[derive(Debug, Default)]
pub struct Endings {
    /// The oldest ones, which the archive has, too; none at first.
    handed_over: Arc<Vec<Ended>>,
    /// Every ending at or before this time is among `handed_over` or archived already.
    through: UnixMs,
    entries: Vec<Ended>,
    first: u32,
}

impl Endings {
    /// Adds one and tells its number.
    pub fn push(&mut self, ended: Ended) -> u32 {
        let number = self.number(self.len());
        self.entries.push(ended);
        number
    }

    /// The ending with this number.
    pub fn get(&self, number: u32) -> Option<&Ended> {
        let place = (number.wrapping_sub(self.first) & NUMBER_MASK) as usize;
        match place.checked_sub(self.handed_over.len()) {
            None => self.handed_over.get(place),
            Some(place) => self.entries.get(place),
        }
    }

    /// Hands over all there are, among them every one at or before `through`; those that were handed
    /// over before, until these are let go.
    pub fn hand_over(&mut self, through: UnixMs) -> Option<Arc<Vec<Ended>>> {
        if self.handed_over.is_empty() {
            self.through = through;
            // As many may come again.
            let room = Vec::with_capacity(self.entries.len());
            self.handed_over = Arc::new(std::mem::replace(&mut self.entries, room));
        }
        (!self.handed_over.is_empty()).then(|| self.handed_over.clone())
    }

    /// Removes what was handed over, and tells it with its time.
    pub fn let_go(&mut self) -> (Arc<Vec<Ended>>, UnixMs) {
        let gone = std::mem::take(&mut self.handed_over);
        self.first = self.number(gone.len());
        (gone, self.through)
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Ended> {
        self.handed_over.iter().chain(&self.entries)
    }

    /// All of them with their numbers, oldest first.
    pub fn numbered(&self) -> impl Iterator<Item = (u32, &Ended)> {
        self.iter()
            .enumerate()
            .map(|(place, ended)| (self.number(place), ended))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.handed_over.len() + self.entries.len()
    }

    /// Keeps those for which `stays` holds; numbers change, and nothing may be handed over, so this is
    /// for recovery alone.
    pub fn retain(&mut self, stays: impl FnMut(&Ended) -> bool) {
        assert!(
            self.handed_over.is_empty(),
            "nothing is handed over before a shard is recovered"
        );
        self.entries.retain(stays);
    }

    fn number(&self, place: usize) -> u32 {
        self.first.wrapping_add(place as u32) & NUMBER_MASK
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
    fn a_number_finds_its_ending_until_that_is_let_go_even_around_the_end_of_numbers() {
        let mut endings = Endings {
            first: NUMBER_MASK - 1,
            ..Endings::default()
        };
        let mut numbers: Vec<_> = (0..3).map(|ms| endings.push(ended(ms))).collect();
        endings.hand_over(UnixMs(2));
        numbers.extend((3..5).map(|ms| endings.push(ended(ms))));
        assert_eq!(numbers, [NUMBER_MASK - 1, NUMBER_MASK, 0, 1, 2]);
        assert!(
            endings
                .numbered()
                .map(|(number, _)| number)
                .eq(numbers.clone())
        );
        let found = |endings: &Endings| -> Vec<_> {
            let find = |number: &u32| endings.get(*number).map(|ended| ended.ended_at.0);
            numbers.iter().map(find).collect()
        };
        assert_eq!(found(&endings), [0, 1, 2, 3, 4].map(Some));
        endings.let_go();
        assert_eq!(found(&endings), [None, None, None, Some(3), Some(4)]);
    }

    #[test]
    fn what_is_handed_over_is_handed_over_again_until_it_is_let_go() {
        let mut endings = Endings::default();
        assert!(endings.hand_over(UnixMs(0)).is_none());
        endings.push(ended(0));
        let times = |part: &[Ended]| -> Vec<u64> { part.iter().map(|e| e.ended_at.0).collect() };
        let handed_over = endings.hand_over(UnixMs(0)).expect("one");
        assert_eq!(times(&handed_over), [0]);
        endings.push(ended(1));
        let again = endings.hand_over(UnixMs(1)).expect("the same one");
        assert_eq!(times(&again), [0]);
        let (gone, through) = endings.let_go();
        assert_eq!((times(&gone), through), (vec![0], UnixMs(0)));
        let next = endings.hand_over(UnixMs(1)).expect("the other one");
        assert_eq!(times(&next), [1]);
        assert_eq!(endings.len(), 1);
        assert_eq!(endings.let_go().1, UnixMs(1));
    }
}
