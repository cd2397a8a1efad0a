//! The writing half of a connection: what is queued in one turn leaves in one write.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;

use super::cut::Cut;
use super::frame::{self, Header};

/// Bytes of room that a buffer keeps after it was written.
const ROOM_BYTES_KEPT: usize = 256 * 1024;

/// Frames that wait to be written, one after the other, as bytes. For one thread.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    queue: RefCell<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    /// Of the writer, while it has nothing to write.
    waker: Option<Waker>,
    /// Bytes of this connection that were ever queued, and written.
    queued: u64,
    written: u64,
}

impl Outgoing {
    /// Queues a frame; tells at which byte of the connection it begins.
    pub(super) fn push(&self, header: &Header, payload: &[u8]) -> u64 {
        let mut queue = self.queue.borrow_mut();
        let (begins, before) = (queue.queued, queue.bytes.len());
        frame::encode(&mut queue.bytes, header, payload);
        queue.queued += (queue.bytes.len() - before) as u64;
        if let Some(waker) = queue.waker.take() {
            waker.wake();
        }
        begins
    }

    /// Bytes that are queued and not written.
    pub(super) fn len(&self) -> usize {
        let queue = self.queue.borrow();
        (queue.queued - queue.written) as usize
    }

    /// Forgets what is queued, for the next connection; tells how many bytes of the last one were
    /// written.
    pub(super) fn reset(&self) -> u64 {
        self.queue.take().written
    }

    /// Waits until there are bytes, and puts them into an empty buffer.
    async fn take(&self, batch: &mut Vec<u8>) {
        poll_fn(|context| {
            let mut queue = self.queue.borrow_mut();
            if queue.bytes.is_empty() {
                queue.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            std::mem::swap(&mut queue.bytes, batch);
            Poll::Ready(())
        })
        .await;
    }

    fn wrote(&self, bytes: usize) {
        self.queue.borrow_mut().written += bytes as u64;
    }
}

/// Writes what is queued.
#[derive(Debug)]
pub(super) struct Writer {
    half: OwnedWriteHalf,
    batch: Vec<u8>,
    done: usize,
    /// Since when the other side has taken nothing of what there is.
    waiting: Option<Instant>,
}

impl Writer {
    pub(super) fn new(half: OwnedWriteHalf) -> Writer {
        Writer {
            half,
            batch: Vec::new(),
            done: 0,
            waiting: None,
        }
    }

    /// Waits until there are bytes and writes once. May be dropped without losing a byte.
    pub(super) async fn write(&mut self, outgoing: &Outgoing) -> Result<(), Cut> {
        if self.done == self.batch.len() {
            self.batch.clear();
            self.batch.shrink_to(ROOM_BYTES_KEPT);
            self.done = 0;
            outgoing.take(&mut self.batch).await;
        }
        self.waiting.get_or_insert_with(Instant::now);
        let written = self.half.write(&self.batch[self.done..]).await?;
        if written == 0 {
            return Err(Cut::Closed);
        }
        self.waiting = None;
        self.done += written;
        outgoing.wrote(written);
        Ok(())
    }

    /// # Errors
    /// [`Cut::Unread`] if the other side takes nothing for longer than it may.
    pub(super) fn check(&self, now: Instant, limit: Duration) -> Result<(), Cut> {
        let waited = self
            .waiting
            .map(|since| now.saturating_duration_since(since));
        if waited.is_some_and(|waited| waited > limit) {
            return Err(Cut::Unread);
        }
        Ok(())
    }

    /// Tells the other side that nothing more comes.
    pub(super) async fn close(&mut self) {
        // It may have closed first.
        let _ = self.half.shutdown().await;
    }
}
