//! `POST /chats`: accepts many messages, each for itself.

use std::cell::Cell;
use std::pin::pin;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::api::{Api, Route};
use super::body::{BodyError, BodyFormat, PostBody, is_json, parse_bulk};
use super::error::{Kind, Problem, RETRY_AFTER_SECONDS};
use super::find::json;
use super::request::{body_format, idempotency_key};
use super::{post, query, write};
use crate::domain::id::MessageId;
use crate::domain::key::Operation;
use crate::store::archive::Archive;

/// Bytes of one accepted message in the answer.
const RESULT_BYTES: usize = 48;

/// Messages of bulks that a worker has on their way at once, the oldest first: half of what a connection to a peer
/// takes, so that single requests find room there.
const ON_THEIR_WAY_MAX: usize = 512;

/// Messages of bulks that a worker has begun; while there are more, further bulks are refused.
const BEGUN_MAX: usize = 16 * 1024;

/// The bounds of one worker's bulks.
#[derive(Debug)]
pub struct BulkRoom {
    on_their_way: Semaphore,
    begun: Cell<usize>,
}

/// The messages of one bulk, until this is dropped.
struct Begun<'a> {
    room: &'a BulkRoom,
    messages: usize,
}

impl BulkRoom {
    /// Nothing is begun.
    pub fn new() -> BulkRoom {
        BulkRoom {
            on_their_way: Semaphore::new(ON_THEIR_WAY_MAX),
            begun: Cell::new(0),
        }
    }

    /// Begins a bulk of so many messages.
    ///
    /// # Errors
    /// [`Problem`] 503 when there are too many.
    fn begin(&self, messages: usize) -> Result<Begun<'_>, Problem> {
        let begun = self.begun.get();
        if begun + messages > BEGUN_MAX {
            let detail = format!(
                "{begun} messages of other requests are being posted; repeat after the time in Retry-After"
            );
            return Err(Problem::new(Kind::Overloaded, detail));
        }
        self.begun.set(begun + messages);
        Ok(Begun {
            room: self,
            messages,
        })
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let begun = &self.room.begun;
        begun.set(begun.get() - self.messages);
    }
}

/// Answers 200 with a result for each message, in their order, once all that are accepted are durable.
pub async fn post<A: Archive>(
    api: web::Data<Api<A>>,
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let answer = pin!(accept(&api, &request, payload));
    api.respond(Route::Bulk, &request, answer).await
}

async fn accept<A: Archive>(
    api: &Api<A>,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let body = api.body_of_change(request, payload).await?;
    let headers = request.headers();
    query::none(request.query_string())?;
    check_format(headers, &body)?;
    let items = parse_bulk(&body, &api.limits)?;
    let key = idempotency_key(headers)?;
    drop(body);
    let _begun = api.bulk.begin(items.len())?;
    // Together: they share the groups of the journal, and the writes to peers.
    let results = items.into_iter().enumerate().map(|(place, item)| {
        let place = u16::try_from(place).expect("a bulk has at most 1,000 messages");
        accept_one(api, item, Operation::PostInBulk(place), key)
    });
    let results = join_all(results).await;
    let problems = || results.iter().filter_map(|result| result.as_ref().err());
    problems().for_each(|problem| api.count_in_bulk(problem));
    let mut response = json(results_json(&results));
    if problems().any(|problem| problem.status() == StatusCode::SERVICE_UNAVAILABLE) {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
    }
    Ok(response)
}

async fn accept_one<A: Archive>(
    api: &Api<A>,
    item: Result<PostBody, BodyError>,
    operation: Operation,
    key: Option<&[u8]>,
) -> Result<MessageId, Problem> {
    let post = post::call(item?, operation, key);
    // Its queue is served in order, so that the messages of one user keep theirs.
    let turn = api.bulk.on_their_way.acquire();
    let _on_its_way = timeout(api.service.request_timeout, turn)
        .await
        .map_err(|_| {
            let detail = "too many messages of bulks wait; repeat after the time in Retry-After";
            Problem::new(Kind::Overloaded, detail)
        })?;
    Ok(api.service.post(post).await?.answer.id)
}

/// # Errors
/// [`Problem`] 415 when it is not strict JSON.
fn check_format(headers: &HeaderMap, body: &[u8]) -> Result<(), Problem> {
    match body_format(headers)? {
        BodyFormat::Json => Ok(()),
        BodyFormat::Form if is_json(body) => Ok(()),
        BodyFormat::Form | BodyFormat::Json5 => {
            let detail = "send many messages as Content-Type application/json";
            Err(Problem::new(Kind::UnsupportedMediaType, detail))
        }
    }
}

fn results_json(results: &[Result<MessageId, Problem>]) -> Vec<u8> {
    let mut json = Vec::with_capacity(results.len() * RESULT_BYTES + 16);
    json.extend_from_slice(b"{\"results\":[");
    for (place, result) in results.iter().enumerate() {
        if place > 0 {
            json.push(b',');
        }
        match result {
            Ok(id) => write::put_id(&mut json, *id),
            Err(problem) => {
                json.extend_from_slice(b"{\"error\":");
                json.extend_from_slice(&problem.json());
                json.push(b'}');
            }
        }
    }
    json.extend_from_slice(b"]}");
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulks_are_refused_while_too_many_messages_are_begun() {
        let room = BulkRoom::new();
        let first = room.begin(BEGUN_MAX - 1).expect("room");
        assert_eq!(
            room.begin(2).map(drop).map_err(|p| p.kind),
            Err(Kind::Overloaded)
        );
        let second = room.begin(1).expect("room");
        drop(first);
        assert!(room.begin(BEGUN_MAX).is_err());
        drop(second);
        assert!(room.begin(BEGUN_MAX).is_ok());
    }
}
