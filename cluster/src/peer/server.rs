//! The side that is connected to: accepts, lets in who belongs to the cluster, and ends it all.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::select;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::connection::Connection;
use super::counters::ServerCounters;
use super::cut::Cut;
use super::handler::Handler;
use super::handshake::{HandshakeError, Trusted, admit};
use super::identity::Identity;
use super::limits::PeerLimits;

/// How long to wait after the system refused to accept: it has too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A node's server for its peers. Clones are the same server: one for each thread, and one for whoever
/// drains and closes it.
#[derive(Clone, Debug)]
pub struct PeerServer {
    state: Arc<State>,
}

/// What all threads of a server see.
#[derive(Debug)]
pub(super) struct State {
    pub(super) identity: Identity,
    pub(super) limits: PeerLimits,
    pub(super) counters: ServerCounters,
    pub(super) is_draining: AtomicBool,
    is_closing: watch::Sender<bool>,
}

impl PeerServer {
    /// A server that serves nobody yet.
    pub fn new(identity: Identity, limits: PeerLimits) -> PeerServer {
        PeerServer {
            state: Arc::new(State {
                identity,
                limits,
                counters: ServerCounters::default(),
                is_draining: AtomicBool::new(false),
                is_closing: watch::Sender::new(false),
            }),
        }
    }

    /// Serves on this thread until [`PeerServer::close`], then until every call that began is answered.
    /// Call it within a [`tokio::task::LocalSet`] or an actix worker, once for each thread, each with
    /// its own clone of the listening socket.
    pub async fn serve<H: Handler>(&self, listener: TcpListener, handler: Rc<H>) {
        let mut is_closing = self.state.is_closing.subscribe();
        let mut connections = JoinSet::new();
        let handshakes = Rc::new(Cell::new(0));
        loop {
            select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) if self.has_room(connections.len(), handshakes.get()) => {
                        let handshake = Place::take(&handshakes);
                        let state = self.state.clone();
                        let handler = handler.clone();
                        connections.spawn_local(attend(state, stream, handler, handshake));
                    }
                    Ok(_) => self.state.counters.turned_away.add_one(),
                    Err(_) => {
                        self.state.counters.turned_away.add_one();
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                _ = is_closing.wait_for(|is_closing| *is_closing) => break,
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    /// From now on every new call is answered with draining; what began goes on, and so do probes and
    /// notices.
    pub fn drain(&self) {
        self.state.is_draining.store(true, Ordering::Relaxed);
    }

    /// Ends every [`PeerServer::serve`]; drain first, and let the callers go elsewhere.
    pub fn close(&self) {
        self.drain();
        self.state.is_closing.send_replace(true);
    }

    /// What happened on its connections.
    pub fn counters(&self) -> &ServerCounters {
        &self.state.counters
    }

    fn has_room(&self, connections: usize, handshakes: usize) -> bool {
        self.state.counters.accepted.add_one();
        let limits = &self.state.limits;
        connections < limits.connections_max && handshakes < limits.handshakes_max
    }
}

/// A place among the handshakes of a thread, free again when dropped.
struct Place(Rc<Cell<usize>>);

impl Place {
    fn take(taken: &Rc<Cell<usize>>) -> Place {
        taken.set(taken.get() + 1);
        Place(taken.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// One connection from its first byte to its last.
async fn attend<H: Handler>(
    state: Arc<State>,
    stream: TcpStream,
    handler: Rc<H>,
    handshake: Place,
) {
    let mut is_closing = state.is_closing.subscribe();
    let limits = &state.limits;
    let admitting = timeout(
        limits.handshake_timeout,
        admitted(&state.identity, stream, limits),
    );
    let admitted = select! {
        admitted = admitting => admitted.unwrap_or(Err(HandshakeError::TimedOut)),
        _ = is_closing.wait_for(|is_closing| *is_closing) => return,
    };
    drop(handshake);
    let counters = &state.counters;
    match admitted {
        Ok(trusted) => {
            counters.open.add_one();
            let connection = Connection::new(&state, trusted, handler);
            let cut = connection.serve(is_closing).await;
            counters.open.take_one();
            match cut {
                Cut::Closed | Cut::Io(_) => {}
                Cut::FrameTooLong | Cut::Garbage => counters.garbage.add_one(),
                Cut::TooManyCalls => counters.too_many_calls.add_one(),
                Cut::Slow | Cut::Unread | Cut::Silent => counters.slow.add_one(),
            }
        }
        Err(HandshakeError::Refused(_)) => counters.refused.add_one(),
        Err(_) => counters.strangers.add_one(),
    }
}

async fn admitted(
    identity: &Identity,
    stream: TcpStream,
    limits: &PeerLimits,
) -> Result<Trusted, HandshakeError> {
    stream.set_nodelay(true).map_err(Cut::Io)?;
    admit(stream, identity, limits).await
}
