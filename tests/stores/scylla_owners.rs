//! Several nodes on one keyspace: who is told to be silent, what a successor finds, and what an outage
//! of the store does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::shard::{Epoch, Shard};
use mayfly::domain::username::{ShardId, Username};
use mayfly::store::StoreError;
use mayfly::store::claims::Claims;
use mayfly::store::group::Group;
use mayfly::store::journal::{Appended, Journal};
use mayfly::store::scylla::claim_table::ClaimTable;
use mayfly::store::scylla::connect::Purpose;
use mayfly::store::scylla::error::ScyllaError;
use mayfly::store::scylla::fence_table::FenceTable;
use mayfly::store::scylla::frame::FRAME_BYTES_MAX;
use mayfly::store::scylla::frame_table::FrameTable;
use mayfly::store::scylla::session::Cql;
use mayfly::store::scylla::{ScyllaStores, apply_schema};

use crate::cql_server::CqlServer;
use crate::scylla::{SEGMENT_FRAMES, Scylla, claimant, options, settings_at};
use crate::support::*;

/// Two names on different shards.
fn two() -> (Username, Username) {
    let mine = username(1);
    let other = (2..).map(username).find(|n| shard_of(n) != shard_of(&mine));
    (mine, other.unwrap())
}

fn one_post(name: &Username, ms: u64, text: &str) -> Group {
    let mut group = Group::default();
    push_post(&mut group, name, ms, text);
    group
}

/// Claims and recovers shards, and gives the texts that were there.
fn take(node: &ScyllaStores, shards: &[ShardId]) -> BTreeMap<ShardId, Vec<String>> {
    now(node.claims.claim(shards)).unwrap();
    texts_by_shard(&*node.journal, shards)
}

/// Runs CQL in which `{}` stands for the keyspace and a dot.
fn run_cql(keyspace: &Scylla, text: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let settings = &keyspace.settings;
    let text = text.replace("{}", &format!("{}.", settings.address.keyspace));
    runtime.block_on(async {
        let cql = Cql::connect(settings, Purpose::Serve, None).await;
        cql.unwrap().run(&text).await.unwrap();
    });
}

fn lost(node: &ScyllaStores, group: &Group) -> Vec<ShardId> {
    now(node.journal.append(group)).unwrap().lost
}

/// Which of `shards` are lost, as an answer of each that rests on no event is told.
fn lost_when_asked(node: &ScyllaStores, shards: &[ShardId]) -> Vec<ShardId> {
    let mut group = Group::default();
    for shard in shards {
        group.ask(*shard);
    }
    lost(node, &group)
}

#[test]
fn an_owner_is_silent_once_another_claimed_and_what_it_writes_then_never_happened() {
    let keyspace = Scylla::default();
    let (mine, other) = two();
    let shards = [shard_of(&mine), shard_of(&other)];
    let (first, second) = (keyspace.node(), keyspace.node());
    take(&first, &shards);
    let mut group = one_post(&mine, 1, "before");
    push_post(&mut group, &other, 2, "kept");
    append(&*first.journal, &group);
    assert_eq!(lost_when_asked(&first, &shards), []);
    let found = take(&second, &shards[..1]);
    assert_eq!(found[&shards[0]], ["before"]);
    let mut group = one_post(&mine, 3, "late");
    push_post(&mut group, &other, 4, "goes on");
    assert_eq!(lost(&first, &group), shards[..1]);
    assert_eq!(lost(&first, &one_post(&mine, 5, "again")), shards[..1]);
    assert_eq!(lost_when_asked(&first, &shards), shards[..1]);
    append(&*second.journal, &one_post(&mine, 6, "after"));
    let third = keyspace.node();
    let found = take(&third, &shards);
    assert_eq!(found[&shards[0]], ["before", "after"]);
    assert_eq!(found[&shards[1]], ["kept", "goes on"]);
}

#[test]
fn an_owner_that_says_nothing_new_is_silent_too_once_another_claimed() {
    let keyspace = Scylla::default();
    let shard = shard_of(&username(1));
    let (first, second) = (keyspace.node(), keyspace.node());
    take(&first, &[shard]);
    assert_eq!(lost_when_asked(&first, &[shard]), []);
    now(second.claims.claim(&[shard])).unwrap();
    assert_eq!(lost_when_asked(&first, &[shard]), [shard]);
}

#[test]
fn a_shard_is_not_appended_to_before_it_is_claimed_and_recovered() {
    let keyspace = Scylla::default();
    let node = keyspace.node();
    let (mine, shard) = (username(1), shard_of(&username(1)));
    assert_eq!(lost(&node, &one_post(&mine, 1, "unclaimed")), [shard]);
    take(&node, &[shard]);
    append(&*node.journal, &one_post(&mine, 2, "claimed"));
    now(node.claims.claim(&[shard])).unwrap();
    assert_eq!(lost(&node, &one_post(&mine, 3, "unrecovered")), [shard]);
    let found = texts_by_shard(&*node.journal, &[shard]);
    assert_eq!(found[&shard], ["claimed"]);
    append(&*node.journal, &one_post(&mine, 4, "recovered"));
    node.claims.release_shard(shard);
    assert_eq!(lost(&node, &one_post(&mine, 5, "released")), [shard]);
}

#[test]
fn a_shard_is_handed_over_with_everything_that_was_answered_and_nothing_else() {
    let keyspace = Scylla::default();
    let (mine, other) = two();
    let (shard, staying) = (shard_of(&mine), shard_of(&other));
    let (first, second) = (keyspace.node(), keyspace.node());
    take(&first, &[shard, staying]);
    append(&*first.journal, &one_post(&mine, 1, "answered"));
    let (offer, high_water) = now(first.claims.freeze_shard(shard)).unwrap();
    assert_eq!(high_water.at, START.plus_ms(1));
    assert_eq!(lost(&first, &one_post(&mine, 2, "frozen")), [shard]);
    append(&*first.journal, &one_post(&other, 3, "goes on"));
    let epoch = now(second.claims.take_over(shard, offer.clone(), high_water)).unwrap();
    append(&*second.journal, &one_post(&mine, 4, "at the target"));
    let refused = now(first.claims.take_back(shard));
    assert!(matches!(refused, Err(ScyllaError::Superseded(_))));
    let late = now(first.claims.take_over(shard, offer, high_water));
    assert!(matches!(late, Err(ScyllaError::Superseded(_))));
    let third = keyspace.node();
    let claimed = now(third.claims.claim(&[shard])).unwrap();
    assert!(claimed[0] > epoch);
    let found = texts_by_shard(&*third.journal, &[shard]);
    assert_eq!(found[&shard], ["answered", "at the target"]);
}

#[test]
fn what_a_successor_trimmed_under_the_target_of_a_hand_off_is_no_damage() {
    let keyspace = Scylla::default();
    let (mine, shard) = (username(1), shard_of(&username(1)));
    let (first, second) = (keyspace.node(), keyspace.node());
    take(&first, &[shard]);
    append(&*first.journal, &one_post(&mine, 1, "answered"));
    let (offer, high_water) = now(first.claims.freeze_shard(shard)).unwrap();
    now(second.claims.take_over(shard, offer, high_water)).unwrap();
    take(&keyspace.node(), &[shard]);
    let trim = format!("DELETE FROM {{}}journal WHERE shard = {}", shard.0);
    run_cql(&keyspace, &format!("{trim} AND epoch = 1 AND segment = 0"));
    let refused = now(second.journal.replay(&[shard], &mut |_, _| Ok(())));
    assert!(
        matches!(refused, Err(StoreError::Scylla(ScyllaError::Superseded(_)))),
        "{refused:?}"
    );
}

#[test]
fn a_shard_that_nobody_took_over_is_taken_back_and_the_offer_is_void() {
    let keyspace = Scylla::default();
    let (mine, shard) = (username(1), shard_of(&username(1)));
    let (first, second) = (keyspace.node(), keyspace.node());
    take(&first, &[shard]);
    append(&*first.journal, &one_post(&mine, 1, "before"));
    let (offer, high_water) = now(first.claims.freeze_shard(shard)).unwrap();
    now(first.claims.take_back(shard)).unwrap();
    append(&*first.journal, &one_post(&mine, 2, "after"));
    let refused = now(second.claims.take_over(shard, offer, high_water));
    assert!(matches!(refused, Err(ScyllaError::Superseded(_))));
    append(&*first.journal, &one_post(&mine, 3, "still"));
    let found = take(&second, &[shard]);
    assert_eq!(found[&shard], ["before", "after", "still"]);
}

#[test]
fn a_large_group_becomes_frames_of_bounded_length() {
    let keyspace = Scylla::default();
    let node = keyspace.node();
    let (mine, shard) = (username(1), shard_of(&username(1)));
    take(&node, &[shard]);
    let mut group = Group::default();
    let text = "x".repeat(60_000);
    for ms in 0..20 {
        push_post(&mut group, &mine, ms, &text);
    }
    push_post(&mut group, &mine, 20, &"y".repeat(300_000));
    push_post(&mut group, &mine, 21, "end");
    append(&*node.journal, &group);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let lengths = runtime.block_on(async {
        let cql = Cql::connect(&keyspace.settings, Purpose::Serve, None).await;
        let cql = cql.unwrap();
        let table = FrameTable::prepare(&cql, SEGMENT_FRAMES).await.unwrap();
        let mut lengths = Vec::new();
        for segment in 0..10 {
            let found = table.read_segment(&cql, Shard(shard.0), Epoch(1), segment, 0);
            lengths.extend(found.await.unwrap().frames.into_iter().map(|(_, stored)| {
                let cluster::ownership::recovery::Stored::Whole(frame) = stored else {
                    panic!("a frame is broken");
                };
                frame.bytes().len()
            }));
        }
        lengths
    });
    assert!(lengths.len() >= 6, "{lengths:?}");
    let long = lengths.iter().filter(|length| **length > FRAME_BYTES_MAX);
    assert_eq!(
        long.count(),
        1,
        "only the record that is longer: {lengths:?}"
    );
    let found = take(&keyspace.node(), &[shard]);
    assert_eq!(found[&shard].len(), 22);
}

#[test]
fn a_frame_that_is_lost_or_broken_leaves_the_shard_without_an_owner() {
    for damage in ["DELETE FROM {}journal", "UPDATE {}journal SET frame = 0x00"] {
        let keyspace = Scylla::default();
        let node = keyspace.node();
        let (mine, shard) = (username(1), shard_of(&username(1)));
        take(&node, &[shard]);
        for ms in 0..5 {
            append(&*node.journal, &one_post(&mine, ms, "acknowledged"));
        }
        let place = "AND epoch = 1 AND segment = 1 AND seq = 3";
        run_cql(
            &keyspace,
            &format!("{damage} WHERE shard = {} {place}", shard.0),
        );
        let next = keyspace.node();
        now(next.claims.claim(&[shard])).unwrap();
        let refused = now(next.journal.replay(&[shard], &mut |_, _| Ok(())));
        let Err(StoreError::Scylla(ScyllaError::Damaged { epoch, seq, .. })) = refused else {
            panic!("{damage}: it was recovered");
        };
        assert_eq!((epoch, seq), (1, 3), "{damage}");
        assert_eq!(lost(&next, &one_post(&mine, 9, "none")), [shard]);
    }
}

/// Makes one claim row such that it cannot be read, as if its partition gave no answer.
fn spoil_claim(keyspace: &Scylla, shard: ShardId) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let cql = Cql::connect(&keyspace.settings, Purpose::Serve, None).await;
        let spoil = format!(
            "UPDATE {}.shard_owner SET owner = null WHERE shard = {} IF EXISTS",
            keyspace.settings.address.keyspace, shard.0
        );
        cql.unwrap().run(&spoil).await.unwrap();
    });
}

#[test]
fn a_claim_row_that_gives_no_answer_hides_no_other() {
    let keyspace = Scylla::default();
    let (mine, other) = two();
    let shards = [shard_of(&mine), shard_of(&other)];
    let node = keyspace.node();
    take(&node, &shards);
    let owners = now(node.claims.owners()).unwrap();
    assert_eq!((owners.claims.len(), owners.unread), (2, vec![]));
    spoil_claim(&keyspace, shards[0]);
    let owners = now(node.claims.owners()).unwrap();
    let named: Vec<_> = owners.claims.iter().map(|claim| claim.shard.0).collect();
    assert_eq!(named, [shards[1].0]);
    assert_eq!(owners.unread, [shards[0]]);
}

#[test]
fn a_claim_that_the_store_does_not_answer_is_given_up_and_the_store_is_not_away() {
    const PATIENCE: Duration = Duration::from_secs(30);
    let keyspace = Scylla::default();
    let (mine, other) = two();
    let shards = [shard_of(&mine), shard_of(&other)];
    let (first, node) = (keyspace.node(), Arc::new(keyspace.node()));
    take(&first, &shards[..1]);
    take(&node, &shards[1..]);
    spoil_claim(&keyspace, shards[0]);
    let (claimant, begun) = (node.clone(), Instant::now());
    let claiming = std::thread::spawn(move || now(claimant.claims.claim_shard(shards[0])));
    while !claiming.is_finished() {
        assert!(!node.journal.is_away());
        assert!(begun.elapsed() < PATIENCE, "the claim is never given up");
        std::thread::sleep(Duration::from_millis(10));
    }
    let given_up = claiming.join().unwrap();
    assert!(matches!(given_up, Err(ScyllaError::GivenUp(_))));
    append(&*node.journal, &one_post(&other, 1, "goes on"));
}

/// Few are read at once: one that waits for ever would keep all others away.
#[test]
fn a_shard_that_was_taken_over_and_cannot_be_read_is_let_go() {
    const PATIENCE: Duration = Duration::from_secs(60);
    let server = CqlServer::start();
    let settings = settings_at(&server.address(), "unread");
    apply_schema(&settings, options()).unwrap();
    let open = || ScyllaStores::open(&settings, claimant(), None).unwrap();
    let (mine, shard) = (username(1), shard_of(&username(1)));
    let (first, second) = (open(), open());
    take(&first, &[shard]);
    append(&*first.journal, &one_post(&mine, 1, "answered"));
    let (offer, high_water) = now(first.claims.freeze_shard(shard)).unwrap();
    now(second.claims.take_over(shard, offer, high_water)).unwrap();
    server.pause();
    let (told, telling) = std::sync::mpsc::channel();
    let journal = second.journal.clone();
    std::thread::spawn(move || told.send(now(journal.replay(&[shard], &mut |_, _| Ok(())))));
    let read = telling.recv_timeout(PATIENCE);
    server.resume();
    let read = read.expect("it ends");
    assert!(
        matches!(read, Err(StoreError::Scylla(ScyllaError::GivenUp(_)))),
        "{read:?}"
    );
    // As after any claim that failed.
    second.claims.release_shard(shard);
    assert_eq!(take(&second, &[shard])[&shard], ["answered"]);
}

#[test]
fn a_start_waits_for_a_server_that_is_silent_for_a_moment() {
    /// Longer than one try to connect.
    const MOMENT: Duration = Duration::from_secs(11);
    let server = CqlServer::start();
    let settings = settings_at(&server.address(), "silent");
    apply_schema(&settings, options()).unwrap();
    server.pause();
    let opened = std::thread::scope(|scope| {
        let opening = scope.spawn(|| ScyllaStores::open(&settings, claimant(), None).map(drop));
        std::thread::sleep(MOMENT);
        server.resume();
        opening.join().unwrap()
    });
    assert!(opened.is_ok(), "{opened:?}");
}

#[test]
fn calls_that_others_wait_on_do_not_wait_for_all_that_a_server_that_hangs_may_take() {
    const SOON: Duration = Duration::from_secs(5);
    let server = CqlServer::start();
    let settings = settings_at(&server.address(), "hangs");
    apply_schema(&settings, options()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let cql = Cql::connect(&settings, Purpose::Serve, None).await.unwrap();
        let claims = ClaimTable::prepare(&cql).await.unwrap();
        let fences = FenceTable::prepare(&cql).await.unwrap();
        server.pause();
        let began = Instant::now();
        let read = claims.read(&cql, Shard(1)).await;
        let (read_for, began) = (began.elapsed(), Instant::now());
        let me = claimant().node;
        let written = fences.write(&cql, me, Shard(1), Epoch(1)).await;
        let written_for = began.elapsed();
        server.resume();
        assert!(read.is_err() && written.is_err());
        for took in [read_for, written_for] {
            assert!(took < SOON, "it took {took:?}");
        }
    });
}

#[test]
fn after_an_outage_of_the_store_everything_goes_on_within_two_seconds_and_nothing_is_lost() {
    let mut server = CqlServer::start();
    let settings = settings_at(&server.address(), "outage");
    apply_schema(&settings, options()).unwrap();
    let node = ScyllaStores::open(&settings, claimant(), None).unwrap();
    let (mine, shard) = (username(1), shard_of(&username(1)));
    take(&node, &[shard]);
    for ms in 0..50 {
        append(&*node.journal, &one_post(&mine, ms, &ms.to_string()));
    }
    server.kill();
    let (back, took) = std::thread::scope(|scope| {
        let in_doubt = scope.spawn(|| {
            let appended = now(node.journal.append(&one_post(&mine, 50, "50"))).unwrap();
            assert_eq!(appended, Appended::default());
            Instant::now()
        });
        // Long enough that the driver by itself would try again only every 10 s.
        std::thread::sleep(Duration::from_secs(12));
        assert!(node.journal.is_away() && !in_doubt.is_finished());
        server.start_again();
        let ready = Instant::now();
        (in_doubt.join().unwrap(), ready)
    });
    let took = back.saturating_duration_since(took);
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    assert!(!node.journal.is_away());
    let next = ScyllaStores::open(&settings, claimant(), None).unwrap();
    let found = take(&next, &[shard]);
    let expected: Vec<_> = (0..=50).map(|n| n.to_string()).collect();
    assert_eq!(found[&shard], expected);
}
