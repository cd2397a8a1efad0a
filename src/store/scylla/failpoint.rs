//! Named places at which a test has this process pause or end. They are in debug builds only.
//!
//! `MAYFLY_FAILPOINTS` names a directory. A file `PLACE-SHARD` in it says `pause` or `exit`. Who comes
//! to that place first renames the file to `PLACE-SHARD.reached`, so that it happens once and the test
//! sees that it did; then it ends without a word, or pauses for as long as that file is there.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use cluster::shard::Shard;
use tokio::time::sleep;

/// How often who pauses looks whether it may go on.
const LOOK_EVERY: Duration = Duration::from_millis(5);

static DIRECTORY: LazyLock<Option<PathBuf>> =
    LazyLock::new(|| std::env::var_os("MAYFLY_FAILPOINTS").map(PathBuf::from));

/// This place is reached with this shard.
pub async fn reach(place: &str, shard: Shard) {
    if let Some(directory) = &*DIRECTORY {
        reach_in(directory, place, shard).await;
    }
}

async fn reach_in(directory: &Path, place: &str, shard: Shard) {
    let armed = directory.join(format!("{place}-{}", shard.0));
    let reached = armed.with_extension("reached");
    if fs::rename(&armed, &reached).is_err() {
        return;
    }
    if fs::read(&reached).is_ok_and(|action| action == b"exit") {
        std::process::abort();
    }
    while reached.exists() {
        sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_place_pauses_once_and_until_it_is_told_to_go_on() {
        let directory = tempfile::tempdir().expect("a directory");
        let (armed, reached) = ("frame-sent-7", "frame-sent-7.reached");
        fs::write(directory.path().join(armed), "pause").expect("armed");
        let reach = |shard| reach_in(directory.path(), "frame-sent", Shard(shard));
        timeout(SOON, reach(8))
            .await
            .expect("another shard goes on");
        let pausing = reach(7);
        tokio::pin!(pausing);
        let short = timeout(LOOK_EVERY * 4, &mut pausing).await;
        assert!(short.is_err(), "it pauses");
        assert!(!directory.path().join(armed).exists());
        fs::remove_file(directory.path().join(reached)).expect("reached");
        timeout(SOON, pausing).await.expect("it goes on");
        timeout(SOON, reach(7)).await.expect("it pauses once");
    }
}
