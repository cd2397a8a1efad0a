//! `POST /chat`: accepts a message.

use std::pin::pin;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};

use super::api::{Api, Route, served_by};
use super::body::{BodyFormat, PostBody, parse_post};
use super::error::Problem;
use super::request::{body_format, idempotency_key};
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
    let body = api.body_of_change(request, payload).await?;
    let headers = request.headers();
    let mut format = body_format(headers)?;
    if query::lenient(request.query_string())? && format == BodyFormat::Json {
        format = BodyFormat::Json5;
    }
    let post = parse_post(&body, format, &api.limits)?;
    let post = call(post, Operation::Post, idempotency_key(headers)?);
    drop(body);
    let Served { answer, by } = api.service.post(post).await?;
    Ok(served_by(created(answer), by))
}

/// The call that posts this, under the key that came with it.
pub fn call(post: PostBody, operation: Operation, key: Option<&[u8]>) -> Post {
    let key = key.map(|key| claim(&post, operation, key));
    let PostBody {
        username,
        content,
        timeout_secs,
    } = post;
    Post {
        hash: username.hash(),
        username,
        content,
        ttl_ms: timeout_secs * 1_000,
        key,
    }
}

/// The claim of a key by this post; the order of its attributes does not matter.
fn claim(post: &PostBody, operation: Operation, key: &[u8]) -> KeyClaim {
    let timeout = post.timeout_secs.to_be_bytes();
    let mut attributes: Vec<_> = post.content.attributes().iter().collect();
    attributes.sort_unstable();
    let attributes = attributes
        .into_iter()
        .flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
    let fields = [post.content.text().as_bytes(), &timeout]
        .into_iter()
        .chain(attributes);
    KeyClaim::new(operation, &post.username, key, fields)
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
