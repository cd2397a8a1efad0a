//! What the handles of a client and its link have in common: the slots, the queue, and whether there
//! is a connection. For one thread.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::sync::{Notify, watch};

use super::counters::ClientCounters;
use super::cut::Cut;
use super::error::{CallError, Doubt, LinkError, NotSent};
use super::frame::{self, Header, Outcome, Owner};
use super::handshake::Agreed;
use super::identity::Peer;
use super::in_flight::{Ending, InFlight};
use super::limits::{DEADLINE_MAX, PROBES_MAX, PeerLimits};
use super::outgoing::Outgoing;

/// Whether there is a connection to the peer.
#[derive(Clone, Debug)]
pub enum Link {
    /// An attempt is under way.
    Connecting,
    /// Calls are sent.
    Up(Peer),
    /// The last connection or attempt failed; the next attempt comes by itself.
    Down(Arc<LinkError>),
}

/// One client's end of the wire.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) limits: PeerLimits,
    pub(super) counters: Arc<ClientCounters>,
    pub(super) outgoing: Outgoing,
    pub(super) status: watch::Sender<Link>,
    /// Ends the wait before the next attempt to connect.
    pub(super) hurry: Notify,
    in_flight: RefCell<InFlight>,
    /// While there is a connection.
    agreed: Cell<Option<Agreed>>,
}

impl Wire {
    pub(super) fn new(limits: PeerLimits, counters: Arc<ClientCounters>) -> Wire {
        Wire {
            limits,
            counters,
            outgoing: Outgoing::default(),
            status: watch::Sender::new(Link::Connecting),
            hurry: Notify::new(),
            in_flight: RefCell::default(),
            agreed: Cell::default(),
        }
    }

    /// Queues a call; `header` makes its header of its id and the time it has, in milliseconds.
    pub(super) fn call(
        &self,
        payload: &[u8],
        deadline: Instant,
        header: impl FnOnce(u32, u32) -> Header,
    ) -> Result<Waiting<'_>, NotSent> {
        let agreed = self.agreed.get().ok_or(NotSent::Down)?;
        let remaining = deadline.saturating_duration_since(Instant::now());
        let remaining_ms = remaining.min(DEADLINE_MAX).as_millis() as u32;
        if remaining_ms == 0 {
            return Err(NotSent::Late);
        }
        let waiting = self.begin(agreed.in_flight_max, payload, deadline, |id| {
            header(id, remaining_ms)
        })?;
        self.counters.calls.add_one();
        Ok(waiting)
    }

    /// Queues a ping.
    pub(super) fn ping(&self, timeout: Duration) -> Result<Waiting<'_>, NotSent> {
        let agreed = self.agreed.get().ok_or(NotSent::Down)?;
        let slots_max = agreed.in_flight_max + PROBES_MAX;
        let deadline = Instant::now() + timeout;
        self.begin(slots_max, &[], deadline, |id| Header::Ping { id })
    }

    /// Queues a notice.
    pub(super) fn notify(&self, payload: &[u8]) -> Result<(), NotSent> {
        self.check_room(payload)?;
        self.outgoing.push(&Header::Notice, payload);
        Ok(())
    }

    fn begin(
        &self,
        slots_max: usize,
        payload: &[u8],
        deadline: Instant,
        header: impl FnOnce(u32) -> Header,
    ) -> Result<Waiting<'_>, NotSent> {
        self.check_room(payload)?;
        let mut in_flight = self.in_flight.borrow_mut();
        if in_flight.len() >= slots_max {
            self.counters.full.add_one();
            return Err(NotSent::Full);
        }
        let id = in_flight.next_id();
        let begins = self.outgoing.push(&header(id), payload);
        in_flight.insert(begins, deadline);
        Ok(Waiting {
            wire: self,
            id,
            has_ended: false,
        })
    }

    fn check_room(&self, payload: &[u8]) -> Result<(), NotSent> {
        let agreed = self.agreed.get().ok_or(NotSent::Down)?;
        if payload.len() > agreed.payload_bytes_max {
            return Err(NotSent::TooLong);
        }
        let queued = self.outgoing.len();
        // The largest frame may be alone, whatever the bound.
        if queued > 0 && queued + payload.len() > self.limits.outgoing_bytes_max {
            self.counters.full.add_one();
            return Err(NotSent::Full);
        }
        Ok(())
    }

    /// Takes what the server sent.
    pub(super) fn answered(&self, frame: BytesMut) -> Result<(), Cut> {
        let (header, payload) = frame::decode(frame)?;
        let Header::Answer { id, outcome } = header else {
            return Err(Cut::Garbage);
        };
        let ending = match outcome {
            Outcome::Done => Ok(payload),
            Outcome::NotOwner => Err(CallError::NotOwner(Owner::decode(&payload)?)),
            Outcome::Draining => Err(CallError::Draining),
            Outcome::Overloaded => Err(CallError::Overloaded),
            Outcome::Late => Err(CallError::Unknown(Doubt::TimedOut)),
            Outcome::TooLong => Err(CallError::Unknown(Doubt::AnswerTooLong)),
        };
        self.in_flight.borrow_mut().end(id, ending)
    }

    /// Tells the callers whose time is over.
    pub(super) fn expire(&self, now: Instant) -> Result<(), Cut> {
        let grace = self.limits.answer_grace;
        self.in_flight.borrow_mut().expire(now, grace)
    }

    /// Calls and probes that have a slot: nearly all of them wait for their answers.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.borrow().len()
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight() == 0 && self.outgoing.len() == 0
    }

    /// There is a connection.
    pub(super) fn up(&self, peer: Peer, agreed: Agreed) {
        self.agreed.set(Some(agreed));
        self.counters.connected.add_one();
        self.status.send_replace(Link::Up(peer));
    }

    /// There is none any more, or there was none: every call under way ends now.
    pub(super) fn down(&self, error: LinkError) {
        let was_up = self.agreed.take().is_some();
        let counter = match was_up {
            true => &self.counters.resets,
            false => &self.counters.failed,
        };
        counter.add_one();
        self.fail_all();
        self.status.send_replace(Link::Down(Arc::new(error)));
    }

    /// Ends every call under way.
    pub(super) fn fail_all(&self) {
        self.agreed.set(None);
        let written = self.outgoing.reset();
        self.in_flight.borrow_mut().reset(written);
    }
}

/// A call that waits for its answer.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    wire: &'a Wire,
    id: u32,
    has_ended: bool,
}

impl Future for Waiting<'_> {
    type Output = Ending;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ending> {
        let polled = self.wire.in_flight.borrow_mut().poll(self.id, context);
        if let Poll::Ready(ending) = &polled {
            self.has_ended = true;
            if matches!(ending, Err(CallError::Unknown(_))) {
                self.wire.counters.unknown.add_one();
            }
        }
        polled
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.wire.in_flight.borrow_mut().forget(self.id);
        }
    }
}
