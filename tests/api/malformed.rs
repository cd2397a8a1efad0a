//! What no client should send: none of it may be answered as a fault of the service, harm it, or
//! change anything.

use std::io::{BufReader, Write};

use crate::support::client::{Client, connect, read_answer, request, send_raw};
use crate::support::server::Server;
use crate::support::{Seeded, eventually};

const SEED: u64 = 20_131_013;
const MESSAGE: &[u8] = br#"{"username":"alice","text":"hello","timeout":60}"#;

#[track_caller]
fn assert_unharmed(server: &mut Server, unread: i64) {
    assert!(server.is_running(), "{}", server.log());
    assert!(!server.log().contains("panic"), "{}", server.log());
    server.admin().get("/livez").expect(200);
    assert_eq!(
        server.client().get("/chats/alice/count").expect(200).json()["unread"],
        unread
    );
    for (name, value) in [
        ("posted_total", 1),
        ("delivered_total", 0),
        ("expired_total", 0),
    ] {
        assert_eq!(
            server.metric(&format!("mayfly_messages_{name}")),
            value,
            "{name}"
        );
    }
}

fn is_refusal(status: u16) -> bool {
    (400..500).contains(&status) || matches!(status, 501 | 505)
}

/// A body that is no post in any format.
fn bad_body(random: &mut Seeded) -> Vec<u8> {
    let number = "9".repeat(1 + random.below(5_000));
    let depth = 65 + random.below(100_000);
    let in_text = |bytes: &[u8]| [br#"{"username":"alice","text":""#, bytes, br#""}"#].concat();
    match random.below(14) {
        0 => b"[".repeat(depth),
        1 => b"{\"a\":".repeat(depth),
        2 => in_text(br"\ud800"),
        3 => in_text(br"\udc00\ud800"),
        4 => in_text(b"\xed\xa0\x80"),
        5 => in_text(b"\xc0\xaf\xff"),
        6 => vec![0; 1 + random.below(100)],
        7 => format!("{{\"username\":\"alice\",\"text\":\"t\",\"timeout\":1e{number}}}").into(),
        8 => format!("{{\"username\":\"alice\",\"text\":\"t\",\"timeout\":-{number}}}").into(),
        9 => MESSAGE[..random.below(MESSAGE.len())].to_vec(),
        10 => {
            let length = random.below(2_000);
            [b"\xff".to_vec(), random.bytes(length)].concat()
        }
        11 => [MESSAGE, *random.pick(&[&b"}"[..], b"{", b"\"", b"x", b"]"])].concat(),
        12 => br#"{"username":"\u0000","text":"t"}"#.to_vec(),
        _ => {
            let mut body = MESSAGE.to_vec();
            // Every place up to here is one of syntax or of a name of a field.
            body[random.below(13)] = 0x80 | random.next() as u8;
            body
        }
    }
}

#[test]
fn a_thousand_bad_bodies_are_refused() {
    let mut server = Server::start();
    let mut client = server.client();
    client.post_message("alice", "waits", 600);
    let mut random = Seeded(SEED);
    for number in 0..1_000 {
        let body = bad_body(&mut random);
        let path = *random.pick(&["/chat", "/chat?lenient=1", "/chat/"]);
        let content_type = *random.pick(&[
            "application/json",
            "application/json5",
            "application/x-www-form-urlencoded",
            "text/json; charset=latin1",
            "a",
        ]);
        let answer = client.send("POST", path, &[("Content-Type", content_type)], &body);
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]);
        assert!(
            is_refusal(answer.status),
            "seed {SEED}, number {number}, {path} {content_type}: {shown} got {}",
            answer.status
        );
    }
    assert_unharmed(&mut server, 1);
}

/// Bytes that are no whole, well-formed request for anything that changes a message.
fn bad_request(random: &mut Seeded, port: u16) -> Vec<u8> {
    let host = format!("Host: localhost:{port}\r\n");
    let post = |headers: &str, body: &[u8]| {
        let head = format!("POST /chat HTTP/1.1\r\n{host}{headers}\r\n");
        [head.as_bytes(), body].concat()
    };
    let whole = request(port, "POST", "/chat", &[], MESSAGE);
    match random.below(24) {
        0 => {
            let length = 1 + random.below(300);
            random.bytes(length)
        }
        1 => format!(
            "{}\r\n{host}\r\n",
            random.pick(&[
                "GET",
                "GET /chats/alice",
                "GET  / HTTP/1.1",
                "GET / HTTP/9.9",
                "GET / http/1.1",
                "\0 / HTTP/1.1",
                "GET /\0 HTTP/1.1",
                "GET /\u{e9} HTTP/1.1",
                " GET / HTTP/1.1",
                "/ GET HTTP/1.1",
                "HTTP/1.1 200 OK",
                "PRI * HTTP/2.0"
            ])
        )
        .into(),
        2 => format!(
            "GET /chats/{} HTTP/1.1\r\n{host}\r\n",
            random.pick(&[
                "%ff",
                "%00",
                "%2f",
                "%",
                "%2",
                "%zz",
                "%2e%2e",
                "..%2f..",
                "%c0%ae",
                "%ed%a0%80",
                "%25",
                "a%0d%0ab",
                "a%20b",
                "?limit=1",
                "alice?limit=%ff",
                "alice?%ff=%00",
                "alice?limit=1&&=&limit",
                "alice?limit=\u{7f}"
            ])
        )
        .into(),
        3 => format!(
            "GET /{} HTTP/1.1\r\n{host}\r\n",
            "a".repeat(1 << (8 + random.below(10)))
        )
        .into(),
        4 => format!(
            "GET /chat/x HTTP/1.1\r\n{host}X: {}\r\n\r\n",
            "a".repeat(1 << (8 + random.below(10)))
        )
        .into(),
        5 => format!(
            "GET /chat/x HTTP/1.1\r\n{host}{}\r\n",
            "X: a\r\n".repeat(random.below(2_000))
        )
        .into(),
        6 => format!(
            "GET /chat/x HTTP/1.1\r\n{host}{}\r\n\r\n",
            random.pick(&[
                "no colon",
                ": empty",
                "a b: c",
                "X: \0",
                "X: \u{1}",
                "X:\n folded",
                "\u{e9}: x",
                "Host: two"
            ])
        )
        .into(),
        7 => post(
            &format!(
                "Content-Length: {}\r\n",
                random.pick(&[
                    "-1",
                    "x",
                    "",
                    "1e3",
                    "99999999999999999999999",
                    "18446744073709551615",
                    "+48",
                    "0x30",
                    "48 48"
                ])
            ),
            MESSAGE,
        ),
        8 => post("Content-Length: 48\r\nContent-Length: 3\r\n", MESSAGE),
        9 => post(
            &format!(
                "Content-Length: {}\r\n",
                MESSAGE.len() + 1 + random.below(1_000)
            ),
            MESSAGE,
        ),
        10 => post(
            "Transfer-Encoding: chunked\r\n",
            format!(
                "{}\r\n",
                random.pick(&[
                    "z",
                    "-1",
                    "ffffffffffffffffff",
                    "5",
                    "5\r\nab",
                    "5\r\nabcdefgh\r\n0\r\n",
                    "0",
                    "\0",
                    ";",
                    "5;ext\r\n",
                    "3\r\nabcX"
                ])
            )
            .as_bytes(),
        ),
        11 => post(
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            b"zz\r\n",
        ),
        12 => post(
            &format!(
                "Transfer-Encoding: {}\r\n",
                random.pick(&["gzip", "identity, x", "x", "chunked, chunked"])
            ),
            b"5\r\nabcde\r\n0\r\n\r\n",
        ),
        13 => post(
            "Transfer-Encoding: chunked\r\n",
            &b"1000\r\n"
                .iter()
                .chain(&[b' '; 4_098])
                .copied()
                .collect::<Vec<_>>()
                .repeat(300),
        ),
        14 => whole[..random.below(whole.len())].to_vec(),
        15 => {
            let length = random.below(500);
            let garbage = [b"\0".to_vec(), random.bytes(length)].concat();
            [request(port, "GET", "/chat/x", &[], b""), garbage].concat()
        }
        16 => format!("GET http://localhost:{port}/chat/x HTTP/1.1\r\n{host}\r\n").into(),
        17 => format!("OPTIONS * HTTP/1.1\r\n{host}\r\n").into(),
        18 => format!("CONNECT localhost:{port} HTTP/1.1\r\n{host}\r\n").into(),
        19 => format!(
            "GET /chat/x HTTP/1.1\r\n{host}Upgrade: {}\r\nConnection: upgrade\r\n\r\n",
            random.pick(&["websocket", "h2c", "TLS/1.0"])
        )
        .into(),
        20 => [
            &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01][..],
            &random.bytes(300),
        ]
        .concat(),
        21 => post("Expect: what\r\nContent-Length: 3\r\n", b"{}}"),
        22 => format!(
            "GET /chats/{}/count HTTP/1.1\r\n{host}\r\n",
            "%C3%A9".repeat(201)
        )
        .into(),
        _ => {
            // A byte of the head that is no token, so that the request is none.
            let mut bytes = whole;
            bytes[random.below(4)] = *random.pick(&[0, 1, 0x80, 0xff, b'(', b'\n', b':']);
            bytes
        }
    }
}

#[test]
fn a_thousand_bad_requests_are_refused_or_cut() {
    let mut server = Server::start();
    server.client().post_message("alice", "waits", 600);
    let mut random = Seeded(SEED + 1);
    for number in 0..1_000 {
        let bytes = bad_request(&mut random, server.port);
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        for answer in send_raw(server.port, &bytes) {
            let is_harmless = is_refusal(answer.status)
                || (answer.status < 300
                    && !shown.contains("/chats/alice ")
                    && !shown.starts_with("POST"));
            assert!(
                is_harmless,
                "seed {}, number {number}: {shown:?} got {} {}",
                SEED + 1,
                answer.status,
                answer.text()
            );
        }
    }
    assert_unharmed(&mut server, 1);
}

#[test]
fn an_endless_body_is_refused_while_it_comes_and_is_not_kept() {
    let mut server = Server::start();
    server.client().post_message("alice", "waits", 600);
    let resident_kib = |server: &Server| -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    let before = resident_kib(&server);
    let mut stream = connect(server.port).unwrap();
    let head = format!(
        "POST /chat HTTP/1.1\r\nHost: localhost:{}\r\nTransfer-Encoding: chunked\r\n\r\n",
        server.port
    );
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = [b"10000\r\n".to_vec(), vec![b' '; 65_536], b"\r\n".to_vec()].concat();
    let mut sending = stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        // 64 MiB without an end, unless the service cuts it.
        (0..1_024)
            .take_while(|_| sending.write_all(&chunk).is_ok())
            .count()
    });
    let answer = read_answer(&mut BufReader::new(&stream), false).unwrap();
    assert_eq!(answer.expect(413).problem(), "body-too-large");
    sender.join().unwrap();
    let grown = resident_kib(&server).saturating_sub(before);
    assert!(
        grown < 32 << 10,
        "{grown} KiB more for a body of 1 MiB at most"
    );
    drop(stream);
    assert_unharmed(&mut server, 1);
}

#[test]
fn slow_clients_keep_nobody_waiting() {
    let mut server = Server::start();
    server.client().post_message("alice", "waits", 600);
    let head = format!(
        "POST /chat HTTP/1.1\r\nHost: localhost:{}\r\nContent-Length: 100\r\n\r\n",
        server.port
    );
    let slow: Vec<_> = (0..200)
        .map(|number| {
            let mut stream = connect(server.port).unwrap();
            stream
                .write_all(&head.as_bytes()[..number % head.len()])
                .unwrap();
            stream
        })
        .collect();
    let mut client: Client = server.client();
    for _ in 0..50 {
        client.get("/chats/alice/count").expect(200);
    }
    drop(slow);
    assert_unharmed(&mut server, 1);
}

#[test]
fn two_thousand_connections_come_and_go() {
    let mut server = Server::start();
    server.client().post_message("alice", "waits", 600);
    let whole = request(server.port, "GET", "/chat/x", &[], b"");
    let mut random = Seeded(SEED + 2);
    let mut held = Vec::new();
    for _ in 0..2_000 {
        let mut stream = connect(server.port).unwrap();
        let _ = stream.write_all(&whole[..random.below(whole.len() + 1)]);
        held.push(stream);
        if held.len() > 100 {
            held.swap_remove(random.below(100));
        }
    }
    drop(held);
    eventually("every connection is let go", || {
        let open = std::fs::read_dir(format!("/proc/{}/fd", server.pid()))
            .unwrap()
            .count();
        (open < 100).then_some(())
    });
    assert_unharmed(&mut server, 1);
}
