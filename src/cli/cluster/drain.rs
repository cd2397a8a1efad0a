//! `mayfly cluster drain`: lets a node hand its shards over, and shows how far it is.
//!
//! Members tell only where their peers find them, so the admin address is given, and the name of the
//! node guards against draining another.

use std::time::Duration;

use clap::Args;
use hyper::Method;
use serde_json::json;

use super::view::{ClusterView, MemberRow};
use super::{AdminFlags, Failure, terminal};
use crate::cli::client::Client;
use crate::cli::terminal::Progress;

/// How long between two looks at what is left.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Let a node hand its shards over to the others, and wait until it owns none.
///
/// The node goes on forwarding requests until it is stopped.
#[derive(Args, Debug)]
pub struct Drain {
    /// The node; --admin-url must be its own
    node: String,
    /// Do not wait for the end
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    admin: AdminFlags,
}

impl Drain {
    /// Asks the node to drain, and waits.
    pub async fn run(self) -> Result<(), Failure> {
        let view = ClusterView::ask(&self.admin.admin_url).await?;
        let generation = self.answering(&view)?.generation.clone();
        let client = Client::without_key(&self.admin.admin_url);
        let answer = client.call(Method::POST, "/drain", None).await?;
        client.success(&answer)?;
        if self.no_wait {
            let left = view.shards_of(&generation);
            return self.tell(&generation, left, "drains");
        }
        self.wait(&generation, view.shards_of(&generation)).await?;
        self.tell(
            &generation,
            0,
            "owns no shard; it forwards until it is stopped",
        )
    }

    /// The member that answered, if it is the one to be drained and another can take its shards.
    fn answering<'a>(&self, view: &'a ClusterView) -> Result<&'a MemberRow, Failure> {
        let (url, node) = (&self.admin.admin_url, &self.node);
        if !view.members.iter().any(|member| member.node == *node) {
            return Err(Failure::Failed(format!(
                "no node is named {node}; the nodes are: {}",
                view.nodes()
            )));
        }
        let Some(answering) = view.member(&view.generation) else {
            return Err(Failure::Failed(format!(
                "the node at {url} is no member yet, or no more; see mayfly cluster status"
            )));
        };
        if answering.node != *node {
            return Err(Failure::Failed(format!(
                "{url} is the admin address of {}, not of {node}; name that of {node} by --admin-url",
                answering.node
            )));
        }
        let mut others = view
            .members
            .iter()
            .filter(|m| m.generation != view.generation);
        if !others.any(|member| member.state == "serving") {
            return Err(Failure::Failed(format!(
                "no node but {node} is serving, so nobody can take its shards; start another first"
            )));
        }
        Ok(answering)
    }

    async fn wait(&self, generation: &str, mut left: usize) -> Result<(), Failure> {
        let mut progress = Progress::new();
        let mut shown = None;
        while left > 0 {
            if shown != Some(left) {
                progress.show(&format!("{}: shards left: {left}", self.node));
                shown = Some(left);
            }
            tokio::time::sleep(LOOK_EVERY).await;
            let view = ClusterView::ask(&self.admin.admin_url).await;
            let view = view.map_err(|failure| {
                let reason = failure.line();
                Failure::Failed(format!(
                    "{left} shards were left when the node went: {reason}"
                ))
            })?;
            if view.generation != generation {
                return Err(Failure::Failed(format!(
                    "{} was started again while it drained; {left} shards were left",
                    self.node
                )));
            }
            left = view.shards_of(generation);
        }
        Ok(())
    }

    fn tell(&self, generation: &str, left: usize, what: &str) -> Result<(), Failure> {
        if self.admin.json {
            let node = &self.node;
            return Ok(terminal::json(
                &json!({"node": node, "generation": generation, "shards": left}),
            )?);
        }
        Ok(terminal::line(&format!("{} {what}", self.node))?)
    }
}
