//! A blocking HTTP/1.1 client over one connection that is kept, or over raw bytes.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// How long a socket may stand still.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(30);

/// One answer as it came.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header that is there at most once.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "header {name} came twice");
        value
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The answer itself when it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// The last part of a problem's `type`, after checking all that every problem has.
    #[track_caller]
    pub fn problem(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        let json = self.json();
        assert_eq!(json["status"], self.status);
        assert!(!json["title"].as_str().expect("title").is_empty());
        assert!(!json["detail"].as_str().expect("detail").is_empty());
        let kind = json["type"].as_str().expect("type");
        kind.rsplit(':').next().unwrap_or_default().to_owned()
    }
}

/// A connection to one address, made anew when it was closed.
pub struct Client {
    address: SocketAddr,
    timeout: Duration,
    connection: Option<BufReader<TcpStream>>,
    /// Connections made so far.
    pub connections: usize,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// Nothing was sent.
    NotSent(io::Error),
    /// Something was sent, and no whole answer came back.
    InDoubt(io::Error),
}

impl Client {
    /// Of a port of this machine.
    pub fn new(port: u16) -> Client {
        Client::at(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// Of any address.
    pub fn at(address: SocketAddr) -> Client {
        Client {
            address,
            timeout: SOCKET_TIMEOUT,
            connection: None,
            connections: 0,
        }
    }

    /// The same, giving up when its socket has stood still for so long.
    pub fn with_timeout(self, timeout: Duration) -> Client {
        Client { timeout, ..self }
    }

    /// From the next request on, gives up when its socket has stood still for so long.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
        if let Some(connection) = &self.connection {
            // On a socket that is broken the next request fails by itself.
            let _ = set_timeouts(connection.get_ref(), timeout);
        }
    }

    #[track_caller]
    pub fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    #[track_caller]
    pub fn post(&mut self, path: &str, body: &str) -> Answer {
        self.send("POST", path, &[], body.as_bytes())
    }

    /// Posts a message and gives its id.
    #[track_caller]
    pub fn post_message(&mut self, username: &str, text: &str, timeout: u64) -> String {
        let body = serde_json::json!({"username": username, "text": text, "timeout": timeout});
        let answer = self.post("/chat", &body.to_string()).expect(201);
        answer.json()["id"].as_str().expect("an id").to_owned()
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let answer = self.try_send(method, path, headers, body);
        answer.unwrap_or_else(|failure| panic!("{method} {path}: {failure:?}"))
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// [`Failure`]; the next request uses a new connection.
    pub fn try_send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, Failure> {
        let kept = self.connection.take();
        let mut connection = match kept.filter(|kept| is_open(kept.get_ref())) {
            Some(connection) => connection,
            None => {
                self.connections += 1;
                BufReader::new(
                    connect_within(self.address, self.timeout).map_err(Failure::NotSent)?,
                )
            }
        };
        let request = request(self.address.port(), method, path, headers, body);
        // A server may refuse a body before it has read all of it: then only its answer counts.
        let sent = connection.get_mut().write_all(&request);
        match read_answer(&mut connection, method == "HEAD") {
            Ok(answer) => {
                let closes = answer.header("connection") == Some("close");
                if !closes && sent.is_ok() {
                    self.connection = Some(connection);
                }
                Ok(answer)
            }
            Err(error) => Err(Failure::InDoubt(error)),
        }
    }
}

/// The bytes of a request; a `Host` and a `Content-Length` are added unless given.
pub fn request(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Vec<u8> {
    let has = |name: &str| headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    let mut text = format!("{method} {path} HTTP/1.1\r\n");
    if !has("host") {
        text += &format!("Host: 127.0.0.1:{port}\r\n");
    }
    if !has("content-length") && !has("transfer-encoding") && (method == "POST" || !body.is_empty())
    {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += "\r\n";
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// A new connection.
///
/// # Errors
/// Those of the operating system.
pub fn connect(port: u16) -> io::Result<TcpStream> {
    connect_within(SocketAddr::from(([127, 0, 0, 1], port)), SOCKET_TIMEOUT)
}

fn connect_within(address: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, timeout)?;
    set_timeouts(&stream, timeout)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn set_timeouts(stream: &TcpStream, timeout: Duration) -> io::Result<()> {
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))
}

/// Whether a connection that should be idle can be used again: its peer has not closed it.
fn is_open(stream: &TcpStream) -> bool {
    let looked = stream
        .set_nonblocking(true)
        .and_then(|()| stream.peek(&mut [0]));
    let is_idle = looked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
    is_idle && stream.set_nonblocking(false).is_ok()
}

/// Sends bytes as they are, ends the sending side, and gives every whole answer that came.
///
/// # Panics
/// When the server neither answers nor closes within the time-out.
#[track_caller]
pub fn send_raw(port: u16, bytes: &[u8]) -> Vec<Answer> {
    let mut stream = connect(port).expect("a connection");
    // The server may close as soon as it has seen enough.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut connection = BufReader::new(stream);
    let mut answers = Vec::new();
    loop {
        match read_answer(&mut connection, false) {
            Ok(answer) => answers.push(answer),
            Err(error) => {
                let is_stuck = matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                );
                assert!(!is_stuck, "no answer and no end: {bytes:?}");
                return answers;
            }
        }
    }
}

/// Reads one answer.
///
/// # Errors
/// Those of the connection, and `InvalidData` or `UnexpectedEof` when it is no whole answer.
pub fn read_answer(connection: &mut impl BufRead, is_head: bool) -> io::Result<Answer> {
    let status_line = read_line(connection)?;
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .or(status_line.strip_prefix("HTTP/1.0 "));
    let status: u16 = status
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .ok_or_else(|| invalid(&status_line))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(connection)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| invalid(&line))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    if status == 100 {
        return read_answer(connection, is_head);
    }
    let mut answer = Answer {
        status,
        headers,
        body: Vec::new(),
    };
    if is_head || status == 204 || status == 304 {
        return Ok(answer);
    }
    if answer.header("transfer-encoding") == Some("chunked") {
        answer.body = read_chunks(connection)?;
    } else if let Some(length) = answer.header("content-length") {
        let length = length.parse().map_err(|_| invalid(length))?;
        answer.body = vec![0; length];
        connection.read_exact(&mut answer.body)?;
    } else {
        connection.read_to_end(&mut answer.body)?;
    }
    Ok(answer)
}

fn read_chunks(connection: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(connection)?;
        let length = usize::from_str_radix(&line, 16).map_err(|_| invalid(&line))?;
        let start = body.len();
        body.resize(start + length, 0);
        connection.read_exact(&mut body[start..])?;
        if !read_line(connection)?.is_empty() {
            return Err(invalid("a chunk that does not end"));
        }
        if length == 0 {
            return Ok(body);
        }
    }
}

fn read_line(connection: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if connection.read_line(&mut line)? == 0 || !line.ends_with("\r\n") {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    line.truncate(line.len() - 2);
    Ok(line)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Whether the peer has closed, after reading what it still sent.
pub fn is_closed_by_peer(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).is_ok()
}
