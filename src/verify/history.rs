//! A history: one JSON object a line for every request that a client made, repeats with the same key
//! too.
//!
//! ```json
//! {"client":1,"started_us":10,"ended_us":950,"key":"k1","call":{"post":{"user":"ann","text":"hi","timeout_ms":60000}},"outcome":{"posted":{"id":"01a1fdeb-3145-7482-8002-8d7fd48d2fdf"}}}
//! {"client":2,"started_us":990,"ended_us":1800,"call":{"take":{"user":"ann","limit":5}},"outcome":{"taken":{"messages":[{"id":"01a1fdeb-3145-7482-8002-8d7fd48d2fdf","text":"hi"}]}}}
//! {"client":1,"started_us":2000,"ended_us":2100,"call":{"find":{"id":"01a1fdeb-3145-7482-8002-8d7fd48d2fdf"}},"outcome":{"refused":{"status":404}}}
//! ```
//! Lines may be in any order. It does not own what must hold of them (`check`).

use std::io::{self, BufRead, Read};

use serde::{Deserialize, Serialize};

/// Longest line, in bytes: a read of a whole mailbox with every character escaped, and then some.
const LINE_BYTES_MAX: u64 = 256 << 20;

/// One request and what its client knows of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// Who asked.
    pub client: u32,
    /// When it was sent, in microseconds on one clock that all clients share.
    pub started_us: u64,
    /// When it was answered or given up.
    pub ended_us: u64,
    /// The idempotency key. Within a history one key names one post or one read of one user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What was asked.
    pub call: Call,
    /// What came back.
    pub outcome: Outcome,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Call {
    /// `POST /chat`. The more texts differ, the more is found out.
    Post {
        /// The recipient.
        user: String,
        /// The text.
        text: String,
        /// How long it may live, in milliseconds.
        timeout_ms: u64,
    },
    /// A consuming read.
    Take {
        /// Whose mailbox.
        user: String,
        /// The most messages to take; none is all of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u64>,
    },
    /// `GET /chat/{id}`.
    Find {
        /// The message.
        id: String,
    },
    /// `GET /chats/{username}/count`.
    Count {
        /// Whose mailbox.
        user: String,
    },
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// The post was accepted.
    Posted {
        /// The id it was given.
        id: String,
    },
    /// The read delivered these, in this order.
    Taken {
        /// The messages.
        messages: Vec<Message>,
    },
    /// The message was found.
    Found {
        /// Its recipient.
        user: String,
        /// Its text.
        text: String,
        /// What became of it.
        state: State,
        /// When it was read, as told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        read_at: Option<String>,
    },
    /// So many wait.
    Counted {
        /// Messages that could be taken.
        unread: u64,
    },
    /// It was answered that nothing was done: 4xx, 503, 507, or a connection that was never made
    /// (status 0).
    Refused {
        /// The status.
        status: u16,
    },
    /// It may have been done, once: 504, or a lost connection.
    Unknown,
}

/// A message as a read delivered it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Its id.
    pub id: String,
    /// Its text.
    pub text: String,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It waits.
    Unread,
    /// A read took it.
    Read,
    /// Its time ran out.
    Expired,
}

/// Why lines are no history.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The lines cannot be read.
    #[error("cannot read the history: {0}")]
    Io(#[from] io::Error),
    /// A line is too long.
    #[error("line {line} has over {LINE_BYTES_MAX} bytes; write one operation a line")]
    LongLine {
        /// Its number, from 1.
        line: u32,
    },
    /// A line is no operation.
    #[error("line {line} is no operation: {source}")]
    Json {
        /// Its number, from 1.
        line: u32,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// An id is none of this service.
    #[error("line {line}: {id:?} is no id of a message")]
    Id {
        /// The line's number, from 1.
        line: u32,
        /// The text.
        id: String,
    },
    /// An answer does not belong to its question.
    #[error("line {line}: the outcome does not fit the call")]
    Mismatch {
        /// The line's number, from 1.
        line: u32,
    },
    /// It ended before it began.
    #[error("line {line}: ended_us is before started_us")]
    Backwards {
        /// The line's number, from 1.
        line: u32,
    },
}

impl Operation {
    /// The operation as a line, without its end.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers are JSON")
    }
}

/// Gives each operation with the number of its line, from 1; empty lines are passed over.
///
/// # Errors
/// Of the source, of the first line that is no operation, or `take`'s own.
pub fn for_each(
    mut source: impl BufRead,
    mut take: impl FnMut(u32, Operation) -> Result<(), HistoryError>,
) -> Result<(), HistoryError> {
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        let read = source
            .by_ref()
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut text)?;
        if read == 0 {
            break;
        }
        if read as u64 == LINE_BYTES_MAX {
            return Err(HistoryError::LongLine { line });
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        let operation = serde_json::from_slice(&text);
        take(
            line,
            operation.map_err(|source| HistoryError::Json { line, source })?,
        )?;
    }
    Ok(())
}
