//! The contract, for the embedded stores.

use std::sync::Arc;

use mayfly::store::claims::Claims;
use mayfly::store::journal::Journal;
use mayfly::store::local::archive::LocalArchive;
use mayfly::store::local::claims::LocalClaims;
use mayfly::store::local::journal::LocalJournal;
use mayfly::store::local::{LocalOptions, LocalStores};
use tempfile::TempDir;

use crate::contract::{Factory, Opened, contract};
use crate::support::*;

contract!(Local);

/// Embedded stores with small segments in a directory of their own.
struct Local {
    directory: TempDir,
}

impl Default for Local {
    fn default() -> Local {
        Local {
            directory: tempfile::tempdir().unwrap(),
        }
    }
}
