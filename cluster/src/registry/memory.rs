//! A registry in this process's memory: for one machine, for tests and for the simulator.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::{Origin, Reading, Registry, RegistryError};
use crate::member::name::ClusterName;
use crate::member::{Generation, Member, View};

/// What stands for a server: the registries made of it see each other. Time is that of tokio, so a
/// test may pause it.
#[derive(Clone, Debug)]
pub struct MemoryServer(Arc<Mutex<Clusters>>);

/// The members of one cluster.
#[derive(Clone, Debug)]
pub struct MemoryRegistry {
    server: MemoryServer,
    cluster: ClusterName,
    lease: Duration,
}

#[derive(Debug)]
struct Clusters {
    started: Instant,
    started_at: SystemTime,
    is_away: bool,
    clusters: BTreeMap<ClusterName, Cluster>,
}

#[derive(Debug)]
struct Cluster {
    born_us: u64,
    number: u64,
    entries: BTreeMap<Generation, Entry>,
}

#[derive(Debug)]
struct Entry {
    member: Member,
    lease_ends_ms: u64,
}

impl MemoryServer {
    /// A server that has heard of nobody. It begins at this wall-clock time.
    pub fn start(started_at: SystemTime) -> MemoryServer {
        MemoryServer(Arc::new(Mutex::new(Clusters {
            started: Instant::now(),
            started_at,
            is_away: false,
            clusters: BTreeMap::new(),
        })))
    }

    /// The registry of one cluster, with leases of this length.
    pub fn registry(&self, cluster: ClusterName, lease: Duration) -> MemoryRegistry {
        MemoryRegistry {
            server: self.clone(),
            cluster,
            lease,
        }
    }

    /// Forgets everything.
    pub fn wipe(&self) {
        self.lock().clusters.clear();
    }

    /// While it is away it answers nothing.
    pub fn set_away(&self, is_away: bool) {
        self.lock().is_away = is_away;
    }

    fn lock(&self) -> MutexGuard<'_, Clusters> {
        // Nothing between two changes of an entry can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry for MemoryRegistry {
    async fn join(&self, member: &Member) -> Result<Reading, RegistryError> {
        self.step(|cluster, lease_ends_ms| {
            while let Some(other) = cluster.other_with_the_address_of(member) {
                cluster.remove(other);
            }
            cluster.enter(member, lease_ends_ms);
            Ok(())
        })
    }

    async fn renew(&self, member: &Member) -> Result<Reading, RegistryError> {
        self.step(|cluster, lease_ends_ms| {
            if let Some(by) = cluster.other_with_the_address_of(member) {
                return Err(RegistryError::Replaced { by });
            }
            cluster.enter(member, lease_ends_ms);
            Ok(())
        })
    }

    async fn leave(&self, generation: Generation) -> Result<Reading, RegistryError> {
        self.step(|cluster, _| {
            cluster.remove(generation);
            Ok(())
        })
    }

    async fn view(&self) -> Result<Reading, RegistryError> {
        self.step(|_, _| Ok(()))
    }
}

impl MemoryRegistry {
    /// Drops lapsed members, does what is asked, tells the view.
    fn step(
        &self,
        ask: impl FnOnce(&mut Cluster, u64) -> Result<(), RegistryError>,
    ) -> Result<Reading, RegistryError> {
        let mut server = self.server.lock();
        if server.is_away {
            return Err(RegistryError::Away("it is set to be away".into()));
        }
        let since_unix = server.started_at.duration_since(UNIX_EPOCH);
        let wall = since_unix.unwrap_or_default() + server.started.elapsed();
        let time_ms = wall.as_millis() as u64;
        let run = format!("{:p}", Arc::as_ptr(&self.server.0));
        let cluster = server.clusters.entry(self.cluster.clone());
        let cluster = cluster.or_insert_with(|| Cluster {
            born_us: wall.as_micros() as u64,
            number: 0,
            entries: BTreeMap::new(),
        });
        cluster.drop_lapsed(time_ms);
        ask(cluster, time_ms + self.lease.as_millis() as u64)?;
        let members = cluster.entries.values().map(|entry| entry.member.clone());
        Ok(Reading {
            view: View::new(cluster.number, members.collect()),
            origin: Origin {
                run,
                born_us: cluster.born_us,
            },
            time_ms,
        })
    }
}

impl Cluster {
    fn drop_lapsed(&mut self, time_ms: u64) {
        let before = self.entries.len();
        self.entries
            .retain(|_, entry| entry.lease_ends_ms > time_ms);
        self.number += u64::from(self.entries.len() < before);
    }

    fn other_with_the_address_of(&self, member: &Member) -> Option<Generation> {
        let is_other = |other: &Member| {
            other.address == member.address && other.generation != member.generation
        };
        let mut members = self.entries.values().map(|entry| &entry.member);
        members.find(|other| is_other(other)).map(|m| m.generation)
    }

    fn enter(&mut self, member: &Member, lease_ends_ms: u64) {
        let entry = Entry {
            member: member.clone(),
            lease_ends_ms,
        };
        let before = self.entries.insert(member.generation, entry);
        let is_change = before.is_none_or(|before| before.member != *member);
        self.number += u64::from(is_change);
    }

    fn remove(&mut self, generation: Generation) {
        let removed = self.entries.remove(&generation);
        self.number += u64::from(removed.is_some());
    }
}
