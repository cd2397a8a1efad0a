//! A real `redis-server` on a free port, with a directory of its own; killed when it is dropped.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::hang;

/// A server answers within this after its start, on the busiest machine.
const READY_TIMEOUT: Duration = Duration::from_secs(20);

const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Ports that are tried, since another process may take a free one first.
const PORT_TRIES: usize = 5;

/// The process.
pub struct RedisServer {
    process: Child,
    port: u16,
    directory: TempDir,
}

impl RedisServer {
    /// Starts a server that knows nothing and writes nothing to disk.
    ///
    /// # Panics
    /// When `redis-server` is missing or does not start.
    pub fn start() -> RedisServer {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for _ in 0..PORT_TRIES {
            let port = free_port();
            if let Some(process) = spawn(port, &directory) {
                return RedisServer {
                    process,
                    port,
                    directory,
                };
            }
        }
        panic!("redis-server does not start on any of {PORT_TRIES} free ports");
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends the process without warning.
    pub fn kill(&mut self) {
        self.process.kill().expect("the server can be killed");
        self.process.wait().expect("the server has ended");
    }

    /// Starts again, empty, on the same port.
    pub fn restart(&mut self) {
        let process = spawn(self.port, &self.directory);
        self.process = process.expect("redis-server starts again on its port");
    }

    /// Lets the process hang; its connections stay open.
    pub fn pause(&self) {
        hang::pause(&self.process);
    }

    /// Ends the hang.
    pub fn resume(&self) {
        hang::resume(&self.process);
    }

    /// Gives a command in one line, and returns the lines of the answer that come at once.
    pub fn command(&self, line: &str) -> String {
        command(self.port, line).expect("the server answers")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts the process and waits until it answers; nothing if it ends before.
fn spawn(port: u16, directory: &TempDir) -> Option<Child> {
    let process = Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
        .arg("--dir")
        .arg(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    let mut process = process.unwrap_or_else(|error| {
        panic!("redis-server does not run: {error}; install it with: apt-get install redis-server")
    });
    let started = Instant::now();
    while started.elapsed() < READY_TIMEOUT {
        if process
            .try_wait()
            .expect("the server can be watched")
            .is_some()
        {
            return None;
        }
        let answer = command(port, "ping");
        if answer.is_ok_and(|answer| answer == "+PONG") {
            return Some(process);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    process.kill().expect("the server can be killed");
    process.wait().expect("the server has ended");
    panic!("redis-server does not answer within {READY_TIMEOUT:?}");
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// The first line of the answer, and the lines that were sent with it.
fn command(port: u16, line: &str) -> std::io::Result<String> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(READY_TIMEOUT))?;
    (&stream).write_all(format!("{line}\r\n").as_bytes())?;
    let mut answer = BufReader::new(stream);
    let mut lines = String::new();
    answer.read_line(&mut lines)?;
    let rest = String::from_utf8_lossy(answer.buffer()).into_owned();
    Ok((lines + &rest).trim_end().to_owned())
}
