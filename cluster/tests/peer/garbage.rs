//! Peers that do not keep to the protocol: each is cut off and counted, and the next one is served.

use std::net::SocketAddr;

use cluster::peer::cut::Cut;
use cluster::peer::error::{CallError, Doubt, LinkError};
use cluster::peer::handshake::HandshakeError;
use cluster::peer::limits::PeerLimits;

use crate::raw::{Greeting, Header, Message, Outcome, Raw, Refused, bytes, frame, greeting};
use crate::support::*;

async fn assert_serves(address: SocketAddr) {
    let caller = caller(identity(2), address, limits());
    up(&caller.client).await;
    let answer = caller.client.call(op(1), b"hello", soon()).await;
    assert_eq!(answer.expect("an echo"), "hello");
}

#[test]
fn garbage_instead_of_a_greeting_is_cut_off() {
    let wrong = Greeting {
        magic: *b"nonsense",
        ..greeting()
    };
    let long = Greeting {
        address: "a".repeat(256),
        ..greeting()
    };
    let cases = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        vec![0xff; 2000],
        frame(&[], &[]),
        frame(&[0; 1025], &[]),
        frame(&[99; 40], &[]),
        frame(&bytes(&Message::Proof([0; 32])), &[]),
        frame(&bytes(&Message::Greeting(wrong)), &[]),
        frame(&bytes(&Message::Greeting(long)), &[]),
    ];
    on_a_worker(async {
        let node = Node::start(identity(1), limits()).await;
        for (index, garbage) in cases.iter().enumerate() {
            let mut raw = Raw::connect(node.address).await;
            raw.write(garbage).await;
            raw.ended().await;
            let counted = index as u64 + 1;
            until(|| node.server.counters().strangers.get() == counted).await;
        }
        assert_serves(node.address).await;
    });
}

#[test]
fn garbage_instead_of_a_proof_is_cut_off() {
    let cases = [
        vec![0xff; 2000],
        frame(&[], &[]),
        frame(&bytes(&Message::Proof([0; 32]))[..20], &[]),
        frame(&bytes(&Message::Greeting(greeting())), &[]),
        frame(&bytes(&Header::Call(0, [1; 16], 1000)), b"hello"),
        frame(&bytes(&Message::Refused(Refused::OtherSecret)), &[]),
    ];
    on_a_worker(async {
        let node = Node::start(identity(1), limits()).await;
        for garbage in &cases {
            let mut raw = Raw::connect(node.address).await;
            raw.say(&Message::Greeting(greeting())).await;
            raw.hear().await.expect("a greeting");
            raw.write(garbage).await;
            raw.ended().await;
        }
        let counters = node.server.counters();
        let all = cases.len() as u64;
        until(|| counters.strangers.get() + counters.refused.get() == all).await;
        assert_eq!(node.handler.calls.get(), 0);
        assert_serves(node.address).await;
    });
}

#[test]
fn garbage_after_the_handshake_is_cut_off() {
    let cases = [
        frame(&[], &[]),
        frame(&[99; 10], &[]),
        frame(&bytes(&Header::Call(0, [1; 16], 1000))[..10], &[]),
        frame(&bytes(&Header::Answer(0, Outcome::Done)), &[]),
        frame(&vec![0; 5000], &[]),
        vec![0xff; 100],
    ];
    on_a_worker(async {
        let limit = PeerLimits {
            frame_bytes_max: 4096,
            ..limits()
        };
        let node = Node::start(identity(1), limit).await;
        for (index, garbage) in cases.iter().enumerate() {
            let mut raw = Raw::join(node.address, SECRET).await;
            raw.write(garbage).await;
            raw.ended().await;
            let counted = index as u64 + 1;
            until(|| node.server.counters().garbage.get() == counted).await;
        }
        assert_eq!(node.handler.calls.get(), 0);
        assert_serves(node.address).await;
    });
}

#[test]
fn a_peer_with_more_calls_than_it_was_allowed_is_cut_off() {
    on_a_worker(async {
        let limit = PeerLimits {
            in_flight_max: 3,
            ..limits()
        };
        let node = Node::start(identity(1), limit).await;
        let mut raw = Raw::join(node.address, SECRET).await;
        for id in 0..3 {
            raw.send(Header::Call(id, [1; 16], 60_000), b"never").await;
        }
        until(|| node.handler.calls.get() == 3).await;
        assert_eq!(node.server.counters().open.get(), 1);

        raw.send(Header::Call(3, [1; 16], 60_000), b"never").await;
        raw.ended().await;
        until(|| node.server.counters().too_many_calls.get() == 1).await;
        assert_serves(node.address).await;
    });
}

#[test]
fn a_peer_that_is_slow_or_silent_or_does_not_read_is_cut_off() {
    on_a_worker(async {
        let limit = PeerLimits {
            frame_timeout: ms(100),
            idle_timeout: ms(400),
            ..limits()
        };
        let node = Node::start(identity(1), limit).await;
        let counters = node.server.counters();

        let mut slow = Raw::join(node.address, SECRET).await;
        slow.write(&frame(&bytes(&Header::Notice), b"payload")[..7])
            .await;
        slow.ended().await;
        until(|| counters.slow.get() == 1).await;

        Raw::join(node.address, SECRET).await.ended().await;
        until(|| counters.slow.get() == 2).await;

        let mut deaf = Raw::join(node.address, SECRET).await;
        let large = vec![1; 1 << 19];
        let flood = async {
            for id in 0..200 {
                deaf.send(Header::Call(id, [1; 16], 60_000), &large).await;
            }
        };
        let cut = until(|| counters.slow.get() == 3);
        futures_util::future::join(flood, cut).await;
        assert_serves(node.address).await;
    });
}

#[test]
fn a_peer_that_ends_in_the_middle_of_a_frame_harms_nobody() {
    on_a_worker(async {
        let node = Node::start(identity(1), limits()).await;
        let call = frame(&bytes(&Header::Call(0, [1; 16], 60_000)), b"hold");
        for length in 0..=call.len() {
            let mut raw = Raw::join(node.address, SECRET).await;
            raw.write(&call[..length]).await;
        }
        until(|| node.server.counters().open.get() == 0).await;
        assert_serves(node.address).await;
    });
}

#[test]
fn a_client_cuts_off_a_server_that_does_not_keep_to_the_protocol() {
    let cases = [
        frame(&[99; 10], &[]),
        frame(&bytes(&Header::Notice), &[]),
        frame(&bytes(&Header::Answer(7, Outcome::Done)), &[]),
        frame(&bytes(&Header::Answer(0, Outcome::NotOwner)), &[9; 9]),
        vec![0xff; 100],
    ];
    for garbage in cases {
        on_a_worker(async {
            let (caller, stream) = caller_of_a_port().await;
            let mut raw = Raw::host(stream, SECRET).await;
            up(&caller.client).await;
            let call = caller.client.call(op(1), b"hello", soon());
            let serve = async {
                raw.receive().await.expect("a call");
                raw.write(&garbage).await;
            };
            let (error, ()) = futures_util::future::join(call, serve).await;

            assert_eq!(error, Err(CallError::Unknown(Doubt::Reset)));
            let error = down(&caller.client).await;
            let LinkError::Cut { source, .. } = &*error else {
                panic!("{error}");
            };
            assert!(
                matches!(source, Cut::Garbage | Cut::FrameTooLong),
                "{source}"
            );
        });
    }
}

#[test]
fn a_client_says_that_a_port_is_not_that_of_a_node() {
    on_a_worker(async {
        let (caller, stream) = caller_of_a_port().await;
        let mut raw = Raw { stream };
        raw.write(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let error = down(&caller.client).await;
        let LinkError::Handshake { source, .. } = &*error else {
            panic!("{error}");
        };
        assert!(matches!(source, HandshakeError::NoPeer), "{source}");
    });
}
