//! The embedded stores: files of this machine under one data directory.
//!
//! ```text
//! <data-dir>/lock        held while a process lives      <data-dir>/epoch    counts the claims
//! <data-dir>/journal/    segment files                   <data-dir>/archive/ a fjall database
//! ```
//! The formats are in `docs/FORMAT.md`, the reasons in ADR-0002. All work is done by the caller's
//! thread while it polls, without suspending: append and archive from threads that may block.

pub mod disk;

mod preamble;

mod register;

mod lock;

pub mod claims;

mod segment;

mod frames;

mod recover;

mod allocate;

mod upkeep;

pub mod journal;

mod replay;

mod archive_layout;

mod archive_days;

mod archive_block;

mod archive_index;

mod archive_batch;

mod archive_page;

mod archive_recent;

pub mod archive;

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::StoreError;
pub use archive::LocalArchive;
use claims::LocalClaims;
use disk::{Disk, DiskFile, RealDisk};
pub use journal::LocalJournal;

/// The three embedded stores of one data directory.
pub struct LocalStores {
    /// Holds the directory's lock.
    pub claims: LocalClaims,
    /// What happened.
    pub journal: Arc<LocalJournal>,
    /// What ended.
    pub archive: Arc<LocalArchive>,
}

/// Sizes of the embedded stores.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// Length of a journal segment, in bytes; a larger group gets a segment of its own.
    pub segment_bytes: u64,
    /// Segments made ahead, at least 2: the last one is the reserve of a full disk.
    pub spare_segments: usize,
    /// Memory for blocks of the archive, in bytes.
    pub archive_cache_bytes: u64,
}

impl Default for LocalOptions {
    fn default() -> LocalOptions {
        LocalOptions {
            segment_bytes: 64 << 20,
            spare_segments: 2,
            archive_cache_bytes: 32 << 20,
        }
    }
}

impl LocalStores {
    /// Opens or makes the stores in `data_dir`, and checks the whole journal.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has them; [`StoreError::Damaged`] and
    /// [`StoreError::Newer`] with nothing changed; [`StoreError::Io`] and [`StoreError::Archive`].
    pub fn open(data_dir: &Path, options: LocalOptions) -> Result<LocalStores, StoreError> {
        create_directory(data_dir)?;
        let claims = LocalClaims::open(Arc::new(RealDisk), data_dir)?;
        let journal = LocalJournal::open(&data_dir.join("journal"), &options)?;
        let archive = LocalArchive::open(&data_dir.join("archive"), options.archive_cache_bytes)?;
        Ok(LocalStores {
            claims,
            journal: Arc::new(journal),
            archive: Arc::new(archive),
        })
    }
}

/// Creates a directory, and those above it that are missing, durably.
fn create_directory(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_directory(parent)?;
    // Texts are for their readers: nobody else on this machine may look.
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(path)
        .and_then(|()| RealDisk.sync_directory(parent))
        .map_err(io_error("cannot create", path))
}

/// Writes zeros from an offset up to another, and syncs.
fn write_zeros(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<()> {
    const ZEROS: &[u8] = &[0; 256 * 1024];
    let mut offset = from;
    while offset < to {
        let length = ZEROS.len().min((to - offset) as usize);
        file.write_all_at(&ZEROS[..length], offset)?;
        offset += length as u64;
    }
    file.sync_data()
}

/// Makes a [`StoreError`] of what the operating system says of `path`.
fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::Io {
        action,
        path: path.to_path_buf(),
        source,
    }
}

/// The value, also after a panic of another thread that held it: nothing here is left half done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
