//! Pushes that others made: WeChat's published sample, and those that openssl encrypted (`tests/fixtures/events.py`).

use std::collections::HashMap;

use super::*;
use crate::receiver::{BODY_BYTES_MAX, EventKey};

const PLATFORM: &str = "wxfa4e000000000000";
const MERCHANT: &str = "wx1a00000000000001";
const AT: i64 = 1_760_000_000;

/// A push of the fixture.
#[derive(Clone)]
struct Push {
    timestamp: String,
    nonce: String,
    signature: String,
    encrypt: String,
}

impl Push {
    fn named(name: &str) -> Self {
        let pushes: HashMap<&str, Self> = include_str!("../../../tests/fixtures/events.txt")
            .lines()
            .map(|line| {
                let words: Vec<&str> = line.split(' ').collect();
                let word = |place: usize| words[place].to_owned();
                (words[0], Self { timestamp: word(1), nonce: word(2), signature: word(3), encrypt: word(4) })
            })
            .collect();
        pushes[name].clone()
    }

    fn query(&self) -> String {
        let Self { timestamp, nonce, signature, .. } = self;
        format!("signature=of-no-use&timestamp={timestamp}&nonce={nonce}&encrypt_type=aes&msg_signature={signature}")
    }

    fn body(&self) -> String {
        format!("<xml><AppId><![CDATA[{PLATFORM}]]></AppId><Encrypt><![CDATA[{}]]></Encrypt></xml>", self.encrypt)
    }

    fn open(&self) -> Result<Received, Refusal> {
        open(&self.query(), &self.body(), AT)
    }
}

fn keys() -> EventKeys {
    let key = EventKey::parse("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG").unwrap();
    EventKeys { token: "spamtest".into(), key }
}

fn at(secs: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(secs, 0).unwrap()
}

fn open(query: &str, body: &str, now: i64) -> Result<Received, Refusal> {
    Envelope::read(body.as_bytes())?.open(query, Some(&keys()), false, at(now))
}

fn refusal(push: &Push) -> Refusal {
    push.open().expect_err("it is refused")
}

fn plain(json: &str) -> Result<Event, Refusal> {
    let envelope = Envelope::read(json.as_bytes())?;
    envelope.open("", None, true, at(AT)).map(|received| received.event)
}

#[test]
fn wechat_s_published_sample_opens() {
    let encrypt = "hyzAe4OzmOMbd6TvGdIOO6uBmdJoD0Fk53REIHvxYtJlE2B655HuD0m8KUePWB3+LrPXo87wzQ1QLvbeUgmBM4x6F8PGHQHFVAFmOD2LdJF9FrXpbUAh0B5GIItb52sn896wVsMSHGuPE328HnRGBcrS7C41IzDWyWNlZkyyXwon8T332jisa+h6tEDYsVticbSnyU8dKOIbgU6ux5VTjg3yt+WGzjlpKn6NPhRjpA912xMezR4kw6KWwMrCVKSVCZciVGCgavjIQ6X8tCOp3yZbGpy0VxpAe+77TszTfRd5RJSVO/HTnifJpXgCSUdUue1v6h0EIBYYI1BD1DlD+C0CR8e6OewpusjZ4uBl9FyJvnhvQl+q5rv1ixrcpCumEPo5MJSgM9ehVsNPfUM669WuMyVWQLCzpu9GhglF2PE=";
    let signature = "5d197aaffba7e9b25a30732f161a50dee96bd5fa";
    assert!(cipher::signature_fits(signature, "spamtest", "1409735669", "1320562132", encrypt));
    let opened = cipher::open(&keys().key, encrypt).unwrap();
    assert_eq!(opened.appid, b"wx2c2769f8efd9abc2");
    let fields = Fields::of_xml(&opened.message).unwrap();
    assert_eq!((fields.required("Content"), fields.number("CreateTime")), (Ok("abcdteT"), Ok(1_409_735_668)));
}

#[test]
fn a_ticket_that_openssl_encrypted_is_read() {
    let received = Push::named("ticket").open().unwrap();
    assert_eq!((received.event.component_appid.as_str(), received.event.created_at), (PLATFORM, at(AT)));
    assert_eq!(received.mark.as_deref(), Some(Push::named("ticket").signature.as_str()));
    let News::Ticket(ticket) = received.event.news else { panic!("{:?}", received.event.news) };
    assert_eq!(ticket.expose_secret(), "ticket@@@fake-by-openssl");
}

#[test]
fn each_kind_of_event_is_told_from_the_others() {
    for (name, update) in [("authorized", false), ("updateauthorized", true)] {
        let News::Authorized(authorized) = Push::named(name).open().unwrap().event.news else { panic!("{name}") };
        assert_eq!((authorized.appid.as_str(), authorized.update), (MERCHANT, update));
        assert_eq!(authorized.code.expose_secret(), "queryauthcode@@@fake-by-openssl");
        assert_eq!(authorized.code_expires_at, Some(at(AT + 3600)));
    }
    let withdrew = Push::named("unauthorized").open().unwrap().event.news;
    assert!(matches!(&withdrew, News::Unauthorized { appid } if appid == MERCHANT), "{withdrew:?}");
    let other = Push::named("fast_registration").open().unwrap().event.news;
    assert_eq!(other.info_type(), "notify_third_fasteregister");
}

#[test]
fn every_odd_push_of_the_fixture_is_refused_for_its_own_reason() {
    for (name, expected) in [
        ("other_appid_in_the_frame", Refusal::WrongAppid),
        ("other_appid_in_the_message", Refusal::WrongAppid),
        ("no_appid_in_the_frame", Refusal::WrongAppid),
        ("length_cuts_the_message", Refusal::WrongAppid),
        ("padding_of_zero", Refusal::Undecipherable),
        ("padding_too_long", Refusal::Undecipherable),
        ("padding_torn", Refusal::Undecipherable),
        ("length_beyond_the_end", Refusal::Undecipherable),
        ("no_ticket", Refusal::Missing("ComponentVerifyTicket")),
        ("no_code", Refusal::Missing("AuthorizationCode")),
        ("no_merchant", Refusal::Missing("AuthorizerAppid")),
        ("odd_merchant", Refusal::Odd("AuthorizerAppid")),
        ("no_create_time", Refusal::Missing("CreateTime")),
        ("from_the_future", Refusal::Stale),
        ("a_dtd_inside", Refusal::Malformed("a DTD")),
        ("no_xml_inside", Refusal::Malformed("not UTF-8")),
        ("nothing_inside", Refusal::Malformed("no well-formed XML")),
    ] {
        assert_eq!(refusal(&Push::named(name)), expected, "{name}");
    }
}

#[test]
fn a_signature_over_anything_else_is_forged() {
    let push = Push::named("ticket");
    let other = Push::named("unauthorized");
    for forged in [
        Push { signature: other.signature.clone(), ..push.clone() },
        Push { encrypt: other.encrypt, ..push.clone() },
        Push { timestamp: (AT + 1).to_string(), ..push.clone() },
        Push { nonce: "1320562133".to_owned(), ..push.clone() },
        Push { signature: push.signature.to_uppercase(), ..push.clone() },
        Push { signature: push.signature[..39].to_owned(), ..push.clone() },
    ] {
        assert_eq!(refusal(&forged), Refusal::Forged);
    }
    let wrong_token = EventKeys { token: "spamtests".into(), ..keys() };
    let envelope = Envelope::read(push.body().as_bytes()).unwrap();
    let opened = envelope.open(&push.query(), Some(&wrong_token), false, at(AT));
    assert_eq!(opened.unwrap_err(), Refusal::Forged);
    let wrong_key = EventKeys { key: EventKey::parse(&"a".repeat(43)).unwrap(), ..keys() };
    let opened = envelope.open(&push.query(), Some(&wrong_key), false, at(AT));
    assert_eq!(opened.unwrap_err(), Refusal::Undecipherable);
}

#[test]
fn the_timestamp_may_be_ten_minutes_from_now_and_not_a_second_more() {
    let push = Push::named("ticket");
    let window = WINDOW.num_seconds();
    for now in [AT - window, AT, AT + window] {
        assert!(open(&push.query(), &push.body(), now).is_ok(), "{now}");
    }
    for now in [AT - window - 1, AT + window + 1, 1] {
        assert_eq!(open(&push.query(), &push.body(), now).unwrap_err(), Refusal::Stale, "{now}");
    }
}

#[test]
fn a_query_without_its_parts_or_with_two_of_one_is_refused() {
    let push = Push::named("ticket");
    let query = push.query();
    for name in ["timestamp", "nonce", "msg_signature"] {
        let without = query.replace(name, "x");
        assert_eq!(open(&without, &push.body(), AT).unwrap_err(), Refusal::Missing(name));
        let twice = format!("{query}&{name}=1");
        assert_eq!(open(&twice, &push.body(), AT).unwrap_err(), Refusal::Odd(name));
    }
    let raw = query.replace("encrypt_type=aes", "encrypt_type=raw");
    assert_eq!(open(&raw, &push.body(), AT).unwrap_err(), Refusal::Odd("encrypt_type"));
    assert!(open(&query.replace("&encrypt_type=aes", ""), &push.body(), AT).is_ok());
    assert_eq!(open("", &push.body(), AT).unwrap_err(), Refusal::Missing("timestamp"));
}

#[test]
fn base64_that_is_none_is_refused_even_when_it_is_signed() {
    use sha1::{Digest as _, Sha1};
    for encrypt in ["?", "AAAA", "AAAAAAAAAAAAAAAAAAAAAA==", "A", &"A".repeat(43), "AAAAAAAAAAAAAAAAAAAAAB=="] {
        let mut parts = ["spamtest", "1760000000", "7", encrypt];
        parts.sort_unstable();
        let digest = Sha1::digest(parts.concat());
        let signature = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let push = Push { timestamp: AT.to_string(), nonce: "7".to_owned(), signature, encrypt: encrypt.to_owned() };
        assert_eq!(refusal(&push), Refusal::Undecipherable, "{encrypt}");
    }
}

#[test]
fn the_envelope_must_name_its_platform_and_stay_within_bounds() {
    let push = Push::named("ticket");
    let other = push.body().replace(PLATFORM, "wxfa4e000000000001");
    assert_eq!(open(&push.query(), &other, AT).unwrap_err(), Refusal::WrongAppid);
    let missing = push.body().replace("AppId", "ToUserName");
    assert_eq!(Envelope::read(missing.as_bytes()).unwrap_err(), Refusal::Missing("AppId"));
    let missing = push.body().replace("Encrypt", "Encrypted");
    assert_eq!(Envelope::read(missing.as_bytes()).unwrap_err(), Refusal::Missing("Encrypt"));
    let padded = |length: usize| format!("{}{}", push.body(), " ".repeat(length - push.body().len()));
    assert!(open(&push.query(), &padded(BODY_BYTES_MAX), AT).is_ok());
    assert_eq!(open(&push.query(), &padded(BODY_BYTES_MAX + 1), AT).unwrap_err(), Refusal::TooLarge);
    let envelope = Envelope::read(push.body().as_bytes()).unwrap();
    assert_eq!(envelope.component_appid(), PLATFORM);
    assert_eq!(envelope.open(&push.query(), None, true, at(AT)).unwrap_err(), Refusal::UnknownPlatform);
}

#[test]
fn plain_json_is_believed_only_where_it_is_switched_on() {
    let json = r#"{"AppId": "wxfa4e000000000000", "CreateTime": 1760000000, "InfoType": "authorized",
        "AuthorizerAppid": "wx1a00000000000001", "AuthorizationCode": "fake-code",
        "AuthorizationCodeExpiredTime": "600", "PreAuthCode": "fake"}"#;
    let envelope = Envelope::read(json.as_bytes()).unwrap();
    assert_eq!(envelope.open("", Some(&keys()), false, at(AT)).unwrap_err(), Refusal::PlainSwitchedOff);
    let News::Authorized(authorized) = plain(json).unwrap().news else { panic!() };
    // A number too small for an instant of this century is a length of time.
    assert_eq!(authorized.code_expires_at, Some(at(AT + 600)));
}

#[test]
fn times_that_are_none_are_refused() {
    let with = |created: &str| {
        format!(
            r#"{{"AppId":"{PLATFORM}","InfoType":"unauthorized","AuthorizerAppid":"{MERCHANT}","CreateTime":{created}}}"#
        )
    };
    assert!(plain(&with(r#""1413192605 ""#)).is_ok(), "WeChat's own example has a space behind the number");
    for bad in ["0", "-1", "1e3", "\"\"", "9223372036854775807", "99999999999999999999", "null", "{}"] {
        assert!(plain(&with(bad)).is_err(), "{bad}");
    }
    let ahead = |secs: i64| plain(&with(&(AT + secs).to_string())).map(|_| ());
    assert_eq!((ahead(600), ahead(601)), (Ok(()), Err(Refusal::Stale)));
}

#[test]
fn secrets_that_hold_spaces_or_are_endless_are_refused_and_none_shows_in_a_debug_form() {
    let with = |ticket: &str| {
        format!(
            r#"{{"AppId":"{PLATFORM}","CreateTime":{AT},"InfoType":"component_verify_ticket","ComponentVerifyTicket":"{ticket}"}}"#
        )
    };
    for bad in ["a b", "票", "a\\u0000b", &"a".repeat(SECRET_BYTES_MAX + 1)] {
        assert_eq!(plain(&with(bad)).unwrap_err(), Refusal::Odd("ComponentVerifyTicket"), "{bad}");
    }
    let event = plain(&with(&"a".repeat(SECRET_BYTES_MAX))).unwrap();
    assert!(!format!("{event:?}").contains("aaaa"));
    assert!(!format!("{:?}", keys()).contains("spamtest"));
}
