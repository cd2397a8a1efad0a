//! The damage matrix: copies of a journal are cut, flipped and zeroed at every kind of place. Nothing
//! acknowledged may be lost in silence: the journal refuses and names file and offset, or, where only
//! its end is hurt, it warns and counts.

use mayfly::store::StoreError;

use crate::sample::*;
use crate::support::*;

#[test]
fn the_sample_is_what_the_matrix_needs() {
    let sample = Sample::make();
    assert!(sample.used().len() >= 3 && sample.spares().len() == 2);
    let last = &sample.files[sample.used().last().unwrap()];
    let ends = frames(last);
    assert!(ends.len() > 3, "several groups are in the last segment");
    let stale = last[*ends.last().unwrap()..]
        .windows(4)
        .any(|w| w == [0xf9, 0xff, 0xc1, 0xfd]);
    assert!(
        stale,
        "the last segment was recycled and holds stale frames"
    );
    let whole = sample.outcome(sample.copy().path());
    assert!(whole.is_whole(&sample) && matches!(whole, Outcome::Opened { torn: 0, .. }));
}

#[test]
fn a_last_segment_cut_at_any_byte_keeps_every_group_before_the_cut_and_warns() {
    let sample = Sample::make();
    let last = sample.used().pop().unwrap();
    let ends = frames(&sample.files[&last]);
    let end = *ends.last().unwrap();
    for cut in HEADER..end + FRAME + 1 {
        let lost = ends.iter().filter(|end| **end > cut).count();
        let outcome = sample.with(&last, |bytes| {
            bytes.truncate(cut);
            true
        });
        if cut < end + FRAME {
            assert!(
                outcome.lost_and_counted(&sample, lost),
                "cut at {cut}: {outcome:?}"
            );
        } else {
            assert!(outcome.is_whole(&sample), "cut at {cut}: {outcome:?}");
        }
    }
}

#[test]
fn one_flipped_bit_anywhere_is_refused_or_harmless_or_hurts_the_last_group_with_a_warning() {
    let sample = Sample::make();
    let used = sample.used();
    for (place, file) in used.iter().enumerate() {
        let is_last = place + 1 == used.len();
        let ends = frames(&sample.files[file]);
        let end = *ends.last().unwrap();
        for at in 0..end + FRAME + 20 {
            let payload = ends.iter().all(|start| at < *start || at >= *start + FRAME);
            if payload && at >= HEADER && at % 16 != 5 {
                continue;
            }
            let outcome = sample.with(file, |bytes| {
                bytes[at] ^= 1 << (at % 8);
                true
            });
            let frame = ends
                .iter()
                .rev()
                .find(|start| **start <= at)
                .copied()
                .unwrap_or(0);
            let right = if at >= end {
                outcome.is_whole(&sample)
            } else if is_last && at >= ends[ends.len() - 2] {
                outcome.lost_and_counted(&sample, 1)
            } else {
                outcome.names(file, frame)
            };
            assert!(right, "{file} at {at}, frames {ends:?}: {outcome:?}");
        }
    }
}

#[test]
fn zeros_over_a_block_are_refused_or_harmless_or_hurt_only_groups_at_the_end() {
    let sample = Sample::make();
    let used = sample.used();
    for (place, file) in used.iter().enumerate() {
        let is_last = place + 1 == used.len();
        let ends = frames(&sample.files[file]);
        let (groups, end) = (ends.len() - 1, *ends.last().unwrap());
        for at in (0..end).step_by(29) {
            for length in [1, 40, 512, SEGMENT_BYTES as usize] {
                let until = (at + length).min(SEGMENT_BYTES as usize);
                let in_use = &sample.files[file][at..until];
                let Some(zeros) = in_use.iter().position(|byte| *byte != 0) else {
                    continue;
                };
                let at = at + zeros;
                let outcome = sample.with(file, |bytes| {
                    bytes[at..until].fill(0);
                    true
                });
                let hurt = ends.iter().rposition(|start| *start <= at);
                let right = match hurt {
                    None if is_last && until >= end => outcome.lost_and_counted(&sample, groups),
                    None => outcome.names(file, 0),
                    Some(group) if is_last && until > ends[groups - 1] => {
                        let kept = sample.texts.len() - (groups - group);
                        matches!(&outcome, Outcome::Opened { texts, torn }
                            if *texts == sample.texts[..kept] && (*torn == 1 || at == ends[group]))
                    }
                    Some(group) => outcome.names(file, ends[group]),
                };
                let right = right || at >= end && outcome.is_whole(&sample);
                assert!(right, "{file} {at}..{until}, frames {ends:?}: {outcome:?}");
            }
        }
    }
}

#[test]
fn a_missing_segment_or_base_is_refused_by_name() {
    let sample = Sample::make();
    let mut needed = sample.used();
    needed.push(sample.spares()[0].clone());
    needed.push("base".to_owned());
    for file in needed {
        let outcome = sample.with(&file, |_| false);
        assert!(outcome.names(&file, 0), "{file}: {outcome:?}");
    }
    let spare = sample.spares().pop().unwrap();
    assert!(sample.with(&spare, |_| false).is_whole(&sample));
}

#[test]
fn damage_in_a_spare_or_in_one_half_of_the_base_loses_nothing() {
    let sample = Sample::make();
    for file in sample.spares() {
        for at in (0..HEADER + 60).chain([SEGMENT_BYTES as usize - 1]) {
            let outcome = sample.with(&file, |bytes| {
                bytes[at] ^= 1;
                true
            });
            assert!(outcome.is_whole(&sample), "{file} at {at}: {outcome:?}");
        }
        for length in [0, 1, HEADER, 4_000] {
            let outcome = sample.with(&file, |bytes| {
                bytes.truncate(length);
                true
            });
            assert!(
                outcome.is_whole(&sample),
                "{file} cut to {length}: {outcome:?}"
            );
        }
    }
    for at in 0..1_024 {
        let outcome = sample.with("base", |bytes| {
            bytes[at] ^= 0x10;
            true
        });
        let named = matches!(outcome, Outcome::Refused { .. });
        assert!(
            named || outcome.is_whole(&sample),
            "base at {at}: {outcome:?}"
        );
    }
    let outcome = sample.with("base", |bytes| {
        bytes.fill(0);
        true
    });
    assert!(outcome.names("base", 0), "{outcome:?}");
}

#[test]
fn groups_of_another_segment_or_journal_never_count() {
    let sample = Sample::make();
    let other = Sample::make();
    let used = sample.used();
    let last = used.last().unwrap();
    let end = *frames(&sample.files[last]).last().unwrap();
    for foreign in [
        &sample.files[&used[0]],
        &other.files[last],
        &other.files[&used[0]],
    ] {
        let outcome = sample.with(last, |bytes| {
            let room = bytes.len() - end;
            bytes[end..].copy_from_slice(&foreign[HEADER..HEADER + room]);
            true
        });
        assert!(outcome.lost_and_counted(&sample, 0), "{outcome:?}");
    }
    let outcome = sample.with(last, |bytes| {
        *bytes = other.files[last].clone();
        true
    });
    assert!(matches!(outcome, Outcome::Opened { torn: 1, .. }) || outcome.names(last, 0));
    let outcome = sample.with(&used[0], |bytes| {
        *bytes = sample.files[&used[1]].clone();
        true
    });
    assert!(outcome.names(&used[0], 0), "{outcome:?}");
}

#[test]
fn a_group_that_stands_twice_counts_once() {
    let sample = Sample::make();
    let last = sample.used().pop().unwrap();
    let ends = frames(&sample.files[&last]);
    let (start, end) = (ends[ends.len() - 2], ends[ends.len() - 1]);
    let outcome = sample.with(&last, |bytes| {
        bytes.copy_within(start..end, end);
        true
    });
    assert!(outcome.lost_and_counted(&sample, 0), "{outcome:?}");
}

#[test]
fn a_text_that_looks_like_a_frame_is_only_a_text() {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(directory.path()).unwrap();
    append(&journal, &post(1, "first"));
    append(&journal, &post(2, &"\u{f9}\u{ff}\u{c1}\u{fd}".repeat(40)));
    drop(journal);
    let path = directory.path().join(segment(1));
    let mut bytes = std::fs::read(&path).unwrap();
    let second = frames(&bytes)[1];
    bytes[second + 20] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let journal = open(directory.path()).unwrap();
    assert_eq!(
        (texts(&journal), journal.torn_tails()),
        (vec!["first".to_owned()], 1)
    );
}

#[test]
fn a_file_of_a_newer_format_is_refused_with_the_release_that_reads_it() {
    let sample = Sample::make();
    for file in [
        "base",
        &sample.used()[0],
        sample.used().last().unwrap(),
        &sample.spares()[0],
    ] {
        let directory = sample.copy();
        let mut bytes = sample.files[file].clone();
        bytes[8..12].copy_from_slice(&2u32.to_le_bytes());
        bytes[12..28].copy_from_slice(b"7.1.0\0\0\0\0\0\0\0\0\0\0\0");
        let crc = crc32fast::hash(&bytes[..28]);
        bytes[28..32].copy_from_slice(&crc.to_le_bytes());
        std::fs::write(directory.path().join(file), bytes).unwrap();
        let error = open(directory.path()).err().unwrap();
        let StoreError::Newer {
            found: 2, needs, ..
        } = &error
        else {
            panic!("{file}: {error}");
        };
        assert_eq!(needs, "7.1.0");
    }
}
