//! Calls, notices, probes and rows of pieces between two nodes that work.

use std::time::Instant;

use bytes::Bytes;
use cluster::peer::Owner;
use cluster::peer::error::{CallError, Doubt, NotSent};
use cluster::peer::pieces::{PIECE_BYTES, PIECES_IN_FLIGHT_MAX, Piece};
use futures_util::future::{join, join_all};
use tokio::task::{spawn_local, yield_now};

use crate::raw::{Header, Outcome, Raw};
use crate::support::*;

#[test]
fn calls_of_one_turn_leave_in_one_write_and_so_do_their_answers() {
    on_a_worker(async {
        let (node, caller) = pair(limits(), limits()).await;
        let client = &caller.client;

        let payloads: Vec<_> = (0..64).map(|index| format!("call {index}")).collect();
        let calls = payloads
            .iter()
            .map(|payload| client.call(op(1), payload.as_bytes(), soon()));
        let answers = join_all(calls).await;

        for (answer, payload) in answers.into_iter().zip(&payloads) {
            assert_eq!(answer.expect("an echo"), payload);
        }
        assert_eq!(caller.counters.calls.get(), 64);
        assert_eq!(caller.counters.writes.get(), 1);
        assert_eq!(node.server.counters().writes.get(), 1);
    });
}

#[test]
fn while_calls_wait_for_their_answers_those_of_a_millisecond_leave_in_one_write() {
    on_a_worker(async {
        let (node, caller) = pair(limits(), limits()).await;
        let call = || {
            let client = caller.client.clone();
            spawn_local(async move { client.call(op(1), b"never", soon()).await });
        };
        (0..4).for_each(|_| call());
        until(|| node.handler.calls.get() == 4).await;
        let began = Instant::now();
        for _ in 0..200 {
            call();
            // The connection has its turn before the next one is made.
            for _ in 0..4 {
                yield_now().await;
            }
        }
        until(|| node.handler.calls.get() == 204).await;
        let milliseconds = began.elapsed().as_millis() as u64;
        let writes = caller.counters.writes.get();
        assert!(writes <= 3 + milliseconds, "{writes} in {milliseconds} ms");
    });
}

#[test]
fn answers_come_in_the_order_in_which_they_are_ready() {
    on_a_worker(async {
        let (node, caller) = pair(limits(), limits()).await;
        let client = &caller.client;
        let quick = async {
            let answer = client.call(op(2), b"quick", soon()).await;
            // Only now may the call that was sent first be answered.
            node.handler.held.notify_one();
            answer
        };
        let (held, quick) = join(client.call(op(1), b"hold", soon()), quick).await;
        assert_eq!(held.expect("an answer"), "hold");
        assert_eq!(quick.expect("an answer"), "quick");
    });
}

#[test]
fn a_caller_learns_that_nothing_was_done_and_who_the_owner_is() {
    on_a_worker(async {
        let (_node, caller) = pair(limits(), limits()).await;
        let owner = Owner {
            generation: generation(2),
            address: "node-2:7000".into(),
        };
        let cases: [(&[u8], CallError); 4] = [
            (b"owner", CallError::NotOwner(Some(owner))),
            (b"nobody", CallError::NotOwner(None)),
            (b"draining", CallError::Draining),
            (b"overloaded", CallError::Overloaded),
        ];
        for (payload, expected) in cases {
            let error = caller.client.call(op(1), payload, soon()).await;
            assert!(expected.nothing_was_done());
            assert_eq!(error, Err(expected));
        }
    });
}

#[test]
fn a_call_that_is_not_answered_in_time_is_in_doubt() {
    on_a_worker(async {
        let (node, caller) = pair(limits(), limits()).await;
        let began = Instant::now();

        let error = caller.client.call(op(1), b"never", began + ms(50)).await;

        assert_eq!(error, Err(CallError::Unknown(Doubt::TimedOut)));
        let took = began.elapsed();
        assert!(took >= ms(49) && took < ms(1000), "{took:?}");
        // The server drops its handler at the deadline, and the slot is free again.
        until(|| node.server.counters().late.get() == 1).await;
        let answer = caller.client.call(op(2), b"next", soon()).await;
        assert_eq!(answer.expect("an echo"), "next");
        assert_eq!(caller.counters.unknown.get(), 1);
        assert_eq!(caller.counters.resets.get(), 0);
    });
}

#[test]
fn a_call_whose_deadline_has_passed_is_not_sent() {
    on_a_worker(async {
        let (node, caller) = pair(limits(), limits()).await;
        let error = caller.client.call(op(1), b"late", Instant::now()).await;
        assert_eq!(error, Err(CallError::NotSent(NotSent::Late)));
        caller.client.probe(ms(5000)).await.expect("a sign of life");
        assert_eq!(node.handler.calls.get(), 0);
    });
}

#[test]
fn a_call_that_comes_after_its_deadline_is_not_begun() {
    on_a_worker(async {
        let node = Node::start(identity(1), limits()).await;
        let mut raw = Raw::join(node.address, SECRET).await;
        raw.send(Header::Call(5, [1; 16], 0), b"echo").await;
        let answer = raw.receive().await.expect("an answer");
        assert_eq!(answer.0, Header::Answer(5, Outcome::Late));
        assert_eq!(node.server.counters().late.get(), 1);
    });
}

#[test]
fn op_and_remaining_time_travel_with_the_call() {
    on_a_worker(async {
        let (caller, stream) = caller_of_a_port().await;
        let mut raw = Raw::host(stream, SECRET).await;
        up(&caller.client).await;

        let call = caller
            .client
            .call(op(77), b"text", Instant::now() + ms(9000));
        let serve = async {
            let (header, payload) = raw.receive().await.expect("a call");
            let Header::Call(id, op_id, remaining_ms) = header else {
                panic!("{header:?}");
            };
            assert_eq!((op_id, &payload[..]), (op(77).0, &b"text"[..]));
            assert!((8000..9000).contains(&remaining_ms), "{remaining_ms}");
            raw.send(Header::Answer(id, Outcome::Done), b"done").await;
        };
        let (answer, ()) = join(call, serve).await;
        assert_eq!(answer.expect("an answer"), "done");
    });
}

#[test]
fn a_caller_that_stops_waiting_leaves_the_connection_whole() {
    on_a_worker(async {
        let (node, caller) = pair(limits(), limits()).await;
        let call = caller.client.call(op(1), b"hold", soon());
        let gave_up = tokio::time::timeout(ms(20), call).await;
        assert!(gave_up.is_err());
        node.handler.held.notify_one();

        for index in 0..10 {
            let payload = format!("{index}");
            let answer = caller.client.call(op(2), payload.as_bytes(), soon()).await;
            assert_eq!(answer.expect("its own echo"), payload);
        }
        assert_eq!(caller.counters.resets.get(), 0);
    });
}

#[test]
fn a_notice_arrives_before_what_is_called_after_it() {
    on_a_worker(async {
        let (node, caller) = pair(limits(), limits()).await;
        caller.client.notify(b"suspect node-3").expect("queued");
        caller
            .client
            .call(op(1), b"then", soon())
            .await
            .expect("an echo");
        assert_eq!(*node.handler.notices.borrow(), ["suspect node-3"]);
    });
}

#[test]
fn a_probe_is_answered_while_calls_wait() {
    on_a_worker(async {
        let (node, caller) = pair(limits(), limits()).await;
        let client = caller.client.clone();
        let held =
            tokio::task::spawn_local(async move { client.call(op(1), b"hold", soon()).await });
        until(|| node.handler.calls.get() == 1).await;
        let took = caller.client.probe(ms(5000)).await;
        assert!(took.expect("a sign of life") < ms(5000));
        node.handler.held.notify_one();
        held.await.expect("no panic").expect("an answer");
    });
}

#[test]
fn what_is_too_large_for_a_call_goes_over_in_pieces() {
    on_a_worker(async {
        let (node, caller) = pair(limits(), limits()).await;
        let state = Bytes::from(vec![7; 40 * PIECE_BYTES + 1]);
        let (sent, probe) = join(
            caller.client.send_pieces(op(1), Piece::cut(state), soon()),
            caller.client.probe(ms(5000)),
        )
        .await;
        let length = (40 * PIECE_BYTES + 1).to_string();
        assert_eq!(sent.expect("taken"), length);
        probe.expect("a sign of life among the pieces");
        assert_eq!(node.handler.pieces.get(), 41);
    });
}

#[test]
fn pieces_wait_for_the_answers_to_earlier_ones() {
    on_a_worker(async {
        let (caller, stream) = caller_of_a_port().await;
        let mut raw = Raw::host(stream, SECRET).await;
        up(&caller.client).await;
        let pieces = (0..6).map(|index| Bytes::from(vec![index]));
        let send = caller.client.send_pieces(op(1), pieces, soon());
        let serve = async {
            let mut ids = Vec::new();
            for sequence in 0..6 {
                if sequence as usize >= PIECES_IN_FLIGHT_MAX {
                    let early = tokio::time::timeout(ms(30), raw.stream.peek(&mut [0])).await;
                    assert!(early.is_err(), "piece {sequence} came too early");
                    raw.send(Header::Answer(ids.remove(0), Outcome::Done), b"")
                        .await;
                }
                let (header, payload) = raw.receive().await.expect("a piece");
                let Header::Piece(id, _, _, number, is_last) = header else {
                    panic!("{header:?}");
                };
                assert_eq!((number, is_last), (sequence, sequence == 5));
                assert_eq!(payload, [sequence as u8]);
                ids.push(id);
            }
            for id in ids {
                raw.send(Header::Answer(id, Outcome::Done), b"end").await;
            }
        };
        let (sent, ()) = join(send, serve).await;
        assert_eq!(sent.expect("taken"), "end");
    });
}
