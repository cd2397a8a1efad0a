//! The task behind a client: connects, carries frames, and connects again, for ever.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::TcpStream;
use tokio::select;
use tokio::time::{sleep, timeout};

use super::backoff::Backoff;
use super::cut::Cut;
use super::error::LinkError;
use super::handshake::{HandshakeError, Trusted, greet};
use super::identity::Identity;
use super::incoming::Incoming;
use super::limits::{GATHER, GATHER_CALLS, TICK};
use super::outgoing::Writer;
use super::wire::{Link, Wire};
use crate::member::Generation;

/// Whom to connect to.
#[derive(Clone, Debug)]
pub struct Target {
    /// `host:port`.
    pub address: String,
    /// The start of the node that is meant; without it, whoever of the cluster lives there.
    pub generation: Option<Generation>,
}

/// Keeps a connection to the target until it is dropped.
pub(super) async fn run(wire: Rc<Wire>, identity: Arc<Identity>, target: Target) {
    let limits = &wire.limits;
    let mut backoff = Backoff::new(limits.reconnect_first, limits.reconnect_last);
    loop {
        wire.status.send_replace(Link::Connecting);
        let error = match connect(&wire, &identity, &target).await {
            Err(error) => error,
            Ok(trusted) => {
                backoff.reset();
                wire.up(trusted.peer, trusted.agreed);
                let writer = Writer::new(trusted.half);
                let source = carry(&wire, trusted.incoming, writer).await;
                let address = target.address.clone();
                LinkError::Cut { address, source }
            }
        };
        // That start of the node has ended, and will never be there again.
        let is_gone = error.is_other_generation();
        wire.down(error);
        select! {
            () = sleep(backoff.wait(rand::random())), if !is_gone => {}
            () = wire.hurry.notified() => {}
        }
    }
}

async fn connect(wire: &Wire, identity: &Identity, target: &Target) -> Result<Trusted, LinkError> {
    let address = || target.address.clone();
    let limit = wire.limits.handshake_timeout;
    let connecting = async {
        let stream = TcpStream::connect(&target.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    let connected = timeout(limit, connecting).await;
    let connected = connected.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
    let stream = connected.map_err(|source| LinkError::Connect {
        address: address(),
        source,
    })?;
    let greeting = greet(stream, identity, target.generation, &wire.limits);
    let greeted = timeout(limit, greeting).await;
    let greeted = greeted.unwrap_or(Err(HandshakeError::TimedOut));
    greeted.map_err(|source| LinkError::Handshake {
        address: address(),
        source,
    })
}

/// Carries frames both ways until the connection ends; tells why.
async fn carry(wire: &Wire, mut incoming: Incoming, mut writer: Writer) -> Cut {
    let keep_alive = wire.limits.idle_timeout / 4;
    let mut tick = pin!(sleep(keep_alive));
    let mut is_fast = false;
    let mut gather = pin!(sleep(GATHER));
    let mut is_gathering = false;
    loop {
        if !is_fast && !wire.is_idle() {
            is_fast = true;
            tick.as_mut().reset((Instant::now() + TICK).into());
        }
        // Answers first: they free slots and let their callers queue more for the same write.
        let went = select! { biased;
            filled = incoming.fill() => {
                // Those who are answered ask again at once.
                is_gathering = false;
                filled.and_then(|()| take(wire, &mut incoming))
            }
            wrote = writer.write(&wire.outgoing), if !is_gathering => {
                wire.counters.writes.add_one();
                // A long frame goes on as fast as it is taken.
                is_gathering = wire.outgoing.len() == 0 && wire.in_flight() >= GATHER_CALLS;
                if is_gathering {
                    gather.as_mut().reset((Instant::now() + GATHER).into());
                }
                wrote
            }
            () = &mut gather, if is_gathering => {
                is_gathering = false;
                Ok(())
            }
            () = &mut tick => {
                is_fast = false;
                tick.as_mut().reset((Instant::now() + keep_alive).into());
                look(wire, &incoming, &writer)
            }
        };
        if let Err(cut) = went {
            return cut;
        }
    }
}

fn take(wire: &Wire, incoming: &mut Incoming) -> Result<(), Cut> {
    while let Some(frame) = incoming.next()? {
        wire.answered(frame)?;
    }
    Ok(())
}

/// What is done at a tick: deadlines, and a sign of life over a silent connection.
fn look(wire: &Wire, incoming: &Incoming, writer: &Writer) -> Result<(), Cut> {
    let now = Instant::now();
    wire.expire(now)?;
    writer.check(now, wire.limits.frame_timeout)?;
    let is_silent = now.duration_since(incoming.heard()) > wire.limits.idle_timeout / 8;
    if wire.is_idle() && is_silent {
        // Dropped at once: nobody waits for it, but if no answer comes, the connection ends.
        drop(wire.ping(wire.limits.answer_grace));
    }
    Ok(())
}
