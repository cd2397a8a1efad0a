//! The resources of the public port, and what is answered beside them.

use std::pin::pin;

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, Resource, guard, web};

use super::api::{Api, Route};
use super::error::{Kind, Problem};
use super::request::read_body;
use super::{bulk, count, find, post, read};
use crate::domain::limits::Limits;
use crate::domain::username::Username;
use crate::store::archive::Archive;

/// Registers every resource, the busiest first, each with and without a trailing slash.
pub fn configure<A: Archive>(config: &mut web::ServiceConfig) {
    for slash in ["", "/"] {
        let path = |path: &str| web::resource(format!("{path}{slash}"));
        config
            .service(
                path("/chat")
                    .route(by(&[Method::POST]).to(post::post::<A>))
                    .takes::<A>("POST"),
            )
            .service(
                path("/chats/{username}")
                    .route(by(&[Method::GET]).to(read::get::<A>))
                    .route(by(&[Method::HEAD]).to(read::head::<A>))
                    .takes::<A>("GET, HEAD"),
            )
            .service(
                path("/chat/{id}")
                    .route(by(&[Method::GET, Method::HEAD]).to(find::find::<A>))
                    .takes::<A>("GET, HEAD"),
            )
            .service(
                path("/chats")
                    .route(by(&[Method::POST]).to(bulk::post::<A>))
                    .takes::<A>("POST"),
            )
            .service(
                path("/chats/{username}/take")
                    .route(by(&[Method::POST]).to(read::take::<A>))
                    .takes::<A>("POST"),
            )
            .service(
                path("/chats/{username}/count")
                    .route(by(&[Method::GET, Method::HEAD]).to(count::count::<A>))
                    .takes::<A>("GET, HEAD"),
            );
    }
    config.default_service(web::to(nothing_here::<A>));
}

/// The username in the path.
///
/// # Errors
/// [`Problem`] 400 when it is none.
pub fn username(request: &HttpRequest, limits: &Limits) -> Result<Username, Problem> {
    let name = request.match_info().get("username").unwrap_or_default();
    let name = percent_encoding::percent_decode_str(name).decode_utf8();
    let name = name.map_err(|_| {
        Problem::new(
            Kind::BadUsername,
            "username is not UTF-8 after percent-decoding",
        )
        .in_field("username")
    })?;
    Ok(Username::parse(&name, limits.username_chars_max)?)
}

/// A route for these methods. The guards of `web::get` and its like note each method on the heap, at every
/// request, for an answer 405 that is made otherwise here.
fn by(methods: &'static [Method]) -> actix_web::Route {
    web::route().guard(guard::fn_guard(move |asked| {
        methods.contains(&asked.head().method)
    }))
}

trait Takes {
    /// Answers every other method 405 with these in `Allow`.
    fn takes<A: Archive>(self, allow: &'static str) -> Self;
}

impl Takes for Resource {
    fn takes<A: Archive>(self, allow: &'static str) -> Resource {
        let refuse = move |api, request, payload| {
            refuse::<A>(api, request, payload, Problem::method_not_allowed(allow))
        };
        self.default_service(web::to(refuse))
    }
}

async fn nothing_here<A: Archive>(
    api: web::Data<Api<A>>,
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let detail = "the paths are /chat, /chat/{id}, /chats, /chats/{username}, /chats/{username}/take and /chats/{username}/count";
    refuse::<A>(
        api,
        request,
        payload,
        Problem::new(Kind::NoSuchPath, detail),
    )
    .await
}

async fn refuse<A: Archive>(
    api: web::Data<Api<A>>,
    request: HttpRequest,
    payload: web::Payload,
    problem: Problem,
) -> HttpResponse {
    let answer = pin!(async {
        read_body(&request, payload.into_inner(), api.limits.body_bytes_max).await?;
        api.check(&request)?;
        Err(problem)
    });
    api.respond(Route::Other, &request, answer).await
}
