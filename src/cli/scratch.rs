//! A directory for the files of servers that a command starts; it goes with the command.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::Failure;

/// A directory of a command's own, closed to other users; dropping it deletes it.
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes a new directory in `parent`, named after the command.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(parent: &Path, command: &str) -> Result<Scratch, Failure> {
        let name = format!("mayfly-{command}-{}", uuid::Uuid::now_v7().simple());
        let failed = |error: io::Error| {
            Failure::Failed(format!(
                "{}: {error}; name another by --scratch",
                parent.display()
            ))
        };
        let path = parent.canonicalize().map_err(failed)?.join(name);
        let mut private = fs::DirBuilder::new();
        private.mode(0o700).create(&path).map_err(failed)?;
        Ok(Scratch { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind is in a directory for temporary files.
        let _ = fs::remove_dir_all(&self.path);
    }
}
