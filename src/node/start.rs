//! The start of a node: makes sure that it fits in, opens its port for peers, and begins.

use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::Duration;

use cluster::member::address::PeerAddress;
use cluster::member::name::{ClusterName, NodeName, Version};
use cluster::member::{Generation, Member, State};
use cluster::membership::Membership;
use cluster::peer::error::{LinkError, ProbeError};
use cluster::peer::handshake::{HandshakeError, Refusal};
use cluster::peer::identity::Identity;
use cluster::peer::limits::PeerLimits;
use cluster::peer::server::PeerServer;
use cluster::registry::redis::RedisRegistry;
use cluster::registry::{LEASE, Reading, Registry, RegistryError};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::control::Control;
use super::forward::Shared;
use super::holdings::Holdings;
use super::peers::connect;
use super::run::{Arriving, run};
use super::serve::Serve;
use super::view::NodeHandle;
use crate::domain::username::ShardId;
use crate::shard::clock::Clock;
use crate::shard::usage::Usage;
use crate::store::scylla::ScyllaStores;

/// How long a peer may take to say who it is.
const GREETING_TIMEOUT: Duration = Duration::from_secs(1);

/// What a node is made of.
pub struct NodeParts {
    /// Where the registry is.
    pub redis: String,
    /// The cluster's name.
    pub cluster: ClusterName,
    /// What people call the node.
    pub node: NodeName,
    /// Which start of it.
    pub generation: Generation,
    /// Where peers reach it.
    pub advertise: PeerAddress,
    /// Where it listens for them.
    pub listen: SocketAddr,
    /// Members that are enough to begin with.
    pub expect_members: Option<usize>,
    /// The stores.
    pub stores: Arc<ScyllaStores>,
    /// What it shares with the HTTP workers.
    pub shared: Arc<Shared>,
    /// Who it is to its peers.
    pub identity: Identity,
    /// The process's time.
    pub clock: Clock,
    /// Memory and keys in use.
    pub usage: Arc<Usage>,
    /// Shards that hosts found lost.
    pub losses: mpsc::UnboundedReceiver<ShardId>,
}

/// Why a node does not start; each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The registry cannot be used at all.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Another process uses the port.
    #[error("cannot listen on {0} for peers: {1}; free it or give another --peer-listen")]
    Listen(SocketAddr, std::io::Error),
    /// Another live node has the address.
    #[error(
        "{address} is taken: {reason}; give each node its own --advertise, or stop the other one"
    )]
    Taken {
        /// The address.
        address: String,
        /// Who is there.
        reason: String,
    },
    /// A member will not have this node.
    #[error("member {node} at {address} refuses this node: {reason}")]
    Refused {
        /// What people call the member.
        node: String,
        /// Where it is.
        address: String,
        /// Why.
        reason: Refusal,
    },
    /// The system gives no thread.
    #[error("cannot start the node's thread: {0}")]
    Thread(std::io::Error),
}

/// Starts the node on a thread of its own, once it is sure to fit in.
///
/// # Errors
/// [`StartError`]
pub fn start(parts: NodeParts) -> Result<NodeHandle, StartError> {
    let (started, outcome) = std_mpsc::sync_channel(1);
    let (handle, asks) = NodeHandle::new();
    let thread = std::thread::Builder::new().name("node".into());
    let main = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return drop(started.send(Err(StartError::Thread(error)))),
        };
        let begin = async move {
            match prepare(parts).await {
                Ok(ready) => {
                    let _ = started.send(Ok(()));
                    ready.run(asks).await;
                }
                Err(error) => drop(started.send(Err(error))),
            }
        };
        LocalSet::new().block_on(&runtime, begin);
    };
    thread.spawn(main).map_err(StartError::Thread)?;
    let outcome = outcome.recv();
    outcome.expect("the node's thread tells how it started")?;
    Ok(handle)
}

/// A node that fits in and has its port.
struct Ready {
    control: Rc<Control>,
    registry: Arc<RedisRegistry>,
    server: PeerServer,
    listener: tokio::net::TcpListener,
    losses: mpsc::UnboundedReceiver<ShardId>,
    arrivals: mpsc::UnboundedReceiver<(ShardId, cluster::shard::Epoch)>,
}

async fn prepare(parts: NodeParts) -> Result<Ready, StartError> {
    let registry = RedisRegistry::new(&parts.redis, &parts.cluster, LEASE)?;
    let me = Member {
        generation: parts.generation,
        node: parts.node,
        address: parts.advertise,
        state: State::Joining,
        version: version(),
    };
    match registry.view().await {
        Ok(reading) => fits_in(&parts.shared, &me, &reading).await?,
        Err(error) => {
            tracing::warn!(%error, "starting without Redis; shards are found by their claims");
        }
    }
    let listen = |error| StartError::Listen(parts.listen, error);
    let listener = TcpListener::bind(parts.listen).map_err(listen)?;
    listener.set_nonblocking(true).map_err(listen)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(listen)?;
    let (arrived, arrivals) = mpsc::unbounded_channel();
    let holdings = Holdings::new(
        parts.stores,
        parts.shared.clone(),
        parts.clock,
        parts.usage,
        arrived,
    );
    let membership = Membership::new(LEASE, parts.expect_members);
    let control = Control::new(
        parts.shared,
        Rc::new(holdings),
        me,
        parts.cluster.to_string(),
        membership,
        parts.clock,
    );
    Ok(Ready {
        control: Rc::new(control),
        registry: Arc::new(registry),
        server: PeerServer::new(parts.identity, PeerLimits::default()),
        listener,
        losses: parts.losses,
        arrivals,
    })
}

impl Ready {
    async fn run(self, asks: mpsc::Receiver<super::view::Ask>) {
        let handler = Rc::new(Serve::new(self.control.clone()));
        let server = self.server.clone();
        let serving =
            tokio::task::spawn_local(async move { server.serve(self.listener, handler).await });
        let arriving = Arriving {
            asks,
            losses: self.losses,
            arrivals: self.arrivals,
            server: self.server.clone(),
        };
        run(self.control, self.registry, arriving).await;
        self.server.close();
        // A panic ends the process, and nothing else ends the task early.
        let _ = serving.await;
    }
}

/// Whether this node can be a member among these.
async fn fits_in(shared: &Shared, me: &Member, reading: &Reading) -> Result<(), StartError> {
    let address = me.address.to_string();
    if let Some(reason) = who_lives_at(shared, &address).await {
        return Err(StartError::Taken { address, reason });
    }
    for member in reading.view.members() {
        if member.address == me.address {
            continue;
        }
        let address = member.address.to_string();
        if let Some(reason) = refusal_of(shared, &address).await {
            let node = member.node.to_string();
            return Err(StartError::Refused {
                node,
                address,
                reason,
            });
        }
    }
    Ok(())
}

/// Who listens at an address, if somebody does.
async fn who_lives_at(shared: &Shared, address: &str) -> Option<String> {
    let client = connect(shared, address, None);
    match client.probe(GREETING_TIMEOUT).await {
        Ok(_) => Some(String::from("another node of this cluster answers there")),
        Err(ProbeError::Down(error)) => match &*error {
            LinkError::Handshake { source, .. } => Some(source.to_string()),
            LinkError::Connect { .. } | LinkError::Cut { .. } => None,
        },
        Err(ProbeError::Broken(_) | ProbeError::TimedOut) => None,
    }
}

/// Why a member refuses this node, if it does; one that is not reached says nothing.
async fn refusal_of(shared: &Shared, address: &str) -> Option<Refusal> {
    let client = connect(shared, address, None);
    let Err(ProbeError::Down(error)) = client.probe(GREETING_TIMEOUT).await else {
        return None;
    };
    match &*error {
        LinkError::Handshake {
            source: HandshakeError::Refused(refusal),
            ..
        } => Some(refusal.clone()),
        _ => None,
    }
}

fn version() -> Version {
    let version = env!("CARGO_PKG_VERSION").parse();
    version.expect("the version of a package is a word")
}
