//! The lock of a data directory: one process at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

use super::io_error;
use crate::store::StoreError;

/// Held while this lives; the operating system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Locks `data_dir` and writes this process's number into the lock file.
    ///
    /// # Errors
    /// [`StoreError::Locked`] with the holder's number; [`StoreError::Io`].
    pub(super) fn take(data_dir: &Path) -> Result<DirectoryLock, StoreError> {
        let path = data_dir.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io_error("cannot open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The number only helps to find the holder; without it the refusal stands.
                let _ = file.read_to_string(&mut holder);
                return Err(StoreError::Locked {
                    path: data_dir.to_path_buf(),
                    holder: holder.trim().to_owned(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(io_error("cannot lock", &path)(error)),
        }
        // On a full disk the number may not fit; the lock holds all the same.
        let _ = file
            .set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(DirectoryLock { _file: file })
    }
}
