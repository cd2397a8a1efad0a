//! Looks after one peer: asks it for a sign of life, again and again, and at once when its connection
//! is reset.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use cluster::failure::PROBE_INTERVAL;
use cluster::peer::client::PeerClient;
use cluster::peer::error::{CallError, LinkError, ProbeError};
use cluster::peer::{Link, OpId};
use tokio::select;
use tokio::time::sleep;
use uuid::Uuid;

use super::control::Control;
use super::request::{PeerRequest, Sign};
use super::routing::Remote;
use super::wire;

/// Watches a peer for as long as it is a member.
pub async fn watch(control: Rc<Control>, peer: Arc<Remote>, client: PeerClient) {
    let mut link = client.watch();
    while control.peers.peer(peer.generation).is_some() {
        let asked_ms = control.now_ms();
        match ask(&client).await {
            Ok(sign) => control.heard_sign(&peer, &sign, asked_ms),
            Err(is_reset) => {
                if is_reset {
                    control
                        .failures
                        .borrow_mut()
                        .connection_reset(peer.generation);
                }
                control.failures.borrow_mut().probe_failed(peer.generation);
                control.judge();
            }
        }
        let is_up = matches!(*link.borrow_and_update(), Link::Up(_));
        let cut = link.wait_for(|link| !matches!(link, Link::Up(_)));
        select! {
            () = sleep(PROBE_INTERVAL) => {}
            _ = cut, if is_up => {
                control.failures.borrow_mut().connection_reset(peer.generation);
            }
        }
    }
}

/// Asks for a sign of life; an error tells whether the peer reset or refused the connection.
async fn ask(client: &PeerClient) -> Result<Sign, bool> {
    client
        .probe(PROBE_INTERVAL)
        .await
        .map_err(|error| match error {
            ProbeError::Down(link) => is_reset(&link),
            ProbeError::Broken(_) => true,
            ProbeError::TimedOut => false,
        })?;
    let deadline = Instant::now() + PROBE_INTERVAL;
    let op = OpId::from(Uuid::new_v4());
    let answer = client
        .call(op, &PeerRequest::Probe.encode(), deadline)
        .await;
    match answer {
        Ok(bytes) => wire::decode(&bytes).map_err(|_| false),
        // It lives, and has no time for more.
        Err(CallError::Draining | CallError::Overloaded) => Ok(Sign::default()),
        Err(_) => Err(false),
    }
}

/// Whether somebody is there to say no; a host that is gone says nothing.
fn is_reset(link: &LinkError) -> bool {
    match link {
        LinkError::Connect { source, .. } => source.kind() == std::io::ErrorKind::ConnectionRefused,
        LinkError::Handshake { .. } => false,
        LinkError::Cut { .. } => true,
    }
}
