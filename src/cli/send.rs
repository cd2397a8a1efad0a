//! `mayfly send`: posts one message.

use std::io::{IsTerminal, Read};
use std::time::Duration;

use clap::Args;
use hyper::Method;
use serde_json::{Map, Value};

use super::client::Client;
use super::{ClientFlags, Failure, terminal};
use crate::config::unit::parse_duration;

/// The most that is read from standard input: no service takes a larger text.
const INPUT_BYTES_MAX: u64 = 16 << 20;

/// Post a message and print its id.
#[derive(Args, Debug)]
pub struct Send {
    /// Who the message is for
    username: String,
    /// The text; - or none reads it from standard input, without the newline at its end
    #[arg(allow_negative_numbers = true)]
    text: Option<String>,
    /// How long the message waits to be read, such as 90s or 2h; a bare number is seconds
    /// [default: the server's]
    #[arg(long, value_name = "DURATION", value_parser = message_timeout)]
    timeout: Option<u64>,
    /// Something to know about the message, such as city=Oslo; may be repeated
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = attribute)]
    attributes: Vec<(String, String)>,
    #[command(flatten)]
    client: ClientFlags,
}

impl Send {
    /// Posts the message.
    pub async fn run(self) -> Result<(), Failure> {
        let client = Client::from_environment(&self.client.url)?;
        let text = match self.text.as_deref() {
            Some("-") | None => text_from_input()?,
            Some(text) => String::from(text),
        };
        let mut message = Map::new();
        message.insert(String::from("username"), Value::from(self.username));
        message.insert(String::from("text"), Value::from(text));
        if let Some(seconds) = self.timeout {
            message.insert(String::from("timeout"), Value::from(seconds));
        }
        if !self.attributes.is_empty() {
            let pairs = self.attributes.into_iter();
            let attributes = pairs.map(|(name, value)| (name, Value::from(value)));
            message.insert(
                String::from("attributes"),
                Value::Object(attributes.collect()),
            );
        }
        let body = Value::Object(message).to_string().into_bytes();
        let answer = client.json(Method::POST, "/chat", Some(body)).await?;
        if self.client.json {
            return Ok(terminal::json(&answer)?);
        }
        let id = answer.get("id").and_then(Value::as_str).unwrap_or_default();
        Ok(terminal::line(&terminal::escape(id))?)
    }
}

fn text_from_input() -> Result<String, Failure> {
    let input = std::io::stdin();
    if input.is_terminal() {
        terminal::remark("write the message; Ctrl-D on an empty line sends it");
    }
    let mut text = String::new();
    let read = input
        .lock()
        .take(INPUT_BYTES_MAX + 1)
        .read_to_string(&mut text);
    read.map_err(|error| Failure::Failed(format!("standard input: {error}; send UTF-8 text")))?;
    if text.len() as u64 > INPUT_BYTES_MAX {
        return Err(Failure::Failed(String::from(
            "standard input has more than 16 MiB; send a shorter text",
        )));
    }
    let line = text
        .strip_suffix("\r\n")
        .or_else(|| text.strip_suffix('\n'));
    Ok(line.map_or(text.clone(), String::from))
}

fn message_timeout(text: &str) -> Result<u64, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    let duration = parse_duration(text)?;
    if duration != Duration::from_secs(duration.as_secs()) {
        return Err(String::from("write whole seconds, such as 90s"));
    }
    Ok(duration.as_secs())
}

fn attribute(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((String::from(name), String::from(value))),
        _ => Err(String::from("write a name and a value, such as city=Oslo")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_whole_seconds_with_or_without_a_unit() {
        for (text, seconds) in [
            ("0", 0),
            ("5", 5),
            ("90s", 90),
            ("2h", 7_200),
            ("3000ms", 3),
        ] {
            assert_eq!(message_timeout(text), Ok(seconds), "{text}");
        }
        for text in ["1500ms", "-1", "soon", ""] {
            assert!(message_timeout(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_attribute_is_cut_at_its_first_equals_sign() {
        let pair = |name: &str, value: &str| Ok((String::from(name), String::from(value)));
        assert_eq!(attribute("city=New York"), pair("city", "New York"));
        assert_eq!(attribute("a=b=c"), pair("a", "b=c"));
        assert_eq!(attribute("a="), pair("a", ""));
        assert!(attribute("=b").is_err());
        assert!(attribute("city").is_err());
    }
}
