//! Tokens of another system: one place, one keeper, and no address or query that shows.

use super::*;

const TOKEN_URL: (&str, &str) =
    ("WXPATROL_TOKEN_URL", "http://tokens.internal/{component_appid}/{appid}?key=planted-key");
const TOKEN_SQL: (&str, &str) =
    ("WXPATROL_TOKEN_SQL", "select token, pgp(x, 'planted-key') from t where a = $1 and b = $2;");

#[test]
fn tokens_of_another_system_need_no_secret_and_show_no_address() {
    let appid = ("WXPATROL_COMPONENT_APPID", "wx0123456789abcdef");
    for (source, name) in [(TOKEN_URL, "WXPATROL_TOKEN_URL"), (TOKEN_SQL, "WXPATROL_TOKEN_SQL")] {
        let config = read(&[appid, source]).unwrap();
        assert!(config.platform.as_ref().unwrap().secret.is_none());
        let settings = config.token_source.as_ref().unwrap();
        assert_eq!((settings.variable(), settings.knows_the_platform()), (name, false));
        assert!(!format!("{config:?}").contains("planted-key"));
        let shown = config.settings().iter().find(|setting| setting.name == name).unwrap();
        assert_eq!((shown.value.as_str(), shown.source), ("set", Source::Environment));
    }
    let config = read(&[TOKEN_URL, ("WXPATROL_COMPONENT_TOKEN_URL", "https://tokens.internal/own")]).unwrap();
    assert!(config.token_source.unwrap().knows_the_platform());
}

#[test]
fn tokens_come_from_one_place_and_are_kept_by_one_system() {
    let secret = ("WXPATROL_COMPONENT_APPSECRET", "not-a-real-secret");
    let appid = ("WXPATROL_COMPONENT_APPID", "wx0123456789abcdef");
    let ticket = ("WXPATROL_VERIFY_TICKET", "not-a-real-ticket");
    for (variables, named, word) in [
        (&[TOKEN_URL, TOKEN_SQL][..], "WXPATROL_TOKEN_SQL", "together with WXPATROL_TOKEN_URL"),
        (&[TOKEN_URL, appid, secret], "WXPATROL_TOKEN_URL", "together with WXPATROL_COMPONENT_APPSECRET"),
        (&[TOKEN_SQL, appid, ticket], "WXPATROL_TOKEN_SQL", "together with WXPATROL_VERIFY_TICKET"),
        (&[TOKEN_SQL, appid, secret, ticket], "WXPATROL_TOKEN_SQL", "two refreshers"),
        (&[("WXPATROL_COMPONENT_TOKEN_URL", "http://a/b")], "WXPATROL_TOKEN_URL", "must be set when"),
        (&[("WXPATROL_COMPONENT_TOKEN_SQL", "select $1")], "WXPATROL_TOKEN_SQL", "must be set when"),
        (&[TOKEN_SQL, ("WXPATROL_TOKEN_BEARER", "made-up")], "WXPATROL_TOKEN_URL", "WXPATROL_TOKEN_BEARER is"),
    ] {
        let faults = faults(variables);
        assert!(faults.len() == 1 && faults[0].0 == named && faults[0].1.contains(word), "{faults:?}");
    }
}

#[test]
fn a_source_that_can_not_work_is_a_fault_that_repeats_nothing_of_it() {
    for (name, value, word) in [
        ("WXPATROL_TOKEN_URL", "http://planted-key/{component_appid}", "must hold {appid}"),
        ("WXPATROL_TOKEN_URL", "http://planted-key/{appid}/{merchant}", "no braces but"),
        ("WXPATROL_TOKEN_URL", "ftp://planted-key/{appid}", "http or https"),
        ("WXPATROL_TOKEN_URL", "planted-key {appid}", "http or https"),
        ("WXPATROL_TOKEN_URL", "http://me:planted-key@tokens/{appid}", "WXPATROL_TOKEN_BEARER"),
        ("WXPATROL_TOKEN_URL", "http://tokens/{appid}#planted-key", "fragment"),
        ("WXPATROL_TOKEN_SQL", "select 'planted-key'", "must hold $2"),
        ("WXPATROL_TOKEN_POINTER", "access_token", "begins with /"),
    ] {
        let text = read(&[(name, value)]).unwrap_err().to_string();
        assert!(text.contains(name) && text.contains(word) && !text.contains("planted-key"), "{text}");
    }
    let bearer = read(&[TOKEN_URL, ("WXPATROL_TOKEN_BEARER", "planted key")]).unwrap_err().to_string();
    assert!(bearer.contains("WXPATROL_TOKEN_BEARER") && !bearer.contains("planted"), "{bearer}");
}
