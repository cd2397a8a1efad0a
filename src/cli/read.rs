//! `mayfly read`: takes the messages of a user and shows them.

use clap::Args;
use hyper::Method;
use serde_json::Value;

use super::client::{Client, path_segment};
use super::{ClientFlags, Failure, terminal};

/// Take the messages of a user: each is delivered by this one read.
#[derive(Args, Debug)]
pub struct Read {
    /// Whose messages
    username: String,
    /// At most this many, the oldest first [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    client: ClientFlags,
}

impl Read {
    /// Reads the mailbox.
    pub async fn run(self) -> Result<(), Failure> {
        let client = Client::from_environment(&self.client.url)?;
        let limit = self
            .limit
            .map_or(String::new(), |limit| format!("?limit={limit}"));
        let path = format!("/chats/{}/take{limit}", path_segment(&self.username));
        let answer = client.json(Method::POST, &path, None).await?;
        if self.client.json {
            return Ok(terminal::json(&answer)?);
        }
        let messages = answer.as_array().map_or(&[][..], Vec::as_slice);
        if messages.is_empty() {
            terminal::remark("no messages");
            return Ok(());
        }
        let cell = |message: &Value, key: &str| {
            terminal::escape(message.get(key).and_then(Value::as_str).unwrap_or_default())
        };
        let rows: Vec<[String; 3]> = messages
            .iter()
            .map(|message| ["id", "created_at", "text"].map(|key| cell(message, key)))
            .collect();
        Ok(terminal::table(["ID", "CREATED", "TEXT"], &rows)?)
    }
}
