//! Properties: nothing panics, the readers agree, and what is written is read back.

use proptest::prelude::*;

use super::error_tables::limits;
use super::*;

const FORMATS: [BodyFormat; 3] = [BodyFormat::Json, BodyFormat::Json5, BodyFormat::Form];

/// A post as a client has it.
#[derive(Clone, Debug)]
struct Post {
    username: String,
    text: String,
    timeout: Option<u64>,
    attributes: Vec<(String, String)>,
}

impl Post {
    fn is(&self, body: &PostBody) -> bool {
        body.username == Username::from_stored(&self.username)
            && body.content.text() == self.text
            && body.content.attributes() == self.attributes
            && body.timeout_secs == self.timeout.unwrap_or(60)
    }

    /// Its fields; names and strings are written by `quote`.
    fn members(&self, quote: fn(&str) -> String) -> Vec<String> {
        let member = |name: &str, value: &str| format!("{}:{}", quote(name), quote(value));
        let mut members = vec![
            member("username", &self.username),
            member("text", &self.text),
        ];
        if let Some(timeout) = self.timeout {
            members.push(format!("{}:{timeout}", quote("timeout")));
        }
        if !self.attributes.is_empty() {
            let pairs: Vec<_> = self.attributes.iter().map(|(n, v)| member(n, v)).collect();
            members.push(format!("{}:{{{}}}", quote("attributes"), pairs.join(",")));
        }
        members
    }
}

fn json_string(text: &str) -> String {
    serde_json::to_string(text).expect("a string is JSON")
}

/// In single quotes, with escapes that JSON does not have.
fn json5_string(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '\'' => "\\'".to_owned(),
        '\\' => "\\\\".to_owned(),
        '\n' => "\\n\\\r\n".to_owned(),
        '\r' => "\\x0d".to_owned(),
        c => c.to_string(),
    });
    format!("'{}'", escaped.collect::<String>())
}

/// Every byte that is no letter, escaped.
fn form_string(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b' ' => "+".to_owned(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02x}"),
    };
    text.bytes().map(encode).collect()
}

fn posts() -> impl Strategy<Value = Post> {
    let pairs = prop::collection::btree_map(any_text(1), any_text(0), 0..4);
    let timeout = prop::option::of(0_u64..=2_592_000);
    ("[a-zA-Z0-9_.@+-]{3,20}", any_text(1), timeout, pairs).prop_map(
        |(username, text, timeout, pairs)| Post {
            username,
            text,
            timeout,
            attributes: pairs.into_iter().collect(),
        },
    )
}

fn any_text(chars_min: usize) -> impl Strategy<Value = String> {
    let character = prop_oneof![
        any::<char>(),
        prop::char::range(' ', '~'),
        prop::sample::select(vec![
            '"', '\'', '\\', '/', '*', '\n', '\r', '\0', '\u{2028}', ','
        ]),
    ];
    prop::collection::vec(character, chars_min..12).prop_map(String::from_iter)
}

/// Pieces of bodies, in any order: often nearly a post, rarely one.
fn nearly_posts() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&[u8]> = vec![
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b" ",
        b"\n",
        b"\r\n",
        b"\"",
        b"'",
        b"\\",
        b"//",
        b"/*",
        b"*/",
        b"\"username\":\"a\"",
        b"\"text\":\"t\"",
        b"\"timeout\":1",
        b"\"attributes\":{",
        b"\"n\":\"v\"",
        b"username:",
        b"text:'t'",
        b"timeout",
        b"null",
        b"true",
        b"1",
        b"-0",
        b"1.5",
        b"1e999",
        b"0x1F",
        b"\\ud800",
        b"\\u0041",
        b"\xff",
        b"\xc3\xa9",
        b"\xef\xbb\xbf",
        b"\0",
        b"&",
        b"=",
        b"%41",
        b"+",
        b"\xe2\x80\xa8",
        b"Infinity",
        b"99999999999999999999",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..24).prop_map(|pieces| pieces.concat())
}

/// A valid post in JSON with a few bytes changed, put in or taken out.
fn mistyped_posts() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop::sample::select(b"{}[]\",:\\0123456789.eE+-nultxs /\n\xff".to_vec());
    let change = (any::<prop::sample::Index>(), 0..3_u8, byte);
    (posts(), prop::collection::vec(change, 0..3)).prop_map(|(post, changes)| {
        let mut bytes = format!("{{{}}}", post.members(json_string).join(",")).into_bytes();
        for (index, change, byte) in changes {
            let index = index.index(bytes.len());
            match change {
                0 => bytes[index] = byte,
                1 => bytes.insert(index, byte),
                _ => drop(bytes.remove(index)),
            }
        }
        bytes
    })
}

/// That the fast reader takes exactly what the diagnosing one does, and lenience takes no less.
fn assert_readers_agree(bytes: &[u8]) -> Result<(), TestCaseError> {
    let fast = parse_post(bytes, BodyFormat::Json, &limits());
    let slow = diagnose::read(bytes, &limits());
    prop_assert_eq!(&fast, &slow);
    let json5 = lenient::read(bytes, &limits());
    prop_assert_eq!(
        parse_post(bytes, BodyFormat::Json5, &limits()).is_ok(),
        json5.is_ok()
    );
    if fast.is_ok() {
        prop_assert_eq!(&fast, &json5);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for format in FORMATS {
            let _ = parse_post(&bytes, format, &limits());
        }
        assert_readers_agree(&bytes)?;
    }

    #[test]
    fn the_readers_agree_on_what_is_nearly_a_post(bytes in nearly_posts()) {
        let _ = parse_post(&bytes, BodyFormat::Form, &limits());
        assert_readers_agree(&bytes)?;
    }

    #[test]
    fn the_readers_agree_on_mistyped_posts(bytes in mistyped_posts()) {
        assert_readers_agree(&bytes)?;
    }

    #[test]
    fn a_post_is_read_back_from_each_format(post in posts()) {
        let json = format!("{{{}}}", post.members(json_string).join(",\n"));
        let json5 = format!("{{{}}}", post.members(json5_string).join(" /*,}*/ "));
        for (body, format) in [
            (&json, BodyFormat::Json),
            (&json, BodyFormat::Json5),
            (&json, BodyFormat::Form),
            (&json5, BodyFormat::Json5),
        ] {
            let read = parse_post(body.as_bytes(), format, &limits());
            prop_assert!(read.as_ref().is_ok_and(|read| post.is(read)), "{body}: {read:?}");
        }
        let form = [("username", &post.username), ("text", &post.text)]
            .map(|(name, value)| format!("{name}={}", form_string(value))).join("&");
        let plain = Post { timeout: None, attributes: Vec::new(), ..post };
        let read = parse_post(form.as_bytes(), BodyFormat::Form, &limits());
        prop_assert!(read.as_ref().is_ok_and(|read| plain.is(read)), "{form}: {read:?}");
    }

    #[test]
    fn an_error_is_placed_as_if_no_comma_was_added(missing in prop::collection::vec(any::<bool>(), 1..20)) {
        let members: String = missing.iter().enumerate()
            .map(|(i, missing)| format!("m{i}:'é'{}", if *missing { "\n" } else { "," })).collect();
        let body = format!("{{{members}bad:what}}");
        let line = members.matches('\n').count() + 1;
        let before = body.split_once("what").map_or("", |(before, _)| before);
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        let error = parse_post(body.as_bytes(), BodyFormat::Json5, &limits()).expect_err("no value");
        let place = Place::Position { line: line as u32, column: column as u32 };
        prop_assert_eq!(error.place, Some(place));
    }
}

/// Bodies of 1 MiB that are worst for one parser or another: time is bounded by the test's patience,
/// the stack by its own end.
#[test]
fn the_largest_bodies_are_answered() {
    const SIZE: usize = 1024 * 1024;
    let tails = [
        "[", "{\"a\":", "\"", ",", "'", "\\", "/*", "//\n", "1 ", "\"\":0,", "a:1 ", "a&",
        "\u{2028}", "[]", "é",
    ];
    let heads = ["", "{", "{\"a\":[", "{\"attributes\":{", "username=a&text="];
    for head in heads {
        for tail in tails {
            let body = format!("{head}{}", tail.repeat(SIZE / tail.len()));
            for format in FORMATS {
                let read = parse_post(body.as_bytes(), format, &limits());
                assert!(read.is_err(), "{head}{tail}…");
            }
        }
    }
}
