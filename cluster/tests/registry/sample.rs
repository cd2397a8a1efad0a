//! Members to announce, and how long to wait for what must come.

use std::time::{Duration, Instant};

use cluster::member::name::ClusterName;
use cluster::member::{Generation, Member, State};
use uuid::Uuid;

/// Longer than any test.
pub const LEASE: Duration = Duration::from_secs(600);

/// So short that a test can wait for its end.
pub const SHORT_LEASE: Duration = Duration::from_secs(1);

/// What must come has come by then.
pub const SOON: Duration = Duration::from_secs(20);

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The member of this number, on a node and an address of its own.
pub fn member(number: u128) -> Member {
    Member {
        generation: Generation(Uuid::from_u128(number)),
        node: format!("node-{number}").parse().unwrap(),
        address: format!("10.0.0.{number}:7946").parse().unwrap(),
        state: State::Joining,
        version: "1.0.0".parse().unwrap(),
    }
}

pub fn cluster(name: &str) -> ClusterName {
    name.parse().unwrap()
}

/// Looks again until there is an answer.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(started.elapsed() < SOON, "not within {SOON:?}: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
