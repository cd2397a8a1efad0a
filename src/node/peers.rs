//! This node's own connections to its peers: for signs of life, news and hand-overs. Calls of clients
//! go over the connections of each worker.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use cluster::member::{Generation, View};
use cluster::peer::Target;
use cluster::peer::client::PeerClient;
use cluster::peer::limits::PeerLimits;

use super::forward::Shared;
use super::routing::Remote;

/// A connection to each live member.
pub struct Peers {
    shared: Arc<Shared>,
    known: RefCell<BTreeMap<Generation, (Arc<Remote>, PeerClient)>>,
}

impl Peers {
    /// Nobody is known yet.
    pub fn new(shared: Arc<Shared>) -> Peers {
        Peers {
            shared,
            known: RefCell::default(),
        }
    }

    /// Connects to the members of this view, lets all others go, and tells who is new.
    pub fn keep(&self, view: &View, me: Generation) -> Vec<(Arc<Remote>, PeerClient)> {
        let mut known = self.known.borrow_mut();
        known.retain(|peer, _| view.member(*peer).is_some());
        let mut new = Vec::new();
        for member in view.members() {
            if member.generation == me || known.contains_key(&member.generation) {
                continue;
            }
            let remote = Arc::new(Remote {
                generation: member.generation,
                address: member.address.to_string(),
            });
            let client = connect(&self.shared, &remote.address, Some(member.generation));
            known.insert(member.generation, (remote.clone(), client.clone()));
            new.push((remote, client));
        }
        new
    }

    /// The connection to a peer, while it is a member.
    pub fn peer(&self, generation: Generation) -> Option<(Arc<Remote>, PeerClient)> {
        self.known.borrow().get(&generation).cloned()
    }

    /// Tells all of them.
    pub fn notify(&self, payload: &[u8]) {
        for (_, client) in self.known.borrow().values() {
            // Who is not reached now is told with the next sign of life.
            let _ = client.notify(payload);
        }
    }
}

/// Begins to connect.
pub fn connect(shared: &Shared, address: &str, generation: Option<Generation>) -> PeerClient {
    PeerClient::start(
        shared.identity.clone(),
        Target {
            address: address.to_owned(),
            generation,
        },
        PeerLimits::default(),
        shared.counters.clone(),
    )
}
