//! What the archiver does with an archive that is not always well.

use std::sync::Mutex;

use super::*;
use crate::domain::event::TakenRange;
use crate::domain::id::MessageId;
use crate::store::archive::ArchiveKey;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An archive that notes what it is asked for.
#[derive(Default)]
struct Noting {
    dropped: Mutex<Vec<UnixMs>>,
}

impl Archive for Noting {
    async fn put<'a>(
        &self,
        _: impl IntoIterator<Item = &'a Ended> + Send,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    async fn get(&self, _: MessageId) -> Result<Option<Ended>, StoreError> {
        Ok(None)
    }

    async fn read_together(
        &self,
        _: ShardId,
        _: UnixMs,
        _: TakenRange,
        _: &str,
    ) -> Result<Vec<Ended>, StoreError> {
        Ok(Vec::new())
    }

    async fn list(&self, _: Option<ArchiveKey>, _: usize) -> Result<Vec<Ended>, StoreError> {
        Ok(Vec::new())
    }

    async fn drop_before(&self, before: UnixMs) -> Result<(), StoreError> {
        self.dropped.lock().expect("no panic").push(before);
        Ok(())
    }
}

fn worker(clock: Clock, patience: Duration) -> Worker<Noting> {
    Worker {
        archive: Arc::default(),
        retention: Some(DAY),
        pace: Pace {
            patience,
            ..Pace::CLUSTER
        },
        clock,
        metrics: Arc::new(Metrics::new()),
        is_failing: Arc::default(),
        runtime: tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime"),
    }
}

#[test]
fn old_days_are_dropped_by_the_time_of_the_process_and_not_by_the_wall_clock() {
    let year_2286 = UnixMs(10_000_000_000_000);
    let worker = worker(Clock::start(year_2286), Pace::CLUSTER.patience);
    worker.drop_old();
    let dropped = worker.archive.dropped.lock().expect("no panic").clone();
    let first = UnixMs(year_2286.0 - DAY.as_millis() as u64);
    let is_now = (first..first.plus_ms(60_000)).contains(&dropped[0]);
    assert!(is_now, "{dropped:?}");
}

#[test]
fn an_archive_is_failing_only_after_it_could_not_be_written_for_long() {
    let error = StoreError::Io {
        action: "cannot write",
        path: "a test".into(),
        source: std::io::Error::other("injected"),
    };
    let is_failing = |patience: Duration, since: Instant| {
        let worker = worker(Clock::start(UnixMs(0)), patience);
        worker.report(&error, since);
        worker.is_failing.load(Ordering::Relaxed)
    };
    let now = Instant::now();
    assert!(!is_failing(Pace::CLUSTER.patience, now));
    assert!(is_failing(
        Pace::CLUSTER.patience,
        now - Pace::CLUSTER.patience
    ));
    assert!(is_failing(Duration::ZERO, now));
}
