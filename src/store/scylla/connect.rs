//! A session with ScyllaDB from the settings: nodes, log-in, encryption, time-outs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;

use super::error::{CqlError, ScyllaError};
use super::statement::Levels;
use crate::config::scylla::{Scope, ScyllaSettings};

/// How long a call may take before its outcome counts as unknown: more than the server's own limits
/// for writes (2 s) and reads (5 s), so that mostly the server says what became of it.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(6);

/// How long a change of the schema may take, agreement of all nodes included.
const SCHEMA_TIMEOUT: Duration = Duration::from_secs(60);

/// How often it is asked whether all nodes agree on the schema.
const AGREEMENT_INTERVAL: Duration = Duration::from_millis(50);

/// How long one connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a whole session may take to be made.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a connection is tried, and how long its answer may take: a server that hangs has lost its
/// connections after twice this. A session is made when every server has answered or failed, first one
/// and then the rest, so it takes twice as long again: with [`SESSION_TIMEOUT`] or more, one server that
/// hangs would keep all others away.
const KEEPALIVE: Duration = Duration::from_secs(2);

/// A read or write that has no answer after this is also sent to another server: the first may hang, and
/// what is the same each time may be done twice. Compare-and-sets are never sent twice.
const SECOND_TRY_AFTER: Duration = Duration::from_millis(400);

/// What a session is made of, read once from the settings and their files.
#[derive(Clone)]
pub struct Connector {
    builder: SessionBuilder,
}

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To serve, with the time-outs of serving.
    Serve,
    /// To change the schema.
    Schema,
}

impl Connector {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// [`ScyllaError::Setting`].
    pub fn new(settings: &ScyllaSettings, purpose: Purpose) -> Result<Connector, ScyllaError> {
        let levels = Levels::of(settings.scope);
        let mut nodes = DefaultPolicy::builder();
        if let (Scope::Local, Some(datacenter)) = (settings.scope, &settings.datacenter) {
            // A majority of another datacenter would be another majority.
            nodes = nodes
                .prefer_datacenter(datacenter.clone())
                .permit_dc_failover(false);
        }
        let timeout = match purpose {
            Purpose::Serve => CALL_TIMEOUT,
            Purpose::Schema => SCHEMA_TIMEOUT,
        };
        let profile = ExecutionProfile::builder()
            .consistency(levels.quorum)
            .serial_consistency(Some(levels.serial))
            .request_timeout(Some(timeout))
            .load_balancing_policy(nodes.build())
            .speculative_execution_policy(Some(Arc::new(SimpleSpeculativeExecutionPolicy {
                max_retry_count: 1,
                retry_interval: SECOND_TRY_AFTER,
            })))
            .build();
        let mut builder = SessionBuilder::new()
            .known_nodes(&settings.address.nodes)
            .default_execution_profile_handle(profile.into_handle())
            .connection_timeout(CONNECT_TIMEOUT)
            .schema_agreement_timeout(SCHEMA_TIMEOUT)
            .schema_agreement_interval(AGREEMENT_INTERVAL)
            .keepalive_interval(KEEPALIVE)
            .keepalive_timeout(KEEPALIVE)
            // What routing by token needs, and no more.
            .fetch_schema_metadata(true)
            .fetch_full_schema_metadata(false)
            .keyspaces_to_fetch([&settings.address.keyspace]);
        if let Some((user, file)) = &settings.login {
            builder = builder.user(user, password(file)?);
        }
        if let Some(file) = &settings.ca {
            builder = builder.tls_context(Some(trusting(file)?));
        }
        Ok(Connector { builder })
    }

    /// Makes a session; at least one node must answer.
    ///
    /// # Errors
    /// [`CqlError::NotSent`] and [`CqlError::Silent`].
    pub async fn connect(&self) -> Result<Session, CqlError> {
        match tokio::time::timeout(SESSION_TIMEOUT, self.builder.build()).await {
            Ok(session) => Ok(session?),
            Err(elapsed) => Err(CqlError::Silent(elapsed.into())),
        }
    }
}

fn password(file: &Path) -> Result<String, ScyllaError> {
    let text = std::fs::read_to_string(file).map_err(|error| ScyllaError::Setting {
        setting: "scylla-password-file",
        reason: format!("{}: {error}; name a file that can be read", file.display()),
    })?;
    Ok(String::from(text.lines().next().unwrap_or_default()))
}

/// A configuration that trusts the certificates in `file` and no others.
fn trusting(file: &Path) -> Result<Arc<ClientConfig>, ScyllaError> {
    let wrong = |reason: String| ScyllaError::Setting {
        setting: "scylla-ca",
        reason: format!(
            "{}: {reason}; name a file of PEM certificates",
            file.display()
        ),
    };
    let mut roots = RootCertStore::empty();
    for certificate in
        CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))?
    {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong(String::from("no certificate is in it")));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
