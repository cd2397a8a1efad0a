//! The registry in Redis keeps the contract, and goes on after whatever happens to the server.

use std::time::{Duration, Instant};

use cluster::member::{Generation, Member};
use cluster::membership::{Hold, Membership};
use cluster::registry::redis::RedisRegistry;
use cluster::registry::{self, Reading, Registry, RegistryError};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::contract::{Server, contract};
use crate::redis_server::RedisServer;
use crate::sample::*;

/// No call takes longer, on the busiest machine.
const CALL_MAX: Duration = Duration::from_secs(3);

/// Asks again when there is no answer in time, as on a busy machine: every call may be repeated.
pub struct Patient(RedisRegistry);

impl Registry for Patient {
    async fn join(&self, member: &Member) -> Result<Reading, RegistryError> {
        let asked = Instant::now();
        loop {
            let answer = self.0.join(member).await;
            if is_answer(&answer, asked) {
                return answer;
            }
        }
    }

    async fn renew(&self, member: &Member) -> Result<Reading, RegistryError> {
        let asked = Instant::now();
        loop {
            let answer = self.0.renew(member).await;
            if is_answer(&answer, asked) {
                return answer;
            }
        }
    }

    async fn leave(&self, generation: Generation) -> Result<Reading, RegistryError> {
        let asked = Instant::now();
        loop {
            let answer = self.0.leave(generation).await;
            if is_answer(&answer, asked) {
                return answer;
            }
        }
    }

    async fn view(&self) -> Result<Reading, RegistryError> {
        let asked = Instant::now();
        loop {
            let answer = self.0.view().await;
            if is_answer(&answer, asked) {
                return answer;
            }
        }
    }
}

/// Whether the server has answered; it must before long.
fn is_answer(answer: &Result<Reading, RegistryError>, asked: Instant) -> bool {
    let is_away = matches!(answer, Err(RegistryError::Away(_)));
    assert!(!is_away || asked.elapsed() < SOON, "{answer:?}");
    !is_away
}

impl Server for RedisServer {
    type Registry = Patient;

    fn start() -> RedisServer {
        RedisServer::start()
    }

    fn registry(&self, name: &str, lease: Duration) -> Patient {
        Patient(RedisRegistry::new(&self.url(), &cluster(name), lease).unwrap())
    }

    fn wipe(&self) {
        assert_eq!(self.command("flushall"), "+OK");
    }
}

contract!(RedisServer);

#[tokio::test]
async fn a_lost_connection_is_opened_again() {
    let server = RedisServer::start();
    let registry = server.registry("a", LEASE);
    let before = registry.join(&member(1)).await.unwrap();
    server.command("client kill type normal skipme yes");
    let lost = registry.0.view().await;
    assert!(matches!(lost, Err(RegistryError::Away(_))), "{lost:?}");
    assert_eq!(registry.view().await.unwrap().view, before.view);
}

#[tokio::test]
async fn a_server_that_hangs_is_away_in_time_and_back_with_its_members() {
    let server = RedisServer::start();
    let registry = server.registry("a", LEASE);
    let before = registry.join(&member(1)).await.unwrap();
    server.pause();
    let asked = Instant::now();
    let hung = registry.0.view().await;
    assert!(matches!(hung, Err(RegistryError::Away(_))), "{hung:?}");
    assert!(asked.elapsed() < CALL_MAX, "{:?}", asked.elapsed());
    server.resume();
    let after = registry.renew(&member(1)).await.unwrap();
    assert_eq!(after.view.members(), before.view.members());
    assert_eq!(after.origin, before.origin);
}

#[tokio::test]
async fn a_server_that_restarts_empty_is_another_origin() {
    let mut server = RedisServer::start();
    let registry = server.registry("a", LEASE);
    let before = registry.join(&member(1)).await.unwrap();
    server.kill();
    for _ in 0..3 {
        let asked = Instant::now();
        let away = registry.0.renew(&member(1)).await;
        assert!(matches!(away, Err(RegistryError::Away(_))), "{away:?}");
        assert!(asked.elapsed() < CALL_MAX, "{:?}", asked.elapsed());
    }
    server.restart();
    let after = registry.renew(&member(1)).await.unwrap();
    assert_ne!(after.origin.run, before.origin.run);
    assert_eq!(after.view.members(), [member(1)]);
}

#[tokio::test]
async fn a_server_that_comes_after_the_member_is_found() {
    let mut server = RedisServer::start();
    server.kill();
    let registry = server.registry("a", LEASE);
    let away = registry.0.join(&member(1)).await;
    assert!(matches!(away, Err(RegistryError::Away(_))), "{away:?}");
    server.restart();
    let joined = registry.join(&member(1)).await.unwrap();
    assert_eq!(joined.view.members(), [member(1)]);
}

#[tokio::test]
async fn of_members_that_join_at_once_none_is_lost() {
    let server = RedisServer::start();
    let mut joins = JoinSet::new();
    for number in 1..=16 {
        let registry = server.registry("a", LEASE);
        joins.spawn(async move { registry.join(&member(number)).await.unwrap().view.number });
    }
    let mut numbers = joins.join_all().await;
    numbers.sort();
    assert_eq!(numbers, (1..=16).collect::<Vec<_>>());
    let members: Vec<_> = (1..=16).map(member).collect();
    assert_eq!(
        server
            .registry("a", LEASE)
            .view()
            .await
            .unwrap()
            .view
            .members(),
        members
    );
}

#[tokio::test]
async fn every_key_carries_the_name_of_its_cluster() {
    let server = RedisServer::start();
    server.registry("a", LEASE).join(&member(1)).await.unwrap();
    let keys = server.command("keys *");
    assert!(keys.starts_with("*3"), "{keys}");
    for key in ["{a}:leases", "{a}:members", "{a}:view"] {
        assert!(keys.contains(key), "{key} is not in {keys}");
    }
}

#[tokio::test]
async fn an_entry_of_a_newer_release_is_read_and_nonsense_is_named() {
    let server = RedisServer::start();
    let registry = server.registry("a", LEASE);
    registry.join(&member(1)).await.unwrap();
    let generation = member(1).generation;
    let entry = |text: &str| server.command(&format!("hset {{a}}:members {generation} \"{text}\""));
    entry("10.0.0.1:7946 node-1 joining 1.0.0 more");
    assert_eq!(registry.view().await.unwrap().view.members(), [member(1)]);
    entry("10.0.0.1:7946 node-1 asleep 1.0.0");
    let error = registry.view().await.unwrap_err();
    assert!(error.to_string().contains("asleep"), "{error}");
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_at_once() {
    let refused = RedisRegistry::new("localhost", &cluster("a"), LEASE);
    let refused = refused.map(drop).unwrap_err();
    assert!(matches!(refused, RegistryError::Url(_)), "{refused}");
}

#[tokio::test]
async fn a_connection_that_falls_silent_is_replaced() {
    let server = RedisServer::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let address = server.url().replace("redis://", "");
    let (silence, silenced) = watch::channel(());
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = TcpStream::connect(&address).await.unwrap();
            let mut silenced = silenced.clone();
            silenced.mark_unchanged();
            tokio::spawn(async move {
                tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                    _ = silenced.changed() => std::future::pending().await,
                }
            });
        }
    });
    let registry = Patient(RedisRegistry::new(&url, &cluster("a"), LEASE).unwrap());
    registry.join(&member(1)).await.unwrap();
    silence.send(()).unwrap();
    let silent = registry.0.view().await;
    assert!(matches!(silent, Err(RegistryError::Away(_))), "{silent:?}");
    registry.view().await.unwrap();
}

#[tokio::test]
async fn a_member_that_lives_stays_in_the_view_while_redis_starts_again_empty() {
    let mut server = RedisServer::start();
    let (first, second) = (server.registry("a", LEASE), server.registry("a", LEASE));
    second.join(&member(2)).await.unwrap();
    let (started, mut membership) = (Instant::now(), Membership::new(registry::LEASE, None));
    let mut hear = |reading| {
        let hold = membership.heard(reading, started.elapsed());
        let members = membership.view().members().iter();
        let generations: Vec<Generation> = members.map(|m| m.generation).collect();
        (hold, generations)
    };
    let both = vec![member(1).generation, member(2).generation];
    assert_eq!(
        hear(first.join(&member(1)).await.unwrap()),
        (None, both.clone())
    );
    server.kill();
    server.restart();
    let renewed = first.renew(&member(1)).await.unwrap();
    assert_eq!(renewed.view.members(), [member(1)]);
    assert_eq!(hear(renewed), (Some(Hold::AnotherOrigin), both.clone()));
    second.renew(&member(2)).await.unwrap();
    assert_eq!(hear(first.renew(&member(1)).await.unwrap()), (None, both));
}
