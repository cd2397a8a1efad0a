//! Clients that post and read through all nodes, as well-behaved ones do: they leave a node that is not
//! ready, and repeat with the same key what was not answered.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mayfly::verify::history::{Call, Outcome};

use crate::support::client::Client;
use crate::support::history::{Recorder, Sent, post, take};

const WRITERS: usize = 4;
const READERS: usize = 3;
const MAILBOXES: usize = 24;

/// How often the readiness of each node is asked.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Readiness that was asked for longer ago says nothing.
const STALE_MS: u64 = 2_000;

/// A client gives a request up after this, a little more than the service's own limit.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(6);

/// A client waits so long between two requests, and before it repeats a refused one.
const PACE: Duration = Duration::from_millis(4);
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// Whoever is not answered after this by any node never will be.
const PATIENCE: Duration = Duration::from_secs(60);

/// The addresses of a node that clients know.
#[derive(Clone, Copy)]
pub struct Target {
    pub public: SocketAddr,
    pub admin: SocketAddr,
}

/// What the clients of one load share.
pub struct Load<'a> {
    recorder: &'a Recorder,
    targets: Vec<Target>,
    /// When each target said last that it is ready, in milliseconds since the load began and 1; 0 when it did not.
    ready: Vec<AtomicU64>,
    began: Instant,
    ended: AtomicBool,
    longest_us: AtomicU64,
    failed: Mutex<Vec<String>>,
}

/// What a load met with.
pub struct Met {
    /// The longest time that a client needed for one request, with all repeats.
    pub longest: Duration,
    /// Each try that was refused or not answered, with what was said.
    pub failed: Vec<String>,
}

/// Loads the targets while `act` runs. Targets that do not run yet are left alone until they are ready.
pub fn during(recorder: &Recorder, targets: Vec<Target>, act: impl FnOnce()) -> Met {
    let first = recorder.len();
    let load = Load {
        recorder,
        ready: targets
            .iter()
            .map(|target| AtomicU64::new(u64::from(probe(*target))))
            .collect(),
        began: Instant::now(),
        targets,
        ended: AtomicBool::new(false),
        longest_us: AtomicU64::new(0),
        failed: Mutex::default(),
    };
    thread::scope(|scope| {
        // Ends the clients also when `act` fails.
        let _end = End(&load.ended);
        for index in 0..load.targets.len() {
            let load = &load;
            scope.spawn(move || load.watch(index));
        }
        for number in 0..WRITERS + READERS {
            let load = &load;
            scope.spawn(move || load.run(number, first));
        }
        act();
    });
    Met {
        longest: Duration::from_micros(load.longest_us.into_inner()),
        failed: load.failed.into_inner().unwrap(),
    }
}

/// Says that it has ended when it goes.
pub struct End<'a>(pub &'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn probe(target: Target) -> bool {
    let mut client = Client::at(target.admin).with_timeout(PROBE_EVERY);
    let answer = client.try_send("GET", "/readyz", &[], b"");
    answer.is_ok_and(|answer| answer.status == 200)
}

impl Load<'_> {
    fn goes_on(&self) -> bool {
        !self.ended.load(Ordering::SeqCst)
    }

    /// Keeps the readiness of one node up to date.
    fn watch(&self, index: usize) {
        while self.goes_on() {
            let began = Instant::now();
            let asked_ms = self.ms();
            let is_ready = probe(self.targets[index]);
            let ready_ms = if is_ready { asked_ms } else { 0 };
            self.ready[index].store(ready_ms, Ordering::SeqCst);
            while self.goes_on() && began.elapsed() < PROBE_EVERY {
                thread::sleep(PACE);
            }
        }
    }

    /// One client: posts or reads until the load ends.
    fn run(&self, number: usize, first: usize) {
        let addresses = self.targets.iter().map(|target| target.public);
        let mut clients: Vec<_> = addresses
            .map(|address| Client::at(address).with_timeout(CLIENT_TIMEOUT))
            .collect();
        for turn in 0.. {
            if !self.goes_on() {
                return;
            }
            let user = format!("user{}", (number * 5 + turn) % MAILBOXES);
            let name = format!("{first} {number} {turn}");
            let call = if number < WRITERS {
                post(&user, name.clone())
            } else {
                take(&user, (turn % 4 == 0).then_some(3))
            };
            self.insist(&mut clients, number, turn, &name, &call);
            thread::sleep(PACE);
        }
    }

    /// Sends a request to one ready node after the other until it is answered.
    fn insist(&self, clients: &mut [Client], number: usize, turn: usize, key: &str, call: &Call) {
        let began = Instant::now();
        for attempt in turn.. {
            let Some(index) = self.next_ready(number + attempt) else {
                assert!(
                    began.elapsed() < PATIENCE,
                    "no node was ready for {PATIENCE:?}"
                );
                thread::sleep(RETRY_AFTER);
                continue;
            };
            let sent =
                self.recorder
                    .send(&mut clients[index], number as u32, Some(key), call.clone());
            match &sent.outcome {
                Outcome::Posted { .. } | Outcome::Taken { .. } => break,
                Outcome::Unknown
                | Outcome::Refused {
                    status: 0 | 409 | 503 | 507,
                } => self.note(index, call, &sent, began),
                other => panic!("{call:?}: {other:?}"),
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{call:?} was not answered for {PATIENCE:?}"
            );
            thread::sleep(RETRY_AFTER);
        }
        let took_us = began.elapsed().as_micros() as u64;
        self.longest_us.fetch_max(took_us, Ordering::SeqCst);
    }

    fn note(&self, node: usize, call: &Call, sent: &Sent, began: Instant) {
        let said = sent.answer.as_ref().map(|answer| answer.text());
        let (outcome, after) = (&sent.outcome, began.elapsed());
        let line = format!("{call:?} to node {node}, after {after:?}: {outcome:?} {said:?}");
        self.failed.lock().unwrap().push(line);
    }

    /// Milliseconds since the load began, and 1.
    fn ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64 + 1
    }

    /// The first node at or after a place that was ready when it was asked last, not long ago.
    fn next_ready(&self, from: usize) -> Option<usize> {
        let count = self.targets.len();
        let places = (0..count).map(|step| (from + step) % count);
        places.into_iter().find(|index| {
            let ready_ms = self.ready[*index].load(Ordering::SeqCst);
            ready_ms > 0 && self.ms() < ready_ms + STALE_MS
        })
    }
}
