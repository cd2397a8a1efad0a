//! Clients of several kinds, none of which knows how the nodes are: they ask any node, give up early or
//! late, and repeat with the same key at another one, or never.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mayfly::verify::history::{Call, Outcome};

use crate::load::End;
use crate::support::Seeded;
use crate::support::client::Client;
use crate::support::history::{Recorder, post, take};

/// Clients that insist on an answer to each post or read, the ones that never ask twice, and the ones
/// that look up and count.
const WRITERS: usize = 3;
const READERS: usize = 2;
const RASH: usize = 1;
const WATCHERS: usize = 1;

/// Mailboxes of those who insist; the rash ones have as many of their own, since a read of which nobody
/// ever hears again may have taken anything.
const MAILBOXES: usize = 40;

/// How long a client waits for an answer, in milliseconds.
const PATIENCE_MS: [u64; 4] = [300, 1_000, 2_500, 6_000];

/// Time between two requests of a client, and before it repeats one.
const PACE: Duration = Duration::from_millis(8);
const RETRY_AFTER: Duration = Duration::from_millis(40);

/// Whoever was not answered for this long will never be.
const FOR_EVER: Duration = Duration::from_secs(120);

/// One message in so many lives so many seconds at most.
const BRIEF_ONE_IN: usize = 12;
const BRIEF_SECS: usize = 6;

/// One message in so many has so many bytes, and goes to a mailbox of such, so that a journal becomes long.
const LARGE_ONE_IN: usize = 16;
const LARGE_BYTES: usize = 40_000;

/// What all clients share.
struct Crowd<'a> {
    recorder: &'a Recorder,
    nodes: Vec<SocketAddr>,
    acknowledged: Mutex<Vec<String>>,
    ended: AtomicBool,
}

/// One client.
struct Member<'a> {
    crowd: &'a Crowd<'a>,
    number: usize,
    seeded: Seeded,
    /// One to each node.
    clients: Vec<Client>,
}

/// Lets a crowd ask these nodes while `act` runs; whoever insists then has its answer.
pub fn during(recorder: &Recorder, nodes: Vec<SocketAddr>, seed: u64, act: impl FnOnce()) {
    let crowd = Crowd {
        recorder,
        nodes,
        acknowledged: Mutex::default(),
        ended: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        // Ends the clients also when `act` fails.
        let _end = End(&crowd.ended);
        for number in 0..WRITERS + READERS + RASH + WATCHERS {
            let crowd = &crowd;
            let mut member = Member {
                crowd,
                number,
                seeded: Seeded(seed ^ (number as u64) << 32),
                clients: crowd.nodes.iter().map(|node| Client::at(*node)).collect(),
            };
            scope.spawn(move || member.run());
        }
        act();
    });
}

impl Member<'_> {
    fn run(&mut self) {
        for turn in 0.. {
            if self.crowd.ended.load(Ordering::SeqCst) {
                return;
            }
            let name = format!("{} {turn}", self.number);
            let user = format!("user{}", self.seeded.below(MAILBOXES));
            match self.number {
                0..WRITERS => self.write(&user, name),
                number if number < WRITERS + READERS => self.read(&user, &name),
                number if number < WRITERS + READERS + RASH => self.rush(name),
                _ => self.watch(&user),
            }
            thread::sleep(PACE);
        }
    }

    fn write(&mut self, user: &str, name: String) {
        let key = name.clone();
        let mut call = match self.seeded.below(LARGE_ONE_IN) {
            0 => post("large", format!("{name:LARGE_BYTES$}")),
            _ => post(user, name),
        };
        if let Call::Post { timeout_ms, .. } = &mut call
            && self.seeded.below(BRIEF_ONE_IN) == 0
        {
            *timeout_ms = 1_000 * (1 + self.seeded.below(BRIEF_SECS)) as u64;
        }
        if let Outcome::Posted { id } = self.insist(&key, &call) {
            self.crowd.acknowledged.lock().unwrap().push(id);
        }
    }

    fn read(&mut self, user: &str, name: &str) {
        let user = match self.seeded.below(LARGE_ONE_IN) {
            0 => "large",
            _ => user,
        };
        let limit = (self.seeded.below(3) == 0).then(|| 1 + self.seeded.below(4) as u64);
        self.insist(name, &take(user, limit));
    }

    /// Posts or reads, and never comes back to it; half of it at one mailbox, so that its journal becomes
    /// one of many frames.
    fn rush(&mut self, name: String) {
        let user = match self.seeded.below(2) {
            0 => String::from("busy"),
            _ => format!("rash{}", self.seeded.below(MAILBOXES)),
        };
        let call = match self.seeded.below(3) {
            0 => take(&user, None),
            _ => post(&user, name),
        };
        self.ask(None, call);
    }

    fn watch(&mut self, user: &str) {
        let known = self.crowd.acknowledged.lock().unwrap().len();
        let call = if known == 0 || self.seeded.below(2) == 0 {
            let user = user.to_owned();
            Call::Count { user }
        } else {
            let place = self.seeded.below(known);
            let id = self.crowd.acknowledged.lock().unwrap()[place].clone();
            Call::Find { id }
        };
        self.ask(None, call);
    }

    /// Asks one node after the other until the answer is final.
    fn insist(&mut self, key: &str, call: &Call) -> Outcome {
        let began = Instant::now();
        loop {
            let outcome = self.ask(Some(key), call.clone());
            match outcome {
                Outcome::Unknown
                | Outcome::Refused {
                    status: 0 | 409 | 503 | 507,
                } => {}
                Outcome::Posted { .. } | Outcome::Taken { .. } => return outcome,
                other => panic!("{call:?}: {other:?}"),
            }
            let waited = began.elapsed();
            assert!(waited < FOR_EVER, "{call:?} after {waited:?}: {outcome:?}");
            thread::sleep(RETRY_AFTER);
        }
    }

    /// Asks any node, once, with some patience.
    fn ask(&mut self, key: Option<&str>, call: Call) -> Outcome {
        let node = self.seeded.below(self.clients.len());
        let patience = Duration::from_millis(*self.seeded.pick(&PATIENCE_MS));
        let client = &mut self.clients[node];
        client.set_timeout(patience);
        let sent = self
            .crowd
            .recorder
            .send(client, self.number as u32, key, call);
        sent.outcome
    }
}
