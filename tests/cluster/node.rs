//! One node as a process: started, paused, ended in every way, and started again at its addresses.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::chaos::network::Namespace;
use crate::failpoint::{Act, Failpoint};
use crate::hang;
use crate::load::Target;
use crate::support::client::Client;
use crate::support::server::{command, free_port};
use crate::support::{LOOK_EVERY, eventually};

/// A probe that takes longer says no, as that of an orchestrator does.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// How much of its log a test that fails tells.
const LAST_LINES: usize = 40;

/// A node with its addresses, whether it runs or not.
pub struct Node {
    pub name: String,
    pub port: u16,
    pub admin_port: u16,
    pub peer_port: u16,
    /// Where it is, when that is not in the test's own network.
    place: Option<Place>,
    arguments: Vec<String>,
    directory: TempDir,
    process: Option<Child>,
}

/// A network that a node is in, and its address there.
struct Place {
    namespace: Arc<Namespace>,
    address: IpAddr,
}

impl Node {
    /// A node that does not run yet, with these arguments besides its addresses and its name.
    pub fn new(name: &str, arguments: &[String]) -> Node {
        Node {
            name: name.to_owned(),
            port: free_port(),
            admin_port: free_port(),
            peer_port: free_port(),
            place: None,
            arguments: arguments.to_vec(),
            directory: TempDir::new().unwrap(),
            process: None,
        }
    }

    /// The same in another network, where everybody reaches it by this address.
    pub fn placed(mut self, namespace: Arc<Namespace>, address: IpAddr) -> Node {
        self.place = Some(Place { namespace, address });
        self
    }

    /// Starts the process; it is not ready yet.
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "{} runs already", self.name);
        let arguments = self.all_arguments();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let directory = self.directory.path();
        let log = File::options()
            .create(true)
            .append(true)
            .open(directory.join("log"));
        let mut command = command(directory, &arguments, log.unwrap());
        command.env("MAYFLY_FAILPOINTS", self.failpoints());
        let child = match &self.place {
            Some(place) => place.namespace.within(|| command.spawn()),
            None => command.spawn(),
        };
        self.process = Some(child.unwrap());
    }

    /// All arguments of `mayfly serve`.
    pub fn all_arguments(&self) -> Vec<String> {
        let own = [
            format!("--listen={}", self.at(self.port)),
            format!("--admin-listen={}", self.at(self.admin_port)),
            format!("--peer-listen={}", self.at(self.peer_port)),
            format!("--advertise={}", self.address()),
            format!("--node={}", self.name),
        ];
        replaced(&own, &self.arguments)
    }

    /// What peers call it, and the header `Mayfly-Owner` of what it served.
    pub fn address(&self) -> String {
        self.at(self.peer_port).to_string()
    }

    /// Where clients find it.
    pub fn target(&self) -> Target {
        Target {
            public: self.at(self.port),
            admin: self.at(self.admin_port),
        }
    }

    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    pub fn client(&self) -> Client {
        Client::at(self.at(self.port))
    }

    pub fn admin(&self) -> Client {
        Client::at(self.at(self.admin_port))
    }

    /// Whether a probe of readiness says yes.
    pub fn is_ready(&self) -> bool {
        let mut client = self.admin().with_timeout(PROBE_TIMEOUT);
        let answer = client.try_send("GET", "/readyz", &[], b"");
        answer.is_ok_and(|answer| answer.status == 200)
    }

    /// What it tells of the cluster; nothing when it does not answer.
    pub fn view(&self) -> Option<Value> {
        let mut client = self.admin().with_timeout(PROBE_TIMEOUT);
        let answer = client.try_send("GET", "/cluster", &[], b"").ok()?;
        (answer.status == 200).then(|| answer.json())
    }

    /// # Panics
    /// When the process ends, or is not ready soon.
    #[track_caller]
    pub fn await_ready(&mut self) {
        eventually("a node is ready", || {
            let process = self.process.as_mut().unwrap();
            let ended = process.try_wait().unwrap();
            assert!(ended.is_none(), "{} ended: {}", self.name, self.log());
            self.is_ready().then_some(())
        });
    }

    /// How the process ended, if it ended by itself; then the node does not run any more.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        let status = self.process.as_mut()?.try_wait().unwrap()?;
        self.process = None;
        Some(status)
    }

    /// The value of a metric without labels; nothing when it does not answer.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let mut client = self.admin().with_timeout(PROBE_TIMEOUT);
        let answer = client.try_send("GET", "/metrics", &[], b"").ok()?;
        let text = answer.text();
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.unwrap_or_else(|| panic!("no metric {name} in {text}"));
        Some(value.parse().unwrap())
    }

    /// Ends the process without warning.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Lets the process hang; its connections stay open.
    pub fn pause(&self) {
        hang::pause(self.process());
    }

    pub fn resume(&self) {
        hang::resume(self.process());
    }

    /// Asks the process to end, as an orchestrator does.
    pub fn terminate(&self) {
        kill_process(Pid::from_child(self.process()), Signal::TERM).unwrap();
    }

    /// # Panics
    /// When the process has not ended within `within`.
    #[track_caller]
    pub fn await_exit(&mut self, within: Duration) -> ExitStatus {
        let started = Instant::now();
        let mut process = self.process.take().unwrap();
        loop {
            if let Some(status) = process.try_wait().unwrap() {
                return status;
            }
            if started.elapsed() > within {
                process.kill().unwrap();
                process.wait().unwrap();
                panic!("{} still ran after {within:?}: {}", self.name, self.log());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Arms one of its failpoints for a shard.
    pub fn arm(&self, place: &str, shard: u16, act: Act) -> Failpoint {
        Failpoint::arm(&self.failpoints(), place, shard, act)
    }

    /// What it wrote to standard error, over all its lives.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    fn at(&self, port: u16) -> SocketAddr {
        let place = self.place.as_ref();
        let address = place.map_or(Ipv4Addr::LOCALHOST.into(), |place| place.address);
        SocketAddr::new(address, port)
    }

    fn failpoints(&self) -> PathBuf {
        self.directory.path().join("failpoints")
    }

    fn process(&self) -> &Child {
        self.process.as_ref().unwrap()
    }
}

/// Arguments of the form `--flag=value`, without those whose flag is given with another value, and the
/// given ones.
pub fn replaced(usual: &[String], given: &[String]) -> Vec<String> {
    let flag = |argument: &String| argument.split('=').next().map(str::to_owned);
    let is_replaced = |usual: &&String| given.iter().any(|given| flag(given) == flag(usual));
    let kept = usual.iter().filter(|usual| !is_replaced(usual));
    kept.chain(given).cloned().collect()
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let name = format!("{}-{}.log", self.name, self.peer_port);
            let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
            let copied = fs::copy(self.directory.path().join("log"), &kept);
            println!("the log of {} is {}: {copied:?}", self.name, kept.display());
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            println!("its end:");
            for line in &lines[lines.len().saturating_sub(LAST_LINES)..] {
                println!("  {line}");
            }
        }
    }
}
