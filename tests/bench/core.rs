//! What the parts of a request cost by themselves: reading a body, deciding in a shard, encoding an
//! event, appending a group to the journal. Whole requests are measured by `mayfly bench`.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use mayfly::domain::event::{Event, Posted};
use mayfly::domain::id::{IdClock, MessageId};
use mayfly::domain::limits::Limits;
use mayfly::domain::message::{Attributes, Content};
use mayfly::domain::time::UnixMs;
use mayfly::domain::username::{Route, ShardId, Username};
use mayfly::http::body::{BodyFormat, parse_post};
use mayfly::shard::call::{Post, Take};
use mayfly::shard::spread::Spread;
use mayfly::shard::turn::{Tally, Turn};
use mayfly::shard::usage::Usage;
use mayfly::shard::value::Shard;
use mayfly::store::group::Group;
use mayfly::store::journal::{Journal, Position};
use mayfly::store::local::{LocalJournal, LocalOptions};

/// Records in the group of a busy server.
const GROUP_RECORDS: usize = 64;

fn read_a_body(criterion: &mut Criterion) {
    let body = format!(
        r#"{{"username":"alice","text":"{}","timeout":60}}"#,
        "x".repeat(100)
    );
    let limits = Limits::default();
    criterion.bench_function("read a post of 100 bytes", |bench| {
        bench.iter(|| parse_post(body.as_bytes(), BodyFormat::Json, &limits));
    });
}

/// A shard with its surroundings.
struct Table {
    shard: Shard,
    limits: Limits,
    usage: Usage,
    group: Group,
    tally: Tally,
}

impl Table {
    fn new() -> Table {
        Table {
            shard: Shard::new(ShardId(0), UnixMs(1_000), Spread::new(7)),
            limits: Limits::default(),
            usage: Usage::new(u64::MAX / 2, 1_000),
            group: Group::default(),
            tally: Tally::default(),
        }
    }

    fn turn<R>(&mut self, call: impl FnOnce(&mut Shard, &mut Turn<'_>) -> R) -> R {
        self.group.clear();
        let turn = &mut Turn {
            now: UnixMs(1_000),
            random: 0x9e37_79b9_7f4a_7c15,
            limits: &self.limits,
            usage: &self.usage,
            group: &mut self.group,
            batch: 1,
            position: Position(1),
            tally: &mut self.tally,
        };
        call(&mut self.shard, turn)
    }
}

fn decide(criterion: &mut Criterion) {
    let text = "x".repeat(100);
    criterion.bench_function("post and read one message in a shard", |bench| {
        let mut table = Table::new();
        bench.iter(|| {
            let (username, key) = (Username::from_stored("alice"), None);
            let hash = username.hash();
            let content = Content::new(&text, Attributes::default());
            let post = Post {
                username: username.clone(),
                hash,
                content,
                ttl_ms: 60_000,
                key,
            };
            let accepted = table.turn(|shard, turn| shard.post(post, turn));
            let take = Take {
                username,
                hash,
                limit: usize::MAX,
                key,
                is_repeat: false,
            };
            (accepted, table.turn(|shard, turn| shard.take(take, turn)))
        });
    });
}

fn group() -> Group {
    let (mut group, mut ids, text) = (Group::default(), IdClock::default(), "x".repeat(130));
    for _ in 0..GROUP_RECORDS {
        let id = MessageId::new(ids.next(UnixMs(1_700_000_000_000)), Route(0), 42);
        let posted = Posted {
            username: "alice",
            id,
            expires_at: UnixMs(1_700_000_060_000),
            text: &text,
            attributes: Attributes::default(),
            key: None,
        };
        group.push(
            ShardId(0),
            UnixMs(1_700_000_000_000),
            &Event::Posted(posted),
        );
    }
    group
}

fn record(criterion: &mut Criterion) {
    let mut rows = criterion.benchmark_group("journal");
    rows.throughput(Throughput::Elements(GROUP_RECORDS as u64));
    rows.bench_function("encode a group", |bench| {
        bench.iter_batched(|| (), |()| group(), BatchSize::SmallInput)
    });
    let directory = tempfile::tempdir().expect("a temporary directory");
    let journal =
        LocalJournal::open(directory.path(), &LocalOptions::default()).expect("a journal");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let group = group();
    rows.bench_function("append and sync a group", |bench| {
        bench.iter(|| {
            for shard in ShardId::all() {
                runtime
                    .block_on(journal.trim(shard, journal.position(shard)))
                    .expect("trimmed");
            }
            let _ = runtime.block_on(journal.append(&group)).expect("appended");
        });
    });
    rows.finish();
}

criterion_group!(benches, read_a_body, decide, record);
criterion_main!(benches);
