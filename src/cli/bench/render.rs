//! Requests of the virtual clients as bytes.

use std::io::Write;

use super::work::BULK_MESSAGES;

/// What every request has in common.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Headers that all requests have, each with its end of line.
    pub headers: String,
    /// What stands before every path.
    pub path: String,
    /// What stands before the number in every username: names of a run are its own.
    pub names: String,
    /// The text of every message, without characters that JSON escapes.
    pub text: String,
}

/// A post to one user, as the no-op server is asked for it.
pub fn one_post(shape: &Shape) -> Vec<u8> {
    let mut request = Vec::new();
    render_post(&mut request, shape, 0, 60);
    request
}

pub(super) fn render_post(request: &mut Vec<u8>, shape: &Shape, user: u64, timeout_secs: u64) {
    let length = message_bytes(shape, user, timeout_secs);
    render_head(request, shape, "chat", length);
    render_message(request, shape, user, timeout_secs);
}

pub(super) fn render_bulk(request: &mut Vec<u8>, shape: &Shape, first: u64, timeout_secs: u64) {
    let (start, end) = (br#"{"messages":["#, b"]}");
    let users = first..first + BULK_MESSAGES;
    let messages = users
        .clone()
        .map(|user| message_bytes(shape, user, timeout_secs) + 1);
    let length = start.len() + messages.sum::<usize>() - 1 + end.len();
    render_head(request, shape, "chats", length);
    request.extend_from_slice(start);
    for user in users {
        if user > first {
            request.push(b',');
        }
        render_message(request, shape, user, timeout_secs);
    }
    request.extend_from_slice(end);
}

fn render_head(request: &mut Vec<u8>, shape: &Shape, resource: &str, length: usize) {
    let (path, headers) = (&shape.path, &shape.headers);
    // Writing to a Vec cannot fail.
    let _ = write!(
        request,
        "POST {path}/{resource} HTTP/1.1\r\n{headers}content-type: application/json\r\n\
         content-length: {length}\r\n\r\n"
    );
}

fn message_bytes(shape: &Shape, user: u64, timeout_secs: u64) -> usize {
    let digits = |number: u64, base: u64| number.checked_ilog(base).unwrap_or(0) as usize + 1;
    let fixed = r#"{"username":"","text":"","timeout":}"#.len() + digits(timeout_secs, 10);
    fixed + shape.names.len() + digits(user, 16) + shape.text.len()
}

fn render_message(request: &mut Vec<u8>, shape: &Shape, user: u64, timeout_secs: u64) {
    let (names, text) = (&shape.names, &shape.text);
    // Writing to a Vec cannot fail.
    let _ = write!(
        request,
        "{{\"username\":\"{names}{user:x}\",\"text\":\"{text}\",\"timeout\":{timeout_secs}}}"
    );
}

pub(super) fn render_get(request: &mut Vec<u8>, shape: &Shape, path: std::fmt::Arguments<'_>) {
    // Writing to a Vec cannot fail.
    let _ = write!(
        request,
        "GET {}/{path} HTTP/1.1\r\n{}\r\n",
        shape.path, shape.headers
    );
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn shape() -> Shape {
        Shape {
            headers: String::from("host: h\r\n"),
            path: String::from("/p"),
            names: String::from("n-"),
            text: String::from("hi"),
        }
    }

    #[test]
    fn the_length_of_a_post_is_that_of_its_body() {
        for (user, timeout_secs) in [(0, 0), (9, 5), (15, 60), (16, 3_600), (u64::MAX, u64::MAX)] {
            let mut request = Vec::new();
            render_post(&mut request, &shape(), user, timeout_secs);
            let text = String::from_utf8(request).expect("text");
            let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
            assert!(
                head.contains(&format!("content-length: {}\r\n", body.len()))
                    || head.ends_with(&format!("content-length: {}", body.len())),
                "{text}"
            );
            assert!(
                serde_json::from_str::<serde_json::Value>(body).is_ok(),
                "{body}"
            );
        }
    }

    #[test]
    fn the_length_of_a_bulk_is_that_of_its_body_of_a_thousand_messages() {
        let mut request = Vec::new();
        render_bulk(&mut request, &shape(), 5, 60);
        let text = String::from_utf8(request).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("POST /p/chats HTTP/1.1\r\n"), "{head}");
        assert!(
            head.ends_with(&format!("content-length: {}", body.len())),
            "{head}"
        );
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        let messages = body["messages"].as_array().expect("messages");
        assert_eq!(messages.len(), 1_000);
        assert_eq!(messages[0]["username"], "n-5");
        assert_eq!(messages[999]["username"], format!("n-{:x}", 5 + 999));
    }
}
