//! A small file that holds a growing number: the epoch, and the journal's base.
//!
//! It has two slots of a sector each, and a new number goes over the older one: so a full disk can
//! still be trimmed, and a crash leaves the old number or the new one.
//!
//! ```text
//! slot = preamble 32 | number u64 | constant u64 | crc32 u32 of all before | zeros to 512     little-endian
//! ```

use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Disk, DiskFile};
use super::io_error;
use super::preamble::{self, PREAMBLE_BYTES, u32_at, u64_at};
use crate::store::StoreError;

const SLOT_BYTES: usize = 512;
const CONSTANT_AT: usize = PREAMBLE_BYTES + 8;
const CRC_AT: usize = CONSTANT_AT + 8;

/// An open register.
pub(super) struct Register {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    magic: &'static [u8; 8],
    number: u64,
    constant: u64,
    /// Which slot the number is in.
    slot: usize,
    /// Whether the other slot does not hold: a crash while it was written, or damage.
    torn: bool,
    /// Whether a sync failed: what is durable is known after a restart only.
    failed: bool,
}

impl Register {
    /// Opens the register at `path`; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when neither slot holds, [`StoreError::Newer`], [`StoreError::Io`].
    pub(super) fn open(
        disk: &dyn Disk,
        path: &Path,
        magic: &'static [u8; 8],
    ) -> Result<Option<Register>, StoreError> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("cannot read", path)(error)),
        };
        let mut slots = Vec::with_capacity(2);
        for (slot, bytes) in bytes.chunks(SLOT_BYTES).take(2).enumerate() {
            if let Some((number, constant)) = parse(bytes, magic, path)? {
                slots.push((number, constant, slot));
            }
        }
        let Some(&(number, constant, slot)) = slots.iter().max() else {
            return Err(StoreError::Damaged {
                file: path.to_path_buf(),
                offset: 0,
                what: "neither of its two numbers has a good checksum".to_owned(),
            });
        };
        Ok(Some(Register {
            file: disk.open(path).map_err(io_error("cannot open", path))?,
            path: path.to_path_buf(),
            magic,
            number,
            constant,
            slot,
            torn: slots.len() < 2,
            failed: false,
        }))
    }

    /// Makes a register; durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::Io`]: there is no register then.
    pub(super) fn create(
        disk: &dyn Disk,
        path: &Path,
        magic: &'static [u8; 8],
        number: u64,
        constant: u64,
    ) -> Result<Register, StoreError> {
        let new = path.with_extension("new");
        let slot = slot_bytes(magic, number, constant);
        let write = || {
            let file = disk.create(&new)?;
            file.write_all_at(&[slot, slot].concat(), 0)?;
            file.sync_data()?;
            disk.rename(&new, path)?;
            disk.sync_directory(path.parent().unwrap_or(Path::new(".")))?;
            Ok(file)
        };
        Ok(Register {
            file: write().map_err(io_error("cannot create", path))?,
            path: path.to_path_buf(),
            magic,
            number,
            constant,
            slot: 1,
            torn: false,
            failed: false,
        })
    }

    /// Sets the number, which only grows; durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::Io`], after a failed sync for ever: what is durable, the old number or the new
    /// one, is known after a restart only.
    pub(super) fn set(&mut self, number: u64) -> Result<(), StoreError> {
        let slot = 1 - self.slot;
        let bytes = slot_bytes(self.magic, number, self.constant);
        let written = if self.failed {
            Err(io::Error::other(
                "an earlier sync failed; restart to recover",
            ))
        } else {
            self.file.write_all_at(&bytes, (slot * SLOT_BYTES) as u64)
        };
        let synced =
            written.and_then(|()| self.file.sync_data().inspect_err(|_| self.failed = true));
        synced.map_err(io_error("cannot write", &self.path))?;
        self.number = number;
        self.slot = slot;
        self.torn = false;
        Ok(())
    }

    /// The number.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// What stays the same.
    pub(super) fn constant(&self) -> u64 {
        self.constant
    }

    /// Whether a greater number may have been here.
    pub(super) fn is_torn(&self) -> bool {
        self.torn
    }
}

fn slot_bytes(magic: &[u8; 8], number: u64, constant: u64) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    preamble::put(&mut bytes, magic);
    bytes[PREAMBLE_BYTES..CONSTANT_AT].copy_from_slice(&number.to_le_bytes());
    bytes[CONSTANT_AT..CRC_AT].copy_from_slice(&constant.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..CRC_AT]);
    bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn parse(bytes: &[u8], magic: &[u8; 8], file: &Path) -> Result<Option<(u64, u64)>, StoreError> {
    let holds = preamble::is_ours(bytes, magic, file)?
        && bytes.len() >= CRC_AT + 4
        && crc32fast::hash(&bytes[..CRC_AT]) == u32_at(bytes, CRC_AT);
    Ok(holds.then(|| (u64_at(bytes, PREAMBLE_BYTES), u64_at(bytes, CONSTANT_AT))))
}
