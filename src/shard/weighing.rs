//! The weight of shards while they are recovered: it counts as memory in use before they are served, so
//! that what does not fit is given up before memory ends.

use super::usage::{MESSAGE_OVERHEAD_BYTES, Usage};

/// Events are replayed for so many bytes at least before the shards are weighed again.
const STEP_BYTES: u64 = 1024 * 1024;

/// What shards that are being recovered weigh, counted in until this is dropped.
#[derive(Debug)]
pub(super) struct Weighing<'a> {
    usage: &'a Usage,
    /// What is counted in.
    weight: u64,
    /// Bytes of the events since.
    added: u64,
}

impl<'a> Weighing<'a> {
    /// Nothing was replayed yet.
    pub(super) fn new(usage: &'a Usage) -> Weighing<'a> {
        Weighing {
            usage,
            weight: 0,
            added: 0,
        }
    }

    /// An event with so much content was replayed; tells whether it is time to weigh. That takes as long
    /// as there is much, so it is done each time that a quarter may have been added.
    pub(super) fn is_due(&mut self, content_bytes: usize) -> bool {
        self.added += content_bytes as u64 + MESSAGE_OVERHEAD_BYTES;
        self.added >= STEP_BYTES.max(self.weight / 4)
    }

    /// The shards weigh so much now; tells whether that stays within the bound.
    pub(super) fn fits(&mut self, weight: u64) -> bool {
        self.usage.take_bytes(weight);
        self.usage.free_bytes(self.weight);
        self.weight = weight;
        self.added = 0;
        self.usage.has_bytes(0)
    }
}

impl Drop for Weighing<'_> {
    fn drop(&mut self) {
        self.usage.free_bytes(self.weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn what_is_recovered_counts_until_it_is_dropped_and_fits_exactly_up_to_the_bound() {
        let usage = Usage::new(10 * MIB, 0);
        usage.take_bytes(4 * MIB);
        let mut one = Weighing::new(&usage);
        assert!(one.fits(5 * MIB));
        assert_eq!(usage.now().0, 9 * MIB);
        let mut other = Weighing::new(&usage);
        assert!(other.fits(MIB));
        assert!(!other.fits(MIB + 1));
        drop(one);
        assert!(other.fits(6 * MIB));
        drop(other);
        assert_eq!(usage.now().0, 4 * MIB);
    }

    #[test]
    fn shards_are_weighed_each_mebibyte_and_each_quarter_of_what_they_weigh() {
        let usage = Usage::new(u64::MAX, 0);
        let mut weighing = Weighing::new(&usage);
        let most = STEP_BYTES - MESSAGE_OVERHEAD_BYTES;
        assert!(!weighing.is_due(most as usize - 1));
        assert!(weighing.is_due(0));
        assert!(weighing.fits(40 * MIB));
        assert!(!weighing.is_due(9 * MIB as usize));
        assert!(weighing.is_due(MIB as usize));
    }
}
