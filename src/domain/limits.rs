//! The bounds of the service: one value each, all settable, each with a named error.

/// The longest time-out that can be allowed, in seconds: 60 days, by which the archive's index outlives its
/// rows.
pub const TIMEOUT_SECS_HIGHEST: u64 = 60 * 24 * 60 * 60;

/// The longest text that can be allowed in a cluster, in bytes: longer ones do not fit into one write of
/// its store.
pub const CLUSTER_TEXT_BYTES_HIGHEST: usize = 4 << 20;

/// What a request, a message and a mailbox may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest username, in characters after normalisation.
    pub username_chars_max: usize,
    /// Longest text, in bytes of UTF-8.
    pub text_bytes_max: usize,
    /// Longest `timeout`, in seconds.
    pub timeout_secs_max: u64,
    /// The `timeout` of a post that names none, in seconds.
    pub timeout_secs_default: u64,
    /// Most messages that one read may ask for by `?limit=`.
    pub read_limit_max: usize,
    /// Most unexpired messages in a mailbox.
    pub mailbox_messages_max: usize,
    /// Most bytes of texts and attributes in a mailbox.
    pub mailbox_bytes_max: usize,
    /// Largest request body in bytes, also after decompression.
    pub body_bytes_max: usize,
    /// Most attributes of a message.
    pub attributes_max: usize,
    /// Longest attribute name or value, in characters.
    pub attribute_chars_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            username_chars_max: 200,
            text_bytes_max: 64 * 1024,
            timeout_secs_max: 30 * 24 * 60 * 60,
            timeout_secs_default: 60,
            read_limit_max: 10_000,
            mailbox_messages_max: 10_000,
            mailbox_bytes_max: 16 * 1024 * 1024,
            body_bytes_max: 1024 * 1024,
            attributes_max: 16,
            attribute_chars_max: 64,
        }
    }
}
