//! `POST /chat`: accepts a message.

use std::pin::pin;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};

use super::access::check_origin;
use super::api::{Api, Route, served_by};
use super::body::{BodyFormat, PostBody, parse_post};
use super::error::Problem;
use super::request::{body_format, idempotency_key, read_body};
use super::{query, write};
use crate::domain::key::{KeyClaim, Operation};
use crate::service::Served;
use crate::shard::call::{Accepted, Post};
use crate::store::archive::Archive;

/// Answers 201 with the id once the message is durable.
pub async fn post<A: Archive>(
    api: web::Data<Api<A>>,
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let answer = pin!(accept(&api, &request, payload));
    api.respond(Route::Chat, &request, answer).await
}

async fn accept<A: Archive>(
    api: &Api<A>,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    // Read before anything is refused: a body left in the socket costs the client its connection.
    let body = read_body(request, payload.into_inner(), api.limits.body_bytes_max).await?;
    api.check(request)?;
    let headers = request.headers();
    check_origin(headers)?;
    let mut format = body_format(headers)?;
    if query::lenient(request.query_string())? && format == BodyFormat::Json {
        format = BodyFormat::Json5;
    }
    let post = parse_post(&body, format, &api.limits)?;
    let key = idempotency_key(headers)?.map(|key| claim(key, &post));
    drop(body);
    let PostBody {
        username,
        content,
        timeout_secs,
    } = post;
    let hash = username.hash();
    let ttl_ms = timeout_secs * 1_000;
    let Served { answer, by } = api
        .service
        .post(Post {
            username,
            hash,
            content,
            ttl_ms,
            key,
        })
        .await?;
    Ok(served_by(created(answer), by))
}

/// The claim of a key by this post; the order of its attributes does not matter.
fn claim(key: &[u8], post: &PostBody) -> KeyClaim {
    let timeout = post.timeout_secs.to_be_bytes();
    let mut attributes: Vec<_> = post.content.attributes().iter().collect();
    attributes.sort_unstable();
    let attributes = attributes
        .into_iter()
        .flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
    let fields = [post.content.text().as_bytes(), &timeout]
        .into_iter()
        .chain(attributes);
    KeyClaim::new(Operation::Post, &post.username, key, fields)
}

fn created(accepted: Accepted) -> HttpResponse {
    let mut response = HttpResponse::new(StatusCode::CREATED);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let mut location = *b"/chat/000000000000000000000000000000000000";
    location[6..].copy_from_slice(&accepted.id.text());
    if let Ok(location) = HeaderValue::from_bytes(&location) {
        headers.insert(header::LOCATION, location);
    }
    if accepted.replayed {
        headers.insert(
            super::api::IDEMPOTENCY_REPLAYED,
            HeaderValue::from_static("true"),
        );
    }
    response
        .set_body(write::id_json(accepted.id))
        .map_into_boxed_body()
}
