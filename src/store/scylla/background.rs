//! The threads on which all IO of the cluster's stores is done, whoever asks for it.
//!
//! The driver's connections live on the runtime that made them. The service's threads run small
//! runtimes of their own, which stand still between requests, so they only wait for what is done here.

use std::future::Future;
use std::io;
use std::sync::mpsc;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// Threads for IO: what a node sends and receives is little work, and more of it for two that wake each
/// other.
const THREADS: usize = 1;

/// Runs the IO of the cluster's stores.
pub(super) struct Background {
    runtime: Option<Runtime>,
    handle: Handle,
}

impl Background {
    /// Starts the threads.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn start() -> io::Result<Background> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("scylla")
            .enable_all()
            .build()?;
        Ok(Background {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    /// The way to the threads.
    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Does the work here; it is done even if nobody waits for it any more.
    pub(super) fn begin<W>(&self, work: W) -> impl Future<Output = W::Output> + Send + use<W>
    where
        W: Future<Output: Send> + Send + 'static,
    {
        outcome(self.handle.spawn(work))
    }

    /// Does the work here while this thread stands still.
    pub(super) fn block_on<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let (sender, outcome) = mpsc::sync_channel(1);
        self.handle.spawn(async move {
            // Only a panic of the work drops the sender unused.
            let _ = sender.send(work.await);
        });
        outcome.recv().expect("the work does not panic")
    }

    /// Does the work here and waits for it.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        self.begin(work).await
    }
}

async fn outcome<T>(work: JoinHandle<T>) -> T {
    match work.await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The stores are gone, and with them everybody who could be told.
            Err(_) => std::future::pending().await,
        },
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
