//! A small HTTP/1.1 client: one call, one connection, `http://` only, every wait bounded.
//!
//! What is asked and what an answer means is decided by the commands.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest answer that is taken: a full mailbox of 16 MiB in which every byte is escaped.
const ANSWER_BYTES_MAX: usize = 128 << 20;

/// Where a service is: `http://host:port` and perhaps a path in front of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    host: String,
    port: u16,
    path: String,
}

impl BaseUrl {
    /// The host and port, as in a `Host` header.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            return format!("[{}]:{}", self.host, self.port);
        }
        format!("{}:{}", self.host, self.port)
    }

    /// The path in front of every other, without a slash at its end.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<BaseUrl, String> {
        let fix = "write it as http://127.0.0.1:8080";
        let uri: Uri = text.parse().map_err(|_| format!("this is no URL; {fix}"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(String::from(
                    "this client does not speak https; use the http:// address, or a proxy that adds TLS",
                ));
            }
            _ => return Err(format!("the URL has no http://; {fix}")),
        }
        let authority = uri
            .authority()
            .ok_or_else(|| format!("the URL has no host; {fix}"))?;
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(format!("the URL has more than host, port and path; {fix}"));
        }
        Ok(BaseUrl {
            host: String::from(authority.host().trim_matches(['[', ']'])),
            port: authority.port_u16().unwrap_or(80),
            path: String::from(uri.path().trim_end_matches('/')),
        })
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.path)
    }
}

/// Why a call has no good answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection came about.
    #[error("cannot reach {url}: {reason}; start it by mayfly serve, or name another by {flag}")]
    Unreached {
        /// The service.
        url: BaseUrl,
        /// The flag that names it.
        flag: &'static str,
        /// What the system says.
        reason: String,
    },
    /// The connection ended, or nothing came within 10 s: whether it was done is not known.
    #[error("no answer from {url}: {reason}; it may have been done all the same")]
    Unanswered {
        /// The service.
        url: BaseUrl,
        /// What happened.
        reason: String,
    },
    /// The service refused, in the words of its problem (RFC 9457).
    #[error("{title}: {detail}")]
    Problem {
        /// The kind of problem.
        title: String,
        /// What is wrong here and what to do.
        detail: String,
    },
    /// The answer is not what this call answers.
    #[error("{url} answered {reason}; is it a mayfly service?")]
    Unexpected {
        /// The service.
        url: BaseUrl,
        /// What was answered.
        reason: String,
    },
    /// The key cannot be sent.
    #[error("MAYFLY_KEY has characters that no key has; set it to the key alone")]
    Key,
}

/// An answer: its status and body.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The whole body.
    pub body: Bytes,
}

/// Calls one service, with one key.
pub struct Client {
    url: BaseUrl,
    flag: &'static str,
    authorization: Option<HeaderValue>,
}

impl Client {
    /// A client of the service at `url`, which sends the key of `MAYFLY_KEY` if there is one.
    ///
    /// # Errors
    /// [`ClientError::Key`].
    pub fn from_environment(url: &BaseUrl) -> Result<Client, ClientError> {
        Ok(Client {
            url: url.clone(),
            flag: "--url",
            authorization: authorization()?,
        })
    }

    /// A client that sends no key: of an admin port, which asks for none.
    pub fn without_key(url: &BaseUrl) -> Client {
        Client {
            url: url.clone(),
            flag: "--admin-url",
            authorization: None,
        }
    }

    /// Calls `path` and takes any answer.
    ///
    /// # Errors
    /// Only that there is none.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Answer, ClientError> {
        let stream = self.connect().await?;
        match timeout(CALL_TIMEOUT, self.exchange(stream, method, path, body)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(reason)) => Err(self.unanswered(reason)),
            Err(_) => Err(self.unanswered(String::from("nothing came within 10 s"))),
        }
    }

    /// Calls `path` and takes a JSON answer of success.
    ///
    /// # Errors
    /// No answer, a problem, or an answer that is not JSON.
    pub async fn json(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<serde_json::Value, ClientError> {
        let answer = self.call(method, path, body).await?;
        self.value(&answer)
    }

    /// The JSON of an answer of success.
    ///
    /// # Errors
    /// As [`Client::success`], or the answer is not JSON.
    pub fn value(&self, answer: &Answer) -> Result<serde_json::Value, ClientError> {
        self.success(answer)?;
        serde_json::from_slice(&answer.body)
            .map_err(|_| self.unexpected(String::from("something other than JSON")))
    }

    /// Whether it is an answer of success.
    ///
    /// # Errors
    /// The problem that it is instead.
    pub fn success(&self, answer: &Answer) -> Result<(), ClientError> {
        if answer.status.is_success() {
            return Ok(());
        }
        Err(match serde_json::from_slice::<Problem>(&answer.body) {
            Ok(Problem { title, detail }) => ClientError::Problem { title, detail },
            Err(_) => self.unexpected(answer.status.to_string()),
        })
    }

    async fn connect(&self) -> Result<TcpStream, ClientError> {
        let place = (self.url.host.as_str(), self.url.port);
        let reason = match timeout(CONNECT_TIMEOUT, TcpStream::connect(place)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error.to_string(),
            Err(_) => String::from("no connection within 3 s"),
        };
        Err(ClientError::Unreached {
            url: self.url.clone(),
            flag: self.flag,
            reason,
        })
    }

    async fn exchange(
        &self,
        stream: TcpStream,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Answer, String> {
        let says = |error: hyper::Error| error.to_string();
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(says)?;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url.path))
            .header(HOST, self.url.authority());
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request
            .body(Full::new(Bytes::from(body.unwrap_or_default())))
            .map_err(|error| error.to_string())?;
        let answer = async {
            let (head, body) = sender
                .send_request(request)
                .await
                .map_err(says)?
                .into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| error.to_string())?.to_bytes();
            Ok(Answer {
                status: head.status,
                body,
            })
        };
        tokio::pin!(answer, connection);
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            ended = &mut connection => match ended {
                Ok(()) => answer.await,
                Err(error) => Err(error.to_string()),
            },
        }
    }

    fn unexpected(&self, reason: String) -> ClientError {
        ClientError::Unexpected {
            url: self.url.clone(),
            reason,
        }
    }

    fn unanswered(&self, reason: String) -> ClientError {
        ClientError::Unanswered {
            url: self.url.clone(),
            reason,
        }
    }
}

/// The key of `MAYFLY_KEY` as a header's value, if there is one.
///
/// # Errors
/// [`ClientError::Key`].
pub fn authorization() -> Result<Option<HeaderValue>, ClientError> {
    let Some(key) = std::env::var_os("MAYFLY_KEY").filter(|key| !key.is_empty()) else {
        return Ok(None);
    };
    let key = key.to_str().ok_or(ClientError::Key)?.trim();
    let value = HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| ClientError::Key)?;
    Ok(Some(value))
}

/// A text as one segment of a path (RFC 3986): all but unreserved characters as `%XX`.
pub fn path_segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}

#[derive(Deserialize)]
struct Problem {
    title: String,
    #[serde(default)]
    detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_username_becomes_one_segment_of_a_path() {
        for (name, segment) in [
            ("alice", "alice"),
            ("a.b-c_d", "a.b-c_d"),
            ("x+y@z", "x%2By%40z"),
            ("é/?#%", "%C3%A9%2F%3F%23%25"),
            ("a\r\nb", "a%0D%0Ab"),
        ] {
            assert_eq!(path_segment(name), segment);
        }
    }

    #[test]
    fn a_url_has_a_scheme_a_host_a_port_and_perhaps_a_path() {
        for (text, shown) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://host", "http://host:80"),
            ("http://[::1]:9/", "http://[::1]:9"),
            ("http://host:1/chat/api/", "http://host:1/chat/api"),
        ] {
            let url: BaseUrl = text.parse().expect(text);
            assert_eq!(url.to_string(), shown);
        }
        for (text, word) in [
            ("https://host", "does not speak https"),
            ("host:80", "http://127.0.0.1:8080"),
            ("/chat", "no http://"),
            ("http://u:p@host", "more than"),
            ("http://host/?a=b", "more than"),
            ("", "no URL"),
        ] {
            let reason = text.parse::<BaseUrl>().expect_err(text);
            assert!(reason.contains(word), "{text}: {reason}");
        }
    }
}
