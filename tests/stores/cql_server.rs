//! A CQL server of one test's own, alone or as one of three replicas; to be killed, started again and
//! paused.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::hang;

/// How long a server may take to be ready on a busy machine, the fetching of its files included.
const READY_WITHIN: Duration = Duration::from_secs(180);

pub struct CqlServer {
    directory: TempDir,
    port: u16,
    /// Which of three replicas; `None` for a server that is alone.
    replica: Option<u8>,
    process: Child,
}

impl CqlServer {
    pub fn start() -> CqlServer {
        let mut server = CqlServer::launch(free_port(), None);
        server.wait();
        server
    }

    /// Three servers that hold everything three times, all ready and known to each other.
    pub fn start_replicas() -> [CqlServer; 3] {
        let port = free_port();
        // The others find it, and need not be patient.
        let mut first = CqlServer::launch(port, Some(1));
        first.wait();
        let [mut second, mut third] = [2, 3].map(|replica| CqlServer::launch(port, Some(replica)));
        second.wait();
        third.wait();
        let replicas = [first, second, third];
        for server in &replicas {
            for other in replicas
                .iter()
                .filter(|other| other.replica != server.replica)
            {
                server.await_peer(other, 1);
            }
        }
        replicas
    }

    pub fn address(&self) -> String {
        format!("127.0.0.{}:{}", self.replica.unwrap_or(1), self.port)
    }

    fn launch(port: u16, replica: Option<u8>) -> CqlServer {
        let directory = directory();
        CqlServer {
            process: launch(directory.path(), port, replica),
            directory,
            port,
            replica,
        }
    }

    /// Ends the process without warning; its data stays.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts again on the same data, and returns when it is ready.
    pub fn start_again(&mut self) {
        self.begin_again();
        self.wait();
    }

    /// Starts again on the same data; it is not ready yet.
    pub fn begin_again(&mut self) {
        self.process = launch(self.directory.path(), self.port, self.replica);
    }

    /// Returns when every thread of it stands still.
    pub fn pause(&self) {
        hang::pause(&self.process);
    }

    pub fn resume(&self) {
        hang::resume(&self.process);
    }

    /// Returns when the server is ready.
    pub fn wait(&mut self) {
        let process = &mut self.process;
        await_log(self.directory.path(), |log| {
            let ended = process.try_wait().unwrap();
            assert!(ended.is_none(), "the CQL server does not start: {log}");
            log.contains("Startup complete")
        });
    }

    /// Returns when the server has found so often, since it started last, that this replica lives: only then
    /// it takes it for one of a majority.
    pub fn await_peer(&self, replica: &CqlServer, times: usize) {
        let number = replica.replica.expect("a replica");
        let is_up = format!("/127.0.0.{number}:{} is now UP", self.port + 1);
        let directory = self.directory.path();
        await_log(directory, |log| log.matches(&is_up).count() >= times);
    }
}

impl Drop for CqlServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until what a server wrote since it was started last is as wanted.
fn await_log(directory: &Path, mut is_told: impl FnMut(&str) -> bool) {
    let started = Instant::now();
    loop {
        let log = std::fs::read_to_string(directory.join("log")).unwrap();
        if is_told(&log) {
            return;
        }
        assert!(started.elapsed() < READY_WITHIN, "the CQL server: {log}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// In memory where there is room, as `with-cql` does and for its reasons.
fn directory() -> TempDir {
    const MEMORY: &str = "/dev/shm";
    const ROOM_BYTES: u64 = 8 << 30;
    let room = rustix::fs::statvfs(MEMORY).map_or(0, |found| found.f_bavail * found.f_frsize);
    let name = format!("mayfly-cql-{}-", std::process::id());
    let mut named = tempfile::Builder::new();
    named.prefix(&name);
    let made = match room >= ROOM_BYTES {
        true => named.tempdir_in(MEMORY),
        false => named.tempdir(),
    };
    made.unwrap()
}

/// The process dies with the thread that calls this.
fn launch(directory: &Path, port: u16, replica: Option<u8>) -> Child {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/cql-server");
    let log = File::create(directory.join("log")).unwrap();
    Command::new(script)
        .arg(directory.join("data"))
        .arg(port.to_string())
        .args(replica.map(|replica| replica.to_string()))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// A port of which the next two are free as well, at the address of every replica.
fn free_port() -> u16 {
    let is_free = |port| TcpListener::bind(("0.0.0.0", port)).is_ok();
    std::iter::repeat_with(|| 10_000 + rand::random::<u16>() % 9_990)
        .find(|port| (*port..*port + 3).all(is_free))
        .unwrap()
}
