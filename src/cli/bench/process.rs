//! Servers under measurement as child processes of this binary: started, found ready, metered, and
//! killed when they go out of scope.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use hyper::Method;

use crate::cli::Failure;
use crate::cli::child::{free_addresses, this_binary};
use crate::cli::client::{BaseUrl, Client};
use crate::cli::scratch::Scratch;

/// How long a server may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait between two looks at a server that starts.
const READY_POLL: Duration = Duration::from_millis(20);

/// Clock ticks in a second, in which `/proc/PID/stat` counts: 100 on every Linux that Rust runs on.
const TICKS_PER_SECOND: u64 = 100;

/// Where data of measured servers goes, and how they are set.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The directory in which theirs are made.
    pub scratch: PathBuf,
    /// `committed` or `memory`.
    pub durability: &'static str,
    /// Threads that serve.
    pub workers: usize,
}

/// A server that runs as a child process; dropping it kills it.
pub struct Server {
    child: Child,
    /// The address that it serves.
    pub address: SocketAddr,
}

impl Server {
    /// Starts the no-op server and waits until it answers.
    ///
    /// # Errors
    /// It cannot be started, or is not ready within 30 s.
    pub async fn noop(workers: usize) -> Result<Server, Failure> {
        let [address] = free_addresses()?;
        let (listen, workers) = (address.to_string(), workers.to_string());
        let arguments = ["noop", "--listen", &listen, "--workers", &workers];
        let server = Server::start(arguments.map(OsStr::new).as_slice(), address)?;
        server.ready(address, "/").await
    }

    /// Starts `mayfly serve` on free ports with its data in `scratch`, and waits until it is ready.
    ///
    /// # Errors
    /// It cannot be started, or is not ready within 30 s.
    pub async fn mayfly(scratch: &Scratch, setup: &Setup) -> Result<Server, Failure> {
        let [address, admin] = free_addresses()?;
        let options = [
            format!("--listen={address}"),
            format!("--admin-listen={admin}"),
            format!("--durability={}", setup.durability),
            format!("--workers={}", setup.workers),
            String::from("--log=warn"),
        ];
        let mut arguments = vec![
            OsStr::new("serve"),
            OsStr::new("--data-dir"),
            scratch.path().as_os_str(),
        ];
        arguments.extend(options.iter().map(OsStr::new));
        Server::start(&arguments, address)?
            .ready(admin, "/readyz")
            .await
    }

    fn start(arguments: &[&OsStr], address: SocketAddr) -> Result<Server, Failure> {
        let child = this_binary()?
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Server { child, address })
    }

    async fn ready(mut self, probe: SocketAddr, path: &str) -> Result<Server, Failure> {
        let url: BaseUrl = format!("http://{probe}").parse().map_err(Failure::Failed)?;
        let client = Client::without_key(&url);
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Err(Failure::Failed(format!(
                    "the server to be measured ended before it was ready ({status}); it said why above"
                )));
            }
            let answer = client.call(Method::GET, path, None).await;
            if answer.is_ok_and(|answer| answer.status.as_u16() < 500) {
                return Ok(self);
            }
            if start.elapsed() > READY_TIMEOUT {
                return Err(Failure::Failed(String::from(
                    "the server to be measured was not ready within 30 s",
                )));
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    /// The processor time that the server has used.
    ///
    /// # Errors
    /// It has ended, or this is not Linux.
    pub fn cpu(&self) -> io::Result<Cpu> {
        Cpu::of(self.child.id())
    }

    /// The memory that the server has resident, in bytes.
    ///
    /// # Errors
    /// It has ended, or this is not Linux.
    pub fn resident_bytes(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line
            .and_then(first_number)
            .ok_or(io::ErrorKind::InvalidData)?;
        Ok(kib * 1024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing else to do about it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processor time used so far, by two clocks of the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Cpu {
    /// Of the threads that live, to the nanosecond.
    threads: Duration,
    /// Of the whole process with ended threads, to 10 ms.
    process: Duration,
}

impl Cpu {
    /// The processor time that a process has used.
    ///
    /// # Errors
    /// It has ended, or this is not Linux.
    pub fn of(pid: u32) -> io::Result<Cpu> {
        let root = PathBuf::from(format!("/proc/{pid}"));
        let mut threads = Duration::ZERO;
        for task in fs::read_dir(root.join("task"))? {
            // A thread may end between the two looks; `since` notices.
            if let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) {
                threads += Duration::from_nanos(first_number(&text).unwrap_or(0));
            }
        }
        let stat = fs::read_to_string(root.join("stat"))?;
        let ticks = stat_ticks(&stat).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Cpu {
            threads,
            process: Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND),
        })
    }

    /// The time used since an earlier reading: by the fine clock, unless threads have ended since
    /// and only the coarse one saw them.
    pub fn since(self, earlier: Cpu) -> Duration {
        let fine = self.threads.saturating_sub(earlier.threads);
        let coarse = self.process.saturating_sub(earlier.process);
        let agreed = fine + Duration::from_millis(3 * 1_000 / TICKS_PER_SECOND);
        if coarse > agreed { coarse } else { fine }
    }
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// `utime` + `stime`, fields 14 and 15; the name in field 2 may hold blanks and parentheses.
fn stat_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_found_behind_any_process_name() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 111 222 13 14";
        assert_eq!(stat_ticks(stat), Some(333));
        assert_eq!(stat_ticks("7 (a) S 1"), None);
    }

    #[test]
    fn the_fine_clock_counts_unless_it_missed_threads_that_ended() {
        let reading = |threads, process| Cpu {
            threads: Duration::from_millis(threads),
            process: Duration::from_millis(process),
        };
        let start = reading(100, 100);
        assert_eq!(reading(157, 160).since(start), Duration::from_millis(57));
        assert_eq!(reading(157, 180).since(start), Duration::from_millis(57));
        assert_eq!(reading(157, 500).since(start), Duration::from_millis(400));
        assert_eq!(reading(50, 200).since(start), Duration::from_millis(100));
    }
}
