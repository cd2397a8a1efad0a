//! A network of a test's own: a namespace for each node and one for the test, the hub, all joined by a
//! bridge. What one node sends to another can be dropped on the way, without a word to either.
//!
//! Nothing of it touches the network of the machine, so its addresses are always the same. It does not
//! reach servers outside; that is what a `relay` is for.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::panic::resume_unwind;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::fd::AsFd;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The last part of the hub's address; a node's is its number and 1.
const HUB: usize = 254;

/// Begins the names of namespaces; a process id, a number and a name follow.
const PREFIX: &str = "mayfly-test";

/// Where named namespaces are.
const NAMED: &str = "/run/netns";

/// The namespaces; they go with it.
pub struct Network {
    /// Where the test is.
    pub hub: Arc<Namespace>,
    /// Where the machine's servers are.
    pub outside: Arc<Namespace>,
    /// Where each node is.
    pub nodes: Vec<Arc<Namespace>>,
}

/// One network, seen from inside.
pub struct Namespace {
    name: String,
    handle: File,
}

/// Runs a test in the hub of a network with so many places for nodes.
///
/// # Panics
/// When the machine does not let the test make a network, and when the test panics.
pub fn inside(nodes: usize, test: impl FnOnce(&Network) + Send) {
    let network = Network::new(nodes);
    network.hub.within(|| test(&network));
}

impl Network {
    fn new(nodes: usize) -> Network {
        remove_left_behind();
        let outside = Namespace {
            name: String::new(),
            handle: File::open("/proc/thread-self/ns/net").unwrap(),
        };
        let hub = Namespace::make("hub");
        hub.ip("link add bridge type bridge");
        hub.ip(&format!("addr add {}/24 dev bridge", address(HUB)));
        hub.ip("link set bridge up");
        let mut network = Network {
            hub: Arc::new(hub),
            outside: Arc::new(outside),
            nodes: Vec::new(),
        };
        for node in 0..nodes {
            let namespace = network.join(node);
            network.nodes.push(Arc::new(namespace));
        }
        network
    }

    /// Makes the namespace of a node, and a cable from there to the bridge.
    fn join(&self, node: usize) -> Namespace {
        let namespace = Namespace::make(&format!("node{node}"));
        let (own, mac) = (&namespace.name, hardware(node));
        self.hub.ip(&format!(
            "link add node{node} type veth peer name eth0 address {mac} netns {own}"
        ));
        self.hub
            .ip(&format!("link set node{node} master bridge up"));
        let address = Network::address(node);
        namespace.ip(&format!("addr add {address}/24 dev eth0"));
        namespace.ip("link set eth0 up");
        namespace
    }

    /// The address of a node.
    pub fn address(node: usize) -> IpAddr {
        address(node + 1)
    }

    /// From now on what a node sends to another does not arrive, or does again.
    pub fn set_cut(&self, from: usize, to: usize, is_cut: bool) {
        // Sent to nobody on the bridge, packets are lost as they are behind a broken cable.
        let mac = if is_cut { hardware(HUB) } else { hardware(to) };
        let to = Network::address(to);
        self.nodes[from].ip(&format!(
            "neigh replace {to} lladdr {mac} dev eth0 nud permanent"
        ));
    }
}

impl Namespace {
    /// # Panics
    /// When the system does not allow it.
    fn make(name: &str) -> Namespace {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}-{}-{number}-{name}", std::process::id());
        if let Err(error) = ip(&["netns", "add", &name]) {
            panic!(
                "cannot make a network namespace: {error}\nrun this test as root on Linux, in a container \
                 with --privileged; `ip` comes with: apt-get install iproute2"
            );
        }
        let handle = File::open(Path::new(NAMED).join(&name)).unwrap();
        let namespace = Namespace { name, handle };
        namespace.ip("link set lo up");
        namespace
    }

    /// Does something in this network, on a thread of its own; threads and processes begun there stay.
    pub fn within<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let name = thread::current().name().unwrap_or("test").to_owned();
        let acted = thread::scope(|scope| {
            let thread = thread::Builder::new().name(name);
            let acting = thread.spawn_scoped(scope, || {
                let network = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(self.handle.as_fd(), network).unwrap();
                act()
            });
            acting.unwrap().join()
        });
        acted.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Has `ip` do something in this network.
    #[track_caller]
    fn ip(&self, line: &str) {
        let words = line.split(' ');
        let all: Vec<_> = ["-n", &self.name].into_iter().chain(words).collect();
        ip(&all).unwrap_or_else(|error| panic!("ip {line}: {error}"));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if !self.name.is_empty() {
            // What is left behind is removed by the next test.
            let _ = ip(&["netns", "delete", &self.name]);
        }
    }
}

/// Removes what tests left that were killed.
fn remove_left_behind() {
    let Ok(names) = std::fs::read_dir(NAMED) else {
        return;
    };
    for name in names {
        let name = name.unwrap().file_name().into_string().unwrap();
        let rest = name
            .strip_prefix(PREFIX)
            .and_then(|name| name.strip_prefix('-'));
        let Some((process, _)) = rest.and_then(|rest| rest.split_once('-')) else {
            continue;
        };
        if !Path::new("/proc").join(process).exists() {
            // Another test may do the same.
            let _ = ip(&["netns", "delete", &name]);
        }
    }
}

fn address(number: usize) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, number as u8).into()
}

fn hardware(node: usize) -> String {
    format!("02:00:00:00:00:{node:02x}")
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let run = Command::new("ip").args(arguments).output();
    let run = run.map_err(|error| format!("ip does not run: {error}"))?;
    if run.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&run.stderr).trim().to_owned())
}
