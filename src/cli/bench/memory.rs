//! `mayfly bench --memory`: resident bytes of a user with one unread message.

use std::time::Duration;

use serde_json::json;

use super::load::Target;
use super::process::{Server, Setup};
use super::row::Runner;
use crate::cli::scratch::Scratch;
use crate::cli::{Failure, terminal};

/// Users before the first look, so that buffers and pools are not counted as messages.
const WARM_UP_USERS: u64 = 20_000;

/// How long the server may settle before a look.
const SETTLED: Duration = Duration::from_secs(2);

/// Posts one message each to `users` users and prints by how much the server grew.
///
/// # Errors
/// A server that does not start, is silent, or refuses a post.
pub async fn run(setup: &Setup, load: &Target, users: u64, as_json: bool) -> Result<(), Failure> {
    let scratch = Scratch::new(&setup.scratch, "bench")?;
    let server = Server::mayfly(&scratch, setup).await?;
    let target = Target {
        address: server.address,
        ..load.clone()
    };
    let text_bytes = target.shape.text.len();
    let mut runner = Runner::new(target, None, 0);
    runner.fill(WARM_UP_USERS).await?;
    tokio::time::sleep(SETTLED).await;
    let before = server.resident_bytes()?;
    runner.fill(users).await?;
    tokio::time::sleep(SETTLED).await;
    let after = server.resident_bytes()?;
    let per_user = (after as f64 - before as f64) / users as f64;
    if as_json {
        return Ok(terminal::json(&json!({
            "users": users,
            "text_bytes": text_bytes,
            "resident_bytes_before": before,
            "resident_bytes_after": after,
            "bytes_per_user": per_user,
        }))?);
    }
    let rows = [
        ["users", &users.to_string()],
        ["bytes of text each", &text_bytes.to_string()],
        ["resident bytes before", &before.to_string()],
        ["resident bytes after", &after.to_string()],
        ["bytes per user", &format!("{per_user:.0}")],
    ];
    Ok(terminal::table(
        ["MEASURE", "VALUE"],
        &rows.map(|row| row.map(String::from)),
    )?)
}
