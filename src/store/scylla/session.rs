//! The way to ScyllaDB: one session for all calls, replaced by a new one when it has lost every
//! connection.
//!
//! The driver connects again by itself, but after a longer outage it tries only every 10 s. So a call
//! that finds no connection makes a new session, and the first one that gets through is everybody's.

use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use scylla::client::session::Session;
use scylla::errors::ExecutionError;
use scylla::response::query_result::QueryResult;
use scylla::response::{PagingState, PagingStateResponse};
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use tokio::sync::Mutex;

use super::connect::{Connector, Purpose};
use super::error::{CqlError, ScyllaError};
use super::statement::{self, Kind, Levels};
use crate::config::scylla::ScyllaSettings;
use crate::metrics::StoreMetrics;

/// How long nobody tries to make a session after one could not be made.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);

/// Executes prepared statements, whatever becomes of connections.
pub struct Cql {
    connector: Connector,
    levels: Levels,
    keyspace: String,
    session: RwLock<Arc<Session>>,
    /// When the last attempt to replace the session failed; held by the one who tries.
    replacing: Mutex<Option<Instant>>,
    metrics: Option<StoreMetrics>,
}

impl Cql {
    /// Connects; the keyspace need not be there. Calls are counted in `metrics`, if there are any.
    ///
    /// # Errors
    /// [`ScyllaError::Setting`] and [`ScyllaError::Call`].
    pub async fn connect(
        settings: &ScyllaSettings,
        purpose: Purpose,
        metrics: Option<StoreMetrics>,
    ) -> Result<Cql, ScyllaError> {
        let connector = Connector::new(settings, purpose)?;
        let session = connector.connect().await;
        let session = session.map_err(ScyllaError::of("cannot connect"))?;
        Ok(Cql {
            connector,
            levels: Levels::of(settings.scope),
            keyspace: settings.address.keyspace.clone(),
            session: RwLock::new(Arc::new(session)),
            replacing: Mutex::new(None),
            metrics,
        })
    }

    /// Where calls are counted.
    pub fn metrics(&self) -> Option<&StoreMetrics> {
        self.metrics.as_ref()
    }

    /// The keyspace of all tables.
    pub fn keyspace(&self) -> &str {
        &self.keyspace
    }

    /// Prepares a statement, in which `{}` stands for the keyspace and a dot.
    ///
    /// # Errors
    /// [`CqlError::NotSent`] and [`CqlError::Refused`].
    pub async fn prepare(&self, kind: Kind, cql: &str) -> Result<PreparedStatement, CqlError> {
        let cql = cql.replace("{}", &format!("{}.", self.keyspace));
        statement::prepare(&self.current(), self.levels, kind, cql).await
    }

    /// Executes a statement that has one page at most.
    ///
    /// # Errors
    /// [`CqlError`], each with what may have been done.
    pub async fn execute(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow + Sync,
    ) -> Result<QueryResult, CqlError> {
        let values = &values;
        self.call(|session| async move { session.execute_unpaged(statement, values).await })
            .await
    }

    /// Executes a SELECT from `state` on, for one page.
    ///
    /// # Errors
    /// [`CqlError`].
    pub async fn page(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow + Sync,
        state: PagingState,
    ) -> Result<(QueryResult, PagingStateResponse), CqlError> {
        let (values, state) = (&values, &state);
        self.call(|session| async move {
            let state = state.clone();
            session.execute_single_page(statement, values, state).await
        })
        .await
    }

    /// A call that executes a statement so many times: for who makes it often.
    pub fn repeat(&self, statement: &PreparedStatement, times: usize) -> Batch {
        let statements = (0..times).map(|_| statement.clone().into()).collect();
        let mut batch = Batch::new_with_statements(BatchType::Unlogged, statements);
        batch.set_consistency(self.levels.quorum);
        batch.set_serial_consistency(Some(self.levels.serial));
        batch.set_is_idempotent(true);
        batch.set_request_timeout(Some(statement::IMPATIENT));
        batch
    }

    /// Executes one statement for each of `values` at once; each is done or not by itself.
    ///
    /// # Errors
    /// [`CqlError`].
    pub async fn batch<V: SerializeRow + Sync>(
        &self,
        statement: &PreparedStatement,
        values: &[V],
    ) -> Result<(), CqlError> {
        let batch = self.repeat(statement, values.len());
        self.run_batch(&batch, values).await
    }

    /// The same for what [`Cql::repeat`] made of the statement, as many times as there are values.
    ///
    /// # Errors
    /// [`CqlError`].
    pub async fn run_batch<V: SerializeRow + Sync>(
        &self,
        batch: &Batch,
        values: &[V],
    ) -> Result<(), CqlError> {
        self.call(|session| async move { session.batch(batch, values).await })
            .await
            .map(drop)
    }

    /// Executes CQL that is no prepared statement: of the schema.
    ///
    /// # Errors
    /// [`CqlError`].
    pub async fn run(&self, cql: &str) -> Result<QueryResult, CqlError> {
        self.call(|session| async move { session.query_unpaged(cql, ()).await })
            .await
    }

    /// Calls on the current session; if nothing could be sent for want of a connection, once more on a
    /// new one.
    async fn call<T, F>(&self, call: impl Fn(Arc<Session>) -> F) -> Result<T, CqlError>
    where
        F: Future<Output = Result<T, ExecutionError>>,
    {
        let (session, started) = (self.current(), Instant::now());
        let mut answer = call(session.clone()).await;
        if matches!(
            answer,
            Err(ExecutionError::ConnectionPoolError(_) | ExecutionError::EmptyPlan)
        ) && let Some(session) = self.replace(&session).await
        {
            answer = call(session).await;
        }
        let answer = answer.map_err(CqlError::from);
        if let Some(metrics) = &self.metrics {
            metrics.scylla.observe(started.elapsed().as_secs_f64());
            metrics.scylla_errors.inc_by(u64::from(answer.is_err()));
        }
        answer
    }

    /// A session other than `dead`, if one can be made now.
    async fn replace(&self, dead: &Arc<Session>) -> Option<Arc<Session>> {
        let mut failed_at = self.replacing.lock().await;
        let current = self.current();
        if !Arc::ptr_eq(&current, dead) {
            return Some(current);
        }
        if failed_at.is_some_and(|at| at.elapsed() < RECONNECT_PAUSE) {
            return None;
        }
        match self.connector.connect().await {
            Ok(session) => {
                let session = Arc::new(session);
                *self.session.write().unwrap_or_else(PoisonError::into_inner) = session.clone();
                tracing::info!("connected to ScyllaDB again");
                Some(session)
            }
            Err(error) => {
                tracing::debug!(%error, "no session can be made");
                *failed_at = Some(Instant::now());
                None
            }
        }
    }

    fn current(&self) -> Arc<Session> {
        let session = self.session.read().unwrap_or_else(PoisonError::into_inner);
        session.clone()
    }
}
