//! Turns an ordinary answer into the odd one that the script asks for, and writes the bodies of errors.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use super::oddity::Oddity;
use super::wire::json;
use super::world::World;

/// More than any reader should take in one body.
const OVERSIZED_BYTES: usize = (1 << 20) + (1 << 17);

/// What becomes of an answer.
pub(super) enum Spoilt {
    Response(Response),
    Cut,
    Never,
}

/// The body of an error: code, message and rid as WeChat writes them.
pub(super) fn error_body(world: &World, errcode: i64) -> String {
    format!(r#"{{"errcode":{errcode},"errmsg":"{} rid: {}"}}"#, errmsg(errcode), world.rid())
}

/// The body of an error whose message repeats what was asked.
pub(super) fn echo_body(world: &World, errcode: i64, asked: &str) -> String {
    let words = format!("{} {asked} rid: {}", errmsg(errcode), world.rid());
    format!(r#"{{"errcode":{errcode},"errmsg":{}}}"#, serde_json::Value::from(words))
}

fn errmsg(errcode: i64) -> &'static str {
    match errcode {
        -1 | -1000 => "system error",
        // Seen live with nothing before the rid.
        1005 => "",
        40001 => "invalid credential, access_token is invalid or not latest",
        40013 => "invalid appid",
        40014 => "invalid access_token",
        40066 => "invalid url",
        40097 => "invalid args",
        40125 => "invalid appsecret",
        40170 => "args count exceed count limit",
        41001 => "access_token missing",
        41002 => "appid missing",
        41004 => "appsecret missing",
        41018 => "component_appid missing",
        42001 => "access_token expired",
        43002 => "require POST method",
        44002 => "empty post data",
        44991 => "reach max api minute frequence limit",
        45009 => "reach max api daily quota limit",
        45011 => "api minute-quota reach limit, must slower, retry next minute",
        47001 => "data format error",
        48001 => "api unauthorized",
        50002 => "user limited",
        61003 => "component is not authorized by this account",
        61004 => "access clientip is not registered requestIP: 192.0.2.1",
        61005 => "component ticket is expired",
        61006 => "component ticket is invalid",
        61007 => "api is unauthorized to component",
        61011 => "invalid component",
        61014 => "must use component token for component api",
        61015 => "must use account's token, not component's",
        61023 => "refresh_token is invalid",
        76003 => "invalid cgi_path",
        76021 => "cgi_path not found",
        76022 => "token does not fit cgi_path",
        89007 => "wxa quota limit",
        89010 => "link message has sent",
        89015 => "has linked wxa",
        89016 => "reach same realname quota",
        89017 => "reach different realname quota",
        89245 => "mini program forbidden to link",
        89407 => "reach different realname limit",
        -601_026 => "template message frequency limit",
        -601_034 => "no permission, open cloud development or cloud hosting first",
        _ => "error",
    }
}

/// `errcode` is that of `body`; an error is not made to look like a success by leaving its code out.
pub(super) fn spoil(component_appid: &str, oddity: Oddity, errcode: i64, body: String) -> Spoilt {
    let response = match oddity {
        Oddity::Errcode(_) | Oddity::Echo(_) | Oddity::DelayMs(_) => json(body),
        Oddity::Reset => return Spoilt::Cut,
        Oddity::Hang => return Spoilt::Never,
        Oddity::HttpStatus(status) | Oddity::EchoPage(status) => {
            let words = if matches!(oddity, Oddity::EchoPage(_)) { &body } else { "" };
            let page = "<html><head><title>Gateway</title></head><body><h1>upstream unavailable</h1>";
            let mut response = html(format!("{page}{words}</body></html>"));
            *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
            response
        }
        Oddity::EmptyBody => json(""),
        Oddity::TruncatedJson => {
            let mut bytes = body.into_bytes();
            bytes.truncate(bytes.len() / 2);
            json(bytes)
        }
        Oddity::InvalidUtf8 => json(with_bytes_in_a_string(&body, b"caf\xe9\xff\xfe ")),
        Oddity::RawControlCharacters => json(with_bytes_in_a_string(&body, b"bell\x07\x1f\x0b ")),
        Oddity::Oversized => {
            let field = format!(r#""padding":"{}""#, "x".repeat(OVERSIZED_BYTES));
            json(with_field(&body, field.as_bytes()))
        }
        Oddity::ErrcodeAsString => {
            let number = format!(r#""errcode":{errcode},"#);
            let text = format!(r#""errcode":"{errcode}","#);
            if body.contains(&number) {
                json(body.replacen(&number, &text, 1))
            } else {
                json(with_field(&body, br#""errcode":"0""#))
            }
        }
        Oddity::MissingErrcode => {
            let Some(rest) = body.strip_prefix(r#"{"errcode":0,"errmsg":"ok""#) else {
                return Spoilt::Response(json(body));
            };
            json(format!("{{{}", rest.strip_prefix(',').unwrap_or(rest)))
        }
        Oddity::ExtraFields => {
            json(with_field(&body, br#""copy_verify_status":1,"added_in_2031":{"deep":[1,null,{"a":"b"}]},"#))
        }
        Oddity::Redirect => {
            let mut response = html(String::new());
            *response.status_mut() = StatusCode::FOUND;
            response.headers_mut().insert(header::LOCATION, elsewhere(component_appid));
            response
        }
        Oddity::WrongContentType => html(body),
    };
    Spoilt::Response(response)
}

/// Where redirects point to: the path that counts who follows, for the platform whose call it was.
fn elsewhere(component_appid: &str) -> HeaderValue {
    let path = format!("/_sim/elsewhere?platform={component_appid}");
    HeaderValue::from_str(&path).unwrap_or(HeaderValue::from_static("/_sim/elsewhere"))
}

fn html(body: String) -> Response {
    let mut response = json(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

/// Puts `"key":value` in front of an object's fields; a comma behind it is added where it lacks.
fn with_field(body: &str, field: &[u8]) -> Vec<u8> {
    let rest = body.strip_prefix('{').unwrap_or(body).as_bytes();
    let field = field.strip_suffix(b",").unwrap_or(field);
    let comma: &[u8] = if rest == b"}" { b"" } else { b"," };
    [b"{", field, comma, rest].concat()
}

fn with_bytes_in_a_string(body: &str, bytes: &[u8]) -> Vec<u8> {
    for key in [r#""nick_name":""#, r#""nickname":""#] {
        if let Some(at) = body.find(key) {
            let (before, behind) = body.as_bytes().split_at(at + key.len());
            return [before, bytes, behind].concat();
        }
    }
    let field = [b"\"remark\":\"".as_slice(), bytes, b"\""].concat();
    with_field(body, &field)
}
