//! What a call from one node to another costs, both sides together, in CPU time of the process: the
//! times that are printed are no wall-clock times. Client and server have a thread each, over loopback.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cluster::member::Generation;
use cluster::peer::client::PeerClient;
use cluster::peer::handler::{Answer, Call, Handler};
use cluster::peer::identity::{Identity, Peer, Secret};
use cluster::peer::limits::PeerLimits;
use cluster::peer::server::PeerServer;
use cluster::peer::{OpId, Target};
use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::future::join_all;
use rustix::time::{ClockId, clock_gettime};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::{LocalSet, spawn_local};
use uuid::Uuid;

/// Bytes of a call, and of its answer.
const PAYLOAD_BYTES: usize = 200;

struct Echo;

impl Handler for Echo {
    fn call(&self, _: &Peer, call: Call) -> impl Future<Output = Answer> + use<> {
        async { Answer::Done(call.payload) }
    }

    fn notice(&self, _: &Peer, _: Bytes) {}
}

fn call_a_peer(criterion: &mut Criterion) {
    let address = serve();
    let (runtime, tasks) = (runtime(), LocalSet::new());
    let client = tasks.block_on(&runtime, async {
        let target = Target {
            address: address.to_string(),
            generation: None,
        };
        let identity = Arc::new(identity());
        let client = PeerClient::start(identity, target, PeerLimits::default(), Arc::default());
        let connected = client.probe(Duration::from_secs(5)).await;
        connected.expect("the server of this process answers");
        client
    });
    let mut rows = criterion.benchmark_group("call a peer, CPU of both sides");
    for in_flight in [64, 8, 1] {
        rows.bench_function(format!("{in_flight} in flight"), |bench| {
            bench.iter_custom(|calls| {
                let began = process_cpu();
                tasks.block_on(&runtime, call_often(&client, calls, in_flight));
                process_cpu() - began
            });
        });
    }
}

/// Makes so many calls, from as many tasks as calls may be in flight.
async fn call_often(client: &PeerClient, calls: u64, in_flight: u64) {
    let task = |index| {
        let client = client.clone();
        let share = calls / in_flight + u64::from(index < calls % in_flight);
        spawn_local(async move {
            let payload = [7; PAYLOAD_BYTES];
            for number in 0..share {
                let op = OpId::from(Uuid::from_u128(u128::from(number)));
                let deadline = Instant::now() + Duration::from_secs(5);
                let answer = client.call(op, &payload, deadline).await;
                assert_eq!(answer.expect("an answer").len(), PAYLOAD_BYTES);
            }
        })
    };
    for ended in join_all((0..in_flight).map(task)).await {
        ended.expect("no panic");
    }
}

/// Starts a server on a thread of its own, for as long as the process lives.
fn serve() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    listener.set_nonblocking(true).expect("a socket");
    thread::spawn(move || {
        LocalSet::new().block_on(&runtime(), async {
            let listener = TcpListener::from_std(listener).expect("a socket");
            let server = PeerServer::new(identity(), PeerLimits::default());
            server.serve(listener, Rc::new(Echo)).await;
        });
    });
    address
}

fn identity() -> Identity {
    let generation = Generation(Uuid::now_v7());
    Identity::new("bench", generation, "bench:1", Secret::new(b"bench")).expect("short names")
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// CPU time of all threads of this process so far.
fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

criterion_group!(benches, call_a_peer);
criterion_main!(benches);
