//! What the service needs of storage: claims, a journal and an archive, as three traits.
//!
//! `local` implements them on this machine's disk, `scylla` for a cluster. Whoever implements them must pass the one contract
//! suite in `tests/stores/`.

pub mod claims;

pub mod journal;

pub mod archive;

pub mod group;

pub mod local;

pub mod scylla;

use std::path::PathBuf;

/// What can go wrong in storage, with what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("{action} {}: {source}", .path.display())]
    Io {
        /// What was tried, as in `cannot create`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Another process has this data.
    #[error("data directory {} is in use by process {holder}; stop it, or give another --data-dir", .path.display())]
    Locked {
        /// The data directory.
        path: PathBuf,
        /// What the lock file says of the holder.
        holder: String,
    },
    /// Data that was acknowledged is damaged.
    #[error("{} is damaged at offset {offset}: {what}; restore it from a copy, nothing was changed", .file.display())]
    Damaged {
        /// The damaged file.
        file: PathBuf,
        /// Where, in bytes from its start.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// A newer version made this data.
    #[error("{} has format {found}, and this version reads up to {supported}; start mayfly {needs} or newer", .file.display())]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its format version.
        found: u32,
        /// The newest format this version knows.
        supported: u32,
        /// The release that reads it, as the file tells.
        needs: String,
    },
    /// The journal holds an event that this version does not know.
    #[error("journal segment {}: {source}", .position.0)]
    UnknownEvent {
        /// Where it was found.
        position: journal::Position,
        /// What is not known.
        source: crate::domain::event::UnknownEvent,
    },
    /// A recovery went beyond the memory that there is for messages.
    #[error("the shard does not fit into --memory-limit; raise it, or add a node")]
    NoRoom,
    /// The archive's database failed.
    #[error("archive: {0}")]
    Archive(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The stores of a cluster failed.
    #[error(transparent)]
    Scylla(#[from] scylla::error::ScyllaError),
}

impl StoreError {
    /// Whether what was acknowledged is damaged.
    pub fn is_damage(&self) -> bool {
        use scylla::error::ScyllaError;
        matches!(
            self,
            StoreError::Damaged { .. } | StoreError::Scylla(ScyllaError::Damaged { .. })
        )
    }
}
