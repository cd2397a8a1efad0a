//! The closed loop: so many connections, each with one request under way, on one thread.
//!
//! What is asked is `bench::work`'s; what is measured `bench::tally`'s.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::{JoinSet, LocalSet};

use super::render::{Shape, one_post};
use super::tally::Tally;
use super::wire::Wire;
use super::work::Work;
use crate::cli::Failure;
use crate::cli::terminal::Progress;

/// How long the service may give no answer at all before the load is given up.
const SILENCE_SECS_MAX: u32 = 15;

/// Clients instead of which one sends bulks.
const CLIENTS_PER_BULK: usize = 16;

/// How often a lost connection is made anew before the load is given up.
const RECONNECTS_MAX: u32 = 100;

/// A service under load.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its address.
    pub address: SocketAddr,
    /// What all requests have in common.
    pub shape: Shape,
    /// Virtual clients, each with a connection.
    pub connections: usize,
    /// A server that each client sends so many posts to as well, whenever it has been answered: to compare what both
    /// pay at the same pace.
    pub beside: Option<(SocketAddr, u64)>,
}

/// Loads `target` with `work` until it ends or `longest` is over; `name` is shown with the progress.
///
/// # Errors
/// A service that cannot be connected to, or gives no answer for 15 s.
pub async fn drive(
    target: &Target,
    work: Work,
    longest: Duration,
    name: &str,
) -> Result<(Tally, Work), Failure> {
    let shared = Rc::new(Shared {
        target: target.clone(),
        work: RefCell::new(work),
        tally: RefCell::new(Tally::new()),
        deadline: Instant::now() + longest,
    });
    let start = Instant::now();
    let local = LocalSet::new();
    local.run_until(run_clients(&shared, name)).await?;
    drop(local);
    let shared = Rc::into_inner(shared).expect("every client has ended and dropped its share");
    let mut tally = shared.tally.into_inner();
    tally.took = start.elapsed();
    Ok((tally, shared.work.into_inner()))
}

struct Shared {
    target: Target,
    work: RefCell<Work>,
    tally: RefCell<Tally>,
    deadline: Instant,
}

async fn run_clients(shared: &Rc<Shared>, name: &str) -> Result<(), Failure> {
    let mut clients = JoinSet::new();
    for connection in 0..shared.target.connections {
        clients.spawn_local(client(Rc::clone(shared), connection));
    }
    let mut watch = Watch::new(name);
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.tick().await;
    loop {
        tokio::select! {
            ended = clients.join_next() => match ended {
                None => return Ok(()),
                Some(Ok(outcome)) => outcome?,
                Some(Err(panicked)) => return Err(Failure::Failed(format!("a virtual client ended: {panicked}"))),
            },
            _ = tick.tick() => watch.look(&shared.tally.borrow())?,
        }
    }
}

async fn client(shared: Rc<Shared>, connection: usize) -> Result<(), Failure> {
    let address = shared.target.address;
    let mut wire = connect(address).await?;
    let mut beside = match shared.target.beside {
        Some((address, posts)) => Some((connect(address).await?, posts)),
        None => None,
    };
    let post = one_post(&shared.target.shape);
    let mut request = Vec::with_capacity(1024);
    let mut reconnects = 0;
    loop {
        let start = Instant::now();
        if start >= shared.deadline {
            return Ok(());
        }
        let shape = &shared.target.shape;
        let next = shared
            .work
            .borrow_mut()
            .next(connection, shape, &mut request);
        let Some(expected) = next else {
            return Ok(());
        };
        match wire.exchange(&request).await {
            Ok((status, body)) => {
                let latency = start.elapsed();
                let right = shared.work.borrow_mut().accept(expected, status, body);
                shared.tally.borrow_mut().record(status, right, latency);
                if let Some((beside, posts)) = &mut beside {
                    for _ in 0..*posts {
                        post_beside(beside, &post).await?;
                    }
                }
            }
            Err(error) => {
                shared.tally.borrow_mut().lost += 1;
                reconnects += 1;
                if reconnects > RECONNECTS_MAX {
                    return Err(Failure::Failed(format!(
                        "{address} ends every connection: {error}"
                    )));
                }
                wire = connect(address).await?;
            }
        }
    }
}

async fn post_beside(beside: &mut Wire, request: &[u8]) -> Result<(), Failure> {
    match beside.exchange(request).await {
        Ok((200..300, _)) => Ok(()),
        Ok((status, _)) => Err(Failure::Failed(format!(
            "the no-op server answered {status}"
        ))),
        Err(error) => Err(Failure::Failed(format!("the no-op server: {error}"))),
    }
}

async fn connect(address: SocketAddr) -> Result<Wire, Failure> {
    let connected = Wire::connect(address).await;
    connected.map_err(|error| Failure::Failed(format!("cannot connect to {address}: {error}")))
}

/// Shows how far the load is, each second on a terminal, else every five, and notices silence.
struct Watch<'a> {
    name: &'a str,
    progress: Progress,
    seconds: u32,
    answers: u64,
    answers_shown: u64,
    silent_secs: u32,
}

impl Target {
    /// The same for bulks: a sixteenth of the clients, for a service takes only so many messages at once.
    pub fn for_bulks(&self) -> Target {
        Target {
            connections: self.connections.div_ceil(CLIENTS_PER_BULK),
            ..self.clone()
        }
    }
}

impl Watch<'_> {
    fn new(name: &str) -> Watch<'_> {
        Watch {
            name,
            progress: Progress::new(),
            seconds: 0,
            answers: 0,
            answers_shown: 0,
            silent_secs: 0,
        }
    }

    fn look(&mut self, tally: &Tally) -> Result<(), Failure> {
        self.seconds += 1;
        let silent = tally.answers() == self.answers;
        self.silent_secs = if silent { self.silent_secs + 1 } else { 0 };
        self.answers = tally.answers();
        if self.silent_secs >= SILENCE_SECS_MAX {
            return Err(Failure::Failed(format!(
                "no answer for {SILENCE_SECS_MAX} s; see the log of the server"
            )));
        }
        let every = if self.progress.rewrites() { 1 } else { 5 };
        if self.seconds.is_multiple_of(every) {
            let rate = (self.answers - self.answers_shown) / u64::from(every);
            self.answers_shown = self.answers;
            self.progress.show(&format!(
                "{}: {} s, {} requests, {rate} per second, {} failed",
                self.name,
                self.seconds,
                self.answers,
                tally.failures()
            ));
        }
        Ok(())
    }
}
