//! The calls of one connection that wait for their answers: a slot each, whose number is the
//! correlation id and stays taken until the answer is here, wanted or not.

use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use slab::Slab;

use super::cut::Cut;
use super::error::{CallError, Doubt, NotSent};

/// How a call ended.
pub(super) type Ending = Result<Bytes, CallError>;

/// The slots. For one thread.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    slots: Slab<Slot>,
}

#[derive(Debug)]
struct Slot {
    /// The byte of the connection at which the call's frame begins.
    begins: u64,
    deadline: Instant,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The caller waits.
    Waiting(Option<Waker>),
    /// The deadline passed, and the caller does not know yet.
    TimedOut,
    /// The caller is gone; the answer will be dropped.
    Forgotten,
    /// The answer is here, and the caller has not taken it.
    Ended(Ending),
}

impl InFlight {
    /// Slots that are taken.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The number that the next slot will have.
    pub(super) fn next_id(&self) -> u32 {
        u32::try_from(self.slots.vacant_key()).expect("in flight is bounded far below")
    }

    /// Takes the slot [`InFlight::next_id`].
    pub(super) fn insert(&mut self, begins: u64, deadline: Instant) {
        self.slots.insert(Slot {
            begins,
            deadline,
            state: State::Waiting(None),
        });
    }

    /// The ending of a call, once; frees the slot, or leaves it to a late answer.
    pub(super) fn poll(&mut self, id: u32, context: &mut Context<'_>) -> Poll<Ending> {
        let slot = &mut self.slots[id as usize];
        match &mut slot.state {
            State::Waiting(waker) => {
                if !waker
                    .as_ref()
                    .is_some_and(|waker| waker.will_wake(context.waker()))
                {
                    *waker = Some(context.waker().clone());
                }
                Poll::Pending
            }
            State::TimedOut => {
                slot.state = State::Forgotten;
                Poll::Ready(Err(CallError::Unknown(Doubt::TimedOut)))
            }
            State::Forgotten => unreachable!("a caller that took its ending asks no more"),
            State::Ended(_) => match self.slots.remove(id as usize).state {
                State::Ended(ending) => Poll::Ready(ending),
                _ => unreachable!("it was an ending a line ago"),
            },
        }
    }

    /// The caller waits no longer.
    pub(super) fn forget(&mut self, id: u32) {
        let slot = &mut self.slots[id as usize];
        if matches!(slot.state, State::Ended(_)) {
            self.slots.remove(id as usize);
        } else {
            slot.state = State::Forgotten;
        }
    }

    /// An answer came.
    ///
    /// # Errors
    /// [`Cut::Garbage`] if nothing waits for it.
    pub(super) fn end(&mut self, id: u32, ending: Ending) -> Result<(), Cut> {
        let slot = self.slots.get_mut(id as usize).ok_or(Cut::Garbage)?;
        match std::mem::replace(&mut slot.state, State::Ended(ending)) {
            State::Waiting(waker) => wake(waker),
            State::TimedOut => {}
            State::Forgotten => drop(self.slots.remove(id as usize)),
            State::Ended(_) => return Err(Cut::Garbage),
        }
        Ok(())
    }

    /// Tells every caller whose deadline has passed.
    ///
    /// # Errors
    /// [`Cut::Silent`] if an answer is missing for longer than `grace` past its deadline.
    pub(super) fn expire(&mut self, now: Instant, grace: Duration) -> Result<(), Cut> {
        for (_, slot) in &mut self.slots {
            if slot.deadline > now || matches!(slot.state, State::Ended(_)) {
                continue;
            }
            if now.duration_since(slot.deadline) > grace {
                return Err(Cut::Silent);
            }
            if let State::Waiting(waker) = &mut slot.state {
                wake(waker.take());
                slot.state = State::TimedOut;
            }
        }
        Ok(())
    }

    /// The connection is gone after so many bytes: what began within them may have been done.
    pub(super) fn reset(&mut self, written: u64) {
        self.slots.retain(|_, slot| {
            let ending = Err(match slot.begins < written {
                true => CallError::Unknown(Doubt::Reset),
                false => CallError::NotSent(NotSent::Down),
            });
            match &mut slot.state {
                State::Forgotten => return false,
                State::Ended(_) => return true,
                State::TimedOut => {}
                State::Waiting(waker) => wake(waker.take()),
            }
            slot.state = State::Ended(ending);
            true
        });
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
