//! The rules of the environment, each from both sides, and the example file.

mod example;
mod token_source;

use std::{collections::HashMap, io::Write as _};

use secrecy::ExposeSecret as _;

use super::{credentials::default_data_dir, *};
use crate::domain::{Endpoint, Limit};

const KEY: &str = "bm90LWEtcmVhbC1rZXktbm90LWEtcmVhbC1rZXktISE=";
const URL: &str = "postgres://wxpatrol:not-a-real-password@localhost/wxpatrol";

fn read(vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let mut vars: HashMap<String, String> =
        vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    // So that the tests hold in a build without the private Postgres too.
    if !vars.contains_key("DATABASE_URL") && !vars.contains_key("WXPATROL_PRIVATE_POSTGRES") {
        vars.insert("DATABASE_URL".to_owned(), URL.to_owned());
        vars.entry("WXPATROL_ENCRYPTION_KEY".to_owned()).or_insert_with(|| KEY.to_owned());
    }
    Config::from_vars(|name| vars.get(name).cloned(), vars.keys().cloned())
}

fn faults(vars: &[(&str, &str)]) -> Vec<(String, String)> {
    read(vars).expect_err("there are faults").faults.into_iter().map(|fault| (fault.variable, fault.rule)).collect()
}

fn refused(name: &str, value: &str) {
    let faults = faults(&[(name, value)]);
    assert!(faults.iter().all(|(variable, _)| variable == name), "{name}={value}: {faults:?}");
}

fn limited(text: &str) -> LimitSetting {
    LimitSetting::Limited(text.parse::<Limit>().unwrap())
}

#[test]
fn what_is_not_set_has_the_documented_default() {
    let config = read(&[]).unwrap();
    assert_eq!(config.wechat_base_url.as_str(), "https://api.weixin.qq.com/");
    assert_eq!(config.lease, Duration::from_secs(60));
    assert_eq!(config.db_connections_max, 8);
    assert_eq!(config.calls_max, 64);
    assert_eq!(config.ask_cooldown, Duration::from_secs(7 * DAY));
    assert_eq!((config.asks_max, config.asks_per_day), (Cap::AtMost(3), Cap::AtMost(500)));
    assert_eq!(config.new_merchants, NewMerchants::Active);
    assert_eq!(config.time_zone, Tz::Asia__Shanghai);
    assert_eq!(config.quiet_hours.map(|quiet| quiet.from.to_string()).as_deref(), Some("21:00:00"));
    assert_eq!(config.log, LogSettings::default());
    assert!(config.platform.is_none());
    assert_eq!(config.limits.platform(Endpoint::CheckMobile), limited("5/s"));
    assert_eq!(config.limits.platform(Endpoint::WxampLink), limited("1/s"));
    assert_eq!(config.limits.merchant(Endpoint::WxampLink), limited("1/min"));
    assert_eq!(config.limits.merchant(Endpoint::ApiAuthorizerToken), LimitSetting::Unlimited);
    assert_eq!(config.check_schedules.len(), CheckName::ALL.len());
    assert_eq!(config.sync_schedule.unwrap().expression(), "30 2 * * *");
    assert_eq!(config.schedule_policies.len(), CheckName::ALL.len() + 1);
    let usual = SchedulePolicy { missed: Missed::Coalesce, overlap: Overlap::Skip };
    assert!(config.schedule_policies.values().all(|policy| *policy == usual));
}

#[test]
fn every_fault_is_reported_at_once_and_names_its_variable() {
    let faults = faults(&[("WXPATROL_LEASE", "5s"), ("WXPATROL_LOG", "=="), ("WXPATROL_LEESE", "60s")]);
    let names: Vec<&str> = faults.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["WXPATROL_LEASE", "WXPATROL_LOG", "WXPATROL_LEESE"]);
    assert!(faults[2].1.ends_with("did you mean WXPATROL_LEASE?"), "{faults:?}");
}

#[test]
fn a_fault_is_one_line_with_rule_and_example() {
    let error = read(&[("WXPATROL_LEASE", "5s\n6s")]).unwrap_err().to_string();
    assert_eq!(
        error,
        "WXPATROL_LEASE=\"5s\\n6s\": must be a whole number with a unit: ms, s, min, h or d; for example WXPATROL_LEASE=60s"
    );
}

#[test]
fn limits_of_values_hold_at_their_edges() {
    for (name, good, bad) in [
        ("WXPATROL_LEASE", "30s", "29s"),
        ("WXPATROL_LEASE", "1h", "61min"),
        ("WXPATROL_ASK_COOLDOWN", "24 h", "23h"),
        ("WXPATROL_DB_CONNECTIONS_MAX", "2", "1"),
        ("WXPATROL_CALLS_MAX", "4096", "4097"),
        ("WXPATROL_CALLS_MAX", "1", "0"),
        ("WXPATROL_KEEP_INTENTS", "365d", "364d"),
        ("WXPATROL_KEEP_RUNS", "1d", "12h"),
        ("WXPATROL_KEEP_FAILURES", "3650d", "3651d"),
        ("WXPATROL_ASKS_PER_DAY", "0", "-1"),
        ("WXPATROL_ASKS_MAX", "unlimited", "many"),
        ("WXPATROL_QUIET_HOURS", "13:00-14:00", "13:00-13:00"),
        ("WXPATROL_QUIET_HOURS", "", "all day"),
        ("WXPATROL_TIME_ZONE", "UTC", "Beijing"),
        ("WXPATROL_STATUS_ADDR", "[::]:9464", "9464"),
        ("WXPATROL_WECHAT_BASE_URL", "http://127.0.0.1:8080/x", "ftp://127.0.0.1"),
        ("WXPATROL_WECHAT_BASE_URL", "https://a.example", "https://a.example/?access_token=x"),
        ("WXPATROL_WECHAT_BASE_URL", "https://a.example", "https://user:not-real@a.example"),
        ("WXPATROL_LIMIT_CHECKMOBILE", "unlimited", "0/s"),
        ("WXPATROL_LIMIT_CHECKMOBILE", "200/s, 10000/day shadow", "200/s, 300/min"),
        ("WXPATROL_LIMIT_WXAMPLINK_MERCHANT", "200/s burst 20", "fast"),
        ("WXPATROL_LIMIT_CHECKMOBILE_MERCHANT", "3/day", "3/day shadow"),
        ("WXPATROL_LEARN_LIMITS", "off", "no"),
        ("WXPATROL_SCHEDULE_ASK", "off", "0 0 31 2 *"),
        ("WXPATROL_SCHEDULE_SYNC", "0 3 * * * UTC", "hourly"),
        ("WXPATROL_SCHEDULE_SYNC", "30 2 * * *", "0 0 30 2 *"),
        ("WXPATROL_SCHEDULE_PHONE_MISSED", "catch_up:100", "catch_up:101"),
        ("WXPATROL_SCHEDULE_ASK_MISSED", "catch_up:1", "catch_up:0"),
        ("WXPATROL_SCHEDULE_SYNC_MISSED", "skip", "skip:1"),
        ("WXPATROL_SCHEDULE_LINKS_OVERLAP", "buffer", "queue"),
        ("WXPATROL_NEW_MERCHANTS", "held", "paused"),
        ("WXPATROL_LINK_PATIENCE", "30d", "0s"),
        ("WXPATROL_LOG_FORMAT", "json", "xml"),
        ("WXPATROL_PRIVATE_POSTGRES", "on", "no"),
    ] {
        let database = [("DATABASE_URL", URL), ("WXPATROL_ENCRYPTION_KEY", KEY), (name, good)];
        assert!(read(&database).is_ok(), "{name}={good}: {:?}", read(&database).err());
        let names: Vec<String> =
            faults(&[database[0], database[1], (name, bad)]).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, [name], "{name}={bad}");
    }
}

#[test]
fn an_empty_variable_counts_as_unset_but_for_quiet_hours() {
    let config = read(&[("WXPATROL_LEASE", " "), ("WXPATROL_QUIET_HOURS", "")]).unwrap();
    assert_eq!(config.lease, Duration::from_secs(60));
    assert_eq!(config.quiet_hours, None);
}

#[test]
fn a_platform_is_whole_or_absent() {
    let appid = ("WXPATROL_COMPONENT_APPID", "wx0000000000000001");
    let secret = ("WXPATROL_COMPONENT_APPSECRET", "not-a-real-secret");
    let ticket = ("WXPATROL_VERIFY_TICKET", "not-a-real-ticket");
    let platform = read(&[appid, secret, ticket]).unwrap().platform.unwrap();
    assert_eq!(platform.component_appid, appid.1);
    assert_eq!(platform.verify_ticket.unwrap().expose_secret(), ticket.1);
    assert_eq!(faults(&[appid])[0].0, secret.0);
    assert_eq!(faults(&[secret])[0].0, appid.0);
    assert_eq!(faults(&[ticket])[0].0, appid.0);
    let strange = faults(&[("WXPATROL_COMPONENT_APPID", "gh_0000000001"), secret]);
    assert_eq!((strange.len(), strange[0].0.as_str()), (1, appid.0));
}

#[test]
fn a_receiver_is_off_unless_it_has_an_address_and_its_keys_come_together() {
    let platform =
        [("WXPATROL_COMPONENT_APPID", "wx0000000000000001"), ("WXPATROL_COMPONENT_APPSECRET", "not-a-real-secret")];
    let token = ("WXPATROL_RECEIVER_TOKEN", "notARealToken");
    let key = ("WXPATROL_RECEIVER_AES_KEY", "notARealEncodingAESKey000000000000000000000");
    let addr = ("WXPATROL_RECEIVER_ADDR", "127.0.0.1:9465");
    let json = ("WXPATROL_RECEIVER_JSON", "on");
    let with = |more: &[(&'static str, &'static str)]| [&platform[..], more].concat();
    assert!(read(&with(&[token, key])).unwrap().receiver.is_none());
    let receiver = read(&with(&[addr, token, key])).unwrap().receiver.unwrap();
    assert_eq!((receiver.addr.port(), receiver.plain_json, receiver.keys.is_some()), (9465, false, true));
    let receiver = read(&with(&[addr, json])).unwrap().receiver.unwrap();
    assert_eq!((receiver.plain_json, receiver.keys.is_some()), (true, false));
    // The keys may be stored.
    assert!(read(&with(&[addr])).unwrap().receiver.unwrap().keys.is_none());
    for (more, variable) in [
        (vec![addr, token], key.0),
        (vec![addr, key], token.0),
        (vec![key], token.0),
        (vec![addr, token, (key.0, "short")], key.0),
        (vec![addr, key, (token.0, "two words")], token.0),
        (vec![addr, key, (token.0, "ab")], token.0),
        (vec![token, key, (addr.0, "9465")], addr.0),
        (vec![(json.0, "yes")], json.0),
    ] {
        let names: Vec<String> = faults(&with(&more)).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, [variable], "{more:?}");
    }
    assert!(read(&[addr]).is_ok());
    assert_eq!(faults(&[addr, token, key])[0].0, token.0, "whose keys are they?");
}

#[test]
fn a_ticket_file_is_named_and_not_read() {
    let platform =
        [("WXPATROL_COMPONENT_APPID", "wx0000000000000001"), ("WXPATROL_COMPONENT_APPSECRET", "not-a-real-secret")];
    let file = ("WXPATROL_VERIFY_TICKET_FILE", "/nowhere/at/all");
    let config = read(&[platform[0], platform[1], file]).unwrap();
    assert_eq!(config.platform.unwrap().verify_ticket_file, Some(PathBuf::from(file.1)));
    let both = [platform[0], platform[1], file, ("WXPATROL_VERIFY_TICKET", "not-a-real-ticket")];
    assert_eq!(faults(&both)[0].0, file.0);
    assert_eq!(faults(&[file])[0].0, "WXPATROL_COMPONENT_APPID");
}

#[test]
fn a_database_of_ones_own_needs_a_key_and_the_fault_tells_how_to_make_one() {
    let error = read(&[("DATABASE_URL", URL)]).unwrap_err().to_string();
    assert!(error.starts_with("WXPATROL_ENCRYPTION_KEY: ") && error.contains("openssl rand -base64 32"), "{error}");
    for bad in ["c2hvcnQ=", "not base64 at all", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", &KEY.repeat(2)] {
        refused("WXPATROL_ENCRYPTION_KEY", bad);
    }
    let unpadded = read(&[("WXPATROL_ENCRYPTION_KEY", KEY.trim_end_matches('='))]).unwrap();
    assert_eq!(unpadded.encryption_key.unwrap().expose_secret(), b"not-a-real-key-not-a-real-key-!!");
}

#[test]
fn old_keys_stand_in_one_variable_or_in_a_file_one_a_line() {
    let other = "bm90LWEtcmVhbC1rZXktbm90LWEtcmVhbC1rZXktPz8=";
    let old =
        |value: &str| read(&[("WXPATROL_ENCRYPTION_KEYS_OLD", value)]).map(|config| config.encryption_keys_old.len());
    assert_eq!(read(&[]).unwrap().encryption_keys_old.len(), 0);
    assert_eq!(old(&format!("{KEY}, {other}")).unwrap(), 2);
    assert_eq!(old(&format!(" {KEY},,{other}, ")).unwrap(), 2);
    let error = old(&format!("{KEY},{KEY}x,{other}")).unwrap_err().to_string();
    assert!(error.contains("key 2 of them must be 32 bytes in base64"), "{error}");
    assert!(!error.contains(KEY), "{error}");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{KEY}\r\n{other}").unwrap();
    let path = file.path().to_str().unwrap();
    assert_eq!(read(&[("WXPATROL_ENCRYPTION_KEYS_OLD_FILE", path)]).unwrap().encryption_keys_old.len(), 2);
}

#[test]
fn a_refused_address_is_shown_unless_it_may_hold_a_secret() {
    let shown = |value: &str| read(&[("WXPATROL_WECHAT_BASE_URL", value)]).unwrap_err().to_string();
    assert!(shown("ftp://host").contains("ftp://host"));
    assert!(!shown("https://me:not-a-real-password@host").contains("not-a-real-password"));
    assert!(!shown("https://host/?key=not-a-real-key").contains("not-a-real-key"));
}

#[test]
fn without_a_database_the_private_one_must_be_allowed() {
    let faults = faults(&[("WXPATROL_PRIVATE_POSTGRES", "off")]);
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].0, "DATABASE_URL");
    #[cfg(feature = "demo")]
    assert!(read(&[("WXPATROL_PRIVATE_POSTGRES", "on")]).is_ok_and(|config| config.database_url.is_none()));
}

#[test]
fn root_keeps_its_data_where_the_postgres_user_can_reach_it() {
    let home = || Some("/home/someone".to_owned());
    assert_eq!(default_data_dir(None, home(), false), PathBuf::from("/home/someone/.local/share/wxpatrol"));
    assert_eq!(default_data_dir(Some("/data".to_owned()), home(), false), PathBuf::from("/data/wxpatrol"));
    assert_eq!(default_data_dir(None, home(), true), PathBuf::from("/var/lib/wxpatrol"));
    assert_eq!(default_data_dir(None, None, false), PathBuf::from("/var/lib/wxpatrol"));
}

#[test]
fn a_secret_comes_from_a_file_without_its_last_line_break() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "not-a-real-secret").unwrap();
    let path = file.path().to_str().unwrap();
    let appid = ("WXPATROL_COMPONENT_APPID", "wx0000000000000001");
    let config = read(&[appid, ("WXPATROL_COMPONENT_APPSECRET_FILE", path)]).unwrap();
    assert_eq!(config.platform.unwrap().secret.unwrap().expose_secret(), "not-a-real-secret");

    let both = [appid, ("WXPATROL_COMPONENT_APPSECRET", "x"), ("WXPATROL_COMPONENT_APPSECRET_FILE", path)];
    assert_eq!(faults(&both).len(), 1);
    let missing = faults(&[appid, ("WXPATROL_COMPONENT_APPSECRET_FILE", "/nowhere/at/all")]);
    assert_eq!(missing.len(), 1);
    assert_eq!(missing[0].0, "WXPATROL_COMPONENT_APPSECRET_FILE");
}

#[test]
fn no_secret_is_shown_in_any_form() {
    let planted = "planted-token-0123456789";
    let url = format!("postgres://wxpatrol:{planted}@localhost/wxpatrol");
    let vars = [
        ("DATABASE_URL", url.as_str()),
        ("WXPATROL_ENCRYPTION_KEY", KEY),
        ("WXPATROL_COMPONENT_APPID", "wx0000000000000001"),
        ("WXPATROL_COMPONENT_APPSECRET", planted),
        ("WXPATROL_VERIFY_TICKET", planted),
        ("WXPATROL_RECEIVER_ADDR", "127.0.0.1:0"),
        ("WXPATROL_RECEIVER_TOKEN", "plantedEventToken"),
        ("WXPATROL_RECEIVER_AES_KEY", "plantedEncodingAESKey0000000000000000000000"),
    ];
    let config = read(&vars).unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains(planted) && !shown.contains(KEY), "{shown}");
    assert!(!shown.contains("plantedEventToken") && !shown.contains("plantedEncodingAESKey"), "{shown}");
    let listed: String = config.settings().iter().map(|setting| setting.value.clone()).collect();
    assert!(!listed.contains("planted"), "{listed}");

    let bad_url = format!("mysql://wxpatrol:{planted}@localhost");
    let bad = [("DATABASE_URL", bad_url.as_str()), ("WXPATROL_ENCRYPTION_KEY", planted), vars[3]];
    let error = read(&bad).unwrap_err();
    assert_eq!(error.faults.len(), 3, "{error}");
    assert!(!format!("{error} {error:?}").contains(planted), "{error}");
}

#[test]
fn settings_say_where_each_value_came_from() {
    let config = read(&[("WXPATROL_LEASE", "90s")]).unwrap();
    let setting = |name: &str| config.settings().iter().find(|setting| setting.name == name).unwrap().clone();
    assert_eq!(
        (setting("WXPATROL_LEASE").value.as_str(), setting("WXPATROL_LEASE").source),
        ("90s", Source::Environment)
    );
    assert_eq!(setting("WXPATROL_CALLS_MAX").source, Source::Default);
    assert_eq!(setting("WXPATROL_ENCRYPTION_KEY").value, "set");
    assert_eq!(setting("WXPATROL_VERIFY_TICKET").value, "not set");
}

#[test]
fn links_that_kubernetes_sets_for_a_service_stop_nothing() {
    assert!(read(&[("WXPATROL_SERVICE_HOST", "10.0.0.1"), ("WXPATROL_PORT", "tcp://10.0.0.1:9464")]).is_ok());
}

#[test]
fn a_database_url_whose_password_is_torn_by_its_signs_is_refused_before_the_rest_of_it_is_shown() {
    for good in [
        "postgres://me:p%2F%3F%23%40@db:5432/wx?sslmode=require",
        "postgresql:///wx?host=/run/postgresql&user=me",
        "postgres://me@%2Ftmp%2Fsocket:5432/wx",
        "postgres://db",
    ] {
        assert_eq!(super::values::postgres_url(good), Ok(()), "{good}");
    }
    for torn in
        ["postgres://me:/word@db/wx", "postgres://me:?word@db/wx", "postgres://me:#word@db/wx", "mysql://db/wx", "db"]
    {
        let rule = super::values::postgres_url(torn).unwrap_err();
        assert!(!rule.contains("word@"), "{rule}");
    }
}
