//! A CQL server of one test's own, to be killed, started again and paused.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server may take to be ready on a busy machine, the fetching of its files included.
const READY_WITHIN: Duration = Duration::from_secs(180);

pub struct CqlServer {
    directory: TempDir,
    port: u16,
    process: Child,
}

impl CqlServer {
    pub fn start() -> CqlServer {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut server = CqlServer {
            process: launch(directory.path(), port),
            directory,
            port,
        };
        server.wait();
        server
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends the process without warning; its data stays.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts again on the same data, and returns when it is ready.
    pub fn start_again(&mut self) {
        self.process = launch(self.directory.path(), self.port);
        self.wait();
    }

    /// Returns when every thread of it stands still.
    pub fn pause(&self) {
        self.signal("-STOP");
        let tasks = format!("/proc/{}/task", self.process.id());
        let stands = |task: std::io::Result<std::fs::DirEntry>| {
            let status = std::fs::read_to_string(task.unwrap().path().join("status"));
            // A thread that has ended meanwhile has no status any more.
            status.map_or(true, |status| status.contains("State:\tT"))
        };
        while !std::fs::read_dir(&tasks).unwrap().all(stands) {
            std::thread::yield_now();
        }
    }

    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let process = self.process.id().to_string();
        let sent = Command::new("kill").args([signal, &process]).status();
        assert!(sent.unwrap().success());
    }

    fn wait(&mut self) {
        let started = Instant::now();
        let log = self.directory.path().join("log");
        loop {
            let text = std::fs::read_to_string(&log).unwrap();
            if text.contains("Startup complete") {
                return;
            }
            let ended = self.process.try_wait().unwrap();
            assert!(
                ended.is_none() && started.elapsed() < READY_WITHIN,
                "the CQL server does not start: {text}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for CqlServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The process dies with the thread that calls this.
fn launch(directory: &Path, port: u16) -> Child {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/cql-server");
    let log = File::create(directory.join("log")).unwrap();
    Command::new(script)
        .arg(directory.join("data"))
        .arg(port.to_string())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// A port of which the next two are free as well.
fn free_port() -> u16 {
    let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    std::iter::repeat_with(|| 10_000 + rand::random::<u16>() % 9_990)
        .find(|port| (*port..*port + 3).all(is_free))
        .unwrap()
}
