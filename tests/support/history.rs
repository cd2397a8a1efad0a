//! Requests that are recorded as they are made, so that the checker can judge all of them at the end.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use mayfly::verify::check::{Checker, Verdict};
use mayfly::verify::history::{Call, Message, Operation, Outcome, State};
use serde_json::{Value, json};

use super::client::{Answer, Client, Failure};
use super::eventually;

/// Longer than any test: nothing expires in a mailbox.
const TIMEOUT_SECS: u64 = 3_600;

/// The client of the look-ups and reads at the end.
const LAST_CLIENT: u32 = u32::MAX;

/// What all clients of one test write to.
pub struct Recorder {
    began: Instant,
    operations: Mutex<Vec<Operation>>,
}

/// A recorded request's outcome, and what a history does not keep of it.
pub struct Sent {
    pub outcome: Outcome,
    /// The whole answer; none when the connection was cut or not made.
    pub answer: Option<Answer>,
}

impl Recorder {
    pub fn new() -> Recorder {
        Recorder {
            began: Instant::now(),
            operations: Mutex::default(),
        }
    }

    /// Sends one request and records it.
    ///
    /// # Panics
    /// When the answer is one that nobody should get: 500, or what is no message.
    #[track_caller]
    pub fn send(&self, client: &mut Client, number: u32, key: Option<&str>, call: Call) -> Sent {
        let headers: Vec<_> = key.iter().map(|key| ("Idempotency-Key", *key)).collect();
        let (method, path, body) = request(&call);
        let started_us = self.now_us();
        let answer = client.try_send(method, &path, &headers, body.as_bytes());
        let ended_us = self.now_us();
        let outcome = match &answer {
            Ok(answer) => outcome(&call, answer),
            Err(Failure::NotSent(_)) => Outcome::Refused { status: 0 },
            Err(Failure::InDoubt(_)) => Outcome::Unknown,
        };
        let operation = Operation {
            client: number,
            started_us,
            ended_us,
            key: key.map(str::to_owned),
            call,
            outcome: outcome.clone(),
        };
        self.operations.lock().unwrap().push(operation);
        let answer = answer.ok();
        Sent { outcome, answer }
    }

    /// Reads every mailbox until it is empty, then looks up every message that was acknowledged.
    pub fn settle(&self, client: &mut Client) {
        for user in self.users() {
            loop {
                match self.insist(client, take(&user, None)) {
                    Outcome::Taken { messages } if messages.is_empty() => break,
                    Outcome::Taken { .. } => {}
                    other => panic!("a read of {user} at the end: {other:?}"),
                }
            }
        }
        for id in self.acknowledged(0) {
            self.insist(client, Call::Find { id });
        }
    }

    /// The ids of the posts that were acknowledged, of the operations from `first` on.
    pub fn acknowledged(&self, first: usize) -> Vec<String> {
        let operations = self.operations.lock().unwrap();
        let ids = operations[first..]
            .iter()
            .filter_map(|operation| match &operation.outcome {
                Outcome::Posted { id } => Some(id.clone()),
                _ => None,
            });
        ids.collect()
    }

    /// How many operations there are.
    pub fn len(&self) -> usize {
        self.operations.lock().unwrap().len()
    }

    /// What the history proves.
    ///
    /// # Panics
    /// When a promise was broken; then the history is in a file for `mayfly verify`.
    #[track_caller]
    pub fn judge(self) -> Verdict {
        let operations = self.operations.into_inner().unwrap();
        let mut checker = Checker::default();
        for (line, operation) in (1..).zip(&operations) {
            checker.add(line, operation).unwrap();
        }
        let verdict = checker.finish();
        println!(
            "{} operations: {} acknowledged, {} delivered, {} in doubt",
            verdict.operations, verdict.acknowledged, verdict.delivered, verdict.in_doubt
        );
        if verdict.violations_total > 0 {
            let file = keep(&operations);
            let lines: Vec<_> = verdict
                .violations
                .iter()
                .take(20)
                .map(ToString::to_string)
                .collect();
            let (total, lines) = (verdict.violations_total, lines.join("\n"));
            panic!(
                "{total} violations; try: mayfly verify {}\n{lines}",
                file.display()
            );
        }
        verdict
    }

    /// Repeats a request until it is not refused.
    fn insist(&self, client: &mut Client, call: Call) -> Outcome {
        eventually("the service answers", || {
            let sent = self.send(client, LAST_CLIENT, None, call.clone());
            let is_final = !matches!(sent.outcome, Outcome::Refused { status: 0 | 503 });
            is_final.then_some(sent.outcome)
        })
    }

    fn users(&self) -> Vec<String> {
        let operations = self.operations.lock().unwrap();
        let users = operations
            .iter()
            .filter_map(|operation| match &operation.call {
                Call::Post { user, .. } => Some(user.clone()),
                _ => None,
            });
        let mut users: Vec<_> = users.collect();
        users.sort();
        users.dedup();
        users
    }

    fn now_us(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }
}

/// A post that outlives the test.
pub fn post(user: &str, text: String) -> Call {
    Call::Post {
        user: user.to_owned(),
        text,
        timeout_ms: TIMEOUT_SECS * 1_000,
    }
}

/// A read.
pub fn take(user: &str, limit: Option<u64>) -> Call {
    Call::Take {
        user: user.to_owned(),
        limit,
    }
}

/// Writes a history to a file that stays.
fn keep(operations: &[Operation]) -> PathBuf {
    let name = std::thread::current()
        .name()
        .unwrap_or("test")
        .replace(':', "-");
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = directory.join(format!("{name}-{}.jsonl", std::process::id()));
    let lines: Vec<_> = operations.iter().map(Operation::to_line).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    file
}

fn request(call: &Call) -> (&'static str, String, String) {
    let nothing = String::new;
    match call {
        Call::Post {
            user,
            text,
            timeout_ms,
        } => {
            let body = json!({"username": user, "text": text, "timeout": timeout_ms / 1_000});
            ("POST", "/chat".into(), body.to_string())
        }
        Call::Take { user, limit: None } => ("GET", format!("/chats/{user}"), nothing()),
        Call::Take {
            user,
            limit: Some(limit),
        } => (
            "POST",
            format!("/chats/{user}/take?limit={limit}"),
            nothing(),
        ),
        Call::Find { id } => ("GET", format!("/chat/{id}"), nothing()),
        Call::Count { user } => ("GET", format!("/chats/{user}/count"), nothing()),
    }
}

#[track_caller]
fn outcome(call: &Call, answer: &Answer) -> Outcome {
    let status = answer.status;
    match status {
        200 | 201 => {}
        504 => return Outcome::Unknown,
        400..=499 | 503 | 507 => return Outcome::Refused { status },
        _ => panic!("{call:?}: {status} {}", answer.text()),
    }
    let json = answer.json();
    match call {
        Call::Post { .. } => Outcome::Posted {
            id: text(&json["id"]),
        },
        Call::Take { .. } => {
            let messages = json.as_array().unwrap().iter();
            let message = |one: &Value| Message {
                id: text(&one["id"]),
                text: text(&one["text"]),
            };
            Outcome::Taken {
                messages: messages.map(message).collect(),
            }
        }
        Call::Find { .. } => Outcome::Found {
            user: text(&json["username"]),
            text: text(&json["text"]),
            state: serde_json::from_value::<State>(json["state"].clone()).unwrap(),
            read_at: json["read_at"].as_str().map(str::to_owned),
        },
        Call::Count { .. } => Outcome::Counted {
            unread: json["unread"].as_u64().unwrap(),
        },
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
