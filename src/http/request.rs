//! What is read from a request before its meaning: the body, bounded in size and time, and the
//! headers that say how to read it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::dev::{Decompress, Payload};
use actix_web::error::PayloadError;
use actix_web::http::header::{self, HeaderMap, HeaderName};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};

use super::body::BodyFormat;
use super::error::{Kind, Problem};
use crate::domain::key::KEY_BYTES_MAX;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// How long a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes that are decompressed at once; deflate makes at most about a thousand times as many.
const COMPRESSED_PIECE_BYTES: usize = 2 * 1024;

/// Reads the whole body, decompressed.
///
/// # Errors
/// [`Problem`] when it is larger than `bytes_max`, too slow, broken off or in an unknown encoding.
pub async fn read_body(
    request: &HttpRequest,
    payload: Payload,
    bytes_max: usize,
) -> Result<Bytes, Problem> {
    let headers = request.headers();
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|bytes: u64| bytes > bytes_max as u64) {
        return Err(body_too_large(bytes_max));
    }
    let encoding = headers
        .get(header::CONTENT_ENCODING)
        .map(|encoding| encoding.as_bytes().to_ascii_lowercase());
    let is_plain = match encoding.as_deref() {
        None | Some(b"identity") => true,
        Some(b"gzip" | b"deflate") => false,
        Some(_) => {
            let detail = "send the body plain or with Content-Encoding gzip or deflate";
            return Err(Problem::new(Kind::UnsupportedMediaType, detail));
        }
    };
    let mut reading = pin!(async {
        if is_plain {
            collect(payload, bytes_max).await
        } else {
            let pieces = payload.map(cut).flatten();
            let plain = Decompress::from_headers(pieces, headers);
            Box::pin(collect(plain, bytes_max)).await
        }
    });
    // Nearly every body is here already; only the others are worth a timer.
    let first = poll_fn(|context| match reading.as_mut().poll(context) {
        Poll::Ready(read) => Poll::Ready(Some(read)),
        Poll::Pending => Poll::Ready(None),
    });
    match first.await {
        Some(read) => read,
        None => tokio::time::timeout(BODY_TIMEOUT, reading)
            .await
            .unwrap_or_else(|_| {
                let detail = format!(
                    "send the whole body within {} seconds",
                    BODY_TIMEOUT.as_secs()
                );
                Err(Problem::new(Kind::BodyTimeout, detail))
            }),
    }
}

/// A chunk in pieces so small that none decompresses to more than a few MiB before it is counted.
fn cut(
    chunk: Result<Bytes, PayloadError>,
) -> impl Stream<Item = Result<Bytes, PayloadError>> + Unpin {
    let (mut rest, mut error) = match chunk {
        Ok(bytes) => (bytes, None),
        Err(error) => (Bytes::new(), Some(error)),
    };
    stream::iter(std::iter::from_fn(move || {
        if rest.is_empty() {
            return error.take().map(Err);
        }
        let piece = rest.split_to(rest.len().min(COMPRESSED_PIECE_BYTES));
        Some(Ok(piece))
    }))
}

async fn collect<S>(mut chunks: S, bytes_max: usize) -> Result<Bytes, Problem>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    let mut first = Bytes::new();
    let mut body = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            Problem::new(
                Kind::BadBody,
                format!("the body broke off or cannot be decompressed: {error}"),
            )
        })?;
        if first.len().max(body.len()) + chunk.len() > bytes_max {
            return Err(body_too_large(bytes_max));
        }
        if first.is_empty() {
            first = chunk;
            continue;
        }
        if body.is_empty() {
            body.extend_from_slice(&first);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(if body.is_empty() {
        first
    } else {
        body.freeze()
    })
}

fn body_too_large(bytes_max: usize) -> Problem {
    Problem::new(
        Kind::BodyTooLarge,
        format!("send at most {bytes_max} bytes, also after decompression"),
    )
}

/// How the body says it is written.
///
/// # Errors
/// [`Problem`] 415 for a content type that is not read here.
pub fn body_format(headers: &HeaderMap) -> Result<BodyFormat, Problem> {
    let Some(content_type) = headers.get(header::CONTENT_TYPE) else {
        return Ok(BodyFormat::Json);
    };
    if content_type.as_bytes() == b"application/json" {
        return Ok(BodyFormat::Json);
    }
    let text = content_type.to_str().unwrap_or_default();
    let essence = text
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    match essence.as_str() {
        "" | "application/json" | "text/json" => Ok(BodyFormat::Json),
        "application/json5" => Ok(BodyFormat::Json5),
        "application/x-www-form-urlencoded" => Ok(BodyFormat::Form),
        _ => {
            let detail = "send Content-Type application/json, application/json5 or application/x-www-form-urlencoded, or none";
            Err(Problem::new(Kind::UnsupportedMediaType, detail))
        }
    }
}

/// The idempotency key, if there is one.
///
/// # Errors
/// [`Problem`] 400 when it is empty, too long or there are two.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<&[u8]>, Problem> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY);
    let Some(key) = keys.next() else {
        return Ok(None);
    };
    if keys.next().is_some() || key.is_empty() || key.len() > KEY_BYTES_MAX {
        let detail = format!("Idempotency-Key must be given once, with 1 to {KEY_BYTES_MAX} bytes");
        return Err(Problem::new(Kind::BadHeader, detail));
    }
    Ok(Some(key.as_bytes()))
}

/// Whether the version asked for by `Accept: application/json; version=1`, if any, is known.
///
/// # Errors
/// [`Problem`] 406 for another version.
pub fn check_version(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(accept) = headers.get(header::ACCEPT) else {
        return Ok(());
    };
    if accept.as_bytes() == b"*/*" {
        return Ok(());
    }
    let accept = accept.to_str().unwrap_or_default().to_ascii_lowercase();
    let versions = accept
        .split([',', ';'])
        .filter_map(|part| part.trim().strip_prefix("version"));
    let versions = versions.filter_map(|rest| rest.trim_start().strip_prefix('='));
    let mut versions = versions
        .map(|version| version.trim().trim_matches('"'))
        .peekable();
    if versions.peek().is_none() || versions.any(|version| version == "1") {
        return Ok(());
    }
    Err(Problem::new(
        Kind::NotAcceptable,
        "the only version is 1; ask for it, or for none",
    ))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        TestRequest::default()
            .insert_header((name, value))
            .to_http_request()
            .headers()
            .clone()
    }

    #[test]
    fn version_1_and_no_version_are_served() {
        for accept in [
            "*/*",
            "application/json",
            "application/json; version=1",
            "a/b;q=0.5, application/json;version=\"1\"",
            "application/json; version=2, application/json; version=1",
        ] {
            assert!(
                check_version(&headers("accept", accept)).is_ok(),
                "{accept}"
            );
        }
        for accept in [
            "application/json; version=2",
            "application/json;version=",
            "application/json; version=1.0",
        ] {
            assert!(
                check_version(&headers("accept", accept)).is_err(),
                "{accept}"
            );
        }
    }

    #[test]
    fn content_types_of_the_table_are_read_and_no_others() {
        for (content_type, format) in [
            ("application/json; charset=utf-8", BodyFormat::Json),
            ("APPLICATION/JSON", BodyFormat::Json),
            ("application/json5", BodyFormat::Json5),
            (
                "application/x-www-form-urlencoded;charset=UTF-8",
                BodyFormat::Form,
            ),
        ] {
            assert_eq!(
                body_format(&headers("content-type", content_type)),
                Ok(format),
                "{content_type}"
            );
        }
        for content_type in [
            "text/plain",
            "application/xml",
            "multipart/form-data",
            "json",
        ] {
            assert!(
                body_format(&headers("content-type", content_type)).is_err(),
                "{content_type}"
            );
        }
    }
}
