//! `mayfly cluster plan`: which shards would move if nodes joined or left.
//!
//! It asks for the view and for nothing else; the placement is the one that the nodes compute.

use clap::Args;
use cluster::member::{Generation, Member, State};
use cluster::placement::{self, Table};
use cluster::shard::Shard;
use serde_json::{Value, json};
use uuid::Uuid;

use super::view::{ClusterView, MemberRow};
use super::{AdminFlags, Failure, pairs, terminal};

/// Tell which shards would move if nodes joined or left; moves nothing.
#[derive(Args, Debug)]
pub struct Plan {
    /// So many nodes join; their names continue those of the cluster
    #[arg(long, value_name = "N", default_value = "0", value_parser = clap::value_parser!(u16).range(0..=100))]
    join: u16,
    /// This node leaves; may be repeated
    #[arg(long, value_name = "NODE")]
    leave: Vec<String>,
    #[command(flatten)]
    admin: AdminFlags,
}

impl Plan {
    /// Asks for the view and shows what would follow.
    pub async fn run(self) -> Result<(), Failure> {
        let view = ClusterView::ask(&self.admin.admin_url).await?;
        let change = Change::of(&view, self.join, &self.leave)?;
        let moves = change.moves(&view)?;
        if self.admin.json {
            return Ok(terminal::json(&change.json(&moves))?);
        }
        if !moves.is_empty() {
            let names = |one: &Move| {
                let names = [&one.from_node, &one.to_node].map(|name| terminal::escape(name));
                (names, one.shard)
            };
            let rows: Vec<[String; 4]> = pairs::rows(moves.iter().map(names));
            terminal::table(["FROM", "TO", "COUNT", "SHARDS"], &rows)?;
        }
        let line = change.summary(moves.len(), view.shards);
        Ok(terminal::line(&terminal::escape(&line))?)
    }
}

/// What would become of the members.
struct Change {
    /// The names of those who come.
    joining: Vec<String>,
    /// The names of those who go.
    leaving: Vec<String>,
    /// Who is a member then.
    members: Vec<Member>,
}

/// A shard whose owner would change, for people and machines.
struct Move {
    shard: u16,
    from: Option<Generation>,
    to: Option<Generation>,
    from_node: String,
    to_node: String,
}

impl Change {
    fn of(view: &ClusterView, join: u16, leave: &[String]) -> Result<Change, Failure> {
        let is_node = |node: &String| view.members.iter().any(|member| member.node == *node);
        if let Some(unknown) = leave.iter().find(|node| !is_node(node)) {
            return Err(Failure::Failed(format!(
                "--leave: no node is named {unknown}; the nodes are: {}",
                view.nodes()
            )));
        }
        let rows = view.members.iter();
        let staying = rows.filter(|row| !leave.contains(&row.node)).map(member);
        let joining = names_of_joining(view, join);
        let arriving = joining.iter().enumerate().map(arriving);
        Ok(Change {
            members: staying.chain(arriving).collect::<Result<_, _>>()?,
            joining,
            leaving: leave.to_vec(),
        })
    }

    fn moves(&self, view: &ClusterView) -> Result<Vec<Move>, Failure> {
        let moves = placement::plan(&self.members, &owners(view)?);
        let name = |owner: Option<Generation>| {
            let arriving = self.members.iter().find(|m| Some(m.generation) == owner);
            let owner = owner.map(|generation| generation.to_string());
            arriving.map_or_else(|| view.name(owner.as_deref()), |m| m.node.to_string())
        };
        let moves = moves.into_iter().map(|one| Move {
            shard: one.shard.0,
            from: one.from,
            to: one.to.filter(|to| view.member(&to.to_string()).is_some()),
            from_node: name(one.from),
            to_node: name(one.to),
        });
        Ok(moves.collect())
    }

    fn summary(&self, moves: usize, shards: u16) -> String {
        let mut line = format!("{moves} of {shards} shards would move");
        for (nodes, what) in [(&self.joining, "joining"), (&self.leaving, "leaving")] {
            if !nodes.is_empty() {
                line.push_str(&format!("; {what}: {}", nodes.join(", ")));
            }
        }
        line
    }

    /// `from` and `to` are generations, null for nobody and for a node that is not there yet.
    fn json(&self, moves: &[Move]) -> Value {
        let generation = |owner: Option<Generation>| owner.map(|owner| owner.to_string());
        let moves = moves.iter().map(|one| {
            json!({
                "shard": one.shard,
                "from": generation(one.from),
                "to": generation(one.to),
                "from_node": one.from_node,
                "to_node": one.to_node,
            })
        });
        json!({
            "joining": self.joining,
            "leaving": self.leaving,
            "moves": moves.collect::<Vec<_>>(),
        })
    }
}

/// The member of a row; that its words can be read is the other release's promise.
fn member(row: &MemberRow) -> Result<Member, Failure> {
    Ok(Member {
        generation: generation(&row.generation)?,
        node: row.node.parse().map_err(unreadable)?,
        address: row.address.parse().map_err(unreadable)?,
        state: row.state.parse().map_err(unreadable)?,
        version: row.version.parse().map_err(unreadable)?,
    })
}

/// A member that is not there yet. The ring looks at its name alone; its generation is the newest.
fn arriving((index, node): (usize, &String)) -> Result<Member, Failure> {
    Ok(Member {
        generation: Generation(Uuid::from_u128(u128::MAX - index as u128)),
        node: node.parse().map_err(unreadable)?,
        address: "localhost:1".parse().map_err(unreadable)?,
        state: State::Serving,
        version: env!("CARGO_PKG_VERSION").parse().map_err(unreadable)?,
    })
}

fn owners(view: &ClusterView) -> Result<Table, Failure> {
    let mut owners = Table::unowned(view.shards);
    for row in &view.owners {
        if row.shard >= view.shards {
            let (shard, shards) = (row.shard, view.shards);
            return Err(unreadable(format!("shard {shard} of {shards}")));
        }
        let owner = row.generation.as_deref().map(generation).transpose()?;
        owners.set(Shard(row.shard), owner);
    }
    Ok(owners)
}

fn generation(text: &str) -> Result<Generation, Failure> {
    let read = Uuid::parse_str(text).map(Generation);
    read.map_err(|_| unreadable(format!("{text:?} is no generation")))
}

fn unreadable(reason: impl std::fmt::Display) -> Failure {
    Failure::Failed(format!(
        "the view of the cluster cannot be planned with: {reason}; use the release that the nodes run"
    ))
}

/// Names for those who join, since the ring goes by names: with the highest number at the end of a
/// name counted on, as Kubernetes names the pods of a set; else `new-1`.
fn names_of_joining(view: &ClusterView, join: u16) -> Vec<String> {
    let numbered = |row: &MemberRow| {
        let stem = row.node.trim_end_matches(|c: char| c.is_ascii_digit());
        let number: u64 = row.node[stem.len()..].parse().ok()?;
        Some((number, String::from(stem)))
    };
    let highest = view.members.iter().filter_map(numbered).max();
    let (highest, stem) = highest.unwrap_or((0, String::from("new-")));
    let numbers = (1..=u64::from(join)).map(|step| highest.saturating_add(step));
    numbers.map(|number| format!("{stem}{number}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(nodes: &[&str]) -> ClusterView {
        let members: Vec<Value> = nodes
            .iter()
            .enumerate()
            .map(|(index, node)| {
                json!({
                    "generation": Uuid::from_u128(index as u128).to_string(), "node": node,
                    "address": "localhost:1", "state": "serving", "version": "1.0.0"
                })
            })
            .collect();
        let view = json!({"generation": "", "cluster": "c", "shards": 4, "members": members, "owners": []});
        serde_json::from_value(view).expect("a view")
    }

    #[test]
    fn those_who_join_continue_the_names_of_the_cluster() {
        for (nodes, names) in [
            (
                &["mayfly-0", "mayfly-2", "mayfly-10"][..],
                ["mayfly-11", "mayfly-12"],
            ),
            (&["a", "b7"], ["b8", "b9"]),
            (&["a", "b"], ["new-1", "new-2"]),
            (&[], ["new-1", "new-2"]),
        ] {
            assert_eq!(names_of_joining(&view(nodes), 2), names);
        }
    }

    #[test]
    fn a_change_counts_those_who_come_and_not_those_who_go() {
        let leave = [String::from("a")];
        let change = Change::of(&view(&["a", "b-1", "a"]), 1, &leave).expect("a change");
        let nodes: Vec<_> = change.members.iter().map(|m| m.node.as_str()).collect();
        assert_eq!(nodes, ["b-1", "b-2"]);
    }

    #[test]
    fn a_view_that_contradicts_itself_is_refused() {
        let mut view = view(&["a"]);
        for (shard, generation) in [(4, None), (0, Some("x"))] {
            view.owners =
                serde_json::from_value(json!([{"shard": shard, "generation": generation}]))
                    .expect("rows");
            let failure = owners(&view).expect_err("no table");
            assert!(failure.line().contains("cannot be planned"), "{failure:?}");
        }
    }
}
