//! A child of the demo: its output goes to a file, a Ctrl-C on the terminal does not reach it, and it
//! ends with the demo.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::cli::Failure;

/// How long between two looks at a process that starts or stops.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long a process may take to stop before it is killed: longer than a node takes to drain.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);

/// A running process, or one that has ended; dropping it kills it.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it in `directory`, its output in `NAME.log` there.
    ///
    /// # Errors
    /// What the system says, such as that there is no such program.
    pub fn start(name: &str, mut command: Command, directory: &Path) -> io::Result<Process> {
        let log = directory.join(format!("{name}.log"));
        let output = File::create(&log)?;
        command
            .current_dir(directory)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        Ok(Process {
            name: String::from(name),
            child: command.spawn()?,
            log,
        })
    }

    /// Its number for `kill`.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended.
    ///
    /// # Errors
    /// What the system says.
    pub fn is_running(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits until its log has these words.
    ///
    /// # Errors
    /// It ended, or did not say them in time.
    pub async fn says(&mut self, words: &str, within: Duration) -> Result<(), Failure> {
        let start = Instant::now();
        while !self.text().contains(words) {
            if !self.is_running()? {
                return Err(self.ended_early()?);
            }
            if start.elapsed() > within {
                let (name, seconds) = (&self.name, within.as_secs());
                return Err(Failure::Failed(format!(
                    "{name} was not ready within {seconds} s; its last words: {}",
                    self.last_words()
                )));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// The failure of a process that ended before it was of use.
    ///
    /// # Errors
    /// What the system says.
    pub fn ended_early(&mut self) -> io::Result<Failure> {
        let status = self.child.wait()?;
        Ok(Failure::Failed(format!(
            "{} ended before it was ready ({status}); its last words: {}",
            self.name,
            self.last_words()
        )))
    }

    fn last_words(&self) -> String {
        let text = self.text();
        let last = text.lines().rev().find(|line| !line.trim().is_empty());
        String::from(last.unwrap_or("none"))
    }

    /// The log; empty if it cannot be read, which has nothing to say then.
    fn text(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Asks it to stop, by SIGTERM. One that has ended is left alone: its number may be another's.
    fn terminate(&mut self) {
        if matches!(self.is_running(), Ok(true)) {
            // It may end at this moment, and then there is nothing to stop.
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing else to do about it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks all of them to stop, and returns when they have, or after a bound.
pub async fn stop(processes: &mut [&mut Process]) {
    for process in processes.iter_mut() {
        process.terminate();
    }
    let start = Instant::now();
    let is_running = |process: &mut &mut Process| matches!(process.is_running(), Ok(true));
    while processes.iter_mut().any(is_running) && start.elapsed() < STOP_TIMEOUT {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
