//! What strict JSON takes, the bounds of every field, and each error with its place and message.

use super::error_tables::{error, place, post};
use super::*;

fn body(username: &str, text: &str) -> String {
    format!(r#"{{"username":"{username}","text":"{text}"}}"#)
}

fn with_timeout(timeout: &str) -> String {
    format!(r#"{{"username":"a","text":"t","timeout":{timeout}}}"#)
}

fn with_attributes(attributes: &str) -> String {
    format!(r#"{{"username":"a","text":"t","attributes":{attributes}}}"#)
}

#[test]
fn a_post_of_all_fields_is_read() {
    let body = r#" {"username":"alice","text":"a\u0000\n\ud83d\ude00é","timeout":5,
        "attributes":{"city":"New York","st\u0061te":""}} "#;
    for format in [BodyFormat::Json, BodyFormat::Json5, BodyFormat::Form] {
        let post = post(body, format);
        assert_eq!(post.username.as_str(), "alice");
        assert_eq!(post.content.text(), "a\0\n😀é");
        assert_eq!(post.timeout_secs, 5);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let pairs = [pair("city", "New York"), pair("state", "")];
        assert_eq!(post.content.attributes(), pairs);
    }
}

#[test]
fn what_is_left_out_has_its_default() {
    let post = post(r#"{"text":"hi","username":"bob"}"#, BodyFormat::Json);
    assert_eq!(post.timeout_secs, 60);
    assert!(post.content.attributes().is_empty());
}

#[test]
fn a_body_that_is_no_json_is_refused_with_its_place() {
    assert_errors! { Json:
        "" => NotJson, "-", "the body is empty; send a JSON object such as {\"username\":";
        " \r\n\t" => NotJson, "-", "the body is empty";
        "\u{feff}{}" => NotJson, "1:1", "the body begins with a byte order mark; send it without";
        "hello" => NotJson, "1:1", "the body is not JSON: expected value";
        "{" => NotJson, "1:2", "the body is not JSON: EOF while parsing an object";
        "{\"text\":\"é" => NotJson, "1:11", "the body is not JSON: EOF while parsing a string";
        "{\n\"text\" 1}" => NotJson, "2:8", "the body is not JSON: expected `:`";
        "{\"text\":\"é\"\n\n \"a\":1}" => NotJson, "3:2", "the body is not JSON: expected `,` or `}`";
        "{\"text\":\"a\",}" => NotJson, "1:13", "the body is not JSON: trailing comma";
        "{'text':\"a\"}" => NotJson, "1:2", "the body is not JSON: key must be a string";
        "{}{}" => NotJson, "1:3", "the body is not JSON: trailing characters";
        "{\"text\":\"a\nb\"}" => NotJson, "1:11", "the body is not JSON: control character";
        "{\"text\":\"a\0b\"}" => NotJson, "1:11", "the body is not JSON: control character";
        r#"{"text":"\ud800"}"# => NotJson, "1:16", "the body is not JSON: unexpected end of hex escape";
        r#"{"text":"\ud800\u0041"}"# => NotJson, "1:21", "the body is not JSON: lone leading surrogate";
        r#"{"text":"\udc00"}"# => NotJson, "1:15", "the body is not JSON: lone leading surrogate";
        r#"{"text":"\x41"}"# => NotJson, "1:11", "the body is not JSON: invalid escape";
        with_timeout("01") => NotJson, "1:39", "the body is not JSON: invalid number";
        with_timeout("NaN") => NotJson, "1:38", "the body is not JSON: expected value";
        with_timeout("1e999") => OutOfRange, "1:42", "the body has a number out of range; write a smaller";
        b"{\"text\":\n \"\xc3\xa9\xff\"}" => NotJson, "2:4", "the body is not UTF-8; encode it as UTF-8";
    }
}

#[test]
fn a_body_that_is_no_object_is_refused() {
    for (body, found) in [
        ("[]", "an array"),
        (r#"["alice","hi",60,{}]"#, "an array"),
        ("null", "null"),
        ("1", "a number"),
        ("true", "a boolean"),
        ("\"a\"", "a string"),
    ] {
        let detail = format!("the body must be an object, not {found}; send one such as {{\"");
        assert_errors! { Json: body => WrongType, "", detail; }
        assert_errors! { Json5: body => WrongType, "", detail; }
    }
}

#[test]
fn wrong_missing_unknown_and_double_fields_are_named() {
    let all = "the fields are username, text, timeout, attributes";
    let twice = |name: &str| format!("the body has the field {name} twice; keep one of them");
    let unknown = |name: &str, advice: &str| format!("there is no field {name:?}; {advice}");
    assert_errors! { Json:
        "{}" => MissingField, "/username", "the field username is missing; add it, it is required";
        r#"{"text":"a"}"# => MissingField, "/username", "the field username is missing";
        r#"{"username":"a"}"# => MissingField, "/text", "the field text is missing";
        r#"{"username":null}"# => WrongType, "/username", "username must be a string, not null";
        r#"{"username":"a","text":7}"# => WrongType, "/text", "text must be a string, not a number";
        r#"{"text":["é"]}"# => WrongType, "/text", "text must be a string, not an array";
        r#"{"tiemout":1}"# => UnknownField, "/tiemout", unknown("tiemout", "did you mean timeout?");
        r#"{"user":"a"}"# => UnknownField, "/user", unknown("user", "did you mean username?");
        r#"{"deliver_at":0}"# => UnknownField, "/deliver_at", unknown("deliver_at", all);
        r#"{"a/b~\u0000":1}"# => UnknownField, "/a~1b~0\0", unknown("a/b~\0", all);
        r#"{"":1}"# => UnknownField, "/", unknown("", all);
        r#"{"username":"a","username":"a"}"# => DuplicateField, "/username", twice("username");
        r#"{"text":"a","username":"a","te\u0078t":"a"}"# => DuplicateField, "/text", twice("text");
        r#"{"timeout":1,"timeout":1}"# => DuplicateField, "/timeout", twice("timeout");
        r#"{"attributes":{},"attributes":{}}"# => DuplicateField, "/attributes", twice("attributes");
    }
}

#[test]
fn a_long_name_is_not_echoed() {
    let long = format!(r#"{{"{}":1}}"#, "n".repeat(500_000));
    let long = error(long.as_bytes(), BodyFormat::Json);
    assert_eq!(place(&long), format!("/{}…", "n".repeat(64)));
    assert!(long.detail.len() < 200, "{long}");
}

#[test]
fn usernames_and_texts_keep_to_their_bounds() {
    post(&body(&"é".repeat(200), "t"), BodyFormat::Json);
    let full = post(&body("a", &"é".repeat(32 * 1024)), BodyFormat::Json);
    assert_eq!(full.content.text().len(), 65_536);
    let long = "username has more than 200 characters; shorten it";
    let large = "text has 65537 bytes; shorten it to 65536 or send it in parts";
    assert_errors! { Json:
        body(&"é".repeat(201), "t") => BadUsername, "/username", long;
        body("", "t") => BadUsername, "/username", "username must not be empty; give 1 to 200";
        body("..", "t") => BadUsername, "/username", "username must not be . or ..; use another";
        body("a b", "t") => BadUsername, "/username", "username has the character U+0020 at position 1;";
        body("a", "") => OutOfRange, "/text", "text must not be empty; give 1 to 65536 bytes";
        body("a", &"t".repeat(65_537)) => TextTooLarge, "/text", large;
    }
}

#[test]
fn a_timeout_is_in_range() {
    for (timeout, secs) in [("0", 0), ("1", 1), ("2592000", 2_592_000)] {
        let post = post(&with_timeout(timeout), BodyFormat::Json);
        assert_eq!(post.timeout_secs, secs);
    }
    let detail = "timeout is out of range; give 0 to 2592000 seconds";
    for timeout in [
        "2592001",
        "18446744073709551615",
        "99999999999999999999",
        "-1",
        "-9223372036854775808",
        "1e300",
        "-0.5",
    ] {
        let body = with_timeout(timeout);
        assert_errors! { Json: body => OutOfRange, "/timeout", detail; }
        assert_errors! { Json5: body => OutOfRange, "/timeout", detail; }
    }
}

#[test]
fn a_timeout_is_written_as_an_integer() {
    for (timeout, rest) in [
        ("null", "not null; leave it out for the default of 60"),
        ("\"60\"", "not a string; write it without quotes"),
        ("1.5", "without a fraction or an exponent"),
        ("1.0", "without a fraction or an exponent"),
        ("1e1", "without a fraction or an exponent"),
        ("-0", "without a fraction or an exponent"),
        ("true", "not a boolean"),
        ("[]", "not an array"),
        ("{}", "not an object"),
    ] {
        let detail = format!("timeout must be a whole number of seconds such as 60, {rest}");
        assert_errors! { Json: with_timeout(timeout) => WrongType, "/timeout", detail; }
    }
}

#[test]
fn attributes_keep_to_their_bounds() {
    let object = |count: usize| {
        let pairs: Vec<_> = (0..count).map(|i| format!(r#""n{i}":"v""#)).collect();
        with_attributes(&format!("{{{}}}", pairs.join(",")))
    };
    let pair = |name: &str, value: &str| with_attributes(&format!(r#"{{"{name}":"{value}"}}"#));
    let (most, long) = ("é".repeat(64), "é".repeat(65));
    let sixteen = post(&object(16), BodyFormat::Json);
    assert_eq!(sixteen.content.attributes().len(), 16);
    post(&pair(&most, &most), BodyFormat::Json);
    post(&with_attributes("{}"), BodyFormat::Json);
    let cut = format!("/attributes/{most}…");
    let twice = with_attributes(r#"{"a/b":"1","c":"2","a/b":"1"}"#);
    let long_value = "the value of attribute \"n\" has more than 64 characters; shorten it";
    assert_errors! { Json:
        object(17) => OutOfRange, "/attributes", "attributes has 17 pairs; give at most 16";
        pair("", "v") => OutOfRange, "/attributes/", "the name of an attribute must not be empty; give 1 to 64";
        pair(&long, "v") => OutOfRange, cut, "the name of an attribute has more than 64 characters; shorten";
        pair("n", &long) => OutOfRange, "/attributes/n", long_value;
        twice => DuplicateField, "/attributes/a~1b", "attributes has \"a/b\" twice; keep one of them";
    }
    let object = "attributes must be an object of strings, not";
    assert_errors! { Json:
        with_attributes(r#"{"n":1}"#) => WrongType, "/attributes/n", "attribute \"n\" must be a string, not a number";
        with_attributes(r#"{"n":null}"#) => WrongType, "/attributes/n", "attribute \"n\" must be a string, not null";
        with_attributes("null") => WrongType, "/attributes", format!("{object} null");
        with_attributes(r#"[["a","b"]]"#) => WrongType, "/attributes", format!("{object} an array");
    }
}

#[test]
fn nesting_over_64_is_refused_before_a_parser_recurses() {
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
        format!(r#"{{"username":"a","text":"t","[\"[":{open}{close}}}"#)
    };
    let deep = "the body is nested deeper than 64 levels; flatten it";
    assert_errors! { Json:
        nested(64) => UnknownField, "/[\"[", "there is no field";
        nested(65) => NotJson, "1:98", deep;
        nested(129) => NotJson, "1:98", deep;
    }
    post(&nested(64), BodyFormat::Json5);
    assert_errors! { Json5: nested(65) => NotJson, "1:98", deep; }
}
