//! `GET /chats/{username}/count`: what waits in a mailbox; consumes nothing.

use std::pin::pin;

use actix_web::{HttpRequest, HttpResponse, web};

use super::api::{Api, Route, served_by};
use super::find::json;
use super::query;
use super::routes::username;
use super::write::put_time;
use crate::service::Served;
use crate::shard::call::Count;
use crate::store::archive::Archive;

/// Answers the numbers of waiting messages and the time of the oldest.
pub async fn count<A: Archive>(api: web::Data<Api<A>>, request: HttpRequest) -> HttpResponse {
    let answer = pin!(async {
        api.check(&request)?;
        query::none(request.query_string())?;
        let username = username(&request, &api.limits)?;
        let Served { answer, by } = api.service.count(username).await?;
        Ok(served_by(json(count_json(answer)), by))
    });
    api.respond(Route::Count, &request, answer).await
}

fn count_json(count: Count) -> Vec<u8> {
    // Nothing can be leased or scheduled in this release, so both are 0 as a matter of fact.
    let mut body =
        format!("{{\"unread\":{},\"leased\":0,\"scheduled\":0", count.unread).into_bytes();
    match count.oldest_at {
        Some(time) => put_time(&mut body, "oldest_at", time),
        None => body.extend_from_slice(b",\"oldest_at\":null"),
    }
    body.push(b'}');
    body
}
