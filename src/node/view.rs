//! The cluster as a node sees it, for people and for `mayfly cluster`.

use cluster::member::Generation;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

/// Questions that may wait for the node's thread; more wait for their turn.
const ASKS_MAX: usize = 16;

/// The cluster at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClusterView {
    /// This start of this node.
    pub generation: String,
    /// The cluster's name.
    pub cluster: String,
    /// How many shards there are.
    pub shards: usize,
    /// The live members.
    pub members: Vec<MemberRow>,
    /// Each shard.
    pub owners: Vec<OwnerRow>,
    /// Shards on their way from this node or to it.
    pub moves: Vec<MoveRow>,
}

/// A live member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberRow {
    /// Which start of the node.
    pub generation: String,
    /// What people call it.
    pub node: String,
    /// Where peers reach it.
    pub address: String,
    /// `joining`, `serving` or `draining`.
    pub state: &'static str,
    /// What it runs.
    pub version: String,
    /// How many shards it owns.
    pub shards: usize,
}

/// Who owns a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OwnerRow {
    /// The shard.
    pub shard: u16,
    /// Its owner, if that is a live member.
    pub generation: Option<String>,
    /// The epoch of the latest known claim; 0 before the first.
    pub epoch: u64,
}

/// A shard on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MoveRow {
    /// The shard.
    pub shard: u16,
    /// Whose it is now, if that is known.
    pub from: Option<String>,
    /// Whose it becomes.
    pub to: Option<String>,
    /// `waiting` for its turn, or `moving`.
    pub state: &'static str,
}

/// How far a node's drain has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Shards that are still here and could be elsewhere.
    pub left: usize,
}

/// What the node's thread can be asked.
#[derive(Debug)]
pub enum Ask {
    /// How the cluster looks.
    View(oneshot::Sender<ClusterView>),
    /// To hand everything over, and how far that has come.
    Drain(oneshot::Sender<Drain>),
    /// To leave the cluster, at the end.
    Leave(oneshot::Sender<()>),
}

/// The way to the node's thread; cheap to clone.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    asks: mpsc::Sender<Ask>,
}

impl NodeHandle {
    /// A handle, and where its questions arrive.
    pub fn new() -> (NodeHandle, mpsc::Receiver<Ask>) {
        let (asks, arriving) = mpsc::channel(ASKS_MAX);
        (NodeHandle { asks }, arriving)
    }

    /// How the cluster looks to this node; `None` when the node has ended.
    pub async fn view(&self) -> Option<ClusterView> {
        self.ask(Ask::View).await
    }

    /// Has every shard handed over, now and from now on, and tells how far that has come.
    pub async fn drain(&self) -> Option<Drain> {
        self.ask(Ask::Drain).await
    }

    /// Leaves the cluster: nothing is answered any more.
    pub async fn leave(&self) -> Option<()> {
        self.ask(Ask::Leave).await
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Option<T> {
        let (asker, answer) = oneshot::channel();
        self.asks.send(ask(asker)).await.ok()?;
        answer.await.ok()
    }
}

/// A generation as it is shown.
pub fn shown(generation: Generation) -> String {
    generation.to_string()
}
