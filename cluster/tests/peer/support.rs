//! A server with a handler that does what a call says, and clients for it.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cluster::member::Generation;
use cluster::peer::client::PeerClient;
use cluster::peer::counters::ClientCounters;
use cluster::peer::handler::{Answer, Call, Handler};
use cluster::peer::identity::{Identity, Peer, Secret};
use cluster::peer::limits::PeerLimits;
use cluster::peer::pieces::{Assembly, Piece};
use cluster::peer::server::PeerServer;
use cluster::peer::{Link, OpId, Owner, Target};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use uuid::Uuid;

pub const SECRET: &[u8] = b"the secret of the tests";

/// Runs a test on one thread, as a worker does, and ends one that hangs.
pub fn on_a_worker(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let limited = async { tokio::time::timeout(Duration::from_secs(30), test).await };
    let ended = LocalSet::new().block_on(&runtime, limited);
    ended.expect("the test ends within 30 s");
}

/// Short waits between tries to connect, and for a handshake as long as any machine needs.
pub fn limits() -> PeerLimits {
    PeerLimits {
        handshake_timeout: Duration::from_secs(20),
        reconnect_first: Duration::from_millis(10),
        reconnect_last: Duration::from_millis(100),
        ..PeerLimits::default()
    }
}

pub fn generation(number: u128) -> Generation {
    Generation(Uuid::from_u128(number))
}

pub fn identity(number: u128) -> Identity {
    named("test", number, SECRET)
}

pub fn named(cluster: &str, number: u128, secret: &[u8]) -> Identity {
    let address = format!("node-{number}:7000");
    Identity::new(cluster, generation(number), &address, Secret::new(secret)).expect("a name")
}

pub fn op(number: u128) -> OpId {
    Uuid::from_u128(number).into()
}

pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Does what the payload says; anything else is sent back.
#[derive(Default)]
pub struct Obedient {
    pub calls: Cell<usize>,
    pub notices: RefCell<Vec<Bytes>>,
    pub held: Rc<Notify>,
    pub rows: Rc<RefCell<Option<Assembly>>>,
    pub pieces: Cell<u32>,
}

impl Obedient {
    fn piece(&self, piece: Piece, payload: &[u8]) -> Answer {
        self.pieces.set(self.pieces.get() + 1);
        let mut rows = self.rows.borrow_mut();
        let row = rows.get_or_insert_with(|| Assembly::new(100 << 20));
        match row.add(piece, payload).expect("pieces in order") {
            Some(all) => Answer::Done(Bytes::from(all.len().to_string())),
            None => Answer::Done(Bytes::new()),
        }
    }
}

impl Handler for Obedient {
    fn call(&self, peer: &Peer, call: Call) -> impl Future<Output = Answer> + use<> {
        self.calls.set(self.calls.get() + 1);
        let at_once = call.piece.map(|piece| self.piece(piece, &call.payload));
        let (held, peer) = (self.held.clone(), peer.clone());
        async move {
            if let Some(answer) = at_once {
                return answer;
            }
            match &call.payload[..] {
                b"hold" => held.notified().await,
                b"never" => pending().await,
                b"overloaded" => return Answer::Overloaded,
                b"draining" => return Answer::Draining,
                b"too long" => return Answer::Done(vec![0; 1 << 20].into()),
                b"owner" => {
                    return Answer::NotOwner(Some(Owner {
                        generation: peer.generation,
                        address: peer.address,
                    }));
                }
                b"nobody" => return Answer::NotOwner(None),
                _ => {}
            }
            Answer::Done(call.payload)
        }
    }

    fn notice(&self, _: &Peer, payload: Bytes) {
        self.notices.borrow_mut().push(payload);
    }
}

/// A node that serves.
pub struct Node {
    pub address: SocketAddr,
    pub server: PeerServer,
    pub handler: Rc<Obedient>,
    pub serving: JoinHandle<()>,
}

impl Node {
    pub async fn start(identity: Identity, limits: PeerLimits) -> Node {
        Node::at("127.0.0.1:0", identity, limits).await
    }

    pub async fn at(address: &str, identity: Identity, limits: PeerLimits) -> Node {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let server = PeerServer::new(identity, limits);
        let handler = Rc::new(Obedient::default());
        let (serves, handles) = (server.clone(), handler.clone());
        let serving = spawn_local(async move { serves.serve(listener, handles).await });
        Node {
            address,
            server,
            handler,
            serving,
        }
    }

    /// Ends as a killed process does: all its connections at once.
    pub async fn kill(self) {
        self.serving.abort();
        let _ = self.serving.await;
    }
}

/// A client and what it counted.
pub struct Caller {
    pub client: PeerClient,
    pub counters: Arc<ClientCounters>,
}

pub fn caller(identity: Identity, address: SocketAddr, limits: PeerLimits) -> Caller {
    let target = Target {
        address: address.to_string(),
        generation: None,
    };
    let counters = Arc::<ClientCounters>::default();
    let client = PeerClient::start(Arc::new(identity), target, limits, counters.clone());
    Caller { client, counters }
}

/// A client, and its connection to a port behind which the test plays the node.
pub async fn caller_of_a_port() -> (Caller, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    let caller = caller(identity(2), address, limits());
    let (stream, _) = listener.accept().await.expect("a client");
    (caller, stream)
}

/// A node, and a client that is connected to it.
pub async fn pair(server: PeerLimits, client: PeerLimits) -> (Node, Caller) {
    let node = Node::start(identity(1), server).await;
    let caller = caller(identity(2), node.address, client);
    up(&caller.client).await;
    (node, caller)
}

/// Waits for the connection.
pub async fn up(client: &PeerClient) -> Peer {
    let mut status = client.watch();
    let link = status.wait_for(|link| matches!(link, Link::Up(_))).await;
    match &*link.expect("the client lives") {
        Link::Up(peer) => peer.clone(),
        _ => unreachable!("waited for up"),
    }
}

/// Waits for the end of the connection or attempt; tells why, as an operator reads it.
pub async fn down(client: &PeerClient) -> Arc<cluster::peer::error::LinkError> {
    let mut status = client.watch();
    let link = status.wait_for(|link| matches!(link, Link::Down(_))).await;
    match &*link.expect("the client lives") {
        Link::Down(error) => error.clone(),
        _ => unreachable!("waited for down"),
    }
}

/// Waits until something is so, looking at every turn of the runtime and each millisecond.
pub async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::time::sleep(ms(1)).await;
    }
}
