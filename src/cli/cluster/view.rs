//! The view of a cluster, as a node answers `GET /cluster`: read by what these commands need, so
//! that members which a newer node adds disturb nobody.

use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::cli::Failure;
use crate::cli::client::{BaseUrl, Client, ClientError};

/// Characters of a generation that are shown to people.
const SHORT_CHARS: usize = 8;

/// A cluster, as one of its nodes sees it.
#[derive(Debug, Deserialize)]
pub struct ClusterView {
    /// The start of the node that answered.
    pub generation: String,
    /// The name of the cluster.
    pub cluster: String,
    /// How many shards it has.
    pub shards: u16,
    /// Its live members.
    pub members: Vec<MemberRow>,
    /// A row for each shard.
    pub owners: Vec<OwnerRow>,
    /// What is on its way.
    #[serde(default)]
    pub moves: Vec<MoveRow>,
    /// All of the answer.
    #[serde(skip)]
    pub answer: Value,
}

/// A live member.
#[derive(Debug, Deserialize)]
pub struct MemberRow {
    /// The start of its process.
    pub generation: String,
    /// What people call it.
    pub node: String,
    /// Where its peers find it.
    pub address: String,
    /// `joining`, `serving` or `draining`.
    pub state: String,
    /// What it runs.
    pub version: String,
}

/// Who owns a shard.
#[derive(Debug, Deserialize)]
pub struct OwnerRow {
    /// The shard.
    pub shard: u16,
    /// Its owner, who may be gone; or nobody.
    pub generation: Option<String>,
}

/// A shard on its way.
#[derive(Debug, Deserialize)]
pub struct MoveRow {
    /// The shard.
    pub shard: u16,
    /// Who gives it.
    pub from: Option<String>,
    /// Who takes it.
    pub to: Option<String>,
    /// `waiting` or `moving`.
    pub state: String,
}

impl ClusterView {
    /// Asks the node with this admin address.
    ///
    /// # Errors
    /// It cannot be reached, is no node of a cluster, or answers something else.
    pub async fn ask(url: &BaseUrl) -> Result<ClusterView, Failure> {
        let client = Client::without_key(url);
        let answer = client.call(Method::GET, "/cluster", None).await?;
        let reason = match answer.status {
            StatusCode::NOT_FOUND => {
                "is no node of a cluster; name the admin address of one by --admin-url"
            }
            StatusCode::SERVICE_UNAVAILABLE => "is starting or stopping; try again",
            _ => return ClusterView::read(url, &client.value(&answer)?),
        };
        Err(Failure::Failed(format!("{url} {reason}")))
    }

    fn read(url: &BaseUrl, answer: &Value) -> Result<ClusterView, Failure> {
        let view = ClusterView::deserialize(answer).map_err(|error| ClientError::Unexpected {
            url: url.clone(),
            reason: format!("a view of a cluster that cannot be read ({error})"),
        })?;
        let answer = answer.clone();
        Ok(ClusterView { answer, ..view })
    }

    /// The member that is this start of a process, if it is alive.
    pub fn member(&self, generation: &str) -> Option<&MemberRow> {
        let mut members = self.members.iter();
        members.find(|member| member.generation == generation)
    }

    /// What people call an owner: its node, or that it is gone, or `nobody`.
    pub fn name(&self, owner: Option<&str>) -> String {
        match owner.map(|generation| (generation, self.member(generation))) {
            Some((_, Some(member))) => member.node.clone(),
            Some((generation, None)) => format!("{} (gone)", short(generation)),
            None => String::from("nobody"),
        }
    }

    /// How many shards an owner has.
    pub fn shards_of(&self, generation: &str) -> usize {
        let owner = Some(generation);
        let owners = self.owners.iter();
        owners
            .filter(|row| row.generation.as_deref() == owner)
            .count()
    }

    /// How many shards nobody owns.
    pub fn unowned(&self) -> usize {
        let owners = self.owners.iter();
        owners.filter(|row| row.generation.is_none()).count()
    }

    /// How many shards belong to a process that is gone.
    pub fn orphaned(&self) -> usize {
        let owners = self
            .owners
            .iter()
            .filter_map(|row| row.generation.as_deref());
        owners.filter(|owner| self.member(owner).is_none()).count()
    }

    /// The names of all nodes, for one who named another.
    pub fn nodes(&self) -> String {
        let mut nodes: Vec<&str> = self.members.iter().map(|m| m.node.as_str()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes.join(", ")
    }
}

/// The first characters of a generation, which tell people enough.
pub fn short(generation: &str) -> String {
    generation.chars().take(SHORT_CHARS).collect()
}
