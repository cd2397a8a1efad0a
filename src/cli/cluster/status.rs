//! `mayfly cluster status`: the members of a cluster, and who owns its shards.

use std::time::Duration;

use clap::Args;

use super::view::{ClusterView, short};
use super::{AdminFlags, Failure, pairs, terminal};
use crate::cli::terminal::Board;

/// How long between two looks.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Show the members of a cluster and who owns its shards.
#[derive(Args, Debug)]
pub struct Status {
    /// Look again each second, until Ctrl-C
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    admin: AdminFlags,
}

impl Status {
    /// Looks once, or for as long as it is wanted. A node that answered once may be away for a
    /// while.
    pub async fn run(self) -> Result<(), Failure> {
        let mut board = Board::new();
        let mut view = ClusterView::ask(&self.admin.admin_url).await;
        if !self.watch || view.is_err() {
            return self.show(&mut board, &view?);
        }
        loop {
            match &view {
                Ok(view) => self.show(&mut board, view)?,
                Err(failure) if self.admin.json => terminal::remark(&line(failure)),
                Err(failure) => board.draw(&line(failure))?,
            }
            tokio::time::sleep(WATCH_EVERY).await;
            view = ClusterView::ask(&self.admin.admin_url).await;
        }
    }

    fn show(&self, board: &mut Board, view: &ClusterView) -> Result<(), Failure> {
        if self.admin.json {
            return Ok(terminal::json(&view.answer)?);
        }
        Ok(board.draw(&text(view))?)
    }
}

fn line(failure: &Failure) -> String {
    terminal::escape(failure.line())
}

/// A view for people.
fn text(view: &ClusterView) -> String {
    let mut members: Vec<[String; 6]> = view
        .members
        .iter()
        .map(|member| {
            let shards = view.shards_of(&member.generation).to_string();
            let generation = short(&member.generation);
            let cells = [
                &member.node,
                &member.address,
                &member.state,
                &member.version,
                &generation,
                &shards,
            ];
            cells.map(|cell| terminal::escape(cell))
        })
        .collect();
    members.sort();
    let head = [
        "NODE",
        "ADDRESS",
        "STATE",
        "VERSION",
        "GENERATION",
        "SHARDS",
    ];
    let mut parts = vec![
        format!(
            "cluster {}, as {} sees it: {}",
            terminal::escape(&view.cluster),
            terminal::escape(&view.name(Some(&view.generation))),
            owned(view)
        ),
        terminal::format_table(head, &members),
    ];
    let moves = view.moves.iter().map(|one| {
        let names = [
            view.name(one.from.as_deref()),
            view.name(one.to.as_deref()),
            one.state.clone(),
        ];
        (names.map(|name| terminal::escape(&name)), one.shard)
    });
    let moves: Vec<[String; 5]> = pairs::rows(moves);
    if !moves.is_empty() {
        let head = ["FROM", "TO", "STATE", "COUNT", "SHARDS"];
        parts.push(terminal::format_table(head, &moves));
    }
    parts.join("\n\n")
}

/// How many shards have a living owner, and what is to be said of the others.
fn owned(view: &ClusterView) -> String {
    let (shards, unowned, orphaned) = (view.owners.len(), view.unowned(), view.orphaned());
    let mut text = format!("{shards} shards, {} owned", shards - unowned - orphaned);
    for (number, what) in [
        (unowned, "without an owner"),
        (orphaned, "of nodes that are gone"),
        (view.moves.len(), "to be moved"),
    ] {
        if number > 0 {
            text.push_str(&format!(", {number} {what}"));
        }
    }
    text
}
