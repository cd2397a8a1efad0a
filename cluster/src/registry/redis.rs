//! The registry in Redis: three keys a cluster, each call one script, so that it is atomic and by
//! the clock of the server alone. Nothing is ever searched for: Redis is shared with others.

use std::io::ErrorKind::TimedOut;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisError, Script};
use tokio::time::timeout;
use uuid::Uuid;

use super::{Origin, Reading, Registry, RegistryError};
use crate::member::name::ClusterName;
use crate::member::{Generation, Member, View};

/// A server that hangs answers nothing within this.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(300);

/// A server that cannot be reached is given up after this, and tried again.
const CONNECTION_TIMEOUT: Duration = Duration::from_millis(300);

/// Tries to connect again within one call.
const RETRIES: usize = 3;

/// The longest pause between two of them.
const RETRY_DELAY_MAX: Duration = Duration::from_millis(500);

/// No call takes longer, whatever it waits for.
const CALL_TIMEOUT: Duration = Duration::from_millis(1_500);

/// The members of one cluster. It has no `Debug`, which would tell the password of the URL.
pub struct RedisRegistry {
    client: Client,
    connection: Mutex<ConnectionManager>,
    step: Script,
    keys: [String; 3],
    lease: Duration,
}

/// What the script answers, in its order.
type Answer = (String, String, u64, u64, u64, Vec<String>);

impl RedisRegistry {
    /// The registry of one cluster at `url`, with leases of this length. It connects with the first
    /// call, so Redis may be away.
    ///
    /// # Errors
    /// [`RegistryError::Url`] when the address is none.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(
        url: &str,
        cluster: &ClusterName,
        lease: Duration,
    ) -> Result<RedisRegistry, RegistryError> {
        let client = Client::open(url).map_err(|error| RegistryError::Url(error.into()))?;
        let connection = connect(&client).map_err(|error| RegistryError::Url(error.into()))?;
        // The braces keep the keys of a cluster together where Redis itself is sharded.
        let key = |name| format!("{{{cluster}}}:{name}");
        Ok(RedisRegistry {
            client,
            connection: Mutex::new(connection),
            step: Script::new(include_str!("step.lua")),
            keys: [key("leases"), key("members"), key("view")],
            lease,
        })
    }

    async fn step(
        &self,
        ask: &'static str,
        generation: Generation,
        record: &str,
    ) -> Result<Reading, RegistryError> {
        let mut step = self.step.prepare_invoke();
        for key in &self.keys {
            step.key(key);
        }
        step.arg(ask)
            .arg(self.lease.as_millis() as u64)
            .arg(generation.0.to_string())
            .arg(record);
        let mut connection = self.connection();
        let answer = timeout(CALL_TIMEOUT, step.invoke_async(&mut connection)).await;
        let answer = answer.unwrap_or_else(|_| Err(std::io::Error::from(TimedOut).into()));
        reading(answer.map_err(|error| self.away(error))?)
    }

    fn connection(&self) -> ConnectionManager {
        let connection = self.connection.lock();
        connection.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A connection that was closed is opened again by its manager. One that is only silent, or leads
    /// to a server that is no longer the one to write to, would stay for as long as TCP has patience.
    fn away(&self, error: RedisError) -> RegistryError {
        if !error.is_connection_dropped()
            && let Ok(connection) = connect(&self.client)
        {
            let current = self.connection.lock();
            *current.unwrap_or_else(PoisonError::into_inner) = connection;
        }
        RegistryError::Away(error.into())
    }
}

/// A connection that is opened with the first call.
fn connect(client: &Client) -> Result<ConnectionManager, RedisError> {
    let config = ConnectionManagerConfig::new()
        .set_max_delay(RETRY_DELAY_MAX)
        .set_number_of_retries(RETRIES)
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_connection_timeout(Some(CONNECTION_TIMEOUT));
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

impl Registry for RedisRegistry {
    async fn join(&self, member: &Member) -> Result<Reading, RegistryError> {
        self.step("join", member.generation, &record(member)).await
    }

    async fn renew(&self, member: &Member) -> Result<Reading, RegistryError> {
        self.step("renew", member.generation, &record(member)).await
    }

    async fn leave(&self, generation: Generation) -> Result<Reading, RegistryError> {
        self.step("leave", generation, "").await
    }

    async fn view(&self) -> Result<Reading, RegistryError> {
        self.step("view", Generation(Uuid::nil()), "").await
    }
}

fn reading(answer: Answer) -> Result<Reading, RegistryError> {
    let (replaced_by, run, born_us, number, time_us, alive) = answer;
    if !replaced_by.is_empty() {
        let by = generation(&replaced_by).ok_or(RegistryError::Record(replaced_by))?;
        return Err(RegistryError::Replaced { by });
    }
    let entries = alive.chunks_exact(2);
    let members: Result<_, _> = entries.map(|entry| member(&entry[0], &entry[1])).collect();
    Ok(Reading {
        view: View::new(number, members?),
        origin: Origin { run, born_us },
        time_ms: time_us / 1_000,
    })
}

/// What a member tells of itself, in words: no word can hold a space.
fn record(member: &Member) -> String {
    let Member {
        generation: _,
        node,
        address,
        state,
        version,
    } = member;
    format!("{address} {node} {} {version}", state.word())
}

/// Reads an entry. Words that a newer release adds behind are not for this one.
fn member(named: &str, record: &str) -> Result<Member, RegistryError> {
    let parse = || {
        let mut words = record.split(' ');
        Some(Member {
            generation: generation(named)?,
            address: words.next()?.parse().ok()?,
            node: words.next()?.parse().ok()?,
            state: words.next()?.parse().ok()?,
            version: words.next()?.parse().ok()?,
        })
    };
    parse().ok_or_else(|| RegistryError::Record(format!("{named} {record}")))
}

fn generation(text: &str) -> Option<Generation> {
    text.parse().ok().map(Generation)
}
