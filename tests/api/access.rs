//! Who may ask: this machine alone, and no page of another site.

use crate::support::client::{Client, send_raw};
use crate::support::server::{Server, free_port, refused};

const MESSAGE: &[u8] = br#"{"username":"alice","text":"t"}"#;

#[test]
fn only_requests_for_a_loopback_host_are_answered() {
    let server = Server::start();
    let mut client = server.client();
    for host in [
        "localhost",
        "LOCALHOST:1",
        "localhost.",
        "a.localhost",
        "127.0.0.1",
        "127.1.2.3:80",
        "[::1]:80",
    ] {
        client
            .send("GET", "/chats/alice", &[("Host", host)], b"")
            .expect(200);
    }
    client.post_message("alice", "t", 60);
    for host in [
        "evil.example",
        "evil.example:80",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1.nip.io",
        "127.evil.example",
        "localhostx",
        "xlocalhost",
        "10.0.0.1",
        "0.0.0.0",
        "[::]",
        "[::1]x",
        "[::1].evil.example",
        "169.254.169.254",
        "localhost@evil.example",
        "",
    ] {
        for (method, path) in [
            ("GET", "/chats/alice"),
            ("POST", "/chats/alice/take"),
            ("POST", "/chat"),
            ("GET", "/chats/alice/count"),
            ("GET", "/chat/x"),
            ("GET", "/nothing"),
        ] {
            let answer = client.send(method, path, &[("Host", host)], b"");
            assert_eq!(
                answer.status,
                421,
                "{method} {path} for {host:?}: {}",
                answer.text()
            );
            assert_eq!(answer.problem(), "misdirected");
        }
    }
    let without = send_raw(server.port, b"GET /chats/alice HTTP/1.1\r\n\r\n");
    assert_eq!(without.first().map(|answer| answer.status), Some(400));
    assert_eq!(client.get("/chats/alice/count").json()["unread"], 1);
}

#[test]
fn pages_of_other_sites_may_look_up_but_neither_post_nor_read() {
    let server = Server::start();
    let mut client = server.client();
    let id = client.post_message("alice", "t", 60);
    for header in [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Origin", "http://evil.example"),
        ("Origin", "http://localhost:3000"),
        ("Origin", "null"),
    ] {
        for (method, path, body) in [
            ("POST", "/chat", MESSAGE),
            ("GET", "/chats/alice", b""),
            ("POST", "/chats/alice/take", b""),
        ] {
            let answer = client.send(method, path, &[header], body).expect(403);
            assert_eq!(answer.problem(), "cross-site", "{method} {path} {header:?}");
        }
        client
            .send("GET", &format!("/chat/{id}"), &[header], b"")
            .expect(200);
        client
            .send("GET", "/chats/alice/count", &[header], b"")
            .expect(200);
        client
            .send("HEAD", "/chats/alice", &[header], b"")
            .expect(200);
    }
    assert_eq!(client.get("/chats/alice/count").json()["unread"], 1);
    let own = format!("http://127.0.0.1:{}", server.port);
    for header in [
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-Site", "none"),
        ("Origin", own.as_str()),
    ] {
        client.send("POST", "/chat", &[header], MESSAGE).expect(201);
        client
            .send("GET", "/chats/alice", &[header], b"")
            .expect(200);
    }
}

#[test]
fn an_address_that_others_reach_is_served_only_on_purpose() {
    for address in ["0.0.0.0", "[::]", "192.168.7.7"] {
        let listen = format!("{address}:{}", free_port());
        let refused = refused(&["--listen", &listen]);
        assert_eq!(
            (refused.code, refused.lines.len()),
            (Some(2), 1),
            "{:?}",
            refused.lines
        );
        assert!(
            refused.lines[0].contains("--insecure-open"),
            "{:?}",
            refused.lines
        );
    }
    let port = free_port();
    let listen = format!("0.0.0.0:{port}");
    let _server = Server::start_with(&["--listen", &listen, "--insecure-open"]);
    let mut client = Client::new(port);
    client
        .send("POST", "/chat", &[("Host", "chat.example")], MESSAGE)
        .expect(201);
    let foreign = [("Host", "chat.example"), ("Sec-Fetch-Site", "cross-site")];
    client
        .send("GET", "/chats/alice", &foreign, b"")
        .expect(403);
}

#[test]
fn the_ports_share_nothing() {
    let server = Server::start();
    let (mut public, mut admin) = (server.client(), server.admin());
    for path in [
        "/metrics",
        "/livez",
        "/readyz",
        "/startupz",
        "/cluster",
        "/debug/top",
    ] {
        assert_eq!(
            public.get(path).expect(404).problem(),
            "no-such-path",
            "{path}"
        );
    }
    for path in ["/metrics", "/livez", "/readyz", "/startupz"] {
        admin.get(path).expect(200);
    }
    let id = public.post_message("alice", "t", 60);
    for path in [
        "/chats/alice",
        "/chats/alice/count",
        &format!("/chat/{id}"),
        "/chat",
    ] {
        admin.get(path).expect(404);
    }
    admin
        .post("/chat", std::str::from_utf8(MESSAGE).unwrap())
        .expect(404);
    admin.post("/chats/alice/take", "").expect(404);
    assert_eq!(public.get("/chats/alice/count").json()["unread"], 1);
}
