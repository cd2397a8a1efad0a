//! `mayfly get`: looks a message up by its id.

use clap::Args;
use hyper::Method;
use serde_json::Value;

use super::client::{Client, path_segment};
use super::{ClientFlags, Failure, terminal};

/// Look a message up by its id; consumes nothing.
#[derive(Args, Debug)]
pub struct Get {
    /// The id that send printed
    id: String,
    #[command(flatten)]
    client: ClientFlags,
}

impl Get {
    /// Looks the message up.
    pub async fn run(self) -> Result<(), Failure> {
        let client = Client::from_environment(&self.client.url)?;
        let path = format!("/chat/{}", path_segment(&self.id));
        let message = client.json(Method::GET, &path, None).await?;
        if self.client.json {
            return Ok(terminal::json(&message)?);
        }
        let fields = message.as_object().into_iter().flatten();
        let rows: Vec<[String; 2]> = fields
            .map(|(name, value)| [name, &shown(value)].map(|cell| terminal::escape(cell)))
            .collect();
        Ok(terminal::table(["FIELD", "VALUE"], &rows)?)
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(pairs) => {
            let pairs = pairs
                .iter()
                .map(|(name, value)| format!("{name}={}", shown(value)));
            pairs.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_without_the_quotes_of_json() {
        for (value, text) in [
            (serde_json::json!("a"), "a"),
            (serde_json::json!(null), "null"),
            (
                serde_json::json!({"city": "Oslo", "state": "x"}),
                "city=Oslo, state=x",
            ),
        ] {
            assert_eq!(shown(&value), text);
        }
    }
}
