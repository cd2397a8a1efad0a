//! The handle through which a worker calls a peer.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::timeout;

use super::counters::ClientCounters;
use super::error::{CallError, LinkError, NotSent, ProbeError};
use super::frame::{Header, OpId};
use super::identity::Identity;
use super::limits::PeerLimits;
use super::link::{self, Target};
use super::pieces::{PIECES_IN_FLIGHT_MAX, Piece};
use super::wire::{Link, Wire};

/// One worker's connection to one peer, which comes back by itself. Clones are the same connection;
/// it ends with the last of them.
#[derive(Clone, Debug)]
pub struct PeerClient {
    handle: Rc<Handle>,
}

#[derive(Debug)]
struct Handle {
    wire: Rc<Wire>,
    task: AbortHandle,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
        self.wire.fail_all();
    }
}

impl PeerClient {
    /// Begins to connect, on this thread; call it within a [`tokio::task::LocalSet`] or an actix worker.
    pub fn start(
        identity: Arc<Identity>,
        target: Target,
        limits: PeerLimits,
        counters: Arc<ClientCounters>,
    ) -> PeerClient {
        let wire = Rc::new(Wire::new(limits, counters));
        let task = spawn_local(link::run(wire.clone(), identity, target)).abort_handle();
        PeerClient {
            handle: Rc::new(Handle { wire, task }),
        }
    }

    /// Calls the peer and waits for its answer, at most until `deadline` and a tick of 10 ms, and at
    /// most [`DEADLINE_MAX`](super::limits::DEADLINE_MAX). The answer shares its buffer with others:
    /// copy what is kept for long.
    ///
    /// # Errors
    /// [`CallError`], which tells whether something may have been done.
    pub async fn call(
        &self,
        op: OpId,
        payload: &[u8],
        deadline: Instant,
    ) -> Result<Bytes, CallError> {
        let header = |id, remaining_ms| Header::Call {
            id,
            op,
            remaining_ms,
        };
        self.wire().call(payload, deadline, header)?.await
    }

    /// Sends what is too large for one call: a few pieces at a time, each as one call under `op`, the
    /// next when the peer has answered one. The answer to the last is the answer.
    ///
    /// # Errors
    /// The first [`CallError`] of a piece; the rest is not sent.
    pub async fn send_pieces(
        &self,
        op: OpId,
        pieces: impl IntoIterator<Item = Bytes>,
        deadline: Instant,
    ) -> Result<Bytes, CallError> {
        let mut pieces = Piece::number(pieces).peekable();
        let mut sent = FuturesUnordered::new();
        let mut answer = Bytes::new();
        while pieces.peek().is_some() || !sent.is_empty() {
            if sent.len() < PIECES_IN_FLIGHT_MAX
                && let Some((piece, payload)) = pieces.next()
            {
                sent.push(self.send_piece(op, piece, payload, deadline)?);
            } else if let Some(answered) = sent.next().await {
                let (piece, bytes): (Piece, Result<Bytes, CallError>) = answered;
                let bytes = bytes?;
                if piece.is_last {
                    answer = bytes;
                }
            }
        }
        Ok(answer)
    }

    /// Tells the peer something and waits for nothing; it may be lost with the connection.
    ///
    /// # Errors
    /// [`NotSent`] if it was not even queued.
    pub fn notify(&self, payload: &[u8]) -> Result<(), NotSent> {
        self.wire().notify(payload)
    }

    /// Asks the peer for a sign of life and tells how long it took. Without a connection it makes one
    /// attempt at once.
    ///
    /// # Errors
    /// [`ProbeError`].
    pub async fn probe(&self, limit: Duration) -> Result<Duration, ProbeError> {
        let probing = async {
            self.connected().await.map_err(ProbeError::Down)?;
            let sent = Instant::now();
            let ping = self.wire().ping(limit);
            let ping = ping.map_err(|error| ProbeError::Broken(error.into()))?;
            ping.await.map_err(ProbeError::Broken)?;
            Ok(sent.elapsed())
        };
        let probed = timeout(limit, probing).await;
        probed.unwrap_or(Err(ProbeError::TimedOut))
    }

    /// Whether there is a connection, now and from now on: a change from up to down is a reset. Of
    /// changes that follow each other at once, only the last is seen.
    pub fn watch(&self) -> watch::Receiver<Link> {
        self.wire().status.subscribe()
    }

    /// Waits for a connection, or for the attempt that is made now.
    async fn connected(&self) -> Result<(), Arc<LinkError>> {
        let mut status = self.watch();
        if matches!(*status.borrow_and_update(), Link::Down(_)) {
            self.wire().hurry.notify_one();
            // Its sender is the wire, which this handle holds.
            let _ = status.changed().await;
        }
        loop {
            match &*status.borrow_and_update() {
                Link::Up(_) => return Ok(()),
                Link::Down(error) => return Err(error.clone()),
                Link::Connecting => {}
            }
            let _ = status.changed().await;
        }
    }

    fn send_piece(
        &self,
        op: OpId,
        piece: Piece,
        payload: Bytes,
        deadline: Instant,
    ) -> Result<impl Future<Output = (Piece, Result<Bytes, CallError>)>, CallError> {
        let header = |id, remaining_ms| Header::Piece {
            id,
            op,
            remaining_ms,
            sequence: piece.sequence,
            is_last: piece.is_last,
        };
        let waiting = self.wire().call(&payload, deadline, header)?;
        Ok(async move { (piece, waiting.await) })
    }

    fn wire(&self) -> &Wire {
        &self.handle.wire
    }
}
