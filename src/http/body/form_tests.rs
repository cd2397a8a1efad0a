//! What a form may be, and each of its errors with its field and message.

use super::super::BodyFormat;
use super::super::error_tables::post;

#[test]
fn a_form_is_read() {
    let body = "&username=al%69ce&text=a+b%2b%C3%A9%0d%0a=&&timeout=5&";
    let post = post(body, BodyFormat::Form);
    assert_eq!(post.username.as_str(), "alice");
    assert_eq!(post.content.text(), "a b+é\r\n=");
    assert_eq!(post.timeout_secs, 5);
}

#[test]
fn a_form_that_begins_with_a_brace_is_json() {
    let plain = post("text=t&username=a", BodyFormat::Form);
    assert_eq!(plain.timeout_secs, 60);
    let json = " \r\n{\"username\":\"a\",\"text\":\"t\"}";
    assert_eq!(post(json, BodyFormat::Form), plain);
    assert_errors! { Form: "{'a':1}" => NotJson, "1:2", "the body is not JSON: key must be a string"; }
}

#[test]
fn a_bad_form_is_refused_with_its_field() {
    let value = "the value of form field \"text\"";
    let percent = "has a % without two hexadecimal digits; write a percent sign as %25";
    let utf8 = "is not UTF-8; encode it as UTF-8";
    let must = "timeout must be a whole number of seconds such as 60,";
    let near = "there is no field \"usrename\"; did you mean username?";
    let all = "there is no field \"attributes\"; the fields are username, text, timeout";
    assert_errors! { Form:
        "" => MissingField, "-", "the body is empty; send a form such as username=alice&text=hello";
        "&&" => MissingField, "/username", "the field username is missing";
        "username=a" => MissingField, "/text", "the field text is missing";
        "username=a&text" => OutOfRange, "/text", "text must not be empty";
        "username=a&text=100%" => NotForm, "/text", format!("{value} {percent}");
        "text=%4" => NotForm, "/text", format!("{value} {percent}");
        "text=%zz" => NotForm, "/text", format!("{value} {percent}");
        "text=%+1" => NotForm, "/text", format!("{value} {percent}");
        "text=%ff" => NotForm, "/text", format!("{value} {utf8}");
        b"text=\xff" => NotForm, "/text", format!("{value} {utf8}");
        "te%xt=a" => NotForm, "-", format!("the name of a form field {percent}");
        "usrename=a" => UnknownField, "/usrename", near;
        "attributes=a" => UnknownField, "/attributes", all;
        "text=a&text=a" => DuplicateField, "/text", "the body has the field text twice";
        "timeout=" => WrongType, "/timeout", format!("{must} not \"\"");
        "timeout=1.5" => WrongType, "/timeout", format!("{must} not \"1.5\"");
        "username=a&text=t&timeout=2592001" => OutOfRange, "/timeout", "timeout is out of range";
        "username=a+b&text=t" => BadUsername, "/username", "username has the character U+0020";
    }
}
