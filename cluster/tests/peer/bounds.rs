//! What happens at each bound: an error at once, nothing sent, nothing piled up.

use cluster::peer::error::{CallError, Doubt, NotSent};
use cluster::peer::limits::{HEADER_BYTES_MAX, PeerLimits};
use futures_util::future::join_all;

use crate::raw::{Header, Outcome, Raw};
use crate::support::*;

#[test]
fn the_call_over_the_bound_fails_at_once_and_is_not_sent() {
    // Whichever side has the smaller bound.
    for (server, client) in [(3, 1024), (1024, 3)] {
        on_a_worker(async {
            let limit = |in_flight_max| PeerLimits {
                in_flight_max,
                ..limits()
            };
            let (node, caller) = pair(limit(server), limit(client)).await;
            let client = &caller.client;

            let calls = (0..4).map(|index| {
                let node = &node;
                async move {
                    let answer = client.call(op(index), b"hold", soon()).await;
                    if index == 3 {
                        client.probe(ms(5000)).await.expect("there is room for it");
                        assert_eq!(node.handler.calls.get(), 3);
                        node.handler.held.notify_waiters();
                    }
                    answer
                }
            });
            let answers = join_all(calls).await;

            assert_eq!(answers[3], Err(CallError::NotSent(NotSent::Full)));
            assert!(answers[..3].iter().all(Result::is_ok), "{answers:?}");
            assert_eq!(caller.counters.full.get(), 1);
            let next = client.call(op(5), b"next", soon()).await;
            assert_eq!(next.expect("the slots are free again"), "next");
        });
    }
}

#[test]
fn a_call_in_doubt_keeps_its_place_until_the_server_has_let_go_of_it() {
    on_a_worker(async {
        let limit = PeerLimits {
            in_flight_max: 1,
            ..limits()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let caller = caller(identity(2), address, limit);
        let (stream, _) = listener.accept().await.expect("a client");
        let mut raw = Raw::host(stream, SECRET).await;
        up(&caller.client).await;
        let deadline = std::time::Instant::now() + ms(20);
        let doubt = caller.client.call(op(1), b"never", deadline).await;
        assert_eq!(doubt, Err(CallError::Unknown(Doubt::TimedOut)));

        let full = caller.client.call(op(2), b"next", soon()).await;
        assert_eq!(full, Err(CallError::NotSent(NotSent::Full)));

        let (header, _) = raw.receive().await.expect("the call");
        let Header::Call(id, ..) = header else {
            panic!("{header:?}");
        };
        raw.send(Header::Answer(id, Outcome::Late), b"").await;
        raw.send(Header::Answer(id, Outcome::Late), b"").await;
        // The second answer is one too many.
        down(&caller.client).await;
    });
}

#[test]
fn a_payload_may_be_as_long_as_the_frame_and_no_longer() {
    on_a_worker(async {
        let limit = PeerLimits {
            frame_bytes_max: 100_000,
            ..limits()
        };
        let (_node, caller) = pair(limit, limits()).await;
        let longest = vec![1; 100_000 - HEADER_BYTES_MAX];
        let answer = caller.client.call(op(1), &longest, soon()).await;
        assert_eq!(answer.expect("an echo"), longest);

        let longer = vec![1; 100_000 - HEADER_BYTES_MAX + 1];
        let error = caller.client.call(op(1), &longer, soon()).await;
        assert_eq!(error, Err(CallError::NotSent(NotSent::TooLong)));
        let error = caller.client.call(op(1), b"too long", soon()).await;
        assert_eq!(error, Err(CallError::Unknown(Doubt::AnswerTooLong)));
        assert_eq!(caller.counters.resets.get(), 0);
    });
}

#[test]
fn the_largest_payload_of_all_goes_both_ways() {
    on_a_worker(async {
        let (_node, caller) = pair(limits(), limits()).await;
        let longest = vec![1; PeerLimits::default().frame_bytes_max - HEADER_BYTES_MAX];
        let answer = caller.client.call(op(1), &longest, soon()).await;
        assert_eq!(answer.expect("an echo").len(), longest.len());
    });
}

#[test]
fn bytes_that_wait_to_be_written_are_bounded() {
    on_a_worker(async {
        let limit = PeerLimits {
            outgoing_bytes_max: 1000,
            ..limits()
        };
        let (node, caller) = pair(limits(), limit).await;
        let client = &caller.client;
        client
            .notify(&[0; 5000])
            .expect("a frame alone may be larger");
        assert_eq!(client.notify(b"one more"), Err(NotSent::Full));
        let error = client.call(op(1), b"one more", soon()).await;
        assert_eq!(error, Err(CallError::NotSent(NotSent::Full)));

        until(|| node.handler.notices.borrow().len() == 1).await;
        client.notify(b"now").expect("room again");
    });
}

#[test]
fn calls_over_the_bytes_that_a_server_handles_are_overload() {
    on_a_worker(async {
        let limit = PeerLimits {
            handling_bytes_max: 10,
            ..limits()
        };
        let (node, caller) = pair(limit, limits()).await;
        let client = &caller.client;
        let held = async {
            let answer = client.call(op(1), b"hold", soon()).await;
            assert_eq!(answer.expect("an answer"), "hold");
        };
        let others = async {
            until(|| node.handler.calls.get() == 1).await;
            let fits = client.call(op(2), b"123456", soon()).await;
            assert_eq!(fits.expect("an echo"), "123456");
            let error = client.call(op(3), b"1234567", soon()).await;
            assert_eq!(error, Err(CallError::Overloaded));
            node.handler.held.notify_one();
        };
        futures_util::future::join(held, others).await;
        assert_eq!(node.server.counters().overloaded.get(), 1);
        let alone = client.call(op(4), b"12345678901234567890", soon()).await;
        alone.expect("a call alone may be larger");
    });
}

#[test]
fn a_server_turns_away_more_handshakes_and_connections_than_it_has_room_for() {
    on_a_worker(async {
        let limit = PeerLimits {
            handshakes_max: 2,
            connections_max: 3,
            handshake_timeout: ms(5000),
            ..limits()
        };
        let node = Node::start(identity(1), limit).await;
        let counters = node.server.counters();
        let _first = Raw::connect(node.address).await;
        let second = Raw::connect(node.address).await;
        until(|| counters.accepted.get() == 2).await;
        Raw::connect(node.address).await.ended().await;
        assert_eq!(counters.turned_away.get(), 1);

        drop(second);
        until(|| counters.strangers.get() == 1).await;
        let _joined = Raw::join(node.address, SECRET).await;
        let _other = Raw::join(node.address, SECRET).await;
        assert_eq!(counters.open.get(), 2);
        Raw::connect(node.address).await.ended().await;
        assert_eq!(counters.turned_away.get(), 2);
    });
}
