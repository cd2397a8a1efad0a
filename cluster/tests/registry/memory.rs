//! The registry in memory keeps the contract, and can be away.

use std::time::{Duration, SystemTime};

use cluster::registry::memory::{MemoryRegistry, MemoryServer};
use cluster::registry::{Registry, RegistryError};

use crate::contract::{Server, contract};
use crate::sample::*;

impl Server for MemoryServer {
    type Registry = MemoryRegistry;

    fn start() -> MemoryServer {
        MemoryServer::start(SystemTime::now())
    }

    fn registry(&self, name: &str, lease: Duration) -> MemoryRegistry {
        MemoryServer::registry(self, cluster(name), lease)
    }

    fn wipe(&self) {
        MemoryServer::wipe(self);
    }
}

contract!(MemoryServer);

#[tokio::test]
async fn while_it_is_away_it_answers_nothing_and_forgets_nothing() {
    let server = MemoryServer::start(SystemTime::now());
    let registry = Server::registry(&server, "a", LEASE);
    let before = registry.join(&member(1)).await.unwrap();
    server.set_away(true);
    assert!(matches!(registry.view().await, Err(RegistryError::Away(_))));
    server.set_away(false);
    assert_eq!(registry.view().await.unwrap().view, before.view);
}
