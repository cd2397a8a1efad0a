//! Starting and stopping: who runs it must always know why it does not, and lose nothing when it ends.

use std::io::{BufReader, Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::client::{Client, connect, read_answer};
use crate::support::eventually;
use crate::support::server::{Server, free_port, refused};

#[test]
fn sigterm_is_announced_served_through_and_ends_with_0() {
    let mut server = Server::start_with(&["--drain-announce", "5s", "--drain-timeout", "20s"]);
    let mut client = server.client();
    client.post_message("alice", "before", 600);
    let started = Instant::now();
    server.signal("TERM");
    let mut admin = server.admin();
    let mut said_yes = 0;
    let draining = eventually("/readyz says no", || {
        let answer = admin.get("/readyz");
        said_yes += u32::from(answer.status == 200);
        (answer.status == 503).then_some(answer)
    });
    assert_eq!(draining.text(), "draining");
    admin.get("/livez").expect(200);
    admin.get("/startupz").expect(200);
    let id = client.post_message("alice", "while draining", 600);
    server.client().get(&format!("/chat/{id}")).expect(200);
    drop((client, admin));
    let status = server.await_exit(Duration::from_secs(21));
    assert_eq!(status.code(), Some(0));
    let took = started.elapsed();
    assert!(
        took >= Duration::from_secs(5),
        "ended after {took:?}, unannounced"
    );
    // It was asked every 5 ms: for less than a second, however long the machine stood still meanwhile.
    assert!(said_yes < 150, "/readyz said yes {said_yes} times");
    server.start_again();
    let read = server.client().get("/chats/alice").expect(200).json();
    assert_eq!(read.as_array().unwrap().len(), 2, "nothing is lost");
}

#[test]
fn ctrl_c_is_not_announced_and_answers_what_is_under_way() {
    let mut server = Server::start_with(&["--drain-announce", "60s", "--drain-timeout", "60s"]);
    let body = br#"{"username":"alice","text":"t"}"#;
    let mut stream = connect(server.port).unwrap();
    let head = format!(
        "POST /chat HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut go_on = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(&body[..5]).unwrap();
    server.signal("INT");
    eventually("it drains", || {
        (server.admin().get("/readyz").status == 503).then_some(())
    });
    stream.write_all(&body[5..]).unwrap();
    let answer = read_answer(&mut BufReader::new(&stream), false)
        .unwrap()
        .expect(201);
    assert_eq!(answer.header("connection"), Some("close"));
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    drop(stream);
    assert_eq!(server.await_exit(Duration::from_secs(20)).code(), Some(0));
    server.start_again();
    server.client().get(&format!("/chat/{id}")).expect(200);
}

#[test]
fn the_end_under_load_answers_what_it_took_and_loses_nothing() {
    let mut server = Server::start_with(&["--drain-announce", "200ms", "--drain-timeout", "10s"]);
    let ids: Vec<String> = thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let client = server.client();
                scope.spawn(move || post_until_gone(client, writer))
            })
            .collect();
        eventually("some were posted", || {
            (server.metric("mayfly_messages_posted_total") > 100).then_some(())
        });
        server.signal("TERM");
        writers
            .into_iter()
            .flat_map(|writer| writer.join().unwrap())
            .collect()
    });
    assert_eq!(server.await_exit(Duration::from_secs(11)).code(), Some(0));
    server.start_again();
    let mut client = server.client();
    for id in &ids {
        client.get(&format!("/chat/{id}")).expect(200);
    }
    let unread = server.metric("mayfly_messages_unread");
    assert!(unread >= ids.len() as i64, "{unread} wait of {}", ids.len());
}

/// Posts until there is no answer. A connection that nobody took yet is cut or refused; an answer
/// is never a fault.
fn post_until_gone(mut client: Client, writer: usize) -> Vec<String> {
    let body = json!({"username": format!("user{writer}"), "text": "t", "timeout": 600});
    let (body, mut ids) = (body.to_string(), Vec::new());
    while let Ok(answer) = client.try_send("POST", "/chat", &[], body.as_bytes()) {
        let answer = answer.expect(201).json();
        ids.push(answer["id"].as_str().unwrap().to_owned());
    }
    ids
}

#[test]
fn idle_connections_do_not_hold_up_the_end() {
    let mut server = Server::start_with(&["--drain-announce", "0s", "--drain-timeout", "20s"]);
    let mut idle: Vec<_> = (0..10).map(|_| server.client()).collect();
    idle.iter_mut()
        .for_each(|client| drop(client.get("/chats/alice").expect(200)));
    server.signal("TERM");
    let started = Instant::now();
    assert_eq!(server.await_exit(Duration::from_secs(25)).code(), Some(0));
    let took = started.elapsed();
    assert!(
        took < Duration::from_secs(10),
        "{took:?} for clients that ask nothing"
    );
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for signals in [["TERM", "TERM"], ["TERM", "INT"]] {
        let mut server =
            Server::start_with(&["--drain-announce", "60s", "--drain-timeout", "120s"]);
        let id = server.client().post_message("alice", "t", 600);
        server.signal(signals[0]);
        eventually("it drains", || {
            (server.admin().get("/readyz").status == 503).then_some(())
        });
        server.signal(signals[1]);
        assert!(server.await_exit(Duration::from_secs(10)).code().is_some());
        server.start_again();
        server.client().get(&format!("/chat/{id}")).expect(200);
    }
}

#[test]
fn a_data_directory_is_for_one_process() {
    let server = Server::start();
    let data = server.data_dir();
    let addresses = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    let [listen, admin] = &addresses;
    let data = data.to_str().unwrap();
    let refused = refused(&[
        "--data-dir",
        data,
        "--listen",
        listen,
        "--admin-listen",
        admin,
    ]);
    assert_eq!(
        (refused.code, refused.lines.len()),
        (Some(1), 1),
        "{:?}",
        refused.lines
    );
    let line = &refused.lines[0];
    assert!(
        line.contains(&format!("process {}", server.pid())),
        "{line}"
    );
    assert!(line.contains(data), "{line}");
    server
        .client()
        .post_message("alice", "the first one works on", 60);
}

#[test]
fn a_port_in_use_stops_the_start_with_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (taken, free) = (
        taken.local_addr().unwrap().to_string(),
        format!("127.0.0.1:{}", free_port()),
    );
    for (listen, admin, flag) in [
        (&taken, &free, "--listen"),
        (&free, &taken, "--admin-listen"),
    ] {
        let refused = refused(&["--listen", listen, "--admin-listen", admin]);
        assert_eq!(
            (refused.code, refused.lines.len()),
            (Some(1), 1),
            "{:?}",
            refused.lines
        );
        let line = &refused.lines[0];
        assert!(line.contains(&taken) && line.contains(flag), "{line}");
    }
}

#[test]
fn a_bad_setting_stops_the_start_with_one_line() {
    for (arguments, word) in [
        (&["--workers", "0"][..], "--workers"),
        (&["--listen", "nowhere"], "--listen"),
        (&["--memory-limit", "1MiB"], "--memory-limit"),
        (
            &["--drain-timeout", "1s", "--drain-announce", "2s"],
            "--drain-timeout",
        ),
        (&["--durability", "none"], "--durability"),
        (&["--wrkers", "1"], "--wrkers"),
        (&["--timeout-max"], "--timeout-max"),
    ] {
        let refused = refused(arguments);
        assert_eq!(
            (refused.code, refused.lines.len()),
            (Some(2), 1),
            "{:?}",
            refused.lines
        );
        assert!(refused.lines[0].contains(word), "{:?}", refused.lines);
    }
}
