//! When a shard records old messages again, which ones, and what the journal may let go.

use super::*;
use crate::domain::event::Kept;
use crate::shard::renewal::SharedJournal;

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * HOUR_MS;
const MONTH_MS: u64 = 30 * DAY_MS;

/// The texts that were recorded again since the first `batches`, without what makes them long.
fn kept(bench: &Bench, batches: usize) -> Vec<String> {
    let mut texts = Vec::new();
    for group in &bench.batches[batches..] {
        for record in records(group.bytes()) {
            if let Event::Kept(kept) = record.expect("whole").event().expect("known") {
                texts.push(kept.text.trim_end_matches('x').to_owned());
            }
        }
    }
    texts
}

/// Posts and reads messages of a kibibyte until about so many bytes are recorded.
fn fill(bench: &mut Bench, bytes: usize) {
    let text = "x".repeat(1_024 - 64);
    for _ in 0..bytes / (1_024 + 64) {
        bench.post("busy", &text, MINUTE_MS, None).expect("room");
        bench.take("busy", 1, None).expect("read");
    }
    bench.now += 100;
    archive_all(bench);
}

#[test]
fn an_old_message_moves_once_a_day_and_the_base_with_it() {
    let mut bench = Bench::new();
    let id = bench.post("a", "old", MONTH_MS, None).expect("room").id;
    for _ in 0..20 {
        let begun = bench.now;
        bench.post("b", "young", MINUTE_MS, None).expect("room");
        for (ms, is_renewed) in [(DAY_MS - 1, false), (DAY_MS, true), (DAY_MS + 1, false)] {
            bench.now = begun + ms;
            archive_all(&mut bench);
            let end = bench.end();
            assert_eq!(bench.renew(), is_renewed, "after {ms} ms");
            assert_eq!(bench.base() == end, is_renewed, "after {ms} ms");
        }
        bench.now = begun + DAY_MS;
    }
    assert_eq!(kept(&bench, 0), ["old"; 20]);
    let mut twin = bench.recovered_from(bench.base());
    assert!(matches!(twin.find(id), Found::Unread(..)));
    assert_eq!(texts(&twin.take("a", 9, None).expect("read")), ["old"]);
}

#[test]
fn an_old_message_moves_when_the_journal_has_grown_by_more_than_is_needed() {
    let mut bench = Bench::new();
    bench.post("a", "old", MONTH_MS, None).expect("room");
    fill(&mut bench, 4 << 20);
    bench.now += 3 * MINUTE_MS;
    assert!(!bench.renew(), "not more than that");
    fill(&mut bench, 64 << 10);
    bench.now += 3 * MINUTE_MS;
    let end = bench.end();
    assert!(bench.renew());
    assert_eq!((bench.base(), kept(&bench, 0)), (end, vec!["old".into()]));
}

#[test]
fn a_shard_whose_messages_are_young_records_none_again_however_busy_it_is() {
    let mut bench = Bench::new();
    let text = "x".repeat(100_000);
    for second in 0..400 {
        bench.now += 1_000;
        let name = format!("user{}", second % 50);
        bench.post(&name, &text, MINUTE_MS, None).expect("room");
        if second % 3 == 0 {
            bench.take(&name, 1, None).expect("read");
        }
        archive_all(&mut bench);
        assert!(!bench.renew(), "in second {second}");
    }
}

#[test]
fn only_what_is_old_is_recorded_again_part_by_part_without_what_ended_meanwhile() {
    let mut bench = Bench::new();
    let long = |name: &str| format!("{name}{}", "x".repeat(100 << 10));
    for name in ["a", "b", "c", "d", "e", "f"] {
        let ttl_ms = if name == "e" { DAY_MS + 1 } else { MONTH_MS };
        bench.post(name, &long(name), ttl_ms, None).expect("room");
    }
    bench.now += DAY_MS;
    bench.post("young", "young", MONTH_MS, None).expect("room");
    assert!(bench.renew());
    assert_eq!(kept(&bench, 0), ["a", "b", "c"]);
    let (batches, first) = (bench.batches.len(), bench.base());
    assert_eq!(first, Position(4), "until the others had their turn");
    bench.take("d", 1, None).expect("read");
    bench.now += 1;
    assert!(bench.renew());
    assert_eq!(kept(&bench, batches), ["f"]);
    bench.now += 100;
    archive_all(&mut bench);
    assert_eq!(bench.base(), Position(7), "the young one was left");
    assert!(!bench.renew());
    let mut twin = bench.recovered_from(bench.base());
    for (name, unread) in [
        ("a", 1),
        ("c", 1),
        ("d", 0),
        ("e", 0),
        ("f", 1),
        ("young", 1),
    ] {
        assert_eq!(twin.count(name), unread, "{name}");
    }
}

#[test]
fn what_was_recorded_again_is_durable_with_its_batch() {
    let mut bench = Bench::new();
    bench.post("a", "old", MONTH_MS, None).expect("room");
    bench.now += DAY_MS;
    assert!(bench.renew());
    let batch = bench.batches.len() as u64;
    bench.post("b", "later", MONTH_MS, None).expect("room");
    for (committed, is_durable) in [(batch - 1, false), (batch, true), (batch + 1, true)] {
        let found = bench.shard.is_renewal_durable(committed);
        assert_eq!(found, is_durable, "{committed}");
    }
}

#[test]
fn where_all_shards_share_the_journal_its_length_counts_and_what_all_hold() {
    for (place, live_bytes, is_due) in
        [(5, 0, false), (6, 0, true), (6, 100, false), (7, 100, true)]
    {
        let mut bench = Bench::new();
        bench.post("a", "old", MONTH_MS, None).expect("room");
        let shared = Some(SharedJournal {
            place_bytes: 100,
            live_bytes,
        });
        for (ms, is_due) in [(2 * MINUTE_MS - 1, false), (2 * MINUTE_MS, is_due)] {
            let now = UnixMs(1_000 + ms);
            let found = bench.shard.is_renewing(now, Position(place), shared);
            assert_eq!(
                found, is_due,
                "at place {place}, {live_bytes} live, after {ms} ms"
            );
        }
    }
}

#[test]
fn a_message_recorded_again_that_was_due_by_then_has_expired() {
    let mut bench = Bench::new();
    let id = bench.post("a", "old", 100, None).expect("room").id;
    for (at, is_unread) in [(1_099, true), (1_100, false), (1_101, false)] {
        let mut found = Bench::new();
        let kept = Event::Kept(Kept {
            username: "a",
            id,
            expires_at: UnixMs(1_100),
            text: "old",
            attributes: Attributes::default(),
        });
        found.shard.replay(Position(7), UnixMs(at), kept);
        found.shard.resume(HighWater::default(), &found.usage);
        assert_eq!(
            matches!(found.find(id), Found::Unread(..)),
            is_unread,
            "at {at}"
        );
        assert_eq!(found.base(), Position(7));
    }
}
