//! A node that leaves in order.

use cluster::peer::error::CallError;
use tokio::task::spawn_local;

use crate::support::*;

#[test]
fn a_draining_node_ends_what_it_began_and_begins_nothing() {
    on_a_worker(async {
        let (node, caller) = pair(limits(), limits()).await;
        let client = caller.client.clone();
        let held = spawn_local(async move { client.call(op(1), b"hold", soon()).await });
        until(|| node.handler.calls.get() == 1).await;

        node.server.drain();

        let error = caller.client.call(op(2), b"new", soon()).await;
        assert_eq!(error, Err(CallError::Draining));
        assert_eq!(node.handler.calls.get(), 1);
        caller.client.probe(ms(5000)).await.expect("it still lives");
        node.handler.held.notify_one();
        let answer = held.await.expect("no panic");
        assert_eq!(answer.expect("an answer"), "hold");
        assert_eq!(node.server.counters().draining.get(), 1);
    });
}

#[test]
fn a_closing_node_answers_what_it_began_before_it_ends() {
    on_a_worker(async {
        let (node, caller) = pair(limits(), limits()).await;
        let client = caller.client.clone();
        let held = spawn_local(async move { client.call(op(1), b"hold", soon()).await });
        until(|| node.handler.calls.get() == 1).await;

        node.server.close();
        caller.client.probe(ms(5000)).await.expect("not closed yet");
        assert!(!node.serving.is_finished());
        node.handler.held.notify_one();

        let answer = held.await.expect("no panic");
        assert_eq!(answer.expect("an answer"), "hold");
        node.serving.await.expect("it ends by itself");
        until(|| caller.counters.resets.get() == 1).await;
    });
}
