//! What every endpoint of the public port shares: the service, the bounds, and what goes around an
//! answer: request ids, durations, and a log line for what failed or was slow.

use std::cell::{Cell, OnceCell};
use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, Method};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use prometheus::Histogram;

use super::access;
use super::bulk::BulkRoom;
use super::error::{Kind, Problem};
use super::request::{check_version, read_body};
use super::traffic::Traffic;
use crate::domain::limits::Limits;
use crate::metrics::Metrics;
use crate::service::Service;

/// From when on an answer is logged as slow.
const SLOW: Duration = Duration::from_secs(1);

/// Failed and slow requests are logged at most this often per worker; the line tells how many were left out.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Longest `X-Request-Id` that is echoed, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Room for an id that is made here: eight digits, the worker, and the number, with their hyphens.
const REQUEST_ID_OWN_BYTES_MAX: usize = 8 + 1 + 20 + 1 + 20;

/// Tells that an answer repeats that of an earlier request with the same key.
pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Tells which node of a cluster served, by the address that its peers use.
const MAYFLY_OWNER: HeaderName = HeaderName::from_static("mayfly-owner");

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The state of one HTTP worker.
#[derive(Debug)]
pub struct Api<A> {
    /// The use cases.
    pub service: Service<A>,
    /// The bounds of requests.
    pub limits: Arc<Limits>,
    /// The bounds of this worker's bulks.
    pub bulk: BulkRoom,
    is_for_loopback: bool,
    metrics: Arc<Metrics>,
    traffic: Arc<Traffic>,
    worker: usize,
    durations: Box<[[[OnceCell<Histogram>; 5]; 4]; Route::COUNT]>,
    request_id: RequestIds,
    logged: Cell<Option<Instant>>,
    unlogged: Cell<u64>,
}

/// The resources, as metrics name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/chat`
    Chat,
    /// `/chat/{id}`
    ChatId,
    /// `/chats`
    Bulk,
    /// `/chats/{username}`
    Chats,
    /// `/chats/{username}/take`
    Take,
    /// `/chats/{username}/count`
    Count,
    /// Anything else.
    Other,
}

impl Route {
    const COUNT: usize = 7;

    fn label(self) -> &'static str {
        match self {
            Route::Chat => "/chat",
            Route::ChatId => "/chat/{id}",
            Route::Bulk => "/chats",
            Route::Chats => "/chats/{username}",
            Route::Take => "/chats/{username}/take",
            Route::Count => "/chats/{username}/count",
            Route::Other => "other",
        }
    }
}

impl<A> Api<A> {
    /// The state of one worker. With `is_for_loopback` only requests for a loopback host are answered.
    pub fn new(
        service: Service<A>,
        limits: Arc<Limits>,
        metrics: Arc<Metrics>,
        traffic: Arc<Traffic>,
        is_for_loopback: bool,
        worker: usize,
    ) -> Api<A> {
        Api {
            service,
            limits,
            bulk: BulkRoom::new(),
            is_for_loopback,
            metrics,
            traffic,
            worker,
            durations: Box::default(),
            request_id: RequestIds::new(worker),
            logged: Cell::new(None),
            unlogged: Cell::new(0),
        }
    }

    /// What holds for every request: it is for this host and asks for a version that there is.
    ///
    /// # Errors
    /// [`Problem`] 421 or 406.
    pub fn check(&self, request: &HttpRequest) -> Result<(), Problem> {
        if self.is_for_loopback {
            access::check_host(request)?;
        }
        check_version(request.headers())
    }

    /// Reads the body of a request that changes something, and checks what holds for all of these: it is for this host,
    /// from no page of another site, and asks for a version that there is.
    ///
    /// # Errors
    /// [`Problem`]
    pub async fn body_of_change(
        &self,
        request: &HttpRequest,
        payload: web::Payload,
    ) -> Result<Bytes, Problem> {
        // Read before anything is refused: a body left in the socket costs the client its connection.
        let body = read_body(request, payload.into_inner(), self.limits.body_bytes_max).await?;
        self.check(request)?;
        access::check_origin(request.headers())?;
        Ok(body)
    }

    /// Counts a message of a bulk that is answered with a problem: of the bulk's own answer nobody sees it.
    pub fn count_in_bulk(&self, problem: &Problem) {
        self.count_refusal(problem);
        let class = match problem.status().is_server_error() {
            true => "5xx",
            false => "4xx",
        };
        self.metrics.bulk_problems(class).inc();
    }

    fn count_refusal(&self, problem: &Problem) {
        match problem.kind {
            Kind::Overloaded => self.metrics.shed.inc(),
            Kind::NotServed => self.metrics.cluster.not_served.inc(),
            _ => {}
        }
    }

    /// Waits for the answer and sends it with all that goes around it. The answer stays where it is: a
    /// request's future is moved to the heap, and by value it would be in there twice.
    pub async fn respond(
        &self,
        route: Route,
        request: &HttpRequest,
        answer: Pin<&mut impl Future<Output = Result<HttpResponse, Problem>>>,
    ) -> HttpResponse {
        let started = Instant::now();
        let _under_way = self.traffic.enter(self.worker);
        let mut response = answer.await.unwrap_or_else(|problem| {
            self.count_refusal(&problem);
            problem.response()
        });
        let id = self.request_id.of(request);
        response.headers_mut().insert(X_REQUEST_ID, id);
        if self.traffic.is_closing() {
            response
                .head_mut()
                .set_connection_type(ConnectionType::Close);
        }
        let took = started.elapsed();
        let status = response.status();
        self.duration(route, request.method(), status.as_u16() / 100)
            .observe(took.as_secs_f64());
        if status.is_server_error() || took >= SLOW {
            self.log(route, request.method(), &response, took);
        }
        response
    }

    fn duration(&self, route: Route, method: &Method, class: u16) -> &Histogram {
        let (method, name) = match *method {
            Method::GET => (0, "GET"),
            Method::POST => (1, "POST"),
            Method::HEAD => (2, "HEAD"),
            _ => (3, "other"),
        };
        let class = usize::from(class.clamp(1, 5) - 1);
        let histogram = &self.durations[route as usize][method][class];
        let name_of_class = ["1xx", "2xx", "3xx", "4xx", "5xx"][class];
        histogram.get_or_init(|| self.metrics.http(route.label(), name, name_of_class))
    }

    fn log(&self, route: Route, method: &Method, response: &HttpResponse, took: Duration) {
        if self
            .logged
            .get()
            .is_some_and(|at| at.elapsed() < LOG_INTERVAL)
        {
            self.unlogged.set(self.unlogged.get() + 1);
            return;
        }
        self.logged.set(Some(Instant::now()));
        let request_id = response
            .headers()
            .get(X_REQUEST_ID)
            .and_then(|id| id.to_str().ok());
        tracing::warn!(
            route = route.label(),
            %method,
            status = response.status().as_u16(),
            took_ms = took.as_millis() as u64,
            request_id,
            left_out = self.unlogged.take(),
            "a request failed or was slow"
        );
    }
}

/// Marks an answer with the node that served it.
pub fn served_by(mut response: HttpResponse, by: Option<Arc<str>>) -> HttpResponse {
    if let Some(owner) = by.and_then(|by| HeaderValue::from_str(&by).ok()) {
        response.headers_mut().insert(MAYFLY_OWNER, owner);
    }
    response
}

/// Makes ids for requests that bring none.
#[derive(Debug)]
struct RequestIds {
    prefix: String,
    next: Cell<u64>,
}

impl RequestIds {
    fn new(worker: usize) -> RequestIds {
        RequestIds {
            prefix: format!("{:08x}-{worker}-", rand::random::<u32>()),
            next: Cell::new(1),
        }
    }

    fn of(&self, request: &HttpRequest) -> HeaderValue {
        let given = request.headers().get(X_REQUEST_ID);
        if let Some(id) = given.filter(|id| id.len() <= REQUEST_ID_BYTES_MAX && !id.is_empty()) {
            return id.clone();
        }
        let number = self.next.replace(self.next.get() + 1);
        let mut id = [0; REQUEST_ID_OWN_BYTES_MAX];
        let mut room = &mut id[..];
        let written = write!(room, "{}{number}", self.prefix);
        debug_assert!(written.is_ok(), "the longest id fits");
        let left = room.len();
        HeaderValue::from_bytes(&id[..REQUEST_ID_OWN_BYTES_MAX - left])
            .unwrap_or(HeaderValue::from_static("-"))
    }
}
