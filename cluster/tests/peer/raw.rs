//! The protocol spelled out a second time, byte for byte, for peers that do not keep to it. If it
//! changes in a way that older nodes do not understand, these tests fail.

use std::net::SocketAddr;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Message {
    Greeting(Greeting),
    Proof([u8; 32]),
    Refused(Refused),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Greeting {
    pub magic: [u8; 8],
    pub oldest: u16,
    pub newest: u16,
    pub cluster: String,
    pub generation: [u8; 16],
    pub address: String,
    pub has_secret: bool,
    pub nonce: [u8; 32],
    pub in_flight_max: u32,
    pub frame_bytes_max: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Refused {
    OtherCluster(String),
    TooOld(u16),
    TooNew(u16),
    SecretMissing,
    SecretUnexpected,
    OtherSecret,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Header {
    Call(u32, [u8; 16], u32),
    Piece(u32, [u8; 16], u32, u32, bool),
    Notice,
    Ping(u32),
    Answer(u32, Outcome),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    Done,
    NotOwner,
    Draining,
    Overloaded,
    Late,
    TooLong,
}

pub fn greeting() -> Greeting {
    Greeting {
        magic: *b"mayfly/p",
        oldest: 1,
        newest: 1,
        cluster: "test".into(),
        generation: [9; 16],
        address: "raw:1".into(),
        has_secret: true,
        nonce: [7; 32],
        in_flight_max: 1024,
        frame_bytes_max: 1 << 20,
    }
}

pub fn proof(secret: &[u8], role: &str, client: &[u8], server: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any key");
    mac.update(format!("mayfly peer {role}").as_bytes());
    for greeting in [client, server] {
        mac.update(&(greeting.len() as u64).to_be_bytes());
        mac.update(greeting);
    }
    mac.finalize().into_bytes().into()
}

pub fn bytes(value: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(value).expect("encodes")
}

pub fn frame(head: &[u8], payload: &[u8]) -> Vec<u8> {
    let length = (head.len() + payload.len()) as u32;
    [&length.to_be_bytes(), head, payload].concat()
}

/// A connection whose every byte is the test's.
pub struct Raw {
    pub stream: TcpStream,
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Raw {
        let stream = TcpStream::connect(address).await.expect("a listener");
        Raw { stream }
    }

    /// Writes, as far as the other side still takes it.
    pub async fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    pub async fn say(&mut self, message: &Message) -> Vec<u8> {
        let said = bytes(message);
        self.write(&frame(&said, &[])).await;
        said
    }

    pub async fn send(&mut self, header: Header, payload: &[u8]) {
        self.write(&frame(&bytes(&header), payload)).await;
    }

    /// The next frame; `None` if the connection ended.
    pub async fn read(&mut self) -> Option<Vec<u8>> {
        let length = self.stream.read_u32().await.ok()?;
        let mut frame = vec![0; length as usize];
        self.stream.read_exact(&mut frame).await.ok()?;
        Some(frame)
    }

    pub async fn hear(&mut self) -> Option<Message> {
        let frame = self.read().await?;
        Some(postcard::from_bytes(&frame).expect("a message"))
    }

    pub async fn receive(&mut self) -> Option<(Header, Vec<u8>)> {
        let frame = self.read().await?;
        let (header, payload) = postcard::take_from_bytes(&frame).expect("a header");
        Some((header, payload.to_vec()))
    }

    /// Waits until the other side has ended the connection.
    pub async fn ended(&mut self) {
        while self.read().await.is_some() {}
    }

    /// Connects with a right handshake.
    pub async fn join(address: SocketAddr, secret: &[u8]) -> Raw {
        let mut raw = Raw::connect(address).await;
        let said = raw.say(&Message::Greeting(greeting())).await;
        let heard = raw.read().await.expect("a greeting");
        raw.say(&Message::Proof(proof(secret, "client", &said, &heard)))
            .await;
        let theirs = Message::Proof(proof(secret, "server", &said, &heard));
        assert_eq!(raw.hear().await, Some(theirs));
        raw
    }

    /// Serves a right handshake to who connected.
    pub async fn host(stream: TcpStream, secret: &[u8]) -> Raw {
        let mut raw = Raw { stream };
        let heard = raw.read().await.expect("a greeting");
        let said = raw.say(&Message::Greeting(greeting())).await;
        let theirs = Message::Proof(proof(secret, "client", &heard, &said));
        assert_eq!(raw.hear().await, Some(theirs));
        raw.say(&Message::Proof(proof(secret, "server", &heard, &said)))
            .await;
        raw
    }
}
