//! Partitions, one at a time: between two nodes, and of one node from everything.

use std::iter;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mayfly::verify::history::{Call, Outcome};

use super::arena::Arena;
use super::network;
use super::schedule::Fault;
use crate::cluster::SHARDS;
use crate::load::End;
use crate::node::Node;
use crate::support::client::Client;
use crate::support::history::{Recorder, Sent, post, take};
use crate::support::{LOOK_EVERY, eventually};

/// How long a partition lasts: longer than a lease in Redis.
const CUT: Duration = Duration::from_secs(8);

/// Every request is answered so soon: a little more than `--request-timeout` by default.
const ANSWERED_WITHIN: Duration = Duration::from_millis(5_500);

/// Two nodes that do not reach each other find a way around so soon.
const WAY_FOUND_WITHIN: Duration = Duration::from_secs(3);

/// What was cut off is served again so soon, by others during the cut or by all after it.
const WHOLE_WITHIN: Duration = Duration::from_secs(5);

/// A whole service answers so soon.
const WHOLE_ANSWER: Duration = Duration::from_secs(1);

const MAILBOXES: usize = 24;

#[test]
fn two_nodes_cut_from_each_other_answer_by_way_of_the_third_and_are_whole_soon_after() {
    network::inside(3, |network| {
        let mut arena = Arena::start(network, 3);
        let recorder = Recorder::new();
        let (from, to, both) = (0, 1, true);
        let cut = Fault::Cut { from, to, both };
        arena.links.follow(iter::once(cut));
        let (began, has_healed) = (Instant::now(), AtomicBool::new(false));
        thread::scope(|scope| {
            let _end = End(&has_healed);
            for (number, node) in arena.cluster.nodes.iter().enumerate() {
                let (recorder, has_healed) = (&recorder, &has_healed);
                scope.spawn(move || ask_until(has_healed, recorder, number, node, began));
            }
            thread::sleep(CUT);
            has_healed.store(true, Ordering::SeqCst);
            arena.links.follow(iter::empty());
            let healed = Instant::now();
            for node in &arena.cluster.nodes {
                await_whole(&recorder, node, healed);
            }
            println!("whole {:?} after the cut", healed.elapsed());
        });
        recorder.settle(&mut arena.cluster.nodes[2].client());
        recorder.judge();
        arena.audit();
    });
}

/// Posts to all mailboxes in turn. Each post is answered in time, and by a message once a way around
/// the cut is found.
fn ask_until(ended: &AtomicBool, recorder: &Recorder, number: usize, node: &Node, cut: Instant) {
    let mut client = node.client();
    let (mut answered, mut longest) = (0, Duration::ZERO);
    for turn in 0.. {
        let call = post(&mailbox(turn), format!("{number} {turn}"));
        let began = Instant::now();
        let sent = recorder.send(&mut client, number as u32, None, call);
        if ended.load(Ordering::SeqCst) {
            break;
        }
        let (since, took) = (began - cut, began.elapsed());
        let told = format!("{since:?} after the cut, {took:?}: {:?}", sent.outcome);
        assert!(took < ANSWERED_WITHIN && sent.answer.is_some(), "{told}");
        assert!(since < WAY_FOUND_WITHIN || is_posted(&sent), "{told}");
        answered += usize::from(is_posted(&sent));
        longest = longest.max(took);
        thread::sleep(LOOK_EVERY);
    }
    println!(
        "{} answered {answered}, the longest after {longest:?}",
        node.name
    );
}

/// Waits until a node answers for every mailbox at once.
#[track_caller]
fn await_whole(recorder: &Recorder, node: &Node, since: Instant) {
    const OBSERVER: u32 = 100;
    for number in 0..MAILBOXES {
        loop {
            let mut client = node.client().with_timeout(WHOLE_ANSWER);
            let call = post(
                &mailbox(number),
                format!("{} {:?}", node.name, since.elapsed()),
            );
            let sent = recorder.send(&mut client, OBSERVER, None, call);
            let waited = since.elapsed();
            assert!(
                waited < WHOLE_WITHIN,
                "{} after {waited:?}: {:?}",
                node.name,
                sent.outcome
            );
            if is_posted(&sent) {
                break;
            }
        }
    }
}

#[test]
fn a_node_cut_from_everything_answers_no_read_and_others_serve_its_shards_soon() {
    const CUT_OFF: usize = 0;
    const OTHER: usize = 1;
    network::inside(3, |network| {
        let mut arena = Arena::start(network, 3);
        let recorder = Recorder::new();
        let (mut asked, cut_off) = (
            arena.cluster.nodes[OTHER].client(),
            &arena.cluster.nodes[CUT_OFF],
        );
        let mut send = |call| recorder.send(&mut asked, 0, None, call);
        let posts =
            (0..MAILBOXES).map(|number| (number, send(post(&mailbox(number), "first".into()))));
        let own: Vec<_> = posts
            .filter(|(_, sent)| served_by(sent, cut_off))
            .map(|(number, _)| mailbox(number))
            .collect();
        assert!(!own.is_empty(), "the node to be cut off owns a mailbox");
        let clients: Vec<_> = own.iter().map(|_| cut_off.client()).collect();

        arena
            .links
            .follow(iter::once(Fault::Isolate { node: CUT_OFF }));
        let began = Instant::now();
        let has_healed = AtomicBool::new(false);
        thread::scope(|scope| {
            let _end = End(&has_healed);
            for (user, client) in own.iter().zip(clients) {
                let (recorder, has_healed) = (&recorder, &has_healed);
                scope.spawn(move || count_in_vain(has_healed, recorder, user, client));
            }
            for user in &own {
                let texts = await_read(&recorder, &arena.cluster.nodes[OTHER], user, began);
                assert_eq!(texts, ["first"]);
            }
            println!(
                "all of {} mailboxes were read {:?} after the cut",
                own.len(),
                began.elapsed()
            );
            thread::sleep(CUT.saturating_sub(began.elapsed()));
            has_healed.store(true, Ordering::SeqCst);
            arena.links.follow(iter::empty());
        });
        let healed = Instant::now();
        for user in &own {
            let texts = await_read(&recorder, &arena.cluster.nodes[CUT_OFF], user, healed);
            assert!(texts.is_empty(), "{texts:?} of {user} were read twice");
        }
        println!("the node answers {:?} after the heal", healed.elapsed());
        arena.await_well(super::WELL_WITHIN);
        recorder.settle(&mut arena.cluster.nodes[CUT_OFF].client());
        recorder.judge();
        arena.audit();
    });
}

#[test]
fn a_node_that_does_not_reach_redis_takes_nothing_from_those_who_came_meanwhile() {
    const WITHOUT: usize = 0;
    const RESTARTED: usize = 1;
    const STAYS: usize = 2;
    /// Longer than the claims are not read when nothing is missing.
    const QUIET: Duration = Duration::from_secs(8);
    network::inside(3, |network| {
        let mut arena = Arena::start(network, 3);
        let claims = |arena: &Arena| {
            let counted = || arena.cluster.nodes[WITHOUT].metric("mayfly_cluster_claims_total");
            eventually("the node tells its metrics", counted)
        };
        let node = WITHOUT;
        arena.links.follow(iter::once(Fault::RedisCut { node }));
        // Its lease ends, and the others take what it has.
        arena.cluster.await_shards(WITHOUT, 0);
        arena.cluster.nodes[RESTARTED].kill();
        arena.cluster.nodes[RESTARTED].start();
        arena.cluster.nodes[RESTARTED].await_ready();
        let served: Vec<_> = [RESTARTED, STAYS]
            .map(|node| arena.cluster.nodes[node].address())
            .into();
        eventually("both others have their share", || {
            let owned = [RESTARTED, STAYS].map(|node| arena.cluster.shards_of(node));
            (owned.iter().sum::<usize>() == SHARDS
                && owned.iter().all(|owned| *owned >= SHARDS / 3))
            .then_some(())
        });
        let before = claims(&arena);
        thread::sleep(QUIET);
        assert_eq!(claims(&arena), before, "it took from who serves");
        let recorder = Recorder::new();
        for number in 0..MAILBOXES {
            let mut client = arena.cluster.nodes[WITHOUT].client();
            // A store that stands still for a moment is another matter.
            let sent = eventually("a post is answered by a message", || {
                let call = post(&mailbox(number), format!("one {}", recorder.len()));
                let sent = recorder.send(&mut client, 0, None, call);
                is_posted(&sent).then_some(sent)
            });
            assert!(
                served.iter().any(|address| is_by(&sent, address)),
                "{:?}",
                sent.outcome
            );
        }
        arena.links.follow(iter::empty());
        arena.await_well(super::WELL_WITHIN);
        recorder.settle(&mut arena.cluster.nodes[WITHOUT].client());
        recorder.judge();
        arena.audit();
    });
}

/// Reads and counts a mailbox at a node that cannot know of it.
fn count_in_vain(has_healed: &AtomicBool, recorder: &Recorder, user: &str, mut client: Client) {
    const VAIN: u32 = 200;
    let count = Call::Count {
        user: user.to_owned(),
    };
    for turn in 0.. {
        // A read has a key, so that it is known in the end what became of it.
        let (key, call) = match turn % 2 {
            0 => (Some(format!("{user} {turn}")), take(user, None)),
            _ => (None, count.clone()),
        };
        let sent = recorder.send(&mut client, VAIN, key.as_deref(), call);
        if has_healed.load(Ordering::SeqCst) {
            return;
        }
        let is_none = matches!(
            sent.outcome,
            Outcome::Unknown | Outcome::Refused { status: 503 }
        );
        assert!(is_none, "cut off, it said {:?} of {user}", sent.outcome);
        thread::sleep(LOOK_EVERY);
    }
}

/// Reads a mailbox until that is answered, and gives the texts.
#[track_caller]
fn await_read(recorder: &Recorder, node: &Node, user: &str, since: Instant) -> Vec<String> {
    const READER: u32 = 300;
    let key = format!("{} {user}", node.name);
    loop {
        let mut client = node.client().with_timeout(WHOLE_ANSWER);
        let sent = recorder.send(&mut client, READER, Some(&key), take(user, None));
        let waited = since.elapsed();
        assert!(
            waited < WHOLE_WITHIN,
            "{user} after {waited:?}: {:?}",
            sent.outcome
        );
        if let Outcome::Taken { messages } = sent.outcome {
            return messages.into_iter().map(|message| message.text).collect();
        }
    }
}

fn mailbox(number: usize) -> String {
    format!("user{}", number % MAILBOXES)
}

fn is_posted(sent: &Sent) -> bool {
    matches!(sent.outcome, Outcome::Posted { .. })
}

fn served_by(sent: &Sent, node: &Node) -> bool {
    is_by(sent, &node.address())
}

fn is_by(sent: &Sent, address: &str) -> bool {
    let answer = sent.answer.as_ref();
    answer.and_then(|answer| answer.header("mayfly-owner")) == Some(address)
}
