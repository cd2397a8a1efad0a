//! The mailboxes of one shard: found by name, activated by a first message, dropped when empty.

use hashbrown::HashTable;
use slab::Slab;

use super::spread::Spread;
use crate::domain::mailbox::Mailbox;
use crate::domain::username::{Username, UsernameHash};

/// Memory of one mailbox without its messages, in bytes, for the accounting.
pub const MAILBOX_OVERHEAD_BYTES: u64 = 150;

/// Mailboxes by name; each has a handle while it lives.
#[derive(Debug)]
pub struct Mailboxes {
    slab: Slab<Mailbox>,
    by_name: HashTable<u32>,
    spread: Spread,
}

impl Mailboxes {
    /// No mailboxes.
    pub fn new(spread: Spread) -> Mailboxes {
        Mailboxes {
            slab: Slab::new(),
            by_name: HashTable::new(),
            spread,
        }
    }

    /// The handle of the user's mailbox, if there is one.
    pub fn find(&self, username: &Username, hash: UsernameHash) -> Option<u32> {
        let named = |handle: &u32| self.slab[*handle as usize].username() == username;
        self.by_name.find(self.spread.of(hash.0), named).copied()
    }

    /// Activates the mailbox of a user who has none.
    pub fn activate(&mut self, username: Username, hash: UsernameHash) -> u32 {
        let handle = u32::try_from(self.slab.insert(Mailbox::new(username)))
            .expect("memory ends before 2^32");
        let (slab, spread) = (&self.slab, self.spread);
        let rehash = |handle: &u32| spread.of(slab[*handle as usize].username().hash().0);
        self.by_name
            .insert_unique(spread.of(hash.0), handle, rehash);
        handle
    }

    /// Drops mailboxes. All are found before any is dropped, so that the processor waits for many cache
    /// misses at once.
    pub fn passivate(&mut self, handles: &[u32]) {
        let is_known = |handle: &&u32| {
            let hash = self.hash(**handle);
            self.by_name.find(hash, |other| other == *handle).is_some()
        };
        let known = handles.iter().filter(is_known).count();
        assert_eq!(known, handles.len(), "a mailbox is known by its name");
        for handle in handles {
            let hash = self.hash(*handle);
            if let Ok(entry) = self.by_name.find_entry(hash, |other| other == handle) {
                entry.remove();
            }
            self.slab.remove(*handle as usize);
        }
    }

    fn hash(&self, handle: u32) -> u64 {
        let mailbox = &self.slab[handle as usize];
        self.spread.of(mailbox.username().hash().0)
    }

    /// The mailbox behind a handle.
    pub fn get(&self, handle: u32) -> &Mailbox {
        &self.slab[handle as usize]
    }

    /// The mailbox behind a handle.
    pub fn get_mut(&mut self, handle: u32) -> &mut Mailbox {
        &mut self.slab[handle as usize]
    }

    /// Every mailbox with its handle.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Mailbox)> {
        self.slab
            .iter()
            .map(|(handle, mailbox)| (handle as u32, mailbox))
    }

    /// How many mailboxes are active.
    pub fn len(&self) -> usize {
        self.slab.len()
    }
}
