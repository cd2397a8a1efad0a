//! Which layout the archive in a directory has: a register beside the database tells.

use std::path::Path;

use super::archive_days::archive_error;
use super::disk::RealDisk;
use super::io_error;
use super::register::Register;
use crate::store::StoreError;

/// The layout that this version writes, the only one that it reads: 1 had a row of the database for
/// every message, and was never released.
const LAYOUT: u64 = 2;

const MAGIC: &[u8; 8] = b"MAYFLYAR";

/// The archive was written by another version.
#[derive(Debug, thiserror::Error)]
#[error(
    "{directory} has layout {found}, and this version reads only {LAYOUT}; start the mayfly that wrote it, or move the directory away"
)]
struct OtherLayout {
    directory: String,
    found: u64,
}

/// Checks the layout of the archive in `directory`, and notes it where there is none yet; durable when
/// it returns.
///
/// # Errors
/// [`StoreError::Archive`] when it is another; [`StoreError::Damaged`], [`StoreError::Newer`] and
/// [`StoreError::Io`]. Nothing was changed.
pub(super) fn check(directory: &Path) -> Result<(), StoreError> {
    let path = directory.join("layout");
    let found = match Register::open(&RealDisk, &path, MAGIC)? {
        Some(register) => register.number(),
        // A crash may have left the register half made, but nothing else.
        None if is_empty_but_for(directory, "layout.new")? => {
            Register::create(&RealDisk, &path, MAGIC, LAYOUT, 0)?.number()
        }
        None => 1,
    };
    if found == LAYOUT {
        return Ok(());
    }
    Err(archive_error(OtherLayout {
        directory: directory.display().to_string(),
        found,
    }))
}

fn is_empty_but_for(directory: &Path, name: &str) -> Result<bool, StoreError> {
    let read = || {
        let mut is_empty = true;
        for entry in std::fs::read_dir(directory)? {
            is_empty &= entry?.file_name() == name;
        }
        Ok(is_empty)
    };
    read().map_err(io_error("cannot read", directory))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Makes a directory and notes in it that its archive has this layout.
    pub(in super::super) fn note(directory: &Path, layout: u64) {
        std::fs::create_dir_all(directory).expect("a directory");
        Register::create(&RealDisk, &directory.join("layout"), MAGIC, layout, 0)
            .expect("a register");
    }
}
