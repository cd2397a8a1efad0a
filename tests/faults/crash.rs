//! `kill -9` under load, again and again: what was acknowledged is there, and nothing comes twice.

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use mayfly::verify::history::{Call, Outcome};

use crate::support::client::Client;
use crate::support::history::{Recorder, post, take};
use crate::support::server::Server;
use crate::support::{Seeded, eventually};

const ROUNDS: usize = 10;
const ROUNDS_MAX: usize = 60;

/// So many messages tell something.
const ENOUGH: usize = 500;
const WRITERS: usize = 6;
const READERS: usize = 4;
const MAILBOXES: usize = 4;
const SEED: u64 = 1_984;

/// Requests with a key whose answer was cut: they are repeated after the restart until they are
/// answered.
type Unanswered = Mutex<Vec<(String, Call)>>;

#[test]
fn kill_9_loses_nothing_acknowledged_and_repeats_nothing() {
    let mut server = Server::start();
    let (recorder, unanswered) = (Recorder::new(), Unanswered::default());
    let mut random = Seeded(SEED);
    let (mut round, mut posted) = (0, 0);
    // On a slow disk it takes more rounds.
    while round < ROUNDS || posted <= ENOUGH && round < ROUNDS_MAX {
        let first = recorder.len();
        let life = Duration::from_millis(200 + random.below(700) as u64);
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (client, recorder, unanswered) = (server.client(), &recorder, &unanswered);
                scope.spawn(move || write(client, recorder, unanswered, round, writer));
            }
            for reader in 0..READERS {
                let (client, recorder, unanswered) = (server.client(), &recorder, &unanswered);
                scope.spawn(move || read(client, recorder, unanswered, round, reader));
            }
            thread::sleep(life);
            server.kill();
        });
        server.start_again();
        let mut client = server.client();
        finish(&mut client, &recorder, &unanswered);
        // What this round acknowledged is there at once; all of it is looked up again at the end.
        for id in recorder.acknowledged(first) {
            recorder.send(&mut client, 0, None, Call::Find { id });
            posted += 1;
        }
        round += 1;
    }
    recorder.settle(&mut server.client());
    println!("seed {SEED}");
    let verdict = recorder.judge();
    assert!(
        verdict.acknowledged > ENOUGH,
        "too little was posted to tell anything"
    );
    assert!(
        verdict.in_doubt > 0,
        "no crash came between a request and its answer"
    );
}

fn mailbox(number: usize) -> String {
    format!("mailbox{}", number % MAILBOXES)
}

/// Posts until the server is gone: every other writer with keys, the first one large texts.
fn write(
    mut client: Client,
    recorder: &Recorder,
    unanswered: &Unanswered,
    round: usize,
    writer: usize,
) {
    for number in 0.. {
        let mut text = format!("{round}-{writer}-{number} ");
        if writer == 0 {
            text += &"x".repeat(60_000);
        }
        let call = post(&mailbox(writer + number), text);
        let key = (writer % 2 == 1).then(|| format!("p {round} {writer} {number}"));
        let sent = recorder.send(&mut client, writer as u32, key.as_deref(), call.clone());
        match sent.outcome {
            Outcome::Posted { .. }
            | Outcome::Refused {
                status: 409 | 503 | 507,
            } => {}
            Outcome::Refused { status: 0 } => return,
            Outcome::Unknown => {
                unanswered
                    .lock()
                    .unwrap()
                    .extend(key.map(|key| (key, call)));
                return;
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Reads until the server is gone: every other reader with keys, some with a limit.
fn read(
    mut client: Client,
    recorder: &Recorder,
    unanswered: &Unanswered,
    round: usize,
    reader: usize,
) {
    for number in 0.. {
        let call = take(&mailbox(reader + number), (number % 3 == 0).then_some(3));
        let key = (reader % 2 == 1).then(|| format!("r {round} {reader} {number}"));
        let client_number = (WRITERS + reader) as u32;
        let sent = recorder.send(&mut client, client_number, key.as_deref(), call.clone());
        match sent.outcome {
            Outcome::Taken { .. } | Outcome::Refused { status: 503 } => {}
            Outcome::Refused { status: 0 } => return,
            Outcome::Unknown => {
                unanswered
                    .lock()
                    .unwrap()
                    .extend(key.map(|key| (key, call)));
                return;
            }
            other => panic!("{other:?}"),
        }
        // Messages should wait sometimes, so that some are in their mailbox at the crash.
        thread::sleep(Duration::from_millis(2));
    }
}

/// Repeats with its key what was not answered, twice: then its outcome is known, and told the same.
fn finish(client: &mut Client, recorder: &Recorder, unanswered: &Unanswered) {
    for (key, call) in unanswered.lock().unwrap().drain(..) {
        for _ in 0..2 {
            eventually("a repeat is answered", || {
                let sent = recorder.send(client, 0, Some(&key), call.clone());
                // A mailbox has room for a post that was not done once others are read.
                let is_full = sent.outcome == Outcome::Refused { status: 409 };
                let is_done =
                    matches!(sent.outcome, Outcome::Posted { .. } | Outcome::Taken { .. });
                assert!(is_done || is_full, "{:?}", sent.outcome);
                is_done.then_some(())
            });
        }
    }
}
