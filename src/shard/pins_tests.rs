//! Tables of what is pinned where.

use super::*;
use crate::domain::username::Route;

fn id(ms: u64) -> MessageId {
    let stamp = IdStamp {
        ms: UnixMs(ms),
        counter: 0,
    };
    MessageId::new(stamp, Route(0), 0)
}

/// In a journal that needs a second to go on to the next place.
fn recorded(position: u64) -> Recorded {
    Recorded {
        position: Position(position),
        at: UnixMs(position * 1_000),
    }
}

/// Of posts as (position, ms of the id), with 36 bytes of content each: 100 in the journal.
fn pins(posts: &[(u64, u64)]) -> Pins {
    let mut pins = Pins::default();
    for (position, ms) in posts {
        pins.count(36);
        pins.pin(id(*ms), 36, recorded(*position));
    }
    pins
}

fn keep(pins: &mut Pins, ms: u64, position: u64) {
    pins.count(36);
    pins.release(id(ms), 36);
    pins.keep(id(ms), 36, recorded(position));
}

#[test]
fn the_base_is_the_oldest_place_with_a_message_left() {
    let mut pins = pins(&[(1, 10), (1, 11), (4, 12), (5, 13)]);
    for (released, base) in [(12, Some(1)), (10, Some(1)), (11, Some(5)), (13, None)] {
        pins.release(id(released), 36);
        assert_eq!(pins.base(), base.map(Position), "after {released}");
    }
}

#[test]
fn a_message_that_is_recorded_again_needs_its_new_place_and_no_other_is_mistaken_for_it() {
    let mut pins = pins(&[(1, 10), (1, 11), (4, 12), (5, 13)]);
    keep(&mut pins, 11, 5);
    keep(&mut pins, 10, 6);
    pins.pin(id(14), 36, recorded(6));
    pins.pin(id(15), 36, recorded(7));
    keep(&mut pins, 10, 8);
    let places = [(10, 8), (11, 5), (12, 4), (13, 5), (14, 6), (15, 7)];
    for (ms, position) in places {
        assert_eq!(pins.position(id(ms)), Position(position), "of {ms}");
    }
    for (released, base) in [
        (12, Some(5)),
        (13, Some(5)),
        (11, Some(6)),
        (14, Some(7)),
        (15, Some(8)),
        (10, None),
    ] {
        pins.release(id(released), 36);
        assert_eq!(pins.base(), base.map(Position), "after {released}");
    }
    assert_eq!(pins.pinned_bytes(), 0);
}

#[test]
fn a_message_found_only_where_it_was_recorded_again_is_pinned_there() {
    let mut pins = Pins::default();
    pins.keep(id(10), 36, recorded(5));
    pins.pin(id(20), 36, recorded(6));
    pins.keep(id(11), 36, recorded(6));
    for (released, base) in [(10, Some(6)), (20, Some(6)), (11, None)] {
        pins.release(id(released), 36);
        assert_eq!(pins.base(), base.map(Position), "after {released}");
    }
}

#[test]
fn what_was_recorded_is_counted_from_the_base_on() {
    let mut pins = pins(&[(1, 10), (1, 11), (4, 12), (5, 13)]);
    assert_eq!(pins.pinned_bytes(), 400);
    let of_places = [(1, 0), (2, 200), (4, 200), (5, 300), (6, 400)];
    for (position, bytes) in of_places {
        assert_eq!(pins.bytes_before(Position(position)), bytes, "{position}");
    }
    keep(&mut pins, 10, 6);
    keep(&mut pins, 11, 6);
    assert_eq!(pins.pinned_bytes(), 400);
    let of_places = [(4, 0), (5, 100), (6, 200), (7, 400)];
    for (position, bytes) in of_places {
        assert_eq!(pins.bytes_before(Position(position)), bytes, "{position}");
    }
}

#[test]
fn the_first_place_after_a_time_is_the_first_that_was_begun_later() {
    let pins = pins(&[(1, 10), (4, 12), (5, 13)]);
    assert_eq!(pins.base_at(), Some(UnixMs(1_000)));
    for (at, first) in [(0, 1), (999, 1), (1_000, 4), (4_999, 5), (5_000, 9)] {
        let found = pins.first_after(UnixMs(at), Position(9));
        assert_eq!(found, Position(first), "after {at}");
    }
    assert_eq!(Pins::default().base_at(), None);
}
