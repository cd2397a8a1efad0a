//! The servers that the nodes of the demo need: Redis and a CQL server, both with their data in the
//! demo's directory, and the schema.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::process::Process;
use crate::cli::Failure;
use crate::cli::child::free_addresses;
use crate::config::scylla::{ScyllaAddress, ScyllaSettings};
use crate::store::scylla;
use crate::store::scylla::schema::SchemaOptions;

/// Somebody else may take a port that was free.
const REDIS_TRIES: usize = 3;

const REDIS_READY_TIMEOUT: Duration = Duration::from_secs(20);

/// On a busy machine.
const CASSANDRA_READY_TIMEOUT: Duration = Duration::from_secs(180);

/// How long ended messages of a demo are kept: the least that can be set.
const RETENTION: Duration = Duration::from_secs(24 * 3_600);

/// Starts `redis-server` on a free port and waits until it is ready.
///
/// # Errors
/// It is not there, or does not start.
pub async fn start_redis(directory: &Path) -> Result<(String, Process), Failure> {
    for _ in 1..REDIS_TRIES {
        if let Ok(started) = try_redis(directory).await {
            return Ok(started);
        }
    }
    try_redis(directory).await
}

async fn try_redis(directory: &Path) -> Result<(String, Process), Failure> {
    let [address] = free_addresses()?;
    let mut command = Command::new("redis-server");
    command
        .args(["--bind", "127.0.0.1", "--port"])
        .arg(address.port().to_string())
        .args(["--save", "", "--appendonly", "no"]);
    let mut process = Process::start("redis", command, directory).map_err(|error| {
        Failure::Failed(format!(
            "redis-server cannot be started: {error}; install it, or name a Redis by --redis"
        ))
    })?;
    process
        .says("Ready to accept connections", REDIS_READY_TIMEOUT)
        .await?;
    Ok((format!("redis://{address}"), process))
}

/// Starts Cassandra from a directory with `lib/` and `conf/` on free ports, and waits until it is
/// ready.
///
/// # Errors
/// The directory is not that, Java is missing, or it does not start.
pub async fn start_cassandra(
    home: &Path,
    directory: &Path,
) -> Result<(ScyllaAddress, Process), Failure> {
    let home = CassandraHome::find(home)?;
    let [cql, storage, storage_tls] = free_addresses()?.map(|address| address.port());
    let data = directory.join("cassandra");
    fs::create_dir(&data)?;
    let mut command = Command::new("java");
    command.args(home.arguments(&data, [cql, storage, storage_tls]));
    let mut process = Process::start("cassandra", command, directory).map_err(|error| {
        Failure::Failed(format!(
            "java cannot be started: {error}; install Java 17, or name a server by --scylla"
        ))
    })?;
    process
        .says("Startup complete", CASSANDRA_READY_TIMEOUT)
        .await?;
    let address = ScyllaAddress::parse(&format!("127.0.0.1:{cql}")).map_err(Failure::Failed)?;
    Ok((address, process))
}

/// Makes the keyspace.
///
/// # Errors
/// The server cannot be reached, or refuses.
pub async fn apply_schema(settings: &ScyllaSettings) -> Result<(), Failure> {
    let settings = settings.clone();
    let options = SchemaOptions::keeping(Some(RETENTION));
    let applied = tokio::task::spawn_blocking(move || scylla::apply_schema(&settings, options));
    match applied.await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Failure::Failed(error.to_string())),
        Err(panic) => Err(Failure::Failed(panic.to_string())),
    }
}

/// A directory from which Cassandra is started.
struct CassandraHome {
    path: PathBuf,
    /// The agent without which it does not start.
    agent: PathBuf,
}

impl CassandraHome {
    fn find(path: &Path) -> Result<CassandraHome, Failure> {
        let missing = |what: &str, error: io::Error| {
            Failure::Usage(format!(
                "MAYFLY_CASSANDRA_HOME: {what} in {}: {error}; name a directory with lib/ and conf/",
                path.display()
            ))
        };
        let path = path.canonicalize().map_err(|e| missing("nothing", e))?;
        for file in ["cassandra.yaml", "logback.xml", "jvm17.args"] {
            let file = format!("conf/{file}");
            fs::metadata(path.join(&file))
                .map_err(|error| missing(&format!("no {file}"), error))?;
        }
        let jars = fs::read_dir(path.join("lib")).map_err(|error| missing("no lib", error))?;
        let mut jars = jars.filter_map(|jar| Some(jar.ok()?.path()));
        let is_agent = |jar: &PathBuf| {
            let name = jar.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("jamm-") && name.ends_with(".jar")
        };
        let agent = jars.find(is_agent).ok_or_else(|| {
            missing(
                "no lib/jamm-….jar",
                io::Error::from(io::ErrorKind::NotFound),
            )
        })?;
        Ok(CassandraHome { path, agent })
    }

    /// What Java is started with; `ports` are for CQL, and for other nodes in the clear and by TLS.
    fn arguments(&self, data: &Path, ports: [u16; 3]) -> Vec<String> {
        let (home, data) = (self.path.display(), data.display());
        let [cql, storage, storage_tls] = ports;
        let memory = "-Xms256m -Xmx512m -Xss512k -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
             -XX:MaxDirectMemorySize=256m -XX:+ExitOnOutOfMemoryError";
        let mut arguments: Vec<String> = memory.split(' ').map(String::from).collect();
        arguments.extend([
            format!("-javaagent:{}", self.agent.display()),
            format!("@{home}/conf/jvm17.args"),
            format!("-Dcassandra.config=file://{home}/conf/cassandra.yaml"),
            format!("-Dlogback.configurationFile=file://{home}/conf/logback.xml"),
            format!("-Dcassandra.storagedir={data}"),
            format!("-Dcassandra.logdir={data}"),
            format!("-Dcassandra.native_transport_port={cql}"),
            format!("-Dcassandra.storage_port={storage}"),
            format!("-Dcassandra.ssl_storage_port={storage_tls}"),
            // There are no other nodes to wait for.
            String::from("-Dcassandra.skip_wait_for_gossip_to_settle=0"),
            String::from("-Dcassandra.ring_delay_ms=0"),
            String::from("-Dcassandra.shutdown_announce_in_ms=0"),
            String::from("-Dcassandra.superuser_setup_delay_ms=0"),
            String::from("-cp"),
            format!("{home}/lib/*"),
            String::from("org.apache.cassandra.service.CassandraDaemon"),
        ]);
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_no_home_of_cassandra_is_refused_with_what_is_missing() {
        let home = tempfile::tempdir().expect("a directory");
        let write = |file: &str| {
            let path = home.path().join(file);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, "").expect("a file");
        };
        for (missing, file) in [
            ("conf/cassandra.yaml", "conf/cassandra.yaml"),
            ("conf/logback.xml", "conf/logback.xml"),
            ("conf/jvm17.args", "conf/jvm17.args"),
            ("no lib", "lib/other.jar"),
            ("no lib/jamm", "lib/jamm-1.jar"),
        ] {
            let Err(failure) = CassandraHome::find(home.path()) else {
                panic!("{missing} was not missed");
            };
            assert!(failure.line().contains(missing), "{failure:?}");
            write(file);
        }
        let found = CassandraHome::find(home.path()).expect("a home");
        let arguments = found.arguments(Path::new("/data"), [1, 2, 3]);
        assert!(arguments.contains(&String::from("-Dcassandra.native_transport_port=1")));
    }
}
