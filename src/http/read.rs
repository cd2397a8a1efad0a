//! `GET /chats/{username}` and `POST /chats/{username}/take`: the one read of each message.

use std::pin::pin;

use actix_web::body::BoxBody;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};

use super::access::{check_origin, is_prefetch};
use super::api::{Api, IDEMPOTENCY_REPLAYED, Route, served_by};
use super::error::Problem;
use super::query;
use super::request::{idempotency_key, read_body};
use super::routes::username;
use super::write::DeliveryBody;
use crate::domain::key::{KeyClaim, Operation};
use crate::service::Served;
use crate::shard::call::{Delivery, Take};
use crate::store::archive::Archive;

/// Delivers all unexpired messages, or the oldest `?limit=`; they are expired thereby. A prefetch is
/// answered 204 and consumes nothing.
pub async fn get<A: Archive>(api: web::Data<Api<A>>, request: HttpRequest) -> HttpResponse {
    let answer = pin!(async {
        api.check(&request)?;
        if is_prefetch(request.headers()) {
            return Ok(no_store(HttpResponse::NoContent().finish()));
        }
        deliver(&api, &request).await
    });
    api.respond(Route::Chats, &request, answer).await
}

/// The head of the answer to `GET`; consumes nothing.
pub async fn head<A: Archive>(api: web::Data<Api<A>>, request: HttpRequest) -> HttpResponse {
    let answer = pin!(async {
        api.check(&request)?;
        username(&request, &api.limits)?;
        query::limit(request.query_string(), api.limits.read_limit_max)?;
        let mut response = HttpResponse::Ok();
        Ok(no_store(response.content_type("application/json").finish()))
    });
    api.respond(Route::Chats, &request, answer).await
}

/// The same read for clients that keep GET free of side effects; a body is ignored.
pub async fn take<A: Archive>(
    api: web::Data<Api<A>>,
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let answer = pin!(async {
        read_body(&request, payload.into_inner(), api.limits.body_bytes_max).await?;
        api.check(&request)?;
        deliver(&api, &request).await
    });
    api.respond(Route::Take, &request, answer).await
}

async fn deliver<A: Archive>(api: &Api<A>, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    check_origin(request.headers())?;
    let username = username(request, &api.limits)?;
    let limit = query::limit(request.query_string(), api.limits.read_limit_max)?;
    let claim = |key| {
        KeyClaim::new(
            Operation::Read,
            &username,
            key,
            [limit.to_be_bytes().as_slice()],
        )
    };
    let key = idempotency_key(request.headers())?.map(claim);
    let hash = username.hash();
    let Served { answer, by } = api
        .service
        .take(Take {
            username,
            hash,
            limit,
            key,
            is_repeat: false,
        })
        .await?;
    Ok(served_by(delivered(answer), by))
}

fn delivered(delivery: Delivery) -> HttpResponse {
    let mut response = HttpResponse::new(actix_web::http::StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if delivery.replayed {
        headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    let body = match DeliveryBody::new(delivery.messages) {
        Ok(whole) => BoxBody::new(whole),
        Err(pieces) => BoxBody::new(pieces),
    };
    no_store(response.set_body(body))
}

fn no_store(mut response: HttpResponse) -> HttpResponse {
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
