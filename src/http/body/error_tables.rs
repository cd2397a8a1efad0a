//! Tables of errors for the tests: a body on the left, what is said about it on the right.

use super::*;

/// The bounds of all these tests.
pub(super) fn limits() -> Limits {
    Limits::default()
}

/// The post that `body` is.
pub(super) fn post(body: &str, format: BodyFormat) -> PostBody {
    parse_post(body.as_bytes(), format, &limits()).unwrap_or_else(|error| panic!("{body}: {error}"))
}

/// The error that `body` is answered with.
pub(super) fn error(body: &[u8], format: BodyFormat) -> BodyError {
    match parse_post(body, format, &limits()) {
        Err(error) => error,
        Ok(post) => panic!("{:?} is read as {post:?}", String::from_utf8_lossy(body)),
    }
}

/// `/name` for a field, `line:column` for a position, `-` for neither.
pub(super) fn place(error: &BodyError) -> String {
    match &error.place {
        None => "-".to_owned(),
        Some(Place::Field(pointer)) => pointer.clone(),
        Some(Place::Position { line, column }) => format!("{line}:{column}"),
    }
}

/// That `body` is answered with this kind and place, and a message that begins with `detail`.
pub(super) fn assert_error(
    body: &[u8],
    format: BodyFormat,
    kind: BodyErrorKind,
    at: &str,
    detail: &str,
) {
    let error = error(body, format);
    let body = String::from_utf8_lossy(body);
    let found = (error.kind, place(&error));
    assert_eq!(found, (kind, at.to_owned()), "{body}: {error}");
    let message = &error.detail;
    assert!(
        message.starts_with(detail),
        "{body}: {message}\n not {detail}"
    );
    assert!(
        !message.ends_with('.') && !message.contains('\n'),
        "{message}"
    );
}

/// One row a body: `body => Kind, place, beginning of the message;`.
macro_rules! assert_errors {
    ($format:ident: $($body:expr => $kind:ident, $at:expr, $detail:expr;)*) => {
        $(crate::http::body::error_tables::assert_error(
            $body.as_ref(),
            crate::http::body::BodyFormat::$format,
            crate::http::body::BodyErrorKind::$kind,
            $at.as_ref(),
            $detail.as_ref(),
        );)*
    };
}
