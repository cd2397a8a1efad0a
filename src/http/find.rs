//! `GET /chat/{id}`: looks a message up, expired or not; consumes nothing.

use std::pin::pin;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};

use super::api::{Api, Route, served_by};
use super::error::Problem;
use super::{query, write};
use crate::domain::id::MessageId;
use crate::service::Served;
use crate::store::archive::Archive;

/// Answers the message with its state.
pub async fn find<A: Archive>(api: web::Data<Api<A>>, request: HttpRequest) -> HttpResponse {
    let answer = pin!(async {
        api.check(&request)?;
        query::none(request.query_string())?;
        let id = request
            .match_info()
            .get("id")
            .and_then(MessageId::parse)
            .ok_or_else(Problem::not_found)?;
        let Served { answer, by } = api.service.find(id).await?;
        let message = answer.ok_or_else(Problem::not_found)?;
        Ok(served_by(json(write::message_json(&message)), by))
    });
    api.respond(Route::ChatId, &request, answer).await
}

/// 200 with a JSON body that nobody may keep.
pub fn json(body: Vec<u8>) -> HttpResponse {
    let mut response = HttpResponse::new(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.set_body(body).map_into_boxed_body()
}
