//! The real binary as a process: started, watched, signalled, killed; never left behind.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::client::Client;
use super::{LOOK_EVERY, SOON, eventually};

const BINARY: &str = env!("CARGO_BIN_EXE_mayfly");

/// A port for listening that the system does not give to clients, or to another test.
pub fn free_port() -> u16 {
    const FIRST: u32 = 15_000;
    const COUNT: u32 = 17_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let number = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = (FIRST + (std::process::id() * 331 + number) % COUNT) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// `mayfly serve` with a clean environment and these arguments; its log goes to `log`.
pub fn command(directory: &Path, arguments: &[&str], log: File) -> Command {
    let mut command = Command::new(BINARY);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MAYFLY_") {
            command.env_remove(name);
        }
    }
    command
        .current_dir(directory)
        .arg("serve")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    command
}

/// A start that must fail: its exit code and the lines it wrote that are not of the log.
pub struct Refused {
    pub code: Option<i32>,
    pub lines: Vec<String>,
}

/// Starts with these arguments and waits for the end.
///
/// # Panics
/// When it does not end soon.
#[track_caller]
pub fn refused(arguments: &[&str]) -> Refused {
    let directory = TempDir::new().expect("a directory");
    let log = directory.path().join("log");
    let file = File::create(&log).expect("a log");
    let mut child = command(directory.path(), arguments, file)
        .spawn()
        .expect("the binary starts");
    let started = Instant::now();
    let status = loop {
        match child.try_wait().expect("a status") {
            Some(status) => break status,
            None if started.elapsed() > SOON => {
                let _ = child.kill();
                let _ = child.wait();
                panic!("{arguments:?} was not refused");
            }
            None => std::thread::sleep(LOOK_EVERY),
        }
    };
    Refused {
        code: status.code(),
        lines: lines_beside_log(&log),
    }
}

/// The lines that are no entries of the log, which are JSON when nobody watches.
fn lines_beside_log(log: &Path) -> Vec<String> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('{'));
    lines.map(str::to_owned).collect()
}

/// A running server with its data; both are gone when this is dropped.
pub struct Server {
    child: Child,
    directory: TempDir,
    arguments: Vec<String>,
    /// The public port.
    pub port: u16,
    /// The admin port.
    pub admin_port: u16,
}

impl Server {
    /// A server with default settings and no data.
    #[track_caller]
    pub fn start() -> Server {
        Server::start_with(&[])
    }

    /// A server with these arguments besides its addresses and its data directory.
    #[track_caller]
    pub fn start_with(arguments: &[&str]) -> Server {
        Server::start_in(TempDir::new().expect("a directory"), arguments)
    }

    /// A server on the data of `directory`, its `data` below that.
    #[track_caller]
    pub fn start_in(directory: TempDir, arguments: &[&str]) -> Server {
        let arguments: Vec<_> = arguments.iter().map(|a| (*a).to_owned()).collect();
        let (child, port, admin_port) = spawn(directory.path(), &arguments);
        let mut server = Server {
            child,
            directory,
            arguments,
            port,
            admin_port,
        };
        server.await_ready();
        server
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// What the process wrote to standard error since it started last.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    pub fn client(&self) -> Client {
        Client::new(self.port)
    }

    pub fn admin(&self) -> Client {
        Client::new(self.admin_port)
    }

    /// The value of a metric without labels.
    #[track_caller]
    pub fn metric(&self, name: &str) -> i64 {
        let text = self.admin().get("/metrics").expect(200).text();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.unwrap_or_else(|| panic!("no metric {name} in {text}"));
        value.parse::<f64>().expect("a number") as i64
    }

    /// Waits until a metric has this value.
    #[track_caller]
    pub fn await_metric(&self, name: &str, value: i64) {
        let mut last = 0;
        let started = Instant::now();
        while started.elapsed() < SOON {
            last = self.metric(name);
            if last == value {
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        panic!("{name} is {last}, not {value}");
    }

    /// Sends a signal such as `TERM`.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.expect("kill runs").success(), "kill -s {name}");
    }

    /// Ends the process by `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts anew on the same data, on new ports.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.kill();
        let (child, port, admin_port) = spawn(self.directory.path(), &self.arguments);
        (self.child, self.port, self.admin_port) = (child, port, admin_port);
        self.await_ready();
    }

    /// Whether the process lives.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a status").is_none()
    }

    /// Waits for the end of the process.
    ///
    /// # Panics
    /// When it has not ended within `within`.
    #[track_caller]
    pub fn await_exit(&mut self, within: Duration) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a status") {
                return status;
            }
            assert!(started.elapsed() < within, "still running: {}", self.log());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    #[track_caller]
    fn await_ready(&mut self) {
        let mut admin = self.admin();
        eventually("the server is ready", || {
            assert!(self.is_running(), "it ended: {}", self.log());
            let answer = admin.try_send("GET", "/readyz", &[], b"");
            answer.ok().filter(|answer| answer.status == 200)
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(directory: &Path, arguments: &[String]) -> (Child, u16, u16) {
    let (port, admin_port) = (free_port(), free_port());
    let (listen, admin) = (
        format!("127.0.0.1:{port}"),
        format!("127.0.0.1:{admin_port}"),
    );
    let mut all = vec!["--data-dir", "data"];
    let usual = [
        ("--listen", listen.as_str()),
        ("--admin-listen", &admin),
        // A disk that stands still for some seconds is no trouble of this service.
        ("--request-timeout", "25s"),
    ];
    for (flag, value) in usual {
        if !arguments.iter().any(|given| given == flag) {
            all.extend([flag, value]);
        }
    }
    all.extend(arguments.iter().map(String::as_str));
    let log = File::create(directory.join("log")).expect("a log");
    let child = command(directory, &all, log).spawn();
    (child.expect("the binary starts"), port, admin_port)
}
