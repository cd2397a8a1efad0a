//! Connections that break, and what the callers may believe.

use cluster::peer::Link;
use cluster::peer::cut::Cut;
use cluster::peer::error::{CallError, Doubt, LinkError, NotSent, ProbeError};
use cluster::peer::limits::PeerLimits;
use futures_util::future::join3;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

use crate::raw::Raw;
use crate::support::*;

async fn listen() -> (TcpListener, std::net::SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    (listener, address)
}

async fn accept(listener: &TcpListener) -> TcpStream {
    listener.accept().await.expect("a client").0
}

#[test]
fn a_call_in_flight_is_in_doubt_after_a_reset() {
    on_a_worker(async {
        let (node, caller) = pair(limits(), limits()).await;
        let mut status = caller.client.watch();
        status.mark_unchanged();
        let client = caller.client.clone();
        let call = spawn_local(async move { client.call(op(1), b"hold", soon()).await });
        until(|| node.handler.calls.get() == 1).await;

        node.kill().await;

        let error = call.await.expect("no panic");
        assert_eq!(error, Err(CallError::Unknown(Doubt::Reset)));
        status.changed().await.expect("the client lives");
        assert!(matches!(*status.borrow(), Link::Down(_)));
        assert_eq!(caller.counters.resets.get(), 1);
        // And until there is a connection again, nothing waits.
        let error = caller.client.call(op(1), b"again", soon()).await;
        assert_eq!(error, Err(CallError::NotSent(NotSent::Down)));
    });
}

#[test]
fn a_call_of_which_no_byte_was_written_is_not_in_doubt_after_a_reset() {
    on_a_worker(async {
        let (listener, address) = listen().await;
        let caller = caller(identity(2), address, limits());
        let raw = Raw::host(accept(&listener).await, SECRET).await;
        up(&caller.client).await;
        let client = &caller.client;

        // Nobody reads, so most of the first stays here, and all of the second.
        let large = vec![1; (1 << 20) - 64];
        let fill = async {
            for _ in 0..20 {
                client.notify(&large).expect("queued");
            }
        };
        fill.await;
        let large_call = client.call(op(1), &large, soon());
        let small_call = client.call(op(2), b"small", soon());
        let kill = async {
            until(|| caller.counters.writes.get() > 0).await;
            drop(raw);
        };
        let (large, small, ()) = join3(large_call, small_call, kill).await;
        assert_eq!(large, Err(CallError::NotSent(NotSent::Down)));
        assert_eq!(small, Err(CallError::NotSent(NotSent::Down)));
    });
}

#[test]
fn a_call_of_which_a_part_was_written_is_in_doubt_after_a_reset() {
    on_a_worker(async {
        let (listener, address) = listen().await;
        let limit = PeerLimits {
            outgoing_bytes_max: 64 << 20,
            ..limits()
        };
        let caller = caller(identity(2), address, limit);
        let raw = Raw::host(accept(&listener).await, SECRET).await;
        up(&caller.client).await;
        let client = &caller.client;
        let large = vec![1; (1 << 20) - 64];
        let first = client.call(op(1), &large, soon());
        let rest = async {
            for _ in 0..20 {
                client.notify(&large).expect("queued");
            }
            client.call(op(2), b"small", soon()).await
        };
        let kill = async {
            until(|| caller.counters.writes.get() > 0).await;
            drop(raw);
        };
        let (first, last, ()) = join3(first, rest, kill).await;
        assert_eq!(first, Err(CallError::Unknown(Doubt::Reset)));
        assert_eq!(last, Err(CallError::NotSent(NotSent::Down)));
    });
}

#[test]
fn a_client_connects_again_by_itself_as_soon_as_there_is_somebody() {
    on_a_worker(async {
        let (node, caller) = pair(limits(), limits()).await;
        let address = node.address.to_string();
        node.kill().await;
        let error = down(&caller.client).await;
        assert!(matches!(*error, LinkError::Cut { .. }), "{error}");
        until(|| caller.counters.failed.get() >= 2).await;
        let error = down(&caller.client).await;
        assert!(matches!(*error, LinkError::Connect { .. }), "{error}");

        let _node = Node::at(&address, identity(3), limits()).await;

        assert_eq!(up(&caller.client).await.generation, generation(3));
        let answer = caller.client.call(op(1), b"again", soon()).await;
        assert_eq!(answer.expect("an echo"), "again");
        assert_eq!(caller.counters.connected.get(), 2);
    });
}

#[test]
fn a_probe_without_a_connection_makes_one_attempt_at_once() {
    on_a_worker(async {
        let patient = PeerLimits {
            reconnect_first: ms(3_600_000),
            reconnect_last: ms(3_600_000),
            ..limits()
        };
        let (node, caller) = pair(limits(), patient).await;
        let address = node.address.to_string();
        node.kill().await;
        down(&caller.client).await;

        let error = caller.client.probe(ms(5000)).await.expect_err("nobody");
        assert!(matches!(error, ProbeError::Down(_)), "{error}");
        let _node = Node::at(&address, identity(1), limits()).await;
        caller.client.probe(ms(5000)).await.expect("a sign of life");
        assert_eq!(caller.counters.failed.get(), 1);
    });
}

#[test]
fn a_probe_of_a_frozen_node_fails_in_time() {
    on_a_worker(async {
        let (listener, address) = listen().await;
        let caller = caller(identity(2), address, limits());
        let _frozen = Raw::host(accept(&listener).await, SECRET).await;
        up(&caller.client).await;
        let error = caller.client.probe(ms(50)).await.expect_err("no answer");
        assert!(matches!(error, ProbeError::TimedOut), "{error}");
    });
}

#[test]
fn a_node_that_owes_an_answer_for_too_long_is_taken_for_dead() {
    on_a_worker(async {
        let (listener, address) = listen().await;
        let limit = PeerLimits {
            answer_grace: ms(50),
            ..limits()
        };
        let caller = caller(identity(2), address, limit);
        let _frozen = Raw::host(accept(&listener).await, SECRET).await;
        up(&caller.client).await;
        let deadline = std::time::Instant::now() + ms(20);
        let error = caller.client.call(op(1), b"call", deadline).await;
        assert_eq!(error, Err(CallError::Unknown(Doubt::TimedOut)));

        let error = down(&caller.client).await;
        let LinkError::Cut { source, .. } = &*error else {
            panic!("{error}");
        };
        assert!(matches!(source, Cut::Silent), "{source}");
    });
}

#[test]
fn a_connection_without_calls_is_kept_alive() {
    on_a_worker(async {
        let limit = PeerLimits {
            idle_timeout: ms(200),
            frame_timeout: ms(100),
            ..limits()
        };
        // Time is what this is about: three times as long as silence is allowed. A machine that stands still is
        // silent, too, and it begins anew.
        let (node, caller) = loop {
            let pair = pair(limit.clone(), limit.clone()).await;
            if runs_on(ms(600)).await {
                break pair;
            }
        };
        assert_eq!(caller.counters.resets.get(), 0);
        assert_eq!(node.server.counters().open.get(), 1);
    });
}

/// Lets so much time pass; tells whether this thread ran all the while.
async fn runs_on(time: std::time::Duration) -> bool {
    let began = std::time::Instant::now();
    while began.elapsed() < time {
        let step = std::time::Instant::now();
        tokio::time::sleep(ms(10)).await;
        if step.elapsed() > ms(60) {
            return false;
        }
    }
    true
}

#[test]
fn calls_end_with_the_last_handle() {
    on_a_worker(async {
        let (node, caller) = pair(limits(), limits()).await;
        until(|| node.server.counters().open.get() == 1).await;
        let other = caller.client.clone();
        drop(caller);
        let answer = other.call(op(1), b"still here", soon()).await;
        assert_eq!(answer.expect("an echo"), "still here");
        drop(other);
        until(|| node.server.counters().open.get() == 0).await;
    });
}
