//! What the tables of a cluster promise one by one, and what servers and driver do that would surprise.

use std::sync::Arc;
use std::time::Duration;

use cluster::ownership::claim::{Base, ClaimRow, ClaimState, Expected, Swap};
use cluster::ownership::recovery::Stored;
use cluster::shard::{Epoch, Shard};
use mayfly::config::Settings;
use mayfly::domain::message::End;
use mayfly::store::StoreError;
use mayfly::store::archive::Archive;
use mayfly::store::group::HighWater;
use mayfly::store::scylla::apply_schema;
use mayfly::store::scylla::claim_table::ClaimTable;
use mayfly::store::scylla::connect::Purpose;
use mayfly::store::scylla::error::{CqlError, ScyllaError};
use mayfly::store::scylla::fence_table::FenceTable;
use mayfly::store::scylla::frame::Frame;
use mayfly::store::scylla::frame_table::FrameTable;
use mayfly::store::scylla::schema::SchemaOptions;
use mayfly::store::scylla::session::Cql;
use mayfly::store::scylla::{ScyllaStores, meta};
use uuid::Uuid;

use crate::cql_server::CqlServer;
use crate::scylla::{Scylla, claimant, options, settings, settings_at};
use crate::support::{ended, now, username};

const SHARD: Shard = Shard(7);

/// A keyspace of its own and a session with it, on a runtime that lives as long.
fn with_cql<F: Future<Output = ()>>(test: impl FnOnce(Cql) -> F) {
    let keyspace = Scylla::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let cql = Cql::connect(&keyspace.settings, Purpose::Serve, None).await;
        test(cql.unwrap()).await;
    });
}

fn frame(seq: u64, bytes: usize) -> Frame {
    let place = Base {
        epoch: Epoch(3),
        seq,
    };
    Frame::new(SHARD, place, HighWater::default(), &vec![seq as u8; bytes])
}

#[test]
fn a_swap_is_understood_in_every_shape_of_its_answer() {
    with_cql(|cql| async move {
        let table = ClaimTable::prepare(&cql).await.unwrap();
        let swap = async |shard, expected, row: &ClaimRow| {
            table.swap(&cql, shard, expected, row).await.unwrap()
        };
        let first = ClaimRow::first(&claimant(), Uuid::now_v7());
        let second = first.claimed_by(&claimant(), Uuid::now_v7());
        assert_eq!(table.read(&cql, SHARD).await.unwrap(), None);
        // An INSERT applied, and one refused, which answers the row.
        assert_eq!(swap(SHARD, Expected::Absent, &first).await, Swap::Applied);
        assert_eq!(swap(SHARD, Expected::Absent, &second).await, Swap::Refused);
        assert_eq!(table.read(&cql, SHARD).await.unwrap(), Some(first.clone()));
        // An UPDATE applied, one refused, which answers its conditions, and one without a row.
        assert_eq!(swap(SHARD, first.expected(), &second).await, Swap::Applied);
        assert_eq!(swap(SHARD, first.expected(), &first).await, Swap::Refused);
        assert_eq!(
            swap(Shard(8), first.expected(), &first).await,
            Swap::Refused
        );
        assert_eq!(table.read(&cql, SHARD).await.unwrap(), Some(second));
    });
}

#[test]
fn a_swap_asks_for_claim_state_and_base_and_a_row_reads_back_whole() {
    with_cql(|cql| async move {
        let table = ClaimTable::prepare(&cql).await.unwrap();
        let first = ClaimRow::first(&claimant(), Uuid::now_v7());
        let mut row = first
            .claimed_by(&claimant(), Uuid::now_v7())
            .serving(&[(Epoch(1), 5)]);
        row.base = Base {
            epoch: Epoch(1),
            seq: 4,
        };
        let applied = table.swap(&cql, SHARD, Expected::Absent, &row).await;
        assert_eq!(applied.unwrap(), Swap::Applied);
        assert_eq!(table.read(&cql, SHARD).await.unwrap(), Some(row.clone()));
        let (claim, state, base) = (row.claim, row.state, row.base);
        let later = Base {
            seq: base.seq + 1,
            ..base
        };
        for other in [
            Expected::Claim(Uuid::now_v7(), state, base),
            Expected::Claim(claim, ClaimState::Claimed, base),
            Expected::Claim(claim, state, later),
        ] {
            let refused = table.swap(&cql, SHARD, other, &first).await;
            assert_eq!(refused.unwrap(), Swap::Refused, "{other:?}");
        }
    });
}

#[test]
fn the_higher_epoch_stays_the_fence_whatever_was_written_last() {
    with_cql(|cql| async move {
        let table = FenceTable::prepare(&cql).await.unwrap();
        let (node, other) = (claimant().node, claimant().node);
        for epoch in [5, 3, 1] {
            table.write(&cql, node, SHARD, Epoch(epoch)).await.unwrap();
        }
        table.write(&cql, other, SHARD, Epoch(9)).await.unwrap();
        let fences = table.read(&cql, node).await.unwrap();
        assert_eq!(fences, [(SHARD, Epoch(5))]);
        table.write(&cql, node, SHARD, Epoch(6)).await.unwrap();
        let fences = table.read(&cql, node).await.unwrap();
        assert_eq!(fences, [(SHARD, Epoch(6))]);
    });
}

#[test]
fn a_segment_is_read_over_all_its_pages_and_a_repeated_write_is_one_frame() {
    with_cql(|cql| async move {
        let table = FrameTable::prepare(&cql, 1_000).await.unwrap();
        let frames: Vec<_> = (0..100).map(|seq| frame(seq, 40_000)).collect();
        for frame in frames.iter().chain(&frames[98..]) {
            table.write(&cql, SHARD, frame).await.unwrap();
        }
        table.write(&cql, SHARD, &frame(1_000, 1)).await.unwrap();
        let read = async |segment, from| {
            let found = table.read_segment(&cql, SHARD, Epoch(3), segment, from);
            found.await.unwrap().frames
        };
        let found = read(0, 30).await;
        let expected: Vec<_> = (30..)
            .zip(&frames[30..])
            .map(|(seq, frame)| (seq, Stored::Whole(frame.clone())))
            .collect();
        assert!(found == expected, "{} frames were found", found.len());
        table
            .delete_segment(&cql, SHARD, Epoch(3), 0)
            .await
            .unwrap();
        assert_eq!(read(0, 0).await, []);
        assert_eq!(read(1, 0).await.len(), 1);
    });
}

#[test]
fn a_segment_that_is_too_long_for_memory_is_read_in_parts() {
    with_cql(|cql| async move {
        let table = FrameTable::prepare(&cql, 1_000).await.unwrap();
        for seq in 0..70 {
            let frame = frame(seq, 260_000);
            table.write(&cql, SHARD, &frame).await.unwrap();
        }
        let (mut parts, mut from) = (Vec::new(), 0);
        loop {
            let part = table.read_segment(&cql, SHARD, Epoch(3), 0, from).await;
            let part = part.unwrap();
            let seqs: Vec<_> = part.frames.iter().map(|(seq, _)| *seq).collect();
            let expected: Vec<_> = (from..from + seqs.len() as u64).collect();
            assert_eq!(seqs, expected);
            from += seqs.len() as u64;
            parts.push(seqs.len());
            if !part.has_more {
                break;
            }
        }
        assert_eq!(from, 70);
        assert!(parts.iter().all(|frames| *frames <= 64), "{parts:?}");
        assert!(parts.len() >= 2, "{parts:?}");
    });
}

#[test]
fn a_missing_schema_and_another_one_are_refused_with_what_to_do() {
    let absent = settings("t_absent");
    let refused = |settings| match ScyllaStores::open(&settings, claimant(), None) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it opened"),
    };
    let line = refused(absent);
    assert!(line.contains("t_absent has no schema") && line.contains("mayfly schema apply"));
    let made = Scylla::default().settings;
    assert!(!apply_schema(&made, options()).unwrap(), "it was there");
    let mut renamed = made.clone();
    renamed.cluster_name = String::from("other");
    let mut moved = made.clone();
    moved.datacenter = Some(String::from("datacenter1"));
    let mut copied = made.clone();
    copied.replication = 2;
    for (other, words) in [
        (renamed, "--cluster-name mayfly, not other"),
        (moved, "--scylla-datacenter none, not datacenter1"),
        (copied, "--scylla-replication 1, not 2"),
    ] {
        let applied = apply_schema(&other, options()).unwrap_err().to_string();
        for line in [applied, refused(other)] {
            assert!(line.contains(words), "{line}");
            assert!(line.contains("mayfly schema apply"), "{line}");
        }
    }
}

#[test]
fn the_local_scope_serves_in_its_datacenter_and_nobody_comes_in_with_the_other_one() {
    let server = settings("t_any").address.nodes[0].clone();
    let keyspace = format!("t_{}", Uuid::now_v7().simple());
    let local = Settings::from_arguments([
        format!("--scylla={server}/{keyspace}").as_str(),
        "--scylla-replication=1",
        "--scylla-scope=local",
        "--scylla-datacenter=datacenter1",
    ]);
    let local = local.unwrap().scylla.unwrap();
    let kept = SchemaOptions::keeping(Some(Duration::from_secs(86_400)));
    assert!(apply_schema(&local, kept).unwrap());
    ScyllaStores::open(&local, claimant(), None).unwrap();
    let mut global = local;
    global.scope = mayfly::config::scylla::Scope::Global;
    let Err(StoreError::Scylla(ScyllaError::OtherSchema { setting, .. })) =
        ScyllaStores::open(&global, claimant(), None)
    else {
        panic!("it opened");
    };
    assert_eq!(setting, "--scylla-scope");
}

#[test]
fn a_swap_without_an_answer_in_time_is_ambiguous() {
    let server = CqlServer::start();
    let settings = settings_at(&server.address(), "paused");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        meta::apply(&settings, &options()).await.unwrap();
        let cql = Cql::connect(&settings, Purpose::Serve, None).await.unwrap();
        let table = ClaimTable::prepare(&cql).await.unwrap();
        let row = ClaimRow::first(&claimant(), Uuid::now_v7());
        server.pause();
        let paused = table.swap(&cql, SHARD, Expected::Absent, &row).await;
        server.resume();
        assert!(matches!(paused, Err(CqlError::Ambiguous(_))), "{paused:?}");
        // It was sent, so it is done now or soon, and done once.
        let table = Arc::new(table);
        loop {
            if let Ok(Some(found)) = table.read(&cql, SHARD).await {
                assert_eq!(found, row);
                break;
            }
        }
        let again = table.swap(&cql, SHARD, Expected::Absent, &row).await;
        assert_eq!(again.unwrap(), Swap::Refused);
    });
}

#[test]
fn a_node_whose_clock_is_ahead_hides_nothing_of_the_archive() {
    let keyspace = Scylla::default();
    let message = ended(&username(1), 0, 1, 0, End::Read);
    let node = keyspace.node();
    now(node.archive.put(std::slice::from_ref(&message))).unwrap();
    let years_later = message.ended_at.plus_ms(3_650 * 86_400_000);
    now(node.archive.drop_before(years_later)).unwrap();
    for node in [node, keyspace.node()] {
        let found = now(node.archive.get(message.id)).unwrap();
        assert_eq!(found.as_ref(), Some(&message));
        assert_eq!(now(node.archive.list(None, 2)).unwrap().len(), 1);
    }
}

#[test]
fn a_frame_of_a_newer_version_is_not_taken_for_a_broken_one() {
    with_cql(|cql| async move {
        let table = FrameTable::prepare(&cql, 1_000).await.unwrap();
        let mut newer = frame(0, 10).bytes().to_vec();
        newer[0] += 1;
        let sum = crc32fast::hash(&[&newer[..37], &newer[41..]].concat());
        newer[37..41].copy_from_slice(&sum.to_le_bytes());
        let bytes: String = newer.iter().map(|byte| format!("{byte:02x}")).collect();
        let (keyspace, shard) = (cql.keyspace(), SHARD.0);
        let insert = format!(
            "INSERT INTO {keyspace}.journal (shard, epoch, segment, seq, frame) \
             VALUES ({shard}, 3, 0, 0, 0x{bytes})"
        );
        cql.run(&insert).await.unwrap();
        let found = table.read_segment(&cql, SHARD, Epoch(3), 0, 0).await;
        let line = found.unwrap_err().to_string();
        assert!(line.contains("start a newer mayfly"), "{line}");
    });
}
