//! How two nodes come to trust each other: four small frames, before which nothing else is read.
//!
//! The client greets, the server greets, the client proves, the server proves. The client proves
//! first, so that a stranger learns nothing by asking. A refusal says why in words for the refused.
//! The fields of a greeting keep their places for ever; newer versions add at the end. After the
//! handshake nothing is encrypted: keep strangers off the network between the nodes.

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use uuid::Uuid;

use super::cut::Cut;
use super::frame;
use super::identity::{ADDRESS_BYTES_MAX, Identity, Peer, Secret, Versions};
use super::incoming::Incoming;
use super::limits::{HANDSHAKE_FRAME_BYTES_MAX, HEADER_BYTES_MAX, PeerLimits};
use super::proof::{PROOF_BYTES, Role, Transcript, holds, prove};
use crate::member::Generation;

/// The first bytes of every greeting.
const MAGIC: [u8; 8] = *b"mayfly/p";

/// A connection whose other side is known.
#[derive(Debug)]
pub(super) struct Trusted {
    pub(super) incoming: Incoming,
    pub(super) half: OwnedWriteHalf,
    pub(super) peer: Peer,
    pub(super) agreed: Agreed,
}

/// The smaller bounds of the two sides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Agreed {
    pub(super) in_flight_max: usize,
    pub(super) payload_bytes_max: usize,
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The other side will not have us, or we not them.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The other side claims to be a peer and knows no proof.
    #[error("it did not prove that it knows the cluster's secret; check who listens there")]
    Unproven,
    /// Another start of the node lives at the address.
    #[error("generation {} lives there now; the expected one has ended", .0.0)]
    OtherGeneration(Generation),
    /// What came is no handshake.
    #[error("it does not speak the protocol of nodes; check the address and its port")]
    NoPeer,
    /// It took too long.
    #[error("the handshake took too long; check its load, the address and its port")]
    TimedOut,
    /// The connection ended.
    #[error("{0}")]
    Cut(#[from] Cut),
}

/// Why one node refuses another, told to the refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// Not the same cluster.
    #[error(
        "it belongs to cluster {0:?}; give both nodes the same --cluster-name, or correct the address"
    )]
    OtherCluster(String),
    /// We speak no version that is new enough.
    #[error("it wants wire version {0} or newer; upgrade this node")]
    TooOld(u16),
    /// We speak no version that is old enough.
    #[error("it knows wire versions up to {0} only; upgrade that node first")]
    TooNew(u16),
    /// They have a secret and we have none.
    #[error("it has a cluster secret and this node has none; give this node the same secret")]
    SecretMissing,
    /// We have a secret and they have none.
    #[error("this node has a cluster secret and it has none; give that node the same secret")]
    SecretUnexpected,
    /// Both have one, and not the same.
    #[error("it has another cluster secret; give both nodes the same secret")]
    OtherSecret,
}

/// One frame of a handshake.
#[derive(Debug, Serialize, Deserialize)]
enum Message {
    Greeting(Greeting),
    Proof([u8; PROOF_BYTES]),
    Refused(Refusal),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Greeting {
    magic: [u8; 8],
    versions: Versions,
    cluster: String,
    generation: [u8; 16],
    address: String,
    has_secret: bool,
    nonce: [u8; 32],
    in_flight_max: u32,
    frame_bytes_max: u32,
}

/// The handshake of the side that connected.
///
/// # Errors
/// [`HandshakeError`]; the caller sets the time-out.
pub(super) async fn greet(
    stream: TcpStream,
    identity: &Identity,
    expected: Option<Generation>,
    limits: &PeerLimits,
) -> Result<Trusted, HandshakeError> {
    let mut talk = Talk::new(stream);
    let ours = Greeting::of(identity, limits);
    let said = talk.say(&Message::Greeting(ours.clone())).await?;
    let (heard, message) = talk.hear().await?;
    let theirs = greeting(message)?;
    let version = theirs.judge(&ours)?;
    let found = Generation(Uuid::from_bytes(theirs.generation));
    if expected.is_some_and(|expected| expected != found) {
        return Err(HandshakeError::OtherGeneration(found));
    }
    let said = Transcript {
        client: &said,
        server: &heard,
    };
    let proof = prove(&identity.secret, Role::Client, said);
    talk.say(&Message::Proof(proof)).await?;
    if !talk.is_proved(&identity.secret, Role::Server, said).await? {
        return Err(HandshakeError::Unproven);
    }
    Ok(talk.trust(&theirs, version, limits))
}

/// The handshake of the side that was connected to.
///
/// # Errors
/// [`HandshakeError`]; the caller sets the time-out.
pub(super) async fn admit(
    stream: TcpStream,
    identity: &Identity,
    limits: &PeerLimits,
) -> Result<Trusted, HandshakeError> {
    let mut talk = Talk::new(stream);
    let ours = Greeting::of(identity, limits);
    let (heard, message) = talk.hear().await?;
    let theirs = greeting(message)?;
    let version = match ours.judge(&theirs) {
        Ok(version) => version,
        Err(refusal) => return Err(talk.refuse(refusal).await),
    };
    let said = talk.say(&Message::Greeting(ours)).await?;
    let said = Transcript {
        client: &heard,
        server: &said,
    };
    if !talk.is_proved(&identity.secret, Role::Client, said).await? {
        return Err(talk.refuse(Refusal::OtherSecret).await);
    }
    let proof = prove(&identity.secret, Role::Server, said);
    talk.say(&Message::Proof(proof)).await?;
    Ok(talk.trust(&theirs, version, limits))
}

/// The greeting of a message that must be one.
fn greeting(message: Message) -> Result<Greeting, HandshakeError> {
    match message {
        Message::Greeting(greeting) if greeting.is_sound() => Ok(greeting),
        Message::Refused(refusal) => Err(refusal.into()),
        _ => Err(HandshakeError::NoPeer),
    }
}

impl Greeting {
    fn of(identity: &Identity, limits: &PeerLimits) -> Greeting {
        let bound = |bound: usize| u32::try_from(bound).unwrap_or(u32::MAX);
        Greeting {
            magic: MAGIC,
            versions: identity.versions,
            cluster: identity.cluster.clone(),
            generation: identity.generation.0.into_bytes(),
            address: identity.address.clone(),
            has_secret: identity.secret.is_set(),
            nonce: rand::random(),
            in_flight_max: bound(limits.in_flight_max),
            frame_bytes_max: bound(limits.frame_bytes_max),
        }
    }

    fn is_sound(&self) -> bool {
        self.magic == MAGIC
            && self.address.len() <= ADDRESS_BYTES_MAX
            && self.frame_bytes_max as usize > HEADER_BYTES_MAX
    }

    /// The version that both speak, or what the judge has against the other.
    fn judge(&self, other: &Greeting) -> Result<u16, Refusal> {
        if other.cluster != self.cluster {
            return Err(Refusal::OtherCluster(self.cluster.clone()));
        }
        if other.versions.newest < self.versions.oldest {
            return Err(Refusal::TooOld(self.versions.oldest));
        }
        if other.versions.oldest > self.versions.newest {
            return Err(Refusal::TooNew(self.versions.newest));
        }
        match (self.has_secret, other.has_secret) {
            (true, false) => Err(Refusal::SecretMissing),
            (false, true) => Err(Refusal::SecretUnexpected),
            _ => Ok(self.versions.newest.min(other.versions.newest)),
        }
    }
}

/// A connection within its handshake.
struct Talk {
    incoming: Incoming,
    half: OwnedWriteHalf,
}

impl Talk {
    fn new(stream: TcpStream) -> Talk {
        let (read, half) = stream.into_split();
        Talk {
            incoming: Incoming::new(read, HANDSHAKE_FRAME_BYTES_MAX),
            half,
        }
    }

    /// Sends a message; tells its bytes.
    async fn say(&mut self, message: &Message) -> Result<Vec<u8>, HandshakeError> {
        let bytes = postcard::to_allocvec(message).expect("a vector takes every message");
        let mut frame = Vec::with_capacity(HANDSHAKE_FRAME_BYTES_MAX);
        frame::append(&mut frame, &bytes, &[]);
        self.half.write_all(&frame).await.map_err(Cut::Io)?;
        Ok(bytes)
    }

    /// The next message, and its bytes.
    async fn hear(&mut self) -> Result<(Vec<u8>, Message), HandshakeError> {
        let frame = match self.incoming.one().await {
            Err(Cut::FrameTooLong) => return Err(HandshakeError::NoPeer),
            frame => frame?,
        };
        // What follows a message is of a newer version.
        let (message, _) = postcard::take_from_bytes(&frame).map_err(|_| HandshakeError::NoPeer)?;
        Ok((frame.to_vec(), message))
    }

    /// Whether the other side proves that it knows the secret.
    async fn is_proved(
        &mut self,
        secret: &Secret,
        role: Role,
        said: Transcript<'_>,
    ) -> Result<bool, HandshakeError> {
        match self.hear().await?.1 {
            Message::Proof(proof) => Ok(holds(secret, role, said, &proof)),
            Message::Refused(refusal) => Err(refusal.into()),
            Message::Greeting(_) => Err(HandshakeError::NoPeer),
        }
    }

    async fn refuse(&mut self, refusal: Refusal) -> HandshakeError {
        let message = Message::Refused(refusal.clone());
        // Whoever does not hear why is refused all the same.
        let _ = self.say(&message).await;
        let _ = self.half.shutdown().await;
        refusal.into()
    }

    fn trust(mut self, theirs: &Greeting, version: u16, limits: &PeerLimits) -> Trusted {
        self.incoming.allow(limits.frame_bytes_max);
        let frame_bytes_max = (theirs.frame_bytes_max as usize).min(limits.frame_bytes_max);
        Trusted {
            incoming: self.incoming,
            half: self.half,
            peer: Peer {
                generation: Generation(Uuid::from_bytes(theirs.generation)),
                address: theirs.address.clone(),
                version,
            },
            agreed: Agreed {
                in_flight_max: (theirs.in_flight_max as usize).min(limits.in_flight_max),
                payload_bytes_max: frame_bytes_max - HEADER_BYTES_MAX,
            },
        }
    }
}
