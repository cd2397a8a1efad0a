//! The reading half of a connection: bytes in, whole frames out, never more memory than one frame's
//! bound and one buffer.

use std::time::Instant;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;
use tokio_util::codec::{Decoder, LengthDelimitedCodec};

use super::cut::Cut;
use super::frame;
use super::limits::PeerLimits;

/// Bytes that one read takes at most, but within a longer frame.
const READ_BYTES: usize = 32 * 1024;

/// Room that is worth a read.
const ROOM_BYTES_MIN: usize = 4 * 1024;

/// Frames as they arrive.
#[derive(Debug)]
pub(super) struct Incoming {
    half: OwnedReadHalf,
    buffer: BytesMut,
    codec: LengthDelimitedCodec,
    heard: Instant,
    /// When the frame began of which a part is here.
    began: Option<Instant>,
}

impl Incoming {
    /// Reads frames up to so many bytes.
    pub(super) fn new(half: OwnedReadHalf, frame_bytes_max: usize) -> Incoming {
        Incoming {
            half,
            buffer: BytesMut::new(),
            codec: frame::codec(frame_bytes_max),
            heard: Instant::now(),
            began: None,
        }
    }

    /// From here on, frames up to so many bytes.
    pub(super) fn allow(&mut self, frame_bytes_max: usize) {
        self.codec.set_max_frame_length(frame_bytes_max);
    }

    /// Waits for bytes; call [`Incoming::next`] until there is no more frame, then this again. May be
    /// dropped without losing a byte.
    pub(super) async fn fill(&mut self) -> Result<(), Cut> {
        if self.buffer.capacity() - self.buffer.len() < ROOM_BYTES_MIN {
            if self.buffer.is_empty() {
                // A new one, as the old one may be as large as the largest frame.
                self.buffer = BytesMut::with_capacity(READ_BYTES);
            } else {
                self.buffer.reserve(READ_BYTES);
            }
        }
        if self.half.read_buf(&mut self.buffer).await? == 0 {
            return Err(Cut::Closed);
        }
        self.heard = Instant::now();
        Ok(())
    }

    /// The next whole frame of what was read. It shares the buffer: copy what is kept for long.
    pub(super) fn next(&mut self) -> Result<Option<BytesMut>, Cut> {
        let waiting = self.buffer.len();
        let frame = self.codec.decode(&mut self.buffer);
        let frame = frame.map_err(|_| Cut::FrameTooLong)?;
        // The codec may have taken the length out already, and then want a rest that is not here.
        let is_within = frame.is_none() && (self.began.is_some() || waiting > 0);
        self.began = is_within.then(|| self.began.unwrap_or(self.heard));
        Ok(frame)
    }

    /// Waits for one frame, as long as it takes.
    pub(super) async fn one(&mut self) -> Result<BytesMut, Cut> {
        loop {
            if let Some(frame) = self.next()? {
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    /// Reads and drops what still comes, until the other side closes.
    pub(super) async fn discard(&mut self) {
        while self.fill().await.is_ok() {
            self.buffer.clear();
        }
    }

    /// When anything was heard last.
    pub(super) fn heard(&self) -> Instant {
        self.heard
    }

    /// # Errors
    /// [`Cut::Slow`] and [`Cut::Silent`] if the other side takes longer than it may.
    pub(super) fn check(&self, now: Instant, limits: &PeerLimits) -> Result<(), Cut> {
        let is_over = |since, limit| now.saturating_duration_since(since) > limit;
        if self
            .began
            .is_some_and(|began| is_over(began, limits.frame_timeout))
        {
            return Err(Cut::Slow);
        }
        if is_over(self.heard, limits.idle_timeout) {
            return Err(Cut::Silent);
        }
        Ok(())
    }
}
