//! `mayfly noop`: the server that does nothing with a post but answer it.
//!
//! It is what any actix-web service pays for a post before it does anything: the JSON into an owned
//! struct, one UUIDv7, 201. `bench --against-noop` divides by it.

use std::net::SocketAddr;

use actix_web::{App, HttpResponse, HttpServer, web};
use clap::Args;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Failure;

/// The server that does nothing.
#[derive(Args, Debug)]
pub struct Noop {
    /// Where it listens
    #[arg(long, value_name = "IP:PORT")]
    listen: SocketAddr,
    /// Threads that serve
    #[arg(long, value_name = "N", default_value = "1")]
    workers: usize,
}

impl Noop {
    /// Serves until it is stopped.
    pub fn run(self) -> Result<(), Failure> {
        actix_web::rt::System::new().block_on(async move {
            let app = || App::new().route("/chat", web::post().to(post));
            let server = HttpServer::new(app)
                .workers(self.workers)
                .bind(self.listen)?;
            server.run().await
        })?;
        Ok(())
    }
}

#[derive(Deserialize)]
struct Message {
    username: String,
    text: String,
    timeout: Option<u64>,
}

#[derive(Serialize)]
struct Posted<'a> {
    id: &'a str,
}

async fn post(web::Json(message): web::Json<Message>) -> HttpResponse {
    let Message {
        username,
        text,
        timeout,
    } = &message;
    std::hint::black_box((username, text, timeout));
    let mut buffer = Uuid::encode_buffer();
    let id = Uuid::now_v7().hyphenated().encode_lower(&mut buffer);
    HttpResponse::Created().json(Posted { id })
}
