//! Answers what peers ask: calls of shards that are here, signs of life, and shards handed over.

use std::rc::Rc;

use bytes::Bytes;
use cluster::member::Generation;
use cluster::peer::Owner as Hint;
use cluster::peer::error::CallError as PeerError;
use cluster::peer::handler::{Answer as PeerAnswer, Call as PeerCall, Handler};
use cluster::peer::identity::Peer;
#[cfg(debug_assertions)]
use cluster::shard::Shard;
use tokio::task::spawn_local;

use super::control::Control;
use super::forward::answer_here;
use super::parcel::Parcel;
use super::request::{News, PeerRequest};
use super::routing::{Owner, Remote};
use super::wire::{self, Answer, Call};
use crate::domain::username::ShardId;
use crate::shard::call::{CallError, Refusal};
#[cfg(debug_assertions)]
use crate::store::scylla::failpoint;

/// The answering side of a node, for its one thread.
pub struct Serve {
    control: Rc<Control>,
}

impl Serve {
    /// Answers in the name of this node.
    pub fn new(control: Rc<Control>) -> Serve {
        Serve { control }
    }
}

impl Handler for Serve {
    fn call(&self, peer: &Peer, call: PeerCall) -> impl Future<Output = PeerAnswer> + use<> {
        let (control, from) = (self.control.clone(), peer.address.clone());
        async move {
            match PeerRequest::decode(&call.payload) {
                Ok(PeerRequest::Call(call)) => answer_call(&control, call).await,
                Ok(PeerRequest::Probe) => PeerAnswer::Done(wire::encode(&control.sign()).into()),
                Ok(PeerRequest::PassOn(to, request)) => {
                    let request = PeerRequest::Call(request).encode();
                    pass_on(&control, Generation(to), &call, &request).await
                }
                Ok(PeerRequest::TakeOver(parcel)) => take_over(&control, parcel, &from).await,
                Err(error) => {
                    tracing::warn!(%from, %error, "a call was not answered");
                    PeerAnswer::NotOwner(None)
                }
            }
        }
    }

    fn notice(&self, peer: &Peer, payload: Bytes) {
        match wire::decode(&payload) {
            Ok(News::Serves(serves)) => {
                let there = Remote {
                    generation: peer.generation,
                    address: peer.address.clone(),
                };
                if let Some((shard, epoch)) = serves.shard() {
                    self.control.hear_of(shard, epoch, &there.into());
                }
            }
            Ok(News::Drains) => self.control.heard_draining(peer.generation),
            // A newer version has more to tell.
            Err(_) => {}
        }
    }
}

async fn answer_call(control: &Control, call: &[u8]) -> PeerAnswer {
    let Ok(call) = Call::decode(call) else {
        return PeerAnswer::NotOwner(None);
    };
    let shard = call.shard();
    let answer = answer_here(&control.shared.hosts, call).await;
    #[cfg(debug_assertions)]
    failpoint::reach("answered", Shard(shard.0)).await;
    match answer {
        // The host of a node that ends decides nothing any more; the shard is elsewhere soon.
        Err(CallError::Refused(Refusal::NotHere)) if has_ended(control, shard) => {
            PeerAnswer::Draining
        }
        Err(CallError::Refused(Refusal::NotHere)) => PeerAnswer::NotOwner(hint(control, shard)),
        Err(CallError::Busy) => PeerAnswer::Overloaded,
        answer => {
            control.shared.metrics.cluster.calls.served.inc();
            PeerAnswer::Done(Answer::encode(&answer).into())
        }
    }
}

/// Whether a shard that is not here only seems to be: this node could not hand it over, and ends.
fn has_ended(control: &Control, shard: ShardId) -> bool {
    let owner = control.shared.routing.owner(shard);
    control.is_draining.get() && matches!(owner, Owner::Here)
}

/// Asks another member in the name of a peer that does not reach it; for no more than one step.
async fn pass_on(control: &Control, to: Generation, call: &PeerCall, request: &[u8]) -> PeerAnswer {
    let Some((_, client)) = control.peers.peer(to) else {
        return PeerAnswer::NotOwner(None);
    };
    match client.call(call.op, request, call.deadline).await {
        Ok(answer) => PeerAnswer::Done(answer),
        Err(PeerError::NotOwner(hint)) => PeerAnswer::NotOwner(hint),
        Err(PeerError::Draining) => PeerAnswer::Draining,
        Err(PeerError::Overloaded) => PeerAnswer::Overloaded,
        Err(PeerError::NotSent(_)) => PeerAnswer::NotOwner(None),
        Err(PeerError::Unknown(_)) => {
            PeerAnswer::Done(Answer::encode(&Err(CallError::OutcomeUnknown)).into())
        }
    }
}

/// Whom to ask instead.
fn hint(control: &Control, shard: ShardId) -> Option<Hint> {
    match control.shared.routing.owner(shard) {
        Owner::There(there) => Some(Hint {
            generation: there.generation,
            address: there.address.clone(),
        }),
        Owner::Here | Owner::Nobody => None,
    }
}

/// On a task of its own: what was begun is ended, even if nobody waits for it any more.
async fn take_over(control: &Rc<Control>, parcel: &[u8], from: &str) -> PeerAnswer {
    let Ok(parcel) = Parcel::decode(parcel) else {
        return PeerAnswer::NotOwner(None);
    };
    // Whose clock nobody has compared yet may not bring its time into a shard.
    if control.should_leave() || !control.clocks.borrow().has_seen_any() {
        return PeerAnswer::Draining;
    }
    let (holdings, shard) = (control.holdings.clone(), parcel.shard);
    let taking = spawn_local(async move { holdings.take_over(parcel).await });
    match taking.await {
        Ok(Ok(epoch)) => PeerAnswer::Done(wire::encode(&epoch.0).into()),
        Ok(Err(error)) => {
            tracing::warn!(shard = shard.0, %from, %error, "a shard was not taken over");
            PeerAnswer::NotOwner(None)
        }
        Err(_) => PeerAnswer::NotOwner(None),
    }
}
