//! Who is let in, and what the others are told.

use std::sync::Arc;

use cluster::peer::client::PeerClient;
use cluster::peer::error::{CallError, LinkError, NotSent};
use cluster::peer::handshake::{HandshakeError, Refusal};
use cluster::peer::identity::{Identity, IdentityError, Secret, Versions};
use cluster::peer::limits::PeerLimits;
use cluster::peer::{Link, Target};
use tokio::net::TcpListener;

use crate::raw::{Message, Raw, Refused, bytes, frame, greeting, proof};
use crate::support::*;

#[test]
fn nodes_of_one_cluster_let_each_other_in_with_a_secret_or_both_without() {
    on_a_worker(async {
        for secret in [SECRET, b""] {
            let node = Node::start(named("test", 1, secret), limits()).await;
            let caller = caller(named("test", 2, secret), node.address, limits());

            let peer = up(&caller.client).await;

            assert_eq!(peer.generation, generation(1));
            assert_eq!(peer.address, "node-1:7000");
            assert_eq!(peer.version, 1);
            let answer = caller.client.call(op(1), b"hello", soon()).await;
            assert_eq!(answer.expect("an echo"), "hello");
        }
    });
}

fn speaking(oldest: u16, newest: u16) -> Identity {
    identity(2).speaking(Versions { oldest, newest })
}

#[test]
fn whoever_does_not_belong_is_told_why_and_sends_nothing() {
    let server = || {
        identity(1).speaking(Versions {
            oldest: 3,
            newest: 5,
        })
    };
    let client = |name, secret| {
        named(name, 2, secret).speaking(Versions {
            oldest: 3,
            newest: 5,
        })
    };
    let cases = [
        (server(), client("test", b"wrong"), Refusal::OtherSecret),
        (server(), client("test", b""), Refusal::SecretMissing),
        (
            server(),
            client("other", SECRET),
            Refusal::OtherCluster("test".into()),
        ),
        (server(), speaking(1, 2), Refusal::TooOld(3)),
        (server(), speaking(6, 9), Refusal::TooNew(5)),
        (
            named("test", 1, b""),
            identity(2),
            Refusal::SecretUnexpected,
        ),
        (
            named("test", 1, b""),
            named("other", 2, b""),
            Refusal::OtherCluster("test".into()),
        ),
    ];
    for (server, client, expected) in cases {
        on_a_worker(async {
            let node = Node::start(server, limits()).await;
            let caller = caller(client, node.address, limits());

            let error = down(&caller.client).await;

            let LinkError::Handshake { source, .. } = &*error else {
                panic!("{error}");
            };
            let HandshakeError::Refused(refusal) = source else {
                panic!("{source}");
            };
            assert_eq!(*refusal, expected);
            let line = error.to_string();
            assert!(!line.contains('\n') && line.contains("node"), "{line}");
            let call = caller.client.call(op(1), b"hello", soon()).await;
            assert_eq!(call, Err(CallError::NotSent(NotSent::Down)));
            until(|| node.server.counters().refused.get() > 0).await;
            assert_eq!(node.handler.calls.get(), 0);
        });
    }
}

#[test]
fn two_ranges_of_versions_meet_at_the_newest_that_both_know() {
    on_a_worker(async {
        let server = identity(1).speaking(Versions {
            oldest: 2,
            newest: 4,
        });
        let node = Node::start(server, limits()).await;
        for (oldest, newest, expected) in [(1, 2, 2), (1, 3, 3), (4, 9, 4)] {
            let caller = caller(speaking(oldest, newest), node.address, limits());
            assert_eq!(up(&caller.client).await.version, expected);
        }
    });
}

#[test]
fn another_start_of_the_node_at_the_same_address_is_not_the_peer() {
    on_a_worker(async {
        let node = Node::start(identity(1), limits()).await;
        let target = Target {
            address: node.address.to_string(),
            generation: Some(generation(8)),
        };
        let identity = Arc::new(identity(2));
        let client = PeerClient::start(identity, target, limits(), Arc::default());

        let error = down(&client).await;

        let LinkError::Handshake { source, .. } = &*error else {
            panic!("{error}");
        };
        assert!(
            matches!(source, HandshakeError::OtherGeneration(found) if *found == generation(1)),
            "{source}"
        );
    });
}

#[test]
fn a_recorded_handshake_is_of_no_use_a_second_time() {
    on_a_worker(async {
        let node = Node::start(identity(1), limits()).await;
        let mut first = Raw::connect(node.address).await;
        let said = first.say(&Message::Greeting(greeting())).await;
        let heard = first.read().await.expect("a greeting");
        let recorded = Message::Proof(proof(SECRET, "client", &said, &heard));
        first.say(&recorded).await;
        assert!(matches!(first.hear().await, Some(Message::Proof(_))));

        let mut second = Raw::connect(node.address).await;
        second.say(&Message::Greeting(greeting())).await;
        assert!(matches!(second.hear().await, Some(Message::Greeting(_))));
        second.say(&recorded).await;

        let refused = Message::Refused(Refused::OtherSecret);
        assert_eq!(second.hear().await, Some(refused));
        second.ended().await;
    });
}

#[test]
fn a_server_that_does_not_know_the_secret_is_not_believed() {
    on_a_worker(async {
        let (caller, stream) = caller_of_a_port().await;
        let mut raw = Raw { stream };
        let heard = raw.read().await.expect("a greeting");
        raw.say(&Message::Greeting(greeting())).await;
        let theirs = raw.hear().await.expect("a proof");
        assert!(!bytes(&theirs).windows(SECRET.len()).any(|it| it == SECRET));
        assert!(!heard.windows(SECRET.len()).any(|it| it == SECRET));

        // What it has just heard is all that it could send back.
        raw.say(&theirs).await;

        let error = down(&caller.client).await;
        let LinkError::Handshake { source, .. } = &*error else {
            panic!("{error}");
        };
        assert!(matches!(source, HandshakeError::Unproven), "{source}");
    });
}

#[test]
fn a_handshake_that_does_not_end_is_ended_by_both_sides() {
    let limits = || PeerLimits {
        handshake_timeout: std::time::Duration::from_millis(300),
        ..limits()
    };
    on_a_worker(async {
        let node = Node::start(identity(1), limits()).await;
        let mut silent = Raw::connect(node.address).await;
        let mut halfway = Raw::connect(node.address).await;
        halfway.say(&Message::Greeting(greeting())).await;
        let mut slow = Raw::connect(node.address).await;
        let whole = frame(&bytes(&Message::Greeting(greeting())), &[]);
        slow.write(&whole[..10]).await;

        silent.ended().await;
        halfway.ended().await;
        slow.ended().await;
        until(|| node.server.counters().strangers.get() == 3).await;

        let deaf = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = deaf.local_addr().expect("its address");
        let caller = caller(identity(2), address, limits());
        let error = down(&caller.client).await;
        let LinkError::Handshake { source, .. } = &*error else {
            panic!("{error}");
        };
        assert!(matches!(source, HandshakeError::TimedOut), "{source}");
    });
}

#[test]
fn names_have_to_fit_into_a_greeting() {
    let new = |cluster: &str, address: &str| {
        Identity::new(cluster, generation(1), address, Secret::none()).map(|_| ())
    };
    assert_eq!(new(&"c".repeat(64), &"a".repeat(255)), Ok(()));
    assert_eq!(new(&"c".repeat(65), "a"), Err(IdentityError::Cluster));
    assert_eq!(new("", "a"), Err(IdentityError::Cluster));
    assert_eq!(new("c", &"a".repeat(256)), Err(IdentityError::Address));
    assert_eq!(new("c", ""), Err(IdentityError::Address));
}

#[test]
fn the_longest_names_fit_into_a_greeting() {
    on_a_worker(async {
        let long = |number| {
            let secret = Secret::new(SECRET);
            let (name, address) = ("c".repeat(64), "a".repeat(255));
            Identity::new(&name, generation(number), &address, secret).expect("in bounds")
        };
        let node = Node::start(long(1), limits()).await;
        let caller = caller(long(2), node.address, limits());
        up(&caller.client).await;
        assert!(matches!(*caller.client.watch().borrow(), Link::Up(_)));
    });
}
