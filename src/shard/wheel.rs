//! A hierarchical timing wheel: which mailbox is due when, in constant time and 16 bytes each.
//!
//! Seven levels of 64 slots; a slot of level n spans 64^n ticks of 16 ms (Varghese and Lauck, 1987,
//! scheme 7). Entries are links in one vector, indexed by the mailbox's handle, so that cancelling
//! is as cheap as scheduling. It frees memory in time; whether a message is expired is decided by
//! the mailbox alone.

use std::cmp::Reverse;

use crate::domain::time::UnixMs;

const TICK_MS: u64 = 16;

/// A handle is handed out at most this long after its deadline, if the wheel is asked in time.
pub const LATENESS_MS: u64 = 2 * TICK_MS;

const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const LEVELS: usize = 7;
const NONE: u32 = u32::MAX;
const NO_PLACE: u16 = u16::MAX;

/// Handles with one deadline each.
#[derive(Debug)]
pub struct Wheel {
    origin: UnixMs,
    /// Every tick up to this one was handed out, but for what is left in its own slot.
    elapsed: u64,
    occupied: [u64; LEVELS],
    heads: Box<[[u32; SLOTS]; LEVELS]>,
    links: Vec<Link>,
}

/// An entry's place in the list of its slot.
#[derive(Clone, Copy, Debug)]
struct Link {
    previous: u32,
    next: u32,
    /// The deadline in ticks since the origin: its low 32 bits and the 16 above them.
    tick_low: u32,
    tick_high: u16,
    place: u16,
}

impl Link {
    fn tick(&self) -> u64 {
        u64::from(self.tick_high) << 32 | u64::from(self.tick_low)
    }

    const FREE: Link = Link {
        previous: NONE,
        next: NONE,
        tick_low: 0,
        tick_high: 0,
        place: NO_PLACE,
    };
}

impl Wheel {
    /// An empty wheel whose time starts at `origin`.
    pub fn new(origin: UnixMs) -> Wheel {
        let heads = Box::new([[NONE; SLOTS]; LEVELS]);
        Wheel {
            origin,
            elapsed: 0,
            occupied: [0; LEVELS],
            heads,
            links: Vec::new(),
        }
    }

    /// Sets the deadline of `handle`, replacing an earlier one.
    pub fn schedule(&mut self, handle: u32, deadline: UnixMs) {
        self.cancel(handle);
        let tick = deadline
            .ms_since(self.origin)
            .div_ceil(TICK_MS)
            .max(self.elapsed + 1);
        if handle as usize >= self.links.len() {
            self.links.resize(handle as usize + 1, Link::FREE);
        }
        self.link(handle, tick);
    }

    /// Forgets the deadline of `handle`, if it has one.
    pub fn cancel(&mut self, handle: u32) {
        let Some(link) = self.links.get(handle as usize).copied() else {
            return;
        };
        if link.place == NO_PLACE {
            return;
        }
        let (level, slot) = (
            usize::from(link.place) / SLOTS,
            usize::from(link.place) % SLOTS,
        );
        match link.previous {
            NONE => self.heads[level][slot] = link.next,
            previous => self.links[previous as usize].next = link.next,
        }
        if link.next != NONE {
            self.links[link.next as usize].previous = link.previous;
        }
        if self.heads[level][slot] == NONE {
            self.occupied[level] &= !(1 << slot);
        }
        self.links[handle as usize] = Link::FREE;
    }

    /// Takes one handle whose deadline is at or before `now`, at most a tick late; `None` when no
    /// more are due.
    pub fn pop_due(&mut self, now: UnixMs) -> Option<u32> {
        let now_tick = now.ms_since(self.origin) / TICK_MS;
        loop {
            let next = self.next_slot().filter(|(.., starts)| *starts <= now_tick);
            let Some((level, slot, starts)) = next else {
                self.elapsed = self.elapsed.max(now_tick);
                return None;
            };
            self.elapsed = self.elapsed.max(starts);
            let handle = self.heads[level][slot];
            let tick = self.links[handle as usize].tick();
            self.cancel(handle);
            if level == 0 {
                return Some(handle);
            }
            self.link(handle, tick);
        }
    }

    /// When `pop_due` should be asked again: never later than a tick after the earliest deadline.
    pub fn next_due(&self) -> Option<UnixMs> {
        self.next_slot()
            .map(|(.., starts)| self.origin.plus_ms(starts * TICK_MS))
    }

    /// Every handle with a deadline at or before this time was handed out, also when `pop_due` has more
    /// to hand out, or a deadline was set when the wheel had turned past it, by up to [`LATENESS_MS`]: that
    /// one is in the slot after, and may be left in it when that was begun.
    pub fn drained_through(&self) -> UnixMs {
        let turned = self.origin.plus_ms(self.elapsed * TICK_MS);
        UnixMs(turned.0.saturating_sub(LATENESS_MS + TICK_MS))
    }

    /// The occupied slot that starts first: level, slot and the tick at which it starts. An entry's
    /// level is the highest digit (of 6 bits) in which its tick differs from `elapsed`. Of slots that
    /// start together the one of the highest level comes first: all that is in it moves down before
    /// anything is said of what is due, for its last entry may be due before its first.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        let occupied = self.occupied.iter().enumerate();
        let slots = occupied
            .filter(|(_, slots)| **slots != 0)
            .map(|(level, slots)| {
                let slot = slots.trailing_zeros() as usize;
                let shift = SLOT_BITS * level as u32;
                let block = self.elapsed >> (shift + SLOT_BITS) << (shift + SLOT_BITS);
                (level, slot, block + ((slot as u64) << shift))
            });
        slots.min_by_key(|(level, _, starts)| (*starts, Reverse(*level)))
    }

    fn link(&mut self, handle: u32, tick: u64) {
        let differing = (tick ^ self.elapsed) | 1;
        let level = ((63 - differing.leading_zeros()) / SLOT_BITS) as usize;
        assert!(
            level < LEVELS,
            "no deadline is 2^42 ticks (2,200 years) from the origin"
        );
        let slot = (tick >> (SLOT_BITS * level as u32)) as usize % SLOTS;
        let next = self.heads[level][slot];
        if next != NONE {
            self.links[next as usize].previous = handle;
        }
        self.heads[level][slot] = handle;
        self.occupied[level] |= 1 << slot;
        let place = (level * SLOTS + slot) as u16;
        self.links[handle as usize] = Link {
            previous: NONE,
            next,
            tick_low: tick as u32,
            tick_high: (tick >> 32) as u16,
            place,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_handle_is_due_at_its_deadline_and_at_most_a_tick_later() {
        for deadline in [
            1,
            7,
            8,
            9,
            1_023,
            1_024,
            1_025,
            40_000,
            3_000_000,
            60 * 24 * 3_600_000,
        ] {
            let mut wheel = Wheel::new(UnixMs(1_000));
            wheel.schedule(3, UnixMs(1_000 + deadline));
            assert_eq!(
                wheel.pop_due(UnixMs(1_000 + deadline - 1)),
                None,
                "{deadline} less 1 ms"
            );
            assert_eq!(
                wheel.pop_due(UnixMs(1_000 + deadline + TICK_MS)),
                Some(3),
                "{deadline}"
            );
            assert_eq!(wheel.next_due(), None);
        }
    }

    #[test]
    fn a_wheel_runs_for_years() {
        let (mut wheel, mut now) = (Wheel::new(UnixMs(0)), 0);
        for _ in 0..200 {
            let deadline = now + 60 * 24 * 3_600_000;
            wheel.schedule(0, UnixMs(deadline));
            assert_eq!(wheel.pop_due(UnixMs(deadline - 1)), None);
            now = deadline + TICK_MS;
            assert_eq!(wheel.pop_due(UnixMs(now)), Some(0));
        }
    }

    proptest! {
        #[test]
        fn the_wheel_hands_out_what_a_sorted_map_would(
            steps in proptest::collection::vec((0..3u8, 0..20u32, 0..200_000u64), 1..300)
        ) {
            let (mut wheel, mut model, mut now) = (Wheel::new(UnixMs(0)), BTreeMap::new(), 0);
            for (kind, handle, ms) in steps {
                match kind {
                    0 => {
                        wheel.schedule(handle, UnixMs(now + ms));
                        model.insert(handle, now + ms);
                    }
                    1 => {
                        wheel.cancel(handle);
                        model.remove(&handle);
                    }
                    _ => {
                        now += ms / 10;
                        while let Some(handle) = wheel.pop_due(UnixMs(now)) {
                            let deadline = model.remove(&handle);
                            prop_assert!(deadline.is_some_and(|d| d <= now), "{handle} at {now}: {deadline:?}");
                        }
                        let late = model.values().any(|d| d + 2 * TICK_MS <= now);
                        prop_assert!(!late, "due but not handed out at {}: {:?}", now, model);
                    }
                }
                let earliest = model.values().min().map(|d| d + 2 * TICK_MS);
                prop_assert!(earliest.is_none() == wheel.next_due().is_none());
                prop_assert!(wheel.next_due().is_none_or(|due| earliest.is_some_and(|e| due.0 <= e.max(now + 2 * TICK_MS))));
            }
        }
    }
}
