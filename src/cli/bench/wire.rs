//! One keep-alive connection of a virtual client: writes a rendered request, reads its answer.
//!
//! It knows HTTP/1.1 as far as a service's answers need it (a length or chunks) and reuses its
//! buffers: the client must cost less than the server it measures.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const HEADERS_MAX: usize = 32;
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// One keep-alive connection.
pub struct Wire {
    stream: TcpStream,
    input: Vec<u8>,
    body: Vec<u8>,
}

impl Wire {
    /// Connects.
    ///
    /// # Errors
    /// What the system says.
    pub async fn connect(address: SocketAddr) -> io::Result<Wire> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Wire {
            stream,
            input: Vec::with_capacity(16 << 10),
            body: Vec::new(),
        })
    }

    /// Sends a rendered request and reads the answer: its status, and its body until the next call.
    ///
    /// # Errors
    /// A lost connection, or an answer that is not HTTP/1.1; the connection is of no more use.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<(u16, &[u8])> {
        self.stream.write_all(request).await?;
        self.input.clear();
        self.body.clear();
        loop {
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if self.input.len() > ANSWER_BYTES_MAX {
                return Err(invalid("the answer has more than 64 MiB"));
            }
            if let Some(status) = parse_answer(&self.input, &mut self.body)? {
                return Ok((status, &self.body));
            }
        }
    }
}

/// The status of a whole answer, its body put into `body`; nothing while more must be read.
fn parse_answer(input: &[u8], body: &mut Vec<u8>) -> io::Result<Option<u16>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let parsed = head
        .parse(input)
        .map_err(|_| invalid("the answer is not HTTP/1.1"))?;
    let httparse::Status::Complete(start) = parsed else {
        return Ok(None);
    };
    let status = head.code.unwrap_or_default();
    let rest = &input[start..];
    for header in head.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let length = std::str::from_utf8(header.value).ok();
            let length: usize = length
                .and_then(|text| text.trim().parse().ok())
                .ok_or_else(|| invalid("the answer has a bad length"))?;
            let Some(whole) = rest.get(..length) else {
                return Ok(None);
            };
            body.extend_from_slice(whole);
            return Ok(Some(status));
        }
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Ok(join_chunks(rest, body)?.then_some(status));
        }
    }
    match status {
        204 | 304 => Ok(Some(status)),
        _ => Err(invalid("the answer has no length")),
    }
}

/// Puts the data of all chunks into `body`; `false` while the last one is missing.
fn join_chunks(mut rest: &[u8], body: &mut Vec<u8>) -> io::Result<bool> {
    body.clear();
    loop {
        let parsed =
            httparse::parse_chunk_size(rest).map_err(|_| invalid("a chunk is malformed"))?;
        let httparse::Status::Complete((start, length)) = parsed else {
            return Ok(false);
        };
        let length = usize::try_from(length).map_err(|_| invalid("a chunk is too long"))?;
        let end = start.saturating_add(length);
        let Some(after) = end.checked_add(2).and_then(|next| rest.get(next..)) else {
            return Ok(false);
        };
        if length == 0 {
            return Ok(true);
        }
        body.extend_from_slice(&rest[start..end]);
        rest = after;
    }
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds an answer byte by byte: it must be complete at its last byte and not before.
    fn parsed(answer: &str) -> (u16, String) {
        let mut body = Vec::new();
        for end in 0..answer.len() {
            let early = parse_answer(&answer.as_bytes()[..end], &mut body).expect("valid so far");
            assert_eq!(early, None, "complete after {end} bytes");
        }
        let status = parse_answer(answer.as_bytes(), &mut body).expect("valid");
        (
            status.expect("complete"),
            String::from_utf8(body).expect("text"),
        )
    }

    #[test]
    fn answers_with_a_length_and_in_chunks_are_read_to_their_last_byte() {
        let sized = "HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\nabcd";
        assert_eq!(parsed(sized), (201, String::from("abcd")));
        let empty = "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(parsed(empty), (503, String::new()));
        let chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n";
        assert_eq!(parsed(chunks), (200, String::from("abc0123456789")));
        assert_eq!(parsed("HTTP/1.1 204 No Content\r\n\r\n").0, 204);
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        let mut body = Vec::new();
        for input in [
            "SSH-2.0-x\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        ] {
            assert!(
                parse_answer(input.as_bytes(), &mut body).is_err(),
                "{input}"
            );
        }
    }
}
