//! The race windows of ownership, one test for each: a failpoint stops or ends a node right there, and
//! what clients see is judged.
//!
mod owner;

mod claimant;

mod hand_over;

mod flush;

mod minority;

use mayfly::verify::history::{Call, Outcome};

use crate::cluster::Cluster;
use crate::node::Node;
use crate::support::eventually;
use crate::support::history::{Recorder, Sent, post, take};

/// Who makes the request that races, and who looks at what became of it.
const RACER: u32 = 1;
const OBSERVER: u32 = 2;

/// The owner of the mailbox when a race begins.
const OWNER: usize = 0;

/// A cluster, and a mailbox of its first node in which the message `first` waits.
struct Race {
    cluster: Cluster,
    recorder: Recorder,
    user: String,
    shard: u16,
    /// The id of `first`.
    first: String,
}

impl Race {
    fn start(nodes: usize) -> Race {
        Race::start_in(Cluster::start(0), nodes)
    }

    /// The same with a cluster that has no nodes yet.
    fn start_in(mut cluster: Cluster, nodes: usize) -> Race {
        for _ in 0..nodes {
            let expected = format!("--expect-members={nodes}");
            // A request waits through all that a test does meanwhile.
            let index = cluster.add_stopped(&[&expected, "--request-timeout=25s"]);
            cluster.nodes[index].start();
        }
        cluster.await_settled();
        let recorder = Recorder::new();
        let mut client = cluster.nodes[OWNER].client();
        for number in 0.. {
            let user = format!("user{number}");
            let sent = recorder.send(&mut client, OBSERVER, None, post(&user, "first".into()));
            let Outcome::Posted { id } = &sent.outcome else {
                panic!("{:?}", sent.outcome);
            };
            if is_from(&sent, &cluster.nodes[OWNER]) {
                return Race {
                    shard: shard_of(id),
                    first: id.clone(),
                    cluster,
                    recorder,
                    user,
                };
            }
        }
        unreachable!("each node owns something")
    }

    /// Sends a request to a node.
    fn send(&self, node: usize, key: Option<&str>, call: Call) -> Sent {
        let mut client = self.cluster.nodes[node].client();
        self.recorder.send(&mut client, OBSERVER, key, call)
    }

    /// Reads the mailbox by a node, when that is possible, and gives the texts.
    #[track_caller]
    fn read(&self, node: usize) -> Vec<String> {
        eventually("the mailbox is read", || {
            let sent = self.send(node, None, take(&self.user, None));
            let is_refused = matches!(sent.outcome, Outcome::Refused { status: 503 });
            (!is_refused).then(|| texts(&sent.outcome))
        })
    }

    /// The state and the text of `first` as a node tells them.
    #[track_caller]
    fn first_is(&self, node: usize, state: &str) {
        let path = format!("/chat/{}", self.first);
        let found = self.cluster.nodes[node].client().get(&path).expect(200);
        let found = found.json();
        assert_eq!(
            (&found["text"], &found["state"]),
            (&"first".into(), &state.into())
        );
    }

    /// Waits until the log of a node says this of the shard.
    #[track_caller]
    fn await_told(&self, node: usize, what: &str) {
        let shard = format!("\"shard\":{},", self.shard);
        let is_it = |line: &str| line.contains(what) && line.contains(&shard);
        eventually(what, || {
            let log = self.cluster.nodes[node].log();
            log.lines().any(is_it).then_some(())
        });
    }

    /// Waits until a node that is asked says that one of these owns the mailbox.
    #[track_caller]
    fn await_owner(&self, asked: usize, owners: &[usize]) {
        let count = Call::Count {
            user: self.user.clone(),
        };
        eventually("the mailbox has the owner", || {
            let sent = self.send(asked, None, count.clone());
            let mut owners = owners.iter().map(|owner| &self.cluster.nodes[*owner]);
            owners.any(|owner| is_from(&sent, owner)).then_some(())
        });
    }

    /// Reads what is left, and judges all that clients saw.
    #[track_caller]
    fn conclude(self, node: usize) {
        let mut client = self.cluster.nodes[node].client();
        self.recorder.settle(&mut client);
        let _ = self.recorder.judge();
    }
}

/// Whether an answer came, and this node served it.
fn is_from(sent: &Sent, node: &Node) -> bool {
    let answer = sent.answer.as_ref().filter(|answer| answer.status < 300);
    let by = answer.and_then(|answer| answer.header("mayfly-owner").map(str::to_owned));
    by == Some(node.address())
}

/// The texts that a read gave.
#[track_caller]
fn texts(outcome: &Outcome) -> Vec<String> {
    match outcome {
        Outcome::Taken { messages } => messages.iter().map(|m| m.text.clone()).collect(),
        other => panic!("a read was answered {other:?}"),
    }
}

/// The shard of a message: the upper 8 of the 12 bits of the hash that its id carries.
fn shard_of(id: &str) -> u16 {
    u16::from_str_radix(&id[15..17], 16).unwrap()
}
