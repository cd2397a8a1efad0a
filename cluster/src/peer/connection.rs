//! One client's connection, on the side of the server: calls in, answers out, in the order in which
//! they are ready. One task carries it all, so the answers of a turn leave in one write.

use std::future::Future;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::select;
use tokio::sync::watch;
use tokio::time::{interval, timeout, timeout_at};

use super::cut::Cut;
use super::frame::{self, Header, Outcome, Owner};
use super::handler::{Answer, Call, Handler};
use super::handshake::{Agreed, Trusted};
use super::identity::Peer;
use super::incoming::Incoming;
use super::limits::{DEADLINE_MAX, LINGER};
use super::outgoing::{Outgoing, Writer};
use super::pieces::Piece;
use super::server::State;

/// Reads after which the answers so far are written, though there may be more to read.
const READS_PER_WRITE_MAX: u32 = 16;

/// An open connection.
pub(super) struct Connection<'a, H> {
    state: &'a State,
    handler: Rc<H>,
    peer: Peer,
    agreed: Agreed,
    incoming: Incoming,
    writer: Writer,
    replies: Replies<'a>,
}

/// A call that has been handled, or whose time is over.
struct Handled {
    id: u32,
    bytes: usize,
    answer: Option<Answer>,
}

impl<'a, H: Handler> Connection<'a, H> {
    pub(super) fn new(state: &'a State, trusted: Trusted, handler: Rc<H>) -> Connection<'a, H> {
        Connection {
            state,
            handler,
            peer: trusted.peer,
            agreed: trusted.agreed,
            incoming: trusted.incoming,
            writer: Writer::new(trusted.half),
            replies: Replies {
                state,
                payload_bytes_max: trusted.agreed.payload_bytes_max,
                outgoing: Outgoing::default(),
                handling_bytes: 0,
            },
        }
    }

    /// Serves until the connection ends, tells why.
    pub(super) async fn serve(mut self, mut is_closing: watch::Receiver<bool>) -> Cut {
        let limits = &self.state.limits;
        let mut tick = interval((limits.frame_timeout / 8).max(Duration::from_millis(1)));
        let mut running = FuturesUnordered::new();
        let mut reads = 0;
        loop {
            let queued = self.replies.outgoing.len();
            if *is_closing.borrow() && running.is_empty() && queued == 0 {
                return self.leave().await;
            }
            if queued == 0 {
                reads = 0;
            }
            let has_room = queued < limits.outgoing_bytes_max && reads < READS_PER_WRITE_MAX;
            // All answers that are ready, then all calls that are here, then one write for the lot.
            let went = select! { biased;
                Some(handled) = running.next(), if has_room && !running.is_empty() => {
                    self.replies.handled(handled);
                    Ok(())
                }
                filled = self.incoming.fill(), if has_room => {
                    reads += 1;
                    let now = Instant::now();
                    filled.and_then(|()| {
                        while let Some(frame) = self.incoming.next()? {
                            running.extend(self.take(frame, now, running.len())?);
                        }
                        Ok(())
                    })
                }
                wrote = self.writer.write(&self.replies.outgoing) => {
                    reads = 0;
                    self.state.counters.writes.add_one();
                    wrote
                }
                _ = tick.tick() => self.check(has_room),
                _ = is_closing.changed() => Ok(()),
            };
            if let Err(cut) = went {
                return cut;
            }
        }
    }

    /// Takes what the client sent; tells what there is to run, if anything.
    fn take(
        &mut self,
        frame: BytesMut,
        now: Instant,
        running: usize,
    ) -> Result<Option<impl Future<Output = Handled> + use<H>>, Cut> {
        let (header, payload) = frame::decode(frame)?;
        let (id, op, remaining_ms, piece) = match header {
            Header::Call {
                id,
                op,
                remaining_ms,
            } => (id, op, remaining_ms, None),
            Header::Piece {
                id,
                op,
                remaining_ms,
                sequence,
                is_last,
            } => (id, op, remaining_ms, Some(Piece { sequence, is_last })),
            Header::Notice => {
                self.state.counters.notices.add_one();
                self.handler.notice(&self.peer, payload);
                return Ok(None);
            }
            Header::Ping { id } => {
                self.replies.push(id, Outcome::Done, &[]);
                return Ok(None);
            }
            Header::Answer { .. } => return Err(Cut::Garbage),
        };
        if running >= self.agreed.in_flight_max {
            return Err(Cut::TooManyCalls);
        }
        if !self.replies.admit(id, payload.len()) {
            return Ok(None);
        }
        let deadline = now + Duration::from_millis(remaining_ms.into()).min(DEADLINE_MAX);
        let bytes = payload.len();
        let call = Call {
            op,
            deadline,
            piece,
            payload,
        };
        let handling = self.handler.call(&self.peer, call);
        Ok(Some(handle(id, bytes, deadline, handling)))
    }

    fn check(&self, has_room: bool) -> Result<(), Cut> {
        let (now, limits) = (Instant::now(), &self.state.limits);
        if has_room {
            // While nothing is read, the client cannot be blamed for what is not heard.
            self.incoming.check(now, limits)?;
        }
        self.writer.check(now, limits.frame_timeout)
    }

    /// Ends in order: the client reads every answer before it sees the end.
    async fn leave(&mut self) -> Cut {
        self.writer.close().await;
        // Closing with bytes unread would reset the connection, and lose answers on their way.
        let _ = timeout(LINGER, self.incoming.discard()).await;
        Cut::Closed
    }
}

/// Runs a handler up to its deadline. A deadline that has passed lets nothing begin.
async fn handle(
    id: u32,
    bytes: usize,
    deadline: Instant,
    handling: impl Future<Output = Answer>,
) -> Handled {
    let answer = match Instant::now() < deadline {
        true => timeout_at(deadline.into(), handling).await.ok(),
        false => None,
    };
    Handled { id, bytes, answer }
}

/// What goes back to the client.
struct Replies<'a> {
    state: &'a State,
    payload_bytes_max: usize,
    outgoing: Outgoing,
    /// Bytes of the calls that are being handled.
    handling_bytes: usize,
}

impl Replies<'_> {
    /// Whether a call may begin; if not, it is answered already.
    fn admit(&mut self, id: u32, bytes: usize) -> bool {
        let (state, counters) = (self.state, &self.state.counters);
        counters.calls.add_one();
        if state.is_draining.load(Ordering::Relaxed) {
            counters.draining.add_one();
            self.push(id, Outcome::Draining, &[]);
            return false;
        }
        // A call with nothing beside it may be as large as a frame.
        let handling_bytes = self.handling_bytes + bytes;
        if self.handling_bytes > 0 && handling_bytes > state.limits.handling_bytes_max {
            counters.overloaded.add_one();
            self.push(id, Outcome::Overloaded, &[]);
            return false;
        }
        self.handling_bytes = handling_bytes;
        true
    }

    fn handled(&mut self, handled: Handled) {
        self.handling_bytes -= handled.bytes;
        let (outcome, payload) = match handled.answer {
            Some(Answer::Done(payload)) if payload.len() > self.payload_bytes_max => {
                (Outcome::TooLong, Bytes::new())
            }
            Some(Answer::Done(payload)) => (Outcome::Done, payload),
            Some(Answer::NotOwner(owner)) => {
                (Outcome::NotOwner, Owner::encode(owner.as_ref()).into())
            }
            Some(Answer::Draining) => (Outcome::Draining, Bytes::new()),
            Some(Answer::Overloaded) => (Outcome::Overloaded, Bytes::new()),
            None => {
                self.state.counters.late.add_one();
                (Outcome::Late, Bytes::new())
            }
        };
        self.push(handled.id, outcome, &payload);
    }

    fn push(&mut self, id: u32, outcome: Outcome, payload: &[u8]) {
        self.outgoing.push(&Header::Answer { id, outcome }, payload);
    }
}
