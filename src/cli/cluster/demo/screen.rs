//! What the demo shows: a picture of the nodes that is drawn again and again on a terminal, else a
//! line for each that has changed; and what to try.

use super::nodes::{Picture, Row};
use crate::cli::Failure;
use crate::cli::terminal::{self, Board};

/// Where the pictures go.
pub struct Screen {
    board: Board,
    json: bool,
    /// What this binary was called by, so that people can paste the commands.
    program: String,
    /// The last picture.
    shown: Option<Picture>,
    /// Whether it was told what to try.
    has_told: bool,
}

impl Screen {
    /// A screen for people, or lines of JSON.
    pub fn new(json: bool) -> Screen {
        let program = std::env::args_os().next().unwrap_or_default();
        Screen {
            board: Board::new(),
            json,
            program: program.to_string_lossy().into_owned(),
            shown: None,
            has_told: false,
        }
    }

    /// Shows the newest picture.
    ///
    /// # Errors
    /// What the system says, such as a closed pipe.
    pub fn show(&mut self, picture: Picture) -> Result<(), Failure> {
        let has_changed = self.shown.as_ref() != Some(&picture);
        if self.json && has_changed {
            terminal::json(&serde_json::json!(picture))?;
        } else if self.board.redraws() && !self.json {
            let to_try = what_to_try(&self.program, &picture.nodes);
            let parts = [table(&picture.nodes), summary(&picture), to_try];
            self.board.draw(&parts.join("\n\n"))?;
        } else if has_changed && !self.json {
            self.append(&picture)?;
        }
        self.shown = Some(picture);
        Ok(())
    }

    fn append(&mut self, picture: &Picture) -> Result<(), Failure> {
        let before = self.shown.as_ref().map_or(&[][..], |shown| &shown.nodes);
        for row in picture.nodes.iter().filter(|row| !before.contains(row)) {
            let Row {
                node,
                pid,
                url,
                state,
                shards,
                ..
            } = row;
            let line = format!("{node}  pid {pid}  {url}  {state}  {shards} shards");
            terminal::line(&terminal::escape(&line))?;
        }
        if self.shown.as_ref().map(|shown| shown.unowned) != Some(picture.unowned) {
            terminal::line(&summary(picture))?;
        }
        if !self.has_told && picture.nodes.iter().all(|row| row.state == "serving") {
            terminal::line(&what_to_try(&self.program, &picture.nodes))?;
            self.has_told = true;
        }
        Ok(())
    }
}

fn table(nodes: &[Row]) -> String {
    let cells = |row: &Row| {
        [
            row.node.clone(),
            row.pid.to_string(),
            row.url.clone(),
            terminal::escape(&row.state),
            row.shards.to_string(),
        ]
    };
    let rows: Vec<[String; 5]> = nodes.iter().map(cells).collect();
    terminal::format_table(["NODE", "PID", "URL", "STATE", "SHARDS"], &rows)
}

fn summary(picture: &Picture) -> String {
    match picture.unowned {
        None => String::from("no node tells of shards"),
        Some(0) => String::from("every shard has an owner"),
        Some(1) => String::from("1 shard has no owner"),
        Some(unowned) => format!("{unowned} shards have no owner"),
    }
}

/// Commands to paste: a message goes in at one node and out at another, and that one can be drained or
/// killed.
fn what_to_try(program: &str, nodes: &[Row]) -> String {
    let mut alive = nodes.iter().filter(|row| row.state != "gone");
    let Some(first) = alive.next() else {
        return String::from("end:    Ctrl-C");
    };
    let last = alive.next_back().unwrap_or(first);
    let lines = [
        format!("send:   {program} send ann hello --url {}", first.url),
        format!("read:   {program} read ann --url {}", last.url),
        format!(
            "drain:  {program} cluster drain {} --admin-url {}",
            last.node, last.admin_url
        ),
        format!("kill:   kill -9 {}", last.pid),
        String::from("end:    Ctrl-C"),
    ];
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u32, state: &str) -> Row {
        Row {
            node: format!("demo-{number}"),
            pid: number,
            url: format!("http://127.0.0.1:{number}"),
            admin_url: format!("http://127.0.0.1:9{number}"),
            state: String::from(state),
            shards: 0,
        }
    }

    #[test]
    fn what_to_try_names_only_nodes_that_are_there() {
        let lines = |nodes: &[Row]| what_to_try("mayfly", nodes);
        let two = lines(&[row(1, "gone"), row(2, "serving"), row(3, "serving")]);
        assert!(two.contains("hello --url http://127.0.0.1:2\n"), "{two}");
        assert!(two.contains("read ann --url http://127.0.0.1:3\n"), "{two}");
        assert!(two.contains("drain demo-3 --admin-url http://127.0.0.1:93\n"));
        assert!(two.contains("kill -9 3\n"), "{two}");
        let one = lines(&[row(1, "serving"), row(2, "gone")]);
        assert!(one.contains("read ann --url http://127.0.0.1:1\n"), "{one}");
        assert_eq!(lines(&[row(1, "gone")]), "end:    Ctrl-C");
    }
}
