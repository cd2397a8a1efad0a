//! Writes the frames of many shards with few calls: what a group decided at once is sent at once.
//!
//! A call costs this process and the server more than the frame that it carries. Frames of one call are
//! durable each by itself; if the call gives no answer, each is written again alone, so that what one
//! partition does not take is no trouble of the others.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::task::yield_now;

use super::frame::Frame;
use super::frame_table::FrameTable;
use super::packing::pack;
use super::seat::Seat;
use super::session::Cql;

/// Gathers frames and writes them.
pub(super) struct FrameWriter {
    on: Handle,
    cql: Arc<Cql>,
    table: Arc<FrameTable>,
    waiting: Mutex<Vec<Waiting>>,
}

/// A frame that waits to be sent, and who hears of it.
struct Waiting {
    seat: Arc<Seat>,
    frame: Frame,
}

impl FrameWriter {
    /// Writes into `table`.
    pub(super) fn new(on: Handle, cql: Arc<Cql>, table: Arc<FrameTable>) -> FrameWriter {
        FrameWriter {
            on,
            cql,
            table,
            waiting: Mutex::default(),
        }
    }

    /// Begins to write a frame, as [`FrameTable::write`] does; the seat hears what became of it.
    pub(super) fn begin(self: &Arc<Self>, seat: Arc<Seat>, frame: Frame) {
        let mut waiting = self.waiting();
        waiting.push(Waiting { seat, frame });
        if waiting.len() == 1 {
            let writer = self.clone();
            self.on.spawn(async move { writer.send_waiting().await });
        }
    }

    async fn send_waiting(self: Arc<Self>) {
        // Whoever is at it begins the other frames of its group first.
        yield_now().await;
        let waiting = std::mem::take(&mut *self.waiting());
        // A frame is a partition of its own.
        let calls = pack(waiting, |waiting| waiting.frame.bytes().len());
        join_all(calls.into_iter().map(|batch| self.send(batch))).await;
    }

    async fn send(&self, batch: Vec<Waiting>) {
        if batch.len() > 1 {
            let frames: Vec<_> = batch.iter().map(|w| (w.seat.shard, &w.frame)).collect();
            if self.table.write_all(&self.cql, &frames).await.is_ok() {
                join_all(batch.iter().map(|w| w.seat.frame_written(Ok(())))).await;
                return;
            }
        }
        let alone = batch.iter().map(|Waiting { seat, frame }| async move {
            let written = self.table.write(&self.cql, seat.shard, frame);
            seat.frame_written(written.await).await;
        });
        join_all(alone).await;
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
