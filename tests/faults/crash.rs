//! `kill -9` under load, again and again: what was acknowledged is there, and nothing comes twice.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{Answer, Client, Failure};
use crate::support::history::{History, Looked, Posted, Read, Seen};
use crate::support::server::Server;
use crate::support::{Seeded, eventually};

const ROUNDS: usize = 10;
const WRITERS: usize = 6;
const READERS: usize = 4;
const MAILBOXES: usize = 4;
const SEED: u64 = 1_984;

/// A request with a key whose answer was cut: it is repeated after the restart until it is answered.
struct Unanswered {
    key: String,
    request: Request,
}

enum Request {
    Post(Posted),
    Read { mailbox: String, path: String },
}

/// What all clients of one round write to, and read the time from.
struct Recorder {
    ticks: AtomicU64,
    history: Mutex<History>,
    unanswered: Mutex<Vec<Unanswered>>,
}

impl Recorder {
    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    fn posted(&self, post: Posted) {
        self.history.lock().unwrap().posts.push(post);
    }

    fn read(&self, mailbox: &str, seen: Seen<Vec<(String, String)>>) {
        let mailbox = mailbox.to_owned();
        self.history
            .lock()
            .unwrap()
            .reads
            .push(Read { mailbox, seen });
    }
}

#[test]
fn kill_9_loses_nothing_acknowledged_and_repeats_nothing() {
    let mut server = Server::start();
    let recorder = Recorder {
        ticks: AtomicU64::new(0),
        history: Mutex::default(),
        unanswered: Mutex::default(),
    };
    let mut random = Seeded(SEED);
    let mut looked_up = 0;
    for round in 0..ROUNDS {
        let life = Duration::from_millis(200 + random.below(700) as u64);
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (client, recorder) = (server.client(), &recorder);
                scope.spawn(move || write(client, recorder, round, writer));
            }
            for reader in 0..READERS {
                let (client, recorder) = (server.client(), &recorder);
                scope.spawn(move || read(client, recorder, round, reader));
            }
            thread::sleep(life);
            server.kill();
        });
        server.start_again();
        let mut client = server.client();
        finish_unanswered(&mut client, &recorder);
        // What this round acknowledged is there at once; all of it is looked up again at the end.
        let history = recorder.history.lock().unwrap();
        for post in &history.posts[looked_up..] {
            if let Seen::Done(id) = &post.seen {
                let found = look_up(&mut client, id).unwrap_or_else(|| panic!("{post:?} is lost"));
                assert_eq!((&found.mailbox, &found.text), (&post.mailbox, &post.text));
            }
        }
        looked_up = history.posts.len();
    }
    drain(&mut server.client(), &recorder);
    let mut history = recorder.history.into_inner().unwrap();
    let mut client = server.client();
    let ids = history.posts.iter().filter_map(|post| match &post.seen {
        Seen::Done(id) => Some(id.clone()),
        Seen::InDoubt => None,
    });
    let found: HashMap<_, _> = ids
        .map(|id| (id.clone(), look_up(&mut client, &id)))
        .collect();
    history.looked_up = found;
    let cut = |seen: bool| usize::from(seen);
    let in_doubt: usize = history
        .posts
        .iter()
        .map(|p| cut(p.seen == Seen::InDoubt))
        .sum();
    let cut_reads: usize = history
        .reads
        .iter()
        .map(|r| cut(r.seen == Seen::InDoubt))
        .sum();
    println!(
        "{} posts ({in_doubt} in doubt), {} reads ({cut_reads} in doubt)",
        history.posts.len(),
        history.reads.len()
    );
    assert!(
        history.looked_up.len() > 500,
        "too little was posted to tell anything"
    );
    let violations = history.violations();
    assert!(violations.is_empty(), "seed {SEED}: {violations:#?}");
}

fn mailbox(number: usize) -> String {
    format!("mailbox{}", number % MAILBOXES)
}

/// Posts until the server is gone: every other writer with keys, the first one large texts.
fn write(mut client: Client, recorder: &Recorder, round: usize, writer: usize) {
    for number in 0.. {
        let mut text = format!("{round}-{writer}-{number} ");
        if writer == 0 {
            text += &"x".repeat(60_000);
        }
        let mut post = Posted {
            mailbox: mailbox(writer + number),
            text,
            started: recorder.tick(),
            ended: 0,
            seen: Seen::InDoubt,
        };
        let key = (writer % 2 == 1).then(|| format!("p {round} {writer} {number}"));
        let answer = send_post(&mut client, &post, key.as_deref());
        post.ended = recorder.tick();
        match answer {
            Ok(answer) if answer.status == 201 => {
                post.seen = Seen::Done(id_of(&answer));
                recorder.posted(post);
            }
            Ok(answer) => assert!(
                matches!(answer.status, 409 | 503 | 507),
                "{}",
                answer.text()
            ),
            Err(Failure::NotSent(_)) => return,
            Err(Failure::InDoubt(_)) => {
                match key {
                    Some(key) => recorder.unanswered.lock().unwrap().push(Unanswered {
                        key,
                        request: Request::Post(post),
                    }),
                    None => recorder.posted(post),
                }
                return;
            }
        }
    }
}

/// Reads until the server is gone: every other reader with keys, some with a limit.
fn read(mut client: Client, recorder: &Recorder, round: usize, reader: usize) {
    for number in 0.. {
        let mailbox = mailbox(reader + number);
        let limit = if number % 3 == 0 { "?limit=3" } else { "" };
        let path = format!("/chats/{mailbox}{limit}");
        let key = (reader % 2 == 1).then(|| format!("r {round} {reader} {number}"));
        let headers: Vec<_> = key
            .iter()
            .map(|key| ("Idempotency-Key", key.as_str()))
            .collect();
        match client.try_send("GET", &path, &headers, b"") {
            Ok(answer) if answer.status == 200 => {
                recorder.read(&mailbox, Seen::Done(messages(&answer)));
            }
            Ok(answer) => assert_eq!(answer.status, 503, "{}", answer.text()),
            Err(Failure::NotSent(_)) => return,
            Err(Failure::InDoubt(_)) => {
                match key {
                    Some(key) => recorder.unanswered.lock().unwrap().push(Unanswered {
                        key,
                        request: Request::Read { mailbox, path },
                    }),
                    None => recorder.read(&mailbox, Seen::InDoubt),
                }
                return;
            }
        }
        // Messages should wait sometimes, so that some are in their mailbox at the crash.
        thread::sleep(Duration::from_millis(2));
    }
}

/// Repeats with its key what was not answered: then its outcome is known.
fn finish_unanswered(client: &mut Client, recorder: &Recorder) {
    for unanswered in recorder.unanswered.lock().unwrap().drain(..) {
        let key = unanswered.key;
        match unanswered.request {
            Request::Post(mut post) => {
                let answer = eventually("a mailbox has room", || {
                    let answer = send_post(client, &post, Some(&key)).unwrap();
                    (answer.status != 409).then_some(answer)
                });
                post.seen = Seen::Done(id_of(&answer.expect(201)));
                post.ended = recorder.tick();
                recorder.posted(post);
            }
            Request::Read { mailbox, path } => {
                let headers = [("Idempotency-Key", key.as_str())];
                let answer = client.send("GET", &path, &headers, b"").expect(200);
                recorder.read(&mailbox, Seen::Done(messages(&answer)));
                let again = client.send("GET", &path, &headers, b"").expect(200);
                assert_eq!(again.body, answer.body, "a repeated read is the same set");
            }
        }
    }
}

/// Reads every mailbox until it is empty.
fn drain(client: &mut Client, recorder: &Recorder) {
    for number in 0..MAILBOXES {
        let mailbox = mailbox(number);
        loop {
            let answer = client.get(&format!("/chats/{mailbox}")).expect(200);
            let messages = messages(&answer);
            if messages.is_empty() {
                break;
            }
            recorder.read(&mailbox, Seen::Done(messages));
        }
    }
}

fn send_post(client: &mut Client, post: &Posted, key: Option<&str>) -> Result<Answer, Failure> {
    let headers: Vec<_> = key.iter().map(|key| ("Idempotency-Key", *key)).collect();
    let body = json!({"username": post.mailbox, "text": post.text, "timeout": 3_600});
    client.try_send("POST", "/chat", &headers, body.to_string().as_bytes())
}

fn look_up(client: &mut Client, id: &str) -> Option<Looked> {
    let answer = client.get(&format!("/chat/{id}"));
    if answer.status == 404 {
        return None;
    }
    let json = answer.expect(200).json();
    let text = |name: &str| json[name].as_str().map(str::to_owned);
    assert_ne!(json["state"], "expired", "nothing may expire here");
    Some(Looked {
        mailbox: text("username").unwrap(),
        text: text("text").unwrap(),
        read_at: text("read_at"),
    })
}

fn id_of(answer: &Answer) -> String {
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn messages(answer: &Answer) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let json = answer.json();
    let messages = json.as_array().unwrap().iter();
    messages
        .map(|message| (text(&message["id"]), text(&message["text"])))
        .collect()
}
