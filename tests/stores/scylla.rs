//! The contract, for the stores of a cluster, on a real server.

use std::sync::Arc;
use std::time::Duration;

use cluster::member::Generation;
use cluster::ownership::claim::Claimant;
use mayfly::config::Settings;
use mayfly::config::scylla::ScyllaSettings;
use mayfly::domain::event::Event;
use mayfly::domain::username::ShardId;
use mayfly::store::claims::Claims;
use mayfly::store::group::Group;
use mayfly::store::journal::Journal;
use mayfly::store::scylla::schema::SchemaOptions;
use mayfly::store::scylla::{
    ScyllaArchive, ScyllaClaims, ScyllaJournal, ScyllaStores, apply_schema,
};
use uuid::Uuid;

use crate::contract::{Factory, Opened, contract};
use crate::support::*;

contract!(Scylla);

/// Frames of a segment: few, so that tests fill some.
pub const SEGMENT_FRAMES: u64 = 2;

/// A keyspace of its own; opened by one node after the other.
pub struct Scylla {
    pub settings: ScyllaSettings,
}

impl Default for Scylla {
    fn default() -> Scylla {
        let settings = settings(&format!("t_{}", Uuid::now_v7().simple()));
        assert!(apply_schema(&settings, options()).unwrap(), "it is new");
        Scylla { settings }
    }
}

impl Scylla {
    /// A node that holds no shard yet.
    pub fn node(&self) -> ScyllaStores {
        ScyllaStores::open(&self.settings, claimant(), None).unwrap()
    }
}

impl Factory for Scylla {
    type Claims = ScyllaClaims;
    type Journal = ScyllaJournal;
    type Archive = ScyllaArchive;

    fn open(&mut self) -> Opened<Scylla> {
        let stores = self.node();
        let shards: Vec<_> = ShardId::all().collect();
        now(stores.claims.claim(&shards)).unwrap();
        now(stores.journal.replay(&shards, &mut |_, _| Ok(()))).unwrap();
        Opened {
            claims: stores.claims,
            journal: Arc::into_inner(stores.journal).unwrap(),
            archive: Arc::into_inner(stores.archive).unwrap(),
        }
    }

    fn crash(&mut self, opened: Opened<Scylla>) -> Opened<Scylla> {
        drop(opened);
        self.open()
    }

    fn next_place(&self, opened: &Opened<Scylla>) {
        let mut group = Group::default();
        for shard in ShardId::all() {
            group.push(shard, START, &Event::Advanced);
        }
        for _ in 0..=SEGMENT_FRAMES {
            append(&opened.journal, &group);
        }
    }
}

/// The settings of a keyspace on the server beside these tests.
pub fn settings(keyspace: &str) -> ScyllaSettings {
    let server = std::env::var("CQL_URI");
    let server = server.expect(
        "CQL_URI names no server; run the tests by: tests/servers/with-cql cargo test --test stores",
    );
    settings_at(&server, keyspace)
}

/// The settings of a keyspace on any server, of one copy.
pub fn settings_at(server: &str, keyspace: &str) -> ScyllaSettings {
    let address = format!("--scylla={server}/{keyspace}");
    let settings = Settings::from_arguments([address.as_str(), "--scylla-replication=1"]);
    settings.unwrap().scylla.unwrap()
}

/// What the keyspaces of these tests are made with.
pub fn options() -> SchemaOptions {
    SchemaOptions {
        retention: None,
        bucket: Duration::from_secs(600),
        segment_frames: SEGMENT_FRAMES,
    }
}

/// A start of a node that never was before.
pub fn claimant() -> Claimant {
    Claimant {
        node: Generation(Uuid::now_v7()),
        address: String::from("127.0.0.1:7946"),
    }
}
