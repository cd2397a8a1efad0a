//! Tables of what each format takes and of every error, with its kind, place and message.

use super::BodyErrorKind::*;
use super::*;

pub(super) fn limits() -> Limits {
    Limits::default()
}

fn parse(body: &str, format: BodyFormat) -> Result<PostBody, BodyError> {
    parse_post(body.as_bytes(), format, &limits())
}

fn post(body: &str, format: BodyFormat) -> PostBody {
    parse(body, format).unwrap_or_else(|error| panic!("{body}: {error}"))
}

fn error(body: &[u8], format: BodyFormat) -> BodyError {
    match parse_post(body, format, &limits()) {
        Err(error) => error,
        Ok(post) => panic!("{:?} is read as {post:?}", String::from_utf8_lossy(body)),
    }
}

/// `/name` for a field, `line:column` for a position, `-` for neither.
fn place(error: &BodyError) -> String {
    match &error.place {
        None => "-".to_owned(),
        Some(Place::Field(pointer)) => pointer.clone(),
        Some(Place::Position { line, column }) => format!("{line}:{column}"),
    }
}

/// A body, and the kind, place and beginning of the message of its error.
type Row<'a> = (&'a str, BodyErrorKind, &'a str, &'a str);

fn assert_errors(format: BodyFormat, rows: &[Row<'_>]) {
    for (body, kind, at, detail) in rows {
        let error = error(body.as_bytes(), format);
        let found = (error.kind, place(&error));
        assert_eq!(found, (*kind, (*at).to_owned()), "{body}: {error}");
        assert!(
            error.detail.starts_with(detail),
            "{body}: {error}\n not {detail}"
        );
    }
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
    assert_errors(
        BodyFormat::Json,
        &[
            (
                "",
                NotJson,
                "-",
                "the body is empty; send a JSON object such as {\"",
            ),
            (" \r\n\t", NotJson, "-", "the body is empty"),
            (
                "\u{feff}{}",
                NotJson,
                "1:1",
                "the body begins with a byte order mark; send it without",
            ),
            (
                "hello",
                NotJson,
                "1:1",
                "the body is not JSON: expected value",
            ),
            (
                "{",
                NotJson,
                "1:2",
                "the body is not JSON: EOF while parsing an object",
            ),
            (
                "{\"text\":\"é",
                NotJson,
                "1:11",
                "the body is not JSON: EOF while parsing a string",
            ),
            (
                "{\n\"text\" 1}",
                NotJson,
                "2:8",
                "the body is not JSON: expected `:`",
            ),
            (
                "{\"text\":\"é\"\n\n \"username\":\"a\"}",
                NotJson,
                "3:2",
                "the body is not JSON: expected `,` or `}`",
            ),
            (
                "{\"text\":\"a\",}",
                NotJson,
                "1:13",
                "the body is not JSON: trailing comma",
            ),
            (
                "{'text':\"a\"}",
                NotJson,
                "1:2",
                "the body is not JSON: key must be a string",
            ),
            (
                "{}{}",
                NotJson,
                "1:3",
                "the body is not JSON: trailing characters",
            ),
            (
                "{\"text\":\"a\nb\"}",
                NotJson,
                "1:11",
                "the body is not JSON: control character",
            ),
            (
                "{\"text\":\"a\0b\"}",
                NotJson,
                "1:11",
                "the body is not JSON: control character",
            ),
            (
                r#"{"text":"\ud800"}"#,
                NotJson,
                "1:16",
                "the body is not JSON: unexpected end of hex escape",
            ),
            (
                r#"{"text":"\ud800\u0041"}"#,
                NotJson,
                "1:21",
                "the body is not JSON: lone leading surrogate",
            ),
            (
                r#"{"text":"\udc00"}"#,
                NotJson,
                "1:15",
                "the body is not JSON: lone leading surrogate",
            ),
            (
                r#"{"text":"\x41"}"#,
                NotJson,
                "1:11",
                "the body is not JSON: invalid escape",
            ),
            (
                &with_timeout("01"),
                NotJson,
                "1:39",
                "the body is not JSON: invalid number",
            ),
            (
                &with_timeout("NaN"),
                NotJson,
                "1:38",
                "the body is not JSON: expected value",
            ),
            (
                &with_timeout("1e999"),
                OutOfRange,
                "1:42",
                "the body has a number out of range; write a smaller one",
            ),
        ],
    );
    let not_utf8 = error(b"{\"text\":\n \"\xc3\xa9\xff\"}", BodyFormat::Json);
    assert_eq!(
        (not_utf8.kind, place(&not_utf8)),
        (NotJson, "2:4".to_owned())
    );
    assert_eq!(not_utf8.detail, "the body is not UTF-8; encode it as UTF-8");
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
        let expected = format!("the body must be an object, not {found}; send one such as {{");
        for format in [BodyFormat::Json, BodyFormat::Json5] {
            assert_errors(format, &[(body, WrongType, "", &expected)]);
        }
    }
}

#[test]
fn wrong_missing_unknown_and_double_fields_are_named() {
    let unknown = "there is no field";
    assert_errors(
        BodyFormat::Json,
        &[
            (
                "{}",
                MissingField,
                "/username",
                "the field username is missing; add it",
            ),
            (
                r#"{"text":"a"}"#,
                MissingField,
                "/username",
                "the field username is missing",
            ),
            (
                r#"{"username":"a"}"#,
                MissingField,
                "/text",
                "the field text is missing",
            ),
            (
                r#"{"username":null}"#,
                WrongType,
                "/username",
                "username must be a string, not null",
            ),
            (
                r#"{"username":"a","text":7}"#,
                WrongType,
                "/text",
                "text must be a string, not a number",
            ),
            (
                r#"{"username":"a","text":["é"]}"#,
                WrongType,
                "/text",
                "text must be a string, not an array",
            ),
            (
                r#"{"username":"a","text":"t","tiemout":1}"#,
                UnknownField,
                "/tiemout",
                "there is no field \"tiemout\"; did you mean timeout?",
            ),
            (
                r#"{"user":"a"}"#,
                UnknownField,
                "/user",
                "there is no field \"user\"; did you mean username?",
            ),
            (
                r#"{"deliver_at":"2030-01-01T00:00:00Z"}"#,
                UnknownField,
                "/deliver_at",
                "there is no field \"deliver_at\"; the fields are username, text, timeout, attributes",
            ),
            (r#"{"a/b~\u0000":1}"#, UnknownField, "/a~1b~0\0", unknown),
            (r#"{"":1}"#, UnknownField, "/", unknown),
            (
                r#"{"username":"a","username":"a"}"#,
                DuplicateField,
                "/username",
                "the body has the field username twice; keep one of them",
            ),
            (
                r#"{"text":"a","username":"a","te\u0078t":"a"}"#,
                DuplicateField,
                "/text",
                "the body has the field text twice",
            ),
            (
                r#"{"timeout":1,"timeout":1}"#,
                DuplicateField,
                "/timeout",
                "the body has the field timeout twice",
            ),
            (
                r#"{"attributes":{},"attributes":{}}"#,
                DuplicateField,
                "/attributes",
                "the body has the field attributes twice",
            ),
        ],
    );
    let long = format!(r#"{{"{}":1}}"#, "n".repeat(500_000));
    let long = error(long.as_bytes(), BodyFormat::Json);
    assert_eq!(place(&long), format!("/{}…", "n".repeat(64)));
    assert!(long.detail.len() < 200, "{long}");
}

#[test]
fn usernames_and_texts_keep_to_their_bounds() {
    let body =
        |username: &str, text: &str| format!(r#"{{"username":"{username}","text":"{text}"}}"#);
    post(&body(&"é".repeat(200), "t"), BodyFormat::Json);
    let full = post(&body("a", &"é".repeat(32 * 1024)), BodyFormat::Json);
    assert_eq!(full.content.text().len(), 65_536);
    for format in [BodyFormat::Json, BodyFormat::Json5] {
        assert_errors(
            format,
            &[
                (
                    &body(&"é".repeat(201), "t"),
                    BadUsername,
                    "/username",
                    "username has more than 200 characters; shorten it",
                ),
                (
                    &body("", "t"),
                    BadUsername,
                    "/username",
                    "username must not be empty; give 1 to 200",
                ),
                (
                    &body("..", "t"),
                    BadUsername,
                    "/username",
                    "username must not be . or ..; use another",
                ),
                (
                    &body("a b", "t"),
                    BadUsername,
                    "/username",
                    "username has the character U+0020 at position 1;",
                ),
                (
                    &body("a", ""),
                    OutOfRange,
                    "/text",
                    "text must not be empty; give 1 to 65536 bytes",
                ),
                (
                    &body("a", &"t".repeat(65_537)),
                    TextTooLarge,
                    "/text",
                    "text has 65537 bytes; shorten it to 65536 or send it in parts",
                ),
            ],
        );
    }
}

#[test]
fn a_timeout_is_a_whole_number_of_seconds_in_range() {
    for (timeout, secs) in [("0", 0), ("1", 1), ("2592000", 2_592_000)] {
        assert_eq!(
            post(&with_timeout(timeout), BodyFormat::Json).timeout_secs,
            secs
        );
    }
    let range = "timeout is out of range; give 0 to 2592000 seconds";
    for timeout in [
        "2592001",
        "18446744073709551615",
        "99999999999999999999",
        "-1",
        "-9223372036854775808",
        "1e300",
        "-0.5",
    ] {
        for format in [BodyFormat::Json, BodyFormat::Json5] {
            assert_errors(
                format,
                &[(&with_timeout(timeout), OutOfRange, "/timeout", range)],
            );
        }
    }
    let must = "timeout must be a whole number of seconds such as 60, ";
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
        let detail = format!("{must}{rest}");
        assert_errors(
            BodyFormat::Json,
            &[(&with_timeout(timeout), WrongType, "/timeout", &detail)],
        );
    }
}

#[test]
fn attributes_keep_to_their_bounds() {
    let object = |count: usize| {
        let pairs: Vec<_> = (0..count).map(|i| format!(r#""n{i}":"v""#)).collect();
        with_attributes(&format!("{{{}}}", pairs.join(",")))
    };
    let pair = |name: &str, value: &str| with_attributes(&format!(r#"{{"{name}":"{value}"}}"#));
    let long = "é".repeat(65);
    assert_eq!(
        post(&object(16), BodyFormat::Json)
            .content
            .attributes()
            .len(),
        16
    );
    post(&pair(&"é".repeat(64), &"é".repeat(64)), BodyFormat::Json);
    post(&with_attributes("{}"), BodyFormat::Json);
    let cut = format!("/attributes/{}…", "é".repeat(64));
    for format in [BodyFormat::Json, BodyFormat::Json5] {
        assert_errors(
            format,
            &[
                (
                    &object(17),
                    OutOfRange,
                    "/attributes",
                    "attributes has 17 pairs; give at most 16",
                ),
                (
                    &pair("", "v"),
                    OutOfRange,
                    "/attributes/",
                    "the name of an attribute must not be empty; give 1 to 64",
                ),
                (
                    &pair(&long, "v"),
                    OutOfRange,
                    &cut,
                    "the name of an attribute has more than 64 characters; shorten",
                ),
                (
                    &pair("n", &long),
                    OutOfRange,
                    "/attributes/n",
                    "the value of attribute \"n\" has more than 64 characters",
                ),
                (
                    &with_attributes(r#"{"a/b":"1","c":"2","a/b":"1"}"#),
                    DuplicateField,
                    "/attributes/a~1b",
                    "attributes has \"a/b\" twice; keep one of them",
                ),
                (
                    &with_attributes(r#"{"n":1}"#),
                    WrongType,
                    "/attributes/n",
                    "attribute \"n\" must be a string, not a number",
                ),
                (
                    &with_attributes(r#"{"n":null}"#),
                    WrongType,
                    "/attributes/n",
                    "attribute \"n\" must be a string, not null",
                ),
                (
                    &with_attributes("null"),
                    WrongType,
                    "/attributes",
                    "attributes must be an object of strings, not null",
                ),
                (
                    &with_attributes(r#"[["a","b"]]"#),
                    WrongType,
                    "/attributes",
                    "attributes must be an object of strings, not an array",
                ),
            ],
        );
    }
}

#[test]
fn nesting_over_64_is_refused_before_a_parser_recurses() {
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
        format!(r#"{{"username":"a","text":"t","[[[":{open}{close}}}"#)
    };
    let deep = "the body is nested deeper than 64 levels; flatten it";
    assert_errors(
        BodyFormat::Json,
        &[
            (&nested(64), UnknownField, "/[[[", "there is no field"),
            (&nested(65), NotJson, "1:97", deep),
            (&nested(129), NotJson, "1:97", deep),
        ],
    );
    post(&nested(64), BodyFormat::Json5);
    assert_errors(BodyFormat::Json5, &[(&nested(65), NotJson, "1:97", deep)]);
}

#[test]
fn json5_and_what_people_forget_is_let_through() {
    let plain = post(
        r#"{"username":"a","text":"t","timeout":60}"#,
        BodyFormat::Json,
    );
    for body in [
        "{username:'a',text:'t',timeout:60,}",
        "\u{feff}{username:'a',text:'t'}",
        "{username:'a' text:'t' timeout:60}",
        "{'username':'a'\"text\":\"t\"}",
        "{\n  username: 'a'\n  text: 't' // the text, }\n  timeout: 0x3C /* } ' */\n}",
        "{username:'a'/*,*/text:'\\x74'}",
        "// first\u{2028}{username:'a',text:'t'} /**/ // end",
        "{u\\u0073ername:'a',text:'\\x74'}",
        "{username:'a\\\r\n',text:'\\\u{2028}t\\\n'}",
        "{username:'a',text:'t',timeout:'60'}",
        "{username:'a',text:'t',timeout:\" +60 \"}",
        "{username:'a',text:'t',timeout:+60}",
        "{username:'a',text:'t',timeout:60.}",
        "{username:'a',text:'t',timeout:6e1}",
        "{username:'a',text:'t',other:[1 -2 {a:1 b:[]} 'x' .5,],more:null}",
        "{username:'a',text:'t',deliver_at:Infinity,'':NaN}",
    ] {
        assert_eq!(post(body, BodyFormat::Json5), plain, "{body}");
    }
    assert_eq!(
        post(
            r#"{username:'a',text:'it\'s "so" \/ \q'}"#,
            BodyFormat::Json5
        )
        .content
        .text(),
        "it's \"so\" / q"
    );
}

#[test]
fn a_body_that_is_no_json5_is_refused_with_its_place() {
    let timeout = "timeout must be a whole number of seconds such as 60, ";
    assert_errors(
        BodyFormat::Json5,
        &[
            ("", NotJson, "-", "the body is empty"),
            (
                "// nothing",
                NotJson,
                "1:11",
                "the body is not JSON5: expected a value, but the body ends",
            ),
            (
                "{",
                NotJson,
                "1:2",
                "the body is not JSON5: expected a field name or }, but the body ends",
            ),
            (
                "{a:[1\n",
                NotJson,
                "2:1",
                "the body is not JSON5: expected a comma or ], but the body ends",
            ),
            (
                "{a:1",
                NotJson,
                "1:5",
                "the body is not JSON5: expected a comma or }, but the body ends",
            ),
            (
                "{a:1]",
                NotJson,
                "1:5",
                "the body is not JSON5: expected a comma or }, but found ']'",
            ),
            (
                "{a:[,]}",
                NotJson,
                "1:5",
                "the body is not JSON5: expected a value or ], but found ','",
            ),
            (
                "{,}",
                NotJson,
                "1:2",
                "the body is not JSON5: expected a field name or }, but found ','",
            ),
            (
                "{a:1,,b:2}",
                NotJson,
                "1:6",
                "the body is not JSON5: expected a field name or }, but found ','",
            ),
            (
                "{a b:2}",
                NotJson,
                "1:4",
                "the body is not JSON5: expected a colon after the field name, but found 'b'",
            ),
            (
                "{a:}",
                NotJson,
                "1:4",
                "the body is not JSON5: expected a value, but found '}'",
            ),
            (
                "{} {}",
                NotJson,
                "1:4",
                "the body is not JSON5: expected nothing after the body, but found '{'",
            ),
            (
                "{a:1 {}}",
                NotJson,
                "1:6",
                "the body is not JSON5: expected a field name or }, but found '{'",
            ),
            (
                "{a:'é\n'}",
                NotJson,
                "1:6",
                "the body is not JSON5: a string has a line break; write it as \\n",
            ),
            (
                "{a:\n  'é}",
                NotJson,
                "2:3",
                "the body is not JSON5: a string has no end; add its quote",
            ),
            (
                "{a:'b\\",
                NotJson,
                "1:4",
                "the body is not JSON5: a string has no end",
            ),
            (
                "{a:1 /* }",
                NotJson,
                "1:6",
                "the body is not JSON5: a comment has no end; add */",
            ),
            (
                "{a:1 /}",
                NotJson,
                "1:6",
                "the body is not JSON5: a / begins no comment; write // or /*",
            ),
            (
                "{a:'é' b:2\n c:tru}",
                NotJson,
                "2:7",
                "the body is not JSON5: expected bool",
            ),
            (
                "{a:'é' b:2 c:foo}",
                NotJson,
                "1:14",
                "the body is not JSON5: expected bool",
            ),
            (
                "{a:'é' b:2 c:what}",
                NotJson,
                "1:14",
                "the body is not JSON5: expected value",
            ),
            (
                "{a:1\r\nb:2\u{2028}c:what}",
                NotJson,
                "2:7",
                "the body is not JSON5: expected value",
            ),
            (
                "{a:1 b:'\\ud800'}",
                NotJson,
                "1:15",
                "the body is not JSON5: invalid escape sequence",
            ),
            (
                "{a:1 b:'\\ud800\\u0041'}",
                NotJson,
                "1:9",
                "the body is not JSON5: unpaired surrogate",
            ),
            (
                "{a:1b:2}",
                NotJson,
                "1:6",
                "the body is not JSON5: expected a comma or }, but found ':'",
            ),
            (
                "{a:01}",
                NotJson,
                "1:4",
                "the body is not JSON5: leading zero",
            ),
            (
                "{a:0x}",
                NotJson,
                "1:6",
                "the body is not JSON5: expected number",
            ),
            (
                "{1:2}",
                NotJson,
                "1:2",
                "the body is not JSON5: expected identifier",
            ),
            (
                "{text:'t'}",
                MissingField,
                "/username",
                "the field username is missing",
            ),
            (
                "{text:'t' text:'t'}",
                DuplicateField,
                "/text",
                "the body has the field text twice",
            ),
            (
                "{text:1}",
                WrongType,
                "/text",
                "text must be a string, not a number",
            ),
            (
                "{timeout:'soon'}",
                WrongType,
                "/timeout",
                &format!("{timeout}not \"soon\""),
            ),
            (
                "{timeout:''}",
                WrongType,
                "/timeout",
                &format!("{timeout}not \"\""),
            ),
            (
                "{timeout:1.5}",
                WrongType,
                "/timeout",
                &format!("{timeout}without a fraction"),
            ),
            (
                "{timeout:NaN}",
                WrongType,
                "/timeout",
                &format!("{timeout}without a fraction"),
            ),
            (
                "{timeout:null}",
                WrongType,
                "/timeout",
                &format!("{timeout}not null"),
            ),
            (
                "{timeout:Infinity}",
                OutOfRange,
                "/timeout",
                "timeout is out of range",
            ),
            (
                "{timeout:1e999}",
                OutOfRange,
                "/timeout",
                "timeout is out of range",
            ),
            (
                "{timeout:'99999999999999999999'}",
                OutOfRange,
                "/timeout",
                "timeout is out of range",
            ),
            (
                "{timeout:'-1'}",
                OutOfRange,
                "/timeout",
                "timeout is out of range",
            ),
        ],
    );
}

#[test]
fn a_form_is_read() {
    let posted = post(
        "&username=al%69ce&text=a+b%2b%C3%A9%0d%0a=&&timeout=5&",
        BodyFormat::Form,
    );
    assert_eq!(posted.username.as_str(), "alice");
    assert_eq!(posted.content.text(), "a b+é\r\n=");
    assert_eq!(posted.timeout_secs, 5);
    let plain = post("text=t&username=a", BodyFormat::Form);
    assert_eq!(plain.timeout_secs, 60);
    assert_eq!(
        post(" \r\n{\"username\":\"a\",\"text\":\"t\"}", BodyFormat::Form),
        plain
    );
    assert_errors(
        BodyFormat::Form,
        &[(
            "{'a':1}",
            NotJson,
            "1:2",
            "the body is not JSON: key must be",
        )],
    );
}

#[test]
fn a_bad_form_is_refused_with_its_field() {
    let percent = "has a % without two hexadecimal digits; write a percent sign as %25";
    let utf8 = "is not UTF-8; encode it as UTF-8";
    assert_errors(
        BodyFormat::Form,
        &[
            (
                "",
                MissingField,
                "-",
                "the body is empty; send a form such as username=alice&text=hello",
            ),
            (
                "&&",
                MissingField,
                "/username",
                "the field username is missing",
            ),
            (
                "username=a",
                MissingField,
                "/text",
                "the field text is missing",
            ),
            (
                "username=a&text",
                OutOfRange,
                "/text",
                "text must not be empty",
            ),
            (
                "username=a&text=100%",
                NotForm,
                "/text",
                &format!("the value of form field \"text\" {percent}"),
            ),
            (
                "text=%4",
                NotForm,
                "/text",
                &format!("the value of form field \"text\" {percent}"),
            ),
            (
                "text=%zz",
                NotForm,
                "/text",
                &format!("the value of form field \"text\" {percent}"),
            ),
            (
                "text=%+1",
                NotForm,
                "/text",
                &format!("the value of form field \"text\" {percent}"),
            ),
            (
                "text=%ff",
                NotForm,
                "/text",
                &format!("the value of form field \"text\" {utf8}"),
            ),
            (
                "te%xt=a",
                NotForm,
                "-",
                &format!("the name of a form field {percent}"),
            ),
            (
                "usrename=a",
                UnknownField,
                "/usrename",
                "there is no field \"usrename\"; did you mean username?",
            ),
            (
                "attributes=a",
                UnknownField,
                "/attributes",
                "there is no field \"attributes\"; the fields are username, text, timeout",
            ),
            (
                "text=a&text=a",
                DuplicateField,
                "/text",
                "the body has the field text twice",
            ),
            (
                "timeout=",
                WrongType,
                "/timeout",
                "timeout must be a whole number of seconds such as 60, not \"\"",
            ),
            (
                "timeout=1.5",
                WrongType,
                "/timeout",
                "timeout must be a whole number of seconds such as 60, not \"1.5\"",
            ),
            (
                "username=a&text=t&timeout=2592001",
                OutOfRange,
                "/timeout",
                "timeout is out of range",
            ),
        ],
    );
    let raw = error(b"text=\xff", BodyFormat::Form);
    assert_eq!((raw.kind, place(&raw)), (NotForm, "/text".to_owned()));
}
