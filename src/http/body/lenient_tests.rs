//! What JSON5 lets through, and each of its errors with its place in the body as it came.

use super::super::BodyFormat;
use super::super::error_tables::post;

#[test]
fn json5_and_what_people_forget_is_let_through() {
    let plain = post(r#"{"username":"a","text":"t"}"#, BodyFormat::Json);
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
}

#[test]
fn escapes_of_json5_are_read() {
    let body = r#"{username:'a',text:'it\'s "so" \/ \q\v\0'}"#;
    let post = post(body, BodyFormat::Json5);
    assert_eq!(post.content.text(), "it's \"so\" / q\u{b}\0");
}

#[test]
fn a_wrong_structure_is_refused_with_its_place() {
    assert_errors! { Json5:
        "" => NotJson, "-", "the body is empty";
        "// nothing" => NotJson, "1:11", "the body is not JSON5: expected a value, but the body ends";
        "{" => NotJson, "1:2", "the body is not JSON5: expected a field name or }, but the body ends";
        "{a:[1\n" => NotJson, "2:1", "the body is not JSON5: expected a comma or ], but the body ends";
        "{a:1" => NotJson, "1:5", "the body is not JSON5: expected a comma or }, but the body ends";
        "{a:1]" => NotJson, "1:5", "the body is not JSON5: expected a comma or }, but found ']'";
        "{a:[,]}" => NotJson, "1:5", "the body is not JSON5: expected a value or ], but found ','";
        "{,}" => NotJson, "1:2", "the body is not JSON5: expected a field name or }, but found ','";
        "{a:1,,b:2}" => NotJson, "1:6", "the body is not JSON5: expected a field name or }, but found ','";
        "{a b:2}" => NotJson, "1:4", "the body is not JSON5: expected a colon after the field name, but found 'b'";
        "{a:}" => NotJson, "1:4", "the body is not JSON5: expected a value, but found '}'";
        "{} {}" => NotJson, "1:4", "the body is not JSON5: expected nothing after the body, but found '{'";
        "{a:1 {}}" => NotJson, "1:6", "the body is not JSON5: expected a field name or }, but found '{'";
        "{a:1b:2}" => NotJson, "1:6", "the body is not JSON5: expected a comma or }, but found ':'";
        "{a:'é\n'}" => NotJson, "1:6", "the body is not JSON5: a string has a line break; write it as \\n";
        "{a:'\r'}" => NotJson, "1:5", "the body is not JSON5: a string has a line break";
        "{a:\n  'é}" => NotJson, "2:3", "the body is not JSON5: a string has no end; add its quote";
        "{a:'b\\" => NotJson, "1:4", "the body is not JSON5: a string has no end";
        "{a:1 /* }" => NotJson, "1:6", "the body is not JSON5: a comment has no end; add */";
        "{a:1 /*/ }" => NotJson, "1:6", "the body is not JSON5: a comment has no end; add */";
        "{a:1 / }" => NotJson, "1:6", "the body is not JSON5: a / begins no comment; write // or /*";
        b"{a:'\xff'}" => NotJson, "1:5", "the body is not UTF-8; encode it as UTF-8";
    }
}

#[test]
fn a_wrong_word_or_escape_is_refused_with_its_place_before_commas_were_added() {
    assert_errors! { Json5:
        "{a:'é' b:2\n c:what}" => NotJson, "2:4", "the body is not JSON5: expected value";
        "{a:'é' b:2 c:what}" => NotJson, "1:14", "the body is not JSON5: expected value";
        "{a:1\r\nb:2\u{2028}c:what}" => NotJson, "2:7", "the body is not JSON5: expected value";
        "{a:1 b:2 c:3 d:x e:4}" => NotJson, "1:16", "the body is not JSON5: expected value";
        "{a:1 b:truth}" => NotJson, "1:11", "the body is not JSON5: expected bool";
        "{a:1 b:'\\ud800'}" => NotJson, "1:15", "the body is not JSON5: invalid escape sequence";
        "{a:1 b:'\\ud800\\u0041'}" => NotJson, "1:9", "the body is not JSON5: unpaired surrogate";
        "{a:01}" => NotJson, "1:4", "the body is not JSON5: leading zero";
        "{a:0x}" => NotJson, "1:6", "the body is not JSON5: expected number";
        "{1:2}" => NotJson, "1:2", "the body is not JSON5: expected identifier";
    }
}

#[test]
fn fields_are_held_to_their_types_and_bounds() {
    let must = "timeout must be a whole number of seconds such as 60,";
    assert_errors! { Json5:
        "{text:'t'}" => MissingField, "/username", "the field username is missing";
        "{text:'t' text:'t'}" => DuplicateField, "/text", "the body has the field text twice";
        "{text:1}" => WrongType, "/text", "text must be a string, not a number";
        "{timeout:'soon'}" => WrongType, "/timeout", format!("{must} not \"soon\"");
        "{timeout:''}" => WrongType, "/timeout", format!("{must} not \"\"");
        "{timeout:'6e1'}" => WrongType, "/timeout", format!("{must} not \"6e1\"");
        "{timeout:1.5}" => WrongType, "/timeout", format!("{must} without a fraction");
        "{timeout:NaN}" => WrongType, "/timeout", format!("{must} without a fraction");
        "{timeout:null}" => WrongType, "/timeout", format!("{must} not null");
        "{timeout:Infinity}" => OutOfRange, "/timeout", "timeout is out of range";
        "{timeout:1e999}" => OutOfRange, "/timeout", "timeout is out of range";
        "{timeout:'99999999999999999999'}" => OutOfRange, "/timeout", "timeout is out of range";
        "{timeout:'-1'}" => OutOfRange, "/timeout", "timeout is out of range";
        "{username:'a' text:'t' timeout:'2592001'}" => OutOfRange, "/timeout", "timeout is out of range";
    }
}
