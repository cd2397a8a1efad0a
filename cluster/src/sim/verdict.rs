//! The end of a run: every shard has its owner again, and everything known is somewhere.

use std::collections::BTreeMap;

use super::model::{Ask, Id, Status};
use super::node::{SHARDS, shard_of};
use super::world::World;
use crate::shard::Shard;

impl World {
    /// Every shard has its owner again, and everything known is somewhere.
    pub(super) fn finish(&mut self) {
        if self.history.violation.is_some() {
            return;
        }
        for op in std::mem::take(&mut self.probes) {
            let ask = self.is_unanswered(op).map(shard_of);
            if let Some(shard) = ask.filter(|shard| self.damaged != Some(*shard)) {
                let text = format!("{shard:?} answers nobody at the end");
                self.history.fail(text);
            }
        }
        let store = self.store.borrow();
        let mut owners = BTreeMap::new();
        for shard in (0..SHARDS).map(Shard) {
            let row = store.claims.get(&shard);
            let index = row.and_then(|row| self.index(row.owner));
            let node = index.and_then(|index| self.slots[index].node.as_ref());
            let host = node.and_then(|node| node.hosts.get(&shard));
            let host = host.filter(|host| host.serves.is_some());
            let host = host.filter(|host| host.serves == row.map(|row| row.epoch));
            if let Some(host) = host {
                owners.insert(shard, &host.memory);
            } else if self.damaged != Some(shard) {
                let text = format!("{shard:?} has no owner at the end: {row:?}");
                self.history.fail(text);
            }
        }
        let status = |id: Id| {
            let archived = || store.archived(id).map(|row| Status::Ended(row.how));
            match owners.get(&shard_of(&Ask::Find { id })) {
                Some(memory) => memory.status(id).or_else(archived),
                None => archived(),
            }
        };
        let is_owned = |id: &Id| owners.contains_key(&shard_of(&Ask::Find { id: *id }));
        let owned = self.posted.iter().copied().filter(is_owned);
        self.history.finish(owned, status, self.now_us);
    }
}
