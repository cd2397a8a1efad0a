//! Problems: every way a request can fail, its status, and how it is told (RFC 9457).
//!
//! The only place where a status of a failure is chosen.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};

use super::body::{BodyError, BodyErrorKind, Place};
use super::write::put_json_string;
use crate::domain::username::UsernameError;
use crate::service::ServiceError;
use crate::shard::call::{CallError, Refusal};

/// What clients of a 503 are told to wait, in seconds.
pub const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// A failed request as its client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which sort.
    pub kind: Kind,
    /// What is wrong with this request and what to do about it.
    pub detail: String,
    /// Where in the body it is wrong.
    pub place: Option<Place>,
    /// The methods that the resource takes, for `Allow`.
    pub allow: Option<&'static str>,
}

/// The sorts of problems; each has a stable `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The body is not JSON.
    NotJson,
    /// The body is not a form.
    NotForm,
    /// A field has a value of the wrong type.
    WrongType,
    /// A required field is absent.
    MissingField,
    /// A field is not known.
    UnknownField,
    /// A field is there twice.
    DuplicateField,
    /// A name breaks the rules for usernames.
    BadUsername,
    /// A value is outside its bounds.
    OutOfRange,
    /// The query is wrong.
    BadQuery,
    /// A header is wrong.
    BadHeader,
    /// The text is larger than a message may carry.
    TextTooLarge,
    /// The body is larger than the service reads.
    BodyTooLarge,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The body broke off or cannot be decompressed.
    BadBody,
    /// The content type or encoding is not read here.
    UnsupportedMediaType,
    /// The version asked for is not known.
    NotAcceptable,
    /// No message has this id, or nobody ever had.
    NotFound,
    /// There is nothing at this path.
    NoSuchPath,
    /// The resource does not take this method.
    MethodNotAllowed,
    /// The mailbox is full.
    MailboxFull,
    /// The idempotency key was used for another request.
    KeyReused,
    /// The request came from another site's page.
    CrossSite,
    /// The request was for another host.
    Misdirected,
    /// Too much waits.
    Overloaded,
    /// No node of the cluster serves the mailbox.
    NotServed,
    /// Too many idempotency keys are remembered.
    KeysFull,
    /// The store does not answer.
    StoreAway,
    /// It is not known whether the request was carried out.
    OutcomeUnknown,
    /// Memory is at its limit.
    MemoryFull,
    /// The disk is full.
    DiskFull,
}

impl Kind {
    /// Status, the last part of `type`, and `title`.
    fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Kind::NotJson => (400, "not-json", "The body is not valid JSON"),
            Kind::NotForm => (400, "not-form", "The body is not a valid form"),
            Kind::WrongType => (400, "wrong-type", "A field has the wrong type"),
            Kind::MissingField => (400, "missing-field", "A required field is missing"),
            Kind::UnknownField => (400, "unknown-field", "A field is not known"),
            Kind::DuplicateField => (400, "duplicate-field", "A field is given twice"),
            Kind::BadUsername => (400, "bad-username", "The username is not valid"),
            Kind::OutOfRange => (400, "out-of-range", "A value is out of range"),
            Kind::BadQuery => (400, "bad-query", "The query is not valid"),
            Kind::BadHeader => (400, "bad-header", "A header is not valid"),
            Kind::BadBody => (400, "bad-body", "The body cannot be read"),
            Kind::TextTooLarge => (413, "text-too-large", "The text is too large"),
            Kind::BodyTooLarge => (413, "body-too-large", "The body is too large"),
            Kind::BodyTimeout => (408, "body-timeout", "The body did not arrive in time"),
            Kind::UnsupportedMediaType => (
                415,
                "unsupported-media-type",
                "The content type is not supported",
            ),
            Kind::NotAcceptable => (406, "unknown-version", "The version is not known"),
            Kind::NotFound => (404, "not-found", "There is no such message"),
            Kind::NoSuchPath => (404, "no-such-path", "There is nothing at this path"),
            Kind::MethodNotAllowed => (405, "method-not-allowed", "The method is not allowed here"),
            Kind::MailboxFull => (409, "mailbox-full", "The mailbox is full"),
            Kind::KeyReused => (
                422,
                "key-reused",
                "The Idempotency-Key was used for another request",
            ),
            Kind::CrossSite => (403, "cross-site", "Pages of other sites may not do this"),
            Kind::Misdirected => (421, "misdirected", "The request is for another host"),
            Kind::Overloaded => (503, "overloaded", "Too many requests wait"),
            Kind::NotServed => (503, "not-served", "No node serves the mailbox"),
            Kind::KeysFull => (503, "keys-full", "Too many idempotency keys are remembered"),
            Kind::StoreAway => (503, "store-away", "The store does not answer"),
            Kind::OutcomeUnknown => (504, "outcome-unknown", "The outcome is not known"),
            Kind::MemoryFull => (507, "memory-full", "Memory is at its limit"),
            Kind::DiskFull => (507, "disk-full", "The disk is full"),
        }
    }
}

impl Problem {
    /// A problem with its explanation.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Problem {
        Problem {
            kind,
            detail: detail.into(),
            place: None,
            allow: None,
        }
    }

    /// The problem in the field of this name.
    pub fn in_field(self, name: &str) -> Problem {
        Problem {
            place: Some(Place::Field(format!("/{name}"))),
            ..self
        }
    }

    /// The methods allowed are these.
    pub fn method_not_allowed(allow: &'static str) -> Problem {
        let detail = format!("use one of: {allow}");
        Problem {
            allow: Some(allow),
            ..Problem::new(Kind::MethodNotAllowed, detail)
        }
    }

    /// No message has this id: the same answer for an unknown and a malformed one, so that ids cannot
    /// be probed.
    pub fn not_found() -> Problem {
        Problem::new(
            Kind::NotFound,
            "no message has this id, or its retention is over",
        )
    }

    /// The status of the answer that tells it.
    pub fn status(&self) -> StatusCode {
        let (status, ..) = self.kind.row();
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The answer that tells it.
    pub fn response(&self) -> HttpResponse {
        let status = self.status();
        let mut response = HttpResponse::new(status);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        response.set_body(self.json()).map_into_boxed_body()
    }

    /// The body of that answer.
    pub fn json(&self) -> Vec<u8> {
        let (status, slug, title) = self.kind.row();
        let mut json = Vec::with_capacity(256);
        json.extend_from_slice(b"{\"type\":\"urn:mayfly:problem:");
        json.extend_from_slice(slug.as_bytes());
        json.extend_from_slice(b"\",\"title\":");
        put_json_string(&mut json, title);
        json.extend_from_slice(format!(",\"status\":{status},\"detail\":").as_bytes());
        put_json_string(&mut json, &self.detail);
        match &self.place {
            None => {}
            Some(Place::Field(pointer)) => {
                json.extend_from_slice(b",\"field\":");
                put_json_string(&mut json, pointer);
            }
            Some(Place::Position { line, column }) => {
                json.extend_from_slice(format!(",\"line\":{line},\"column\":{column}").as_bytes());
            }
        }
        json.push(b'}');
        json
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Problem {
        let kind = match error.kind {
            BodyErrorKind::NotJson => Kind::NotJson,
            BodyErrorKind::NotForm => Kind::NotForm,
            BodyErrorKind::WrongType => Kind::WrongType,
            BodyErrorKind::MissingField => Kind::MissingField,
            BodyErrorKind::UnknownField => Kind::UnknownField,
            BodyErrorKind::DuplicateField => Kind::DuplicateField,
            BodyErrorKind::BadUsername => Kind::BadUsername,
            BodyErrorKind::OutOfRange => Kind::OutOfRange,
            BodyErrorKind::TextTooLarge => Kind::TextTooLarge,
        };
        Problem {
            place: error.place,
            ..Problem::new(kind, error.detail)
        }
    }
}

impl From<UsernameError> for Problem {
    fn from(error: UsernameError) -> Problem {
        Problem::new(Kind::BadUsername, format!("username {error}")).in_field("username")
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Problem {
        let kind = match &error {
            ServiceError::Call(CallError::Refused(refusal)) => match refusal {
                Refusal::MailboxFull(_) => Kind::MailboxFull,
                Refusal::KeyReused => Kind::KeyReused,
                Refusal::KeysFull => Kind::KeysFull,
                Refusal::MemoryFull => Kind::MemoryFull,
                Refusal::DiskFull => Kind::DiskFull,
                Refusal::Overloaded => Kind::Overloaded,
                Refusal::NotHere => Kind::NotServed,
                Refusal::StoreAway => Kind::StoreAway,
            },
            ServiceError::Call(CallError::Busy) => Kind::Overloaded,
            ServiceError::Call(CallError::OutcomeUnknown) => Kind::OutcomeUnknown,
            ServiceError::Archive(_) | ServiceError::ArchiveSilent => Kind::StoreAway,
        };
        if let ServiceError::Archive(source) = &error {
            tracing::error!(error = %source, "a look-up in the archive failed");
        }
        Problem::new(kind, error.to_string())
    }
}
