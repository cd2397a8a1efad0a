//! A child process that hangs: it holds what it has, answers nothing, and goes on when it is told to.

use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// A process that is told to stand still does so within this, on the busiest machine.
const WITHIN: Duration = Duration::from_secs(20);

const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Has a child stand still, and returns when every thread of it does: the signal alone reaches one of them
/// first, and the others run on meanwhile.
///
/// # Panics
/// When it does not.
pub fn pause(child: &Child) {
    let pid = Pid::from_child(child);
    kill_process(pid, Signal::STOP).expect("the process can be stopped");
    let asked = Instant::now();
    let has_stopped = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
    while waitid(WaitId::Pid(pid), has_stopped)
        .expect("the process can be watched")
        .is_none()
    {
        assert!(asked.elapsed() < WITHIN, "{pid:?} runs on");
        thread::sleep(LOOK_EVERY);
    }
}

/// Lets it go on.
///
/// # Panics
/// When it is gone.
pub fn resume(child: &Child) {
    kill_process(Pid::from_child(child), Signal::CONT).expect("the process can go on");
}
