//! Failpoints of a node: named places at which it pauses, or ends without a word.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::eventually;

/// What happens at the place, once.
#[derive(Clone, Copy)]
pub enum Act {
    /// What runs there waits for [`Failpoint::resume`]; all else goes on.
    Pause,
    /// The process ends.
    Exit,
}

/// A place of one node that is armed for one shard.
pub struct Failpoint {
    reached: PathBuf,
}

impl Failpoint {
    /// Arms a place of the node whose failpoints are in this directory.
    pub fn arm(directory: &Path, place: &str, shard: u16, act: Act) -> Failpoint {
        fs::create_dir_all(directory).unwrap();
        let (armed, new) = (format!("{place}-{shard}"), directory.join("new"));
        let act = match act {
            Act::Pause => "pause",
            Act::Exit => "exit",
        };
        fs::write(&new, act).unwrap();
        fs::rename(&new, directory.join(&armed)).unwrap();
        Failpoint {
            reached: directory.join(format!("{armed}.reached")),
        }
    }

    /// Waits until the node is there.
    #[track_caller]
    pub fn await_reached(&self) {
        let name = self.reached.file_name().unwrap().to_string_lossy();
        eventually(&name, || self.reached.exists().then_some(()));
    }

    /// Lets go on what pauses there.
    pub fn resume(self) {
        fs::remove_file(self.reached).unwrap();
    }
}
