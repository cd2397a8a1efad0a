//! A service for these tests: keeps messages in a map, has a view of a cluster if it is given one, and
//! shows what it was asked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::{Value, json};

use crate::support::server::free_port;

/// A running service; it stops when dropped.
pub struct Stub {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
    handle: ServerHandle,
}

/// What the service has.
#[derive(Default)]
pub struct Seen {
    pub messages: Mutex<HashMap<String, Vec<Value>>>,
    pub requests: Mutex<Vec<String>>,
    pub authorizations: Mutex<Vec<String>>,
    pub posted: Mutex<Vec<Value>>,
    /// What it answers to `GET /cluster`; nothing is no cluster.
    pub view: Mutex<Option<Value>>,
    /// Whether it hands a shard over at each look.
    pub drains: AtomicBool,
}

impl Stub {
    pub fn start() -> Stub {
        let seen = Arc::new(Seen::default());
        let data = web::Data::from(Arc::clone(&seen));
        let (send, receive) = mpsc::channel();
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let app = move || {
                    App::new()
                        .app_data(data.clone())
                        .route("/chat", web::post().to(post))
                        .route("/chats/{username}", web::get().to(take))
                        .route("/chats/{username}/take", web::post().to(take))
                        .route("/chat/{id}", web::get().to(find))
                        .route("/readyz", web::get().to(ready))
                        .route("/cluster", web::get().to(cluster))
                        .route("/drain", web::post().to(drain))
                };
                let server = HttpServer::new(app).workers(1).disable_signals();
                let server = server
                    .bind(("127.0.0.1", free_port()))
                    .expect("a free port");
                let address = server.addrs()[0];
                let server = server.run();
                send.send((address, server.handle()))
                    .expect("a test that waits");
                server.await
            })
        });
        let (address, handle) = receive.recv().expect("the service starts");
        Stub {
            address,
            seen,
            handle,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        // Sends the command at once; nobody waits for its end.
        drop(self.handle.stop(false));
    }
}

fn note(seen: &Seen, request: &HttpRequest) {
    let line = format!("{} {}", request.method(), request.uri());
    seen.requests.lock().expect("a lock").push(line);
    if let Some(value) = request.headers().get("authorization") {
        let text = String::from(value.to_str().expect("text"));
        seen.authorizations.lock().expect("a lock").push(text);
    }
}

async fn post(
    seen: web::Data<Seen>,
    request: HttpRequest,
    message: web::Json<Value>,
) -> HttpResponse {
    note(&seen, &request);
    let message = message.into_inner();
    seen.posted.lock().expect("a lock").push(message.clone());
    if message["username"] == "full" {
        return HttpResponse::Conflict()
            .content_type("application/problem+json")
            .json(json!({"type": "x", "title": "mailbox full", "detail": "wait \u{1b}[2J"}));
    }
    let id = uuid::Uuid::now_v7().to_string();
    let stored =
        json!({"id": id, "text": message["text"], "created_at": "2030-01-02T03:04:05.678Z"});
    let username = String::from(message["username"].as_str().expect("a name"));
    let mut messages = seen.messages.lock().expect("a lock");
    messages.entry(username).or_default().push(stored);
    HttpResponse::Created().json(json!({"id": id}))
}

async fn take(
    seen: web::Data<Seen>,
    request: HttpRequest,
    username: web::Path<String>,
) -> HttpResponse {
    note(&seen, &request);
    let mut messages = seen.messages.lock().expect("a lock");
    HttpResponse::Ok().json(messages.remove(&username.into_inner()).unwrap_or_default())
}

async fn find(seen: web::Data<Seen>, request: HttpRequest, id: web::Path<String>) -> HttpResponse {
    note(&seen, &request);
    HttpResponse::Ok()
        .json(json!({"id": *id, "text": "a\u{202e}b", "attributes": {"city": "Oslo"}}))
}

async fn ready(seen: web::Data<Seen>, request: HttpRequest) -> HttpResponse {
    note(&seen, &request);
    let draining = seen.messages.lock().expect("a lock").contains_key("drain");
    if draining {
        return HttpResponse::ServiceUnavailable().finish();
    }
    HttpResponse::Ok().finish()
}

async fn cluster(seen: web::Data<Seen>, request: HttpRequest) -> HttpResponse {
    note(&seen, &request);
    let mut view = seen.view.lock().expect("a lock");
    let Some(view) = view.as_mut() else {
        return HttpResponse::NotFound().finish();
    };
    if seen.drains.load(Ordering::SeqCst) {
        let (me, other) = (view["generation"].clone(), view["members"][1].clone());
        let owners = view["owners"].as_array_mut().expect("rows");
        if let Some(row) = owners.iter_mut().find(|row| row["generation"] == me) {
            row["generation"] = other["generation"].clone();
        }
    }
    HttpResponse::Ok().json(view)
}

async fn drain(seen: web::Data<Seen>, request: HttpRequest) -> HttpResponse {
    note(&seen, &request);
    seen.drains.store(true, Ordering::SeqCst);
    HttpResponse::Accepted().body("draining")
}
