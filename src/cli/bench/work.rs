//! What the virtual clients ask for, and what a right answer is.
//!
//! Requests are rendered into a reused buffer, by `bench::render`. How they are sent is `bench::load`'s.

use clap::ValueEnum;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::render::{Shape, render_bulk, render_get, render_post};

/// A kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Posts, each to a user of its own
    Post,
    /// Posts of 1,000 messages each, each message to a user of its own
    Bulk,
    /// Reads of mailboxes that hold ten messages
    ReadTen,
    /// Look-ups of unread messages by id
    Lookup,
    /// Look-ups of messages that were read and archived
    LookupArchived,
    /// Half posts, half reads of the same mailboxes
    Mixed,
}

impl Scenario {
    /// Every scenario.
    pub const ALL: [Scenario; 6] = [
        Scenario::Post,
        Scenario::Bulk,
        Scenario::ReadTen,
        Scenario::Lookup,
        Scenario::LookupArchived,
        Scenario::Mixed,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Scenario::Post => "post",
            Scenario::Bulk => "bulk",
            Scenario::ReadTen => "read-ten",
            Scenario::Lookup => "lookup",
            Scenario::LookupArchived => "lookup-archived",
            Scenario::Mixed => "mixed",
        }
    }
}

/// Messages of one request of [`Scenario::Bulk`].
pub const BULK_MESSAGES: u64 = 1_000;

/// A supply of requests.
pub enum Work {
    /// Posts to the users from `next` on, `each` in a row to one user; at most until `end`.
    Post {
        /// The next message's number.
        next: u64,
        /// The number at which the supply ends.
        end: u64,
        /// Messages to one user.
        each: u64,
        /// Their time-out, in seconds.
        timeout_secs: u64,
        /// The ids that were answered, if they are wanted.
        ids: Option<Vec<String>>,
    },
    /// Bulks of posts, one to each user from `next` on.
    Bulk {
        /// The next user's number.
        next: u64,
        /// The messages' time-out, in seconds.
        timeout_secs: u64,
    },
    /// One read of each user from `next` to `end`.
    Read {
        /// The next user's number.
        next: u64,
        /// The number at which the supply ends.
        end: u64,
        /// How many messages a right answer has.
        messages: usize,
    },
    /// Look-ups of these ids, over and over.
    Lookup {
        /// The ids.
        ids: Vec<String>,
        /// The place of the next one.
        next: usize,
    },
    /// Of each connection in turn a post to a user and a read of the same user.
    Mixed {
        /// The next user's number.
        next: u64,
        /// The user of each connection that is to be read next.
        posted: Vec<Option<u64>>,
        /// The messages' time-out, in seconds.
        timeout_secs: u64,
    },
}

/// What a right answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// 201 with an id.
    Created,
    /// 200 with an id for each message.
    AllCreated,
    /// 200 with so many messages.
    Messages(usize),
    /// 200.
    Found,
}

impl Work {
    /// Renders the next request of a connection into `request`; nothing when the supply has ended.
    pub fn next(
        &mut self,
        connection: usize,
        shape: &Shape,
        request: &mut Vec<u8>,
    ) -> Option<Expected> {
        request.clear();
        match self {
            Work::Post { next, end, .. } | Work::Read { next, end, .. } if *next >= *end => None,
            Work::Post {
                next,
                each,
                timeout_secs,
                ..
            } => {
                render_post(request, shape, *next / *each, *timeout_secs);
                *next += 1;
                Some(Expected::Created)
            }
            Work::Bulk { next, timeout_secs } => {
                render_bulk(request, shape, *next, *timeout_secs);
                *next += BULK_MESSAGES;
                Some(Expected::AllCreated)
            }
            Work::Read { next, messages, .. } => {
                render_get(
                    request,
                    shape,
                    format_args!("chats/{}{next:x}", shape.names),
                );
                *next += 1;
                Some(Expected::Messages(*messages))
            }
            Work::Lookup { ids, next } => {
                let id = ids.get(*next % ids.len().max(1))?;
                render_get(request, shape, format_args!("chat/{id}"));
                *next += 1;
                Some(Expected::Found)
            }
            Work::Mixed {
                next,
                posted,
                timeout_secs,
            } => {
                if let Some(user) = posted[connection].take() {
                    render_get(
                        request,
                        shape,
                        format_args!("chats/{}{user:x}", shape.names),
                    );
                    return Some(Expected::Messages(1));
                }
                render_post(request, shape, *next, *timeout_secs);
                posted[connection] = Some(*next);
                *next += 1;
                Some(Expected::Created)
            }
        }
    }

    /// Whether an answer is right; keeps its id where ids are wanted.
    pub fn accept(&mut self, expected: Expected, status: u16, body: &[u8]) -> bool {
        match expected {
            Expected::Found => status == 200,
            Expected::AllCreated => {
                let posted = serde_json::from_slice::<Results<'_>>(body);
                status == 200 && posted.is_ok_and(|of| of.results.len() as u64 == BULK_MESSAGES)
            }
            Expected::Messages(count) => {
                let messages = serde_json::from_slice::<Vec<IgnoredAny>>(body);
                status == 200 && messages.is_ok_and(|messages| messages.len() == count)
            }
            Expected::Created => {
                let Work::Post { ids: Some(ids), .. } = self else {
                    return status == 201;
                };
                let Ok(posted) = serde_json::from_slice::<Posted<'_>>(body) else {
                    return false;
                };
                ids.push(String::from(posted.id));
                status == 201
            }
        }
    }
}

#[derive(Deserialize)]
struct Posted<'a> {
    id: &'a str,
}

/// The results of a bulk of which every message was accepted.
#[derive(Deserialize)]
struct Results<'a> {
    #[serde(borrow)]
    results: Vec<Posted<'a>>,
}

#[cfg(test)]
mod tests {
    use super::super::render::tests::shape;
    use super::*;

    #[test]
    fn posts_go_in_rows_to_each_user_and_end() {
        let mut work = Work::Post {
            next: 0,
            end: 4,
            each: 2,
            timeout_secs: 5,
            ids: Some(vec![]),
        };
        let mut request = Vec::new();
        let mut users = Vec::new();
        while work.next(0, &shape(), &mut request).is_some() {
            let text = String::from_utf8_lossy(&request).into_owned();
            users.push(text.split('"').nth(3).map(String::from));
        }
        assert_eq!(
            users,
            ["n-0", "n-0", "n-1", "n-1"].map(|name| Some(String::from(name)))
        );
    }

    #[test]
    fn mixed_work_posts_to_a_user_and_then_reads_that_user() {
        let mut work = Work::Mixed {
            next: 7,
            posted: vec![None, None],
            timeout_secs: 5,
        };
        let mut lines = Vec::new();
        for connection in [0, 1, 0, 1] {
            let mut request = Vec::new();
            work.next(connection, &shape(), &mut request)
                .expect("no end");
            let text = String::from_utf8_lossy(&request).into_owned();
            lines.push(String::from(text.lines().next().unwrap_or_default()));
        }
        let post = "POST /p/chat HTTP/1.1";
        assert_eq!(
            lines,
            [
                post,
                post,
                "GET /p/chats/n-7 HTTP/1.1",
                "GET /p/chats/n-8 HTTP/1.1"
            ]
        );
    }

    #[test]
    fn only_the_expected_answer_is_right() {
        let mut work = Work::Post {
            next: 0,
            end: 1,
            each: 1,
            timeout_secs: 5,
            ids: Some(vec![]),
        };
        assert!(work.accept(Expected::Created, 201, br#"{"id":"x"}"#));
        assert!(!work.accept(Expected::Created, 503, br#"{"title":"busy"}"#));
        assert!(!work.accept(Expected::Created, 201, b"{}"));
        assert!(work.accept(Expected::Messages(2), 200, br#"[{"id":"x"},{}]"#));
        assert!(!work.accept(Expected::Messages(2), 200, br#"[{"id":"x"}]"#));
        assert!(!work.accept(Expected::Messages(1), 200, br#"[{"id":"x"},{}]"#));
        assert!(!work.accept(Expected::Messages(0), 503, b"[]"));
        assert!(work.accept(Expected::Found, 200, b"{}"));
        assert!(!work.accept(Expected::Found, 404, b"{}"));
        let Work::Post { ids: Some(ids), .. } = work else {
            panic!("posts")
        };
        assert_eq!(ids, ["x"]);
    }
}
