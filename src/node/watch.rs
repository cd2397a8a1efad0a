//! Looks after one peer: asks it for a sign of life, again and again, and at once when its connection
//! is reset.

use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use cluster::failure::PROBE_INTERVAL;
use cluster::peer::client::PeerClient;
use cluster::peer::cut::Cut;
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
        control.find_detours();
        let is_up = matches!(*link.borrow_and_update(), Link::Up(_));
        let cut = link.wait_for(|link| !matches!(link, Link::Up(_)));
        select! {
            () = sleep(PROBE_INTERVAL) => {}
            ended = cut, if is_up => {
                if ended.is_ok_and(|link| was_reset(&link)) {
                    control.failures.borrow_mut().connection_reset(peer.generation);
                }
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
            ProbeError::Broken(_) => was_reset(&client.watch().borrow()),
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

fn was_reset(link: &Link) -> bool {
    matches!(link, Link::Down(error) if is_reset(error))
}

/// Whether somebody is there to say no; a host that is gone says nothing, and neither does one that lives
/// behind a broken line. What this node ends because nothing is heard tells no more than that.
fn is_reset(link: &LinkError) -> bool {
    match link {
        LinkError::Connect { source, .. } => source.kind() == ErrorKind::ConnectionRefused,
        LinkError::Handshake { .. } => false,
        LinkError::Cut { source, .. } => match source {
            Cut::Closed => true,
            Cut::Io(source) => matches!(
                source.kind(),
                ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe
            ),
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_the_peer_made_is_a_reset_and_silence_is_none() {
        let cut = |source| LinkError::Cut {
            address: String::from("peer:1"),
            source,
        };
        assert!(is_reset(&cut(Cut::Closed)));
        assert!(is_reset(&cut(Cut::Io(ErrorKind::ConnectionReset.into()))));
        assert!(!is_reset(&cut(Cut::Silent)));
        assert!(!is_reset(&cut(Cut::Unread)));
        assert!(!is_reset(&cut(Cut::Io(ErrorKind::TimedOut.into()))));
    }
}
