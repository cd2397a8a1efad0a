//! The bounds of the connections between nodes: every queue, size and wait has its number here.

use std::time::Duration;

/// Bytes of one frame. A read hands a whole mailbox over: 16 MiB and the heads of 10,000 messages.
pub const FRAME_BYTES_MAX: usize = 24 * 1024 * 1024;

/// Bytes of a frame before the other side has proved that it belongs to the cluster.
pub const HANDSHAKE_FRAME_BYTES_MAX: usize = 1024;

/// Bytes that a frame's header may take of [`FRAME_BYTES_MAX`]; the rest is for the payload.
pub const HEADER_BYTES_MAX: usize = 64;

/// Longest wait that a caller may ask of the other side.
pub const DEADLINE_MAX: Duration = Duration::from_secs(60);

/// Probes and keep-alives that may be under way besides the calls.
pub const PROBES_MAX: usize = 16;

/// Time between two looks at the deadlines of calls, while there are any.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// While so many calls of a connection wait and no answer comes, it writes no more than once in [`GATHER`]: the peer is at
/// work, and calls that arrive together are cheaper on both sides, by a wake each.
pub(super) const GATHER_CALLS: usize = 4;

/// See [`GATHER_CALLS`].
pub(super) const GATHER: Duration = Duration::from_millis(1);

/// How long a node that closes waits for the other side to close, too.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// The bounds of one node's connections. Where two nodes differ, the smaller bound of a call or a
/// frame holds.
#[derive(Clone, Debug)]
pub struct PeerLimits {
    /// Bytes of one frame that this node takes.
    pub frame_bytes_max: usize,
    /// Calls of one connection that wait for their answers.
    pub in_flight_max: usize,
    /// Bytes of one connection that wait to be written.
    pub outgoing_bytes_max: usize,
    /// Bytes of the calls of one connection that are being handled; further ones are overload.
    pub handling_bytes_max: usize,
    /// Connections of one thread that are past their handshake or within it.
    pub connections_max: usize,
    /// Connections of one thread that are within their handshake.
    pub handshakes_max: usize,
    /// For the connection and the handshake, each.
    pub handshake_timeout: Duration,
    /// From the first to the last byte of a frame, and for the other side to take what is written.
    pub frame_timeout: Duration,
    /// Without a byte from a client, which sends a keep-alive after a quarter of it. Longer than any call takes, and
    /// shorter than a call is remembered: one that was stuck on its way is not done a second time.
    pub idle_timeout: Duration,
    /// How long after a call's deadline its answer must be there, or the other side is taken for dead.
    pub answer_grace: Duration,
    /// Longest wait before the first attempt to connect again; it doubles with every failure.
    pub reconnect_first: Duration,
    /// Longest wait between two attempts.
    pub reconnect_last: Duration,
}

impl Default for PeerLimits {
    fn default() -> PeerLimits {
        PeerLimits {
            frame_bytes_max: FRAME_BYTES_MAX,
            in_flight_max: 1024,
            outgoing_bytes_max: 32 * 1024 * 1024,
            handling_bytes_max: 64 * 1024 * 1024,
            connections_max: 1024,
            handshakes_max: 64,
            handshake_timeout: Duration::from_secs(2),
            frame_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(40),
            answer_grace: Duration::from_secs(5),
            reconnect_first: Duration::from_millis(50),
            reconnect_last: Duration::from_millis(500),
        }
    }
}
