//! Answering a call wherever its shard is: here, or at the peer that owns it (R9).
//!
//! One for each HTTP worker. A client never sees that a shard moves: what was certainly not done is
//! tried again at the new owner, and what may have been done is tried again under the same id, until
//! the call's deadline.

use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::member::Generation;
use cluster::peer::client::PeerClient;
use cluster::peer::counters::ClientCounters;
use cluster::peer::error::CallError as PeerError;
use cluster::peer::identity::Identity;
use cluster::peer::limits::PeerLimits;
use cluster::peer::{OpId, Target};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tokio::select;
use tokio::time::{sleep, timeout, timeout_at};

use super::detours::Detours;
use super::request::PeerRequest;
use super::routing::{Owner, Remote, Routing};
use super::wire::{Answer, Call};
use crate::domain::username::ShardId;
use crate::metrics::Metrics;
use crate::shard::call::{CallError, Refusal};
use crate::shard::hosts::Hosts;

/// The first pause before a call is tried again; it doubles up to the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(2);
const PAUSE_LONGEST: Duration = Duration::from_millis(50);

/// How long an owner may take before it is asked for whether it still is the owner.
const PATIENCE: Duration = Duration::from_millis(200);

/// A connection that was not used for longer is let go.
const PEER_UNUSED_MAX: Duration = Duration::from_secs(60);

/// What all workers of a node share.
#[derive(Debug)]
pub struct Shared {
    /// Where peers reach this node, `host:port`: what an answer from here is marked with.
    pub address: Arc<str>,
    /// The shards of this process.
    pub hosts: Hosts,
    /// Who owns the others.
    pub routing: Arc<Routing>,
    /// Who else may reach whom this node does not.
    pub detours: Detours,
    /// Who this node is to its peers.
    pub identity: Arc<Identity>,
    /// What happened on its connections.
    pub counters: Arc<ClientCounters>,
    /// Where calls are counted.
    pub metrics: Arc<Metrics>,
    /// How long a call may be tried.
    pub request_timeout: Duration,
}

/// One worker's way to all shards.
#[derive(Clone, Debug)]
pub struct Forward {
    shared: Arc<Shared>,
    peers: Rc<RefCell<HashMap<Generation, (Instant, PeerClient)>>>,
}

/// An answer, and the address of the node that gave it.
#[derive(Clone, Debug)]
pub struct Served {
    /// The answer.
    pub answer: Answer,
    /// Who served it.
    pub by: Arc<str>,
}

/// What became of one attempt.
enum Attempt {
    Answered(Served),
    Refused(CallError),
    /// Nothing was done.
    NotDone,
    /// It may have been done.
    InDoubt,
}

impl Forward {
    /// The way of this thread's worker.
    pub fn new(shared: Arc<Shared>) -> Forward {
        Forward {
            shared,
            peers: Rc::default(),
        }
    }

    /// Asks the owner of the call's shard, whoever that is by the time of the answer.
    ///
    /// # Errors
    /// [`CallError`]; only [`CallError::OutcomeUnknown`] may have been done.
    pub fn ask(&self, call: Call) -> LocalBoxFuture<'_, Result<Served, CallError>> {
        // On the heap at once, for a server on its own pays for the size of the futures it never makes.
        self.ask_until_answered(call).boxed_local()
    }

    async fn ask_until_answered(&self, mut call: Call) -> Result<Served, CallError> {
        let deadline = Instant::now() + self.shared.request_timeout;
        let (op, shard) = (OpId(rand::random()), call.shard());
        let (mut is_in_doubt, mut pause, mut waiter) = (false, PAUSE_FIRST, None);
        loop {
            let attempt = match self.shared.routing.owner(shard) {
                Owner::Here => timeout_at(deadline.into(), self.ask_here(&call))
                    .await
                    .unwrap_or(Attempt::InDoubt),
                Owner::There(remote) => {
                    call = call.known_by(op.0);
                    self.ask_there(shard, &remote, op, &call, deadline).await
                }
                Owner::Nobody => Attempt::NotDone,
            };
            match attempt {
                Attempt::Answered(served) => return Ok(served),
                Attempt::Refused(_) if is_in_doubt => return Err(CallError::OutcomeUnknown),
                Attempt::Refused(error) => return Err(error),
                Attempt::NotDone => {}
                Attempt::InDoubt => {
                    is_in_doubt = true;
                    call = call.repeated();
                }
            }
            if Instant::now() + pause >= deadline {
                return Err(match is_in_doubt {
                    true => CallError::OutcomeUnknown,
                    false => CallError::Refused(Refusal::NotHere),
                });
            }
            // A node claims first what most wait for.
            waiter.get_or_insert_with(|| self.shared.routing.wait(shard));
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_LONGEST);
        }
    }

    async fn ask_here(&self, call: &Call) -> Attempt {
        match answer_here(&self.shared.hosts, call.clone()).await {
            Ok(answer) => Attempt::Answered(Served {
                answer,
                by: self.shared.address.clone(),
            }),
            Err(CallError::Refused(Refusal::NotHere)) => Attempt::NotDone,
            Err(CallError::OutcomeUnknown) if call.is_repeatable() => Attempt::InDoubt,
            Err(error) => Attempt::Refused(error),
        }
    }

    async fn ask_there(
        &self,
        shard: ShardId,
        remote: &Arc<Remote>,
        op: OpId,
        call: &Call,
        deadline: Instant,
    ) -> Attempt {
        self.shared.metrics.cluster.calls.forwarded.inc();
        let (call, by) = (call.encode(), self.shared.detours.around(remote));
        let (peer, request) = match &by {
            Some(by) => (
                self.peer(by),
                PeerRequest::PassOn(remote.generation.0, &call),
            ),
            None => (self.peer(remote), PeerRequest::Call(&call)),
        };
        let request = request.encode();
        let mut asking = pin!(peer.call(op, &request, deadline));
        let answered = match timeout(PATIENCE, &mut asking).await {
            Ok(answered) => answered,
            // An owner that hangs keeps nobody waiting once another has the shard: it answers the
            // same call the same.
            Err(_) => select! {
                answered = &mut asking => answered,
                () = self.shared.routing.moved_from(shard, remote) => return Attempt::InDoubt,
                () = self.shared.detours.opened(remote), if by.is_none() => {
                    // When the way is whole again, a connection that has waited that long would wait on.
                    self.peers.borrow_mut().remove(&remote.generation);
                    return Attempt::InDoubt;
                }
            },
        };
        let answer = match answered {
            Ok(bytes) => Answer::decode(&bytes),
            // Whoever passes calls on does not know better who the owner is.
            Err(error) if by.is_some() && error.nothing_was_done() => return Attempt::NotDone,
            Err(error) => return self.not_answered(shard, remote, error),
        };
        match answer {
            Ok(Ok(answer)) => Attempt::Answered(Served {
                answer,
                by: remote.address.as_str().into(),
            }),
            Ok(Err(CallError::Refused(Refusal::NotHere))) => Attempt::NotDone,
            Ok(Err(CallError::OutcomeUnknown)) | Err(_) => Attempt::InDoubt,
            Ok(Err(error)) => Attempt::Refused(error),
        }
    }

    fn not_answered(&self, shard: ShardId, remote: &Remote, error: PeerError) -> Attempt {
        match error {
            PeerError::NotOwner(hint) => {
                self.shared.metrics.cluster.calls.not_owner.inc();
                let routing = &self.shared.routing;
                routing.doubt(shard, remote);
                if let Some(hint) = hint {
                    let there = Remote {
                        generation: hint.generation,
                        address: hint.address,
                    };
                    routing.hint(shard, there);
                }
                Attempt::NotDone
            }
            PeerError::NotSent(_) | PeerError::Draining => Attempt::NotDone,
            PeerError::Overloaded => Attempt::Refused(CallError::Busy),
            PeerError::Unknown(_) => Attempt::InDoubt,
        }
    }

    /// This worker's connection to a peer, made at its first use.
    fn peer(&self, remote: &Remote) -> PeerClient {
        let mut peers = self.peers.borrow_mut();
        if let Some((used, client)) = peers.get_mut(&remote.generation) {
            *used = Instant::now();
            return client.clone();
        }
        // Nodes that have ended are not asked any more.
        peers.retain(|_, (used, _)| used.elapsed() < PEER_UNUSED_MAX);
        let client = PeerClient::start(
            self.shared.identity.clone(),
            Target {
                address: remote.address.clone(),
                generation: Some(remote.generation),
            },
            PeerLimits::default(),
            self.shared.counters.clone(),
        );
        peers.insert(remote.generation, (Instant::now(), client.clone()));
        client
    }
}

/// Asks a shard of this process.
///
/// # Errors
/// [`CallError`]
pub async fn answer_here(hosts: &Hosts, call: Call) -> Result<Answer, CallError> {
    Ok(match call {
        Call::Post(post) => {
            let is_clients = post.key.is_some_and(|key| key.is_of_client());
            let mut accepted = hosts.post(post).await?;
            accepted.replayed &= is_clients;
            Answer::Accepted(accepted)
        }
        Call::Take(take) => {
            let is_clients = take.key.is_some_and(|key| key.is_of_client());
            let mut delivery = hosts.take(take).await?;
            delivery.replayed &= is_clients;
            Answer::Delivered(delivery)
        }
        Call::Count(username, _) => Answer::Counted(hosts.count(username).await?),
        Call::Find(id) => Answer::Found(hosts.find(id).await?),
    })
}
