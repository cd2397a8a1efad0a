//! Writes the frames of many shards with few calls: what a group decided at once is sent at once.
//!
//! A call costs this process and the server more than the frame that it carries. Frames of one call are
//! durable each by itself; if the call gives no answer, each is written again alone, so that what one
//! partition does not take is no trouble of the others.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;
use tokio::task::yield_now;

use super::error::CqlError;
use super::frame::Frame;
use super::frame_table::FrameTable;
use super::session::Cql;
use cluster::shard::Shard;

/// Frames of one call: servers warn of more partitions than that.
const FRAMES_MAX: usize = 10;

/// Bytes of one call: servers refuse not much more. A longer frame goes alone.
const BYTES_MAX: usize = 32 * 1024;

/// How often the first frame lets others come before it is sent with them: a few microseconds.
const YIELDS: usize = 4;

/// Gathers frames and writes them.
pub struct FrameWriter {
    cql: Arc<Cql>,
    table: Arc<FrameTable>,
    waiting: Mutex<Vec<Waiting>>,
}

/// A frame that waits to be sent.
struct Waiting {
    shard: Shard,
    frame: Frame,
    written: oneshot::Sender<Result<(), CqlError>>,
}

impl FrameWriter {
    /// Writes into `table`.
    pub fn new(cql: Arc<Cql>, table: Arc<FrameTable>) -> FrameWriter {
        FrameWriter {
            cql,
            table,
            waiting: Mutex::default(),
        }
    }

    /// Writes a frame, as [`FrameTable::write`] does.
    ///
    /// # Errors
    /// [`CqlError`]: repeat it with the same bytes.
    pub async fn write(self: &Arc<Self>, shard: Shard, frame: Frame) -> Result<(), CqlError> {
        let (written, outcome) = oneshot::channel();
        let is_first = {
            let mut waiting = self.waiting();
            waiting.push(Waiting {
                shard,
                frame,
                written,
            });
            waiting.len() == 1
        };
        if is_first {
            for _ in 0..YIELDS {
                yield_now().await;
            }
            let waiting = std::mem::take(&mut *self.waiting());
            for batch in batches(waiting) {
                let writer = self.clone();
                tokio::spawn(async move { writer.send(batch).await });
            }
        }
        outcome.await.unwrap_or_else(|_| {
            let gone = std::io::Error::other("the write was given up");
            Err(CqlError::Ambiguous(gone.into()))
        })
    }

    async fn send(&self, batch: Vec<Waiting>) {
        if batch.len() > 1 {
            let frames: Vec<_> = batch.iter().map(|w| (w.shard, &w.frame)).collect();
            if self.table.write_all(&self.cql, &frames).await.is_ok() {
                // Who does not wait any more knows why.
                batch.into_iter().for_each(|w| drop(w.written.send(Ok(()))));
                return;
            }
        }
        let alone = batch.into_iter().map(|waiting| async move {
            let written = self.table.write(&self.cql, waiting.shard, &waiting.frame);
            let _ = waiting.written.send(written.await);
        });
        futures_util::future::join_all(alone).await;
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls that are neither too long nor of too many frames.
fn batches(waiting: Vec<Waiting>) -> Vec<Vec<Waiting>> {
    let (mut batches, mut bytes) = (Vec::<Vec<Waiting>>::new(), 0);
    for frame in waiting {
        let more = frame.frame.bytes().len();
        match batches.last_mut() {
            Some(last) if last.len() < FRAMES_MAX && bytes + more <= BYTES_MAX => {
                bytes += more;
                last.push(frame);
            }
            _ => {
                bytes = more;
                batches.push(vec![frame]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use cluster::ownership::claim::Base;
    use cluster::shard::Epoch;

    use super::*;
    use crate::store::group::HighWater;

    fn waiting(shard: u16, bytes: usize) -> Waiting {
        let place = Base {
            epoch: Epoch(1),
            seq: 0,
        };
        Waiting {
            shard: Shard(shard),
            frame: Frame::new(Shard(shard), place, HighWater::default(), &vec![7; bytes]),
            written: oneshot::channel().0,
        }
    }

    #[test]
    fn a_call_has_ten_frames_or_32_kib_at_most_and_keeps_the_order() {
        for (lengths, expected) in [
            (vec![100; 23], vec![10, 10, 3]),
            (vec![20_000, 20_000, 5_000], vec![1, 2]),
            (vec![200_000, 10, 10], vec![1, 2]),
            (vec![], vec![]),
        ] {
            let frames = lengths.iter().zip(0..);
            let frames = frames
                .map(|(bytes, shard)| waiting(shard, *bytes))
                .collect();
            let batches = batches(frames);
            let sizes: Vec<_> = batches.iter().map(Vec::len).collect();
            assert_eq!(sizes, expected, "{lengths:?}");
            let order = batches.iter().flatten().map(|waiting| waiting.shard.0);
            assert!(order.is_sorted());
        }
    }
}
