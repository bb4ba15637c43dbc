//! Platforms that an operator adds: what is stored, listed, refused and taken before the environment's word.

use super::*;

#[tokio::test]
async fn a_platform_without_a_ticket_shows_no_age_of_one() {
    let world = World::new(plan(1, 1)).await;
    let added = world.program_reading(&["platform", "add", "wx00000000000000bb"], "fake-secret").await;
    assert_eq!(added.code, Some(0), "{}", added.everything());
    let listed = json(&world.program(&["platform", "list", "--json"]).await);
    let row = listed.iter().find(|row| row["platform"] == "wx00000000000000bb").unwrap();
    assert!(row["ticket_at"].is_null() && row["ticket_age"].is_null(), "{row}");
}

/// The rows that `platform` writes, as one text.
async fn rows(world: &World) -> String {
    let platforms = "select (to_jsonb(t) - 'named_at')::text from wxpatrol_data.platform t order by 1";
    let limits = "select t::text from wxpatrol_data.platform_limit t order by 1";
    [world.texts(platforms).await, world.texts(limits).await].concat().join("\n")
}

#[tokio::test]
async fn a_platform_is_added_from_files_listed_without_its_secrets_and_the_same_again_changes_nothing() {
    let world = World::new(plan(2, 1)).await;
    let folder = tempfile::tempdir().unwrap();
    let key = "PlantedKeyPlantedKeyPlantedKeyPlantedKey123";
    let planted = [
        ("secret", "planted-secret-of-the-second"),
        ("ticket", "ticket@@@planted-of-the-second"),
        ("token", "plantedtoken"),
        ("key", key),
    ];
    let path = |name: &str| folder.path().join(name).display().to_string();
    for (name, text) in planted {
        std::fs::write(path(name), format!("{text}\n")).unwrap();
    }
    let (secret, ticket, token, key) = (path("secret"), path("ticket"), path("token"), path("key"));
    let world = world.with("WXPATROL_LOG", "trace");
    let add = [
        "platform",
        "add",
        "wx00000000000000aa",
        "--secret-file",
        &secret,
        "--ticket-file",
        &ticket,
        "--event-token-file",
        &token,
        "--event-key-file",
        &key,
        "--nickname",
        "second shop",
        "--limit",
        "checkmobile=50/s",
        "--limit",
        "checkmobile_merchant=2/s",
        "--schedules",
        "sync,phone",
    ];
    let mut said = Vec::new();
    let added = world.program(&add).await;
    assert_eq!(added.code, Some(0), "{}", added.everything());
    let before = rows(&world).await;
    let again = world.program(&add).await;
    assert_eq!(again.code, Some(0), "{}", again.everything());
    assert!(again.stderr.contains("is as it was"), "{}", again.stderr);
    assert_eq!(rows(&world).await, before);
    let listed = world.program(&["platform", "list", "--json"]).await;
    let list = json(&listed);
    let of = |appid: &str| list.iter().find(|row| row["platform"] == appid).unwrap();
    let second = of("wx00000000000000aa");
    for (column, value) in [
        ("nickname", "second shop"),
        ("secret", "set"),
        ("event_token", "set"),
        ("event_key", "set"),
        ("limits", "checkmobile=50/s, checkmobile_merchant=2/s"),
        ("schedules", "phone sync"),
    ] {
        assert_eq!(second[column], value, "{column}");
    }
    assert!(second["ticket_age"].is_string() && second["merchants"] == 0 && second["enabled"] == true, "{second}");
    let first = of(appid(&world.wechat));
    assert_eq!((&first["secret"], &first["event_token"]), (&"set".into(), &"not set".into()));
    let changed = world.program(&["platform", "add", "wx00000000000000aa", "--limit", "checkmobile=default"]).await;
    assert!(changed.stderr.contains("is changed"), "{}", changed.stderr);
    said.extend([added, again, listed, changed].map(|ended| ended.everything()));
    for command in [&["platform", "list"][..], &["report", "platforms", "--csv"], &["status", "--json"]] {
        said.push(world.program(command).await.everything());
    }
    said.push(rows(&world).await);
    for (name, text) in planted {
        let hexadecimal: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(said.iter().all(|said| !said.contains(text) && !said.contains(&hexadecimal)), "the {name} shows");
    }
}

#[tokio::test]
async fn a_platform_that_can_not_be_added_is_refused_in_one_sentence_and_nothing_is_stored() {
    let world = World::new(plan(2, 1)).await;
    world.program(&["status"]).await;
    world.program(&["platform", "list"]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (empty, words, short, fine) = (path("empty"), path("words"), path("short"), path("fine"));
    for (name, text) in [(&empty, ""), (&words, "planted two words"), (&short, "plantedshort"), (&fine, "planted-fine")]
    {
        std::fs::write(name, text).unwrap();
    }
    let nowhere = path("nowhere");
    let new = ["platform", "add", "wx00000000000000aa"];
    let before = rows(&world).await;
    for (more, input, words) in [
        (&[][..], "", &["needs its secret", "--secret-file", "wx00000000000000aa"][..]),
        (&[], "planted two words", &["the secret", "one word"]),
        (&[], "wx1234567890planted", &["the secret", "an appid was given"]),
        (&["--secret-file", "-"], "", &["stdin is empty"]),
        (&["--secret-file", &nowhere], "", &["the secret", "nowhere", "can not be read"]),
        (&["--secret-file", &empty], "", &["the secret", "is empty"]),
        (&["--secret-file", &words], "", &["the secret", "one word"]),
        (&["--secret-file", &fine, "--event-key-file", &short], "", &["--event-key-file", "43"]),
        (&["--secret-file", &fine, "--event-token-file", &fine], "", &["--event-token-file", "letters or digits"]),
        (&["--secret-file", &words, "--ticket-file", &empty], "", &["the secret", "--ticket-file"]),
        (&["--limit", "checkmobile=5/s", "--limit", "checkmobile=6/s"], "planted-fine", &["given twice"]),
        (&["--limit", "checkmobile=fast"], "planted-fine", &["200/s"]),
        (&["--limit", "nowhere=5/s"], "planted-fine", &["checkmobile"]),
        (&["--schedules", "phones"], "planted-fine", &["phone,ask,callback,links,invite,sync"]),
        (&["planted-fine"], "", &["unexpected argument"]),
    ] {
        let ended = world.program_reading(&[&new, more].concat(), input).await;
        assert_eq!(ended.code, Some(2), "{more:?}: {}", ended.everything());
        for word in words {
            assert!(ended.stderr.contains(word), "{more:?} does not say {word:?}: {}", ended.stderr);
        }
        let echoed = more.contains(&"planted-fine");
        assert!(echoed || !ended.everything().contains("planted"), "{}", ended.everything());
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        assert_eq!(rows(&world).await, before, "{more:?} changed a row");
    }
    for arguments in [
        &["platform", "disable", "wx00000000000000bb"][..],
        &["--once", "--platform", "wx00000000000000bb"],
        &["import", "-", "--format", "csv", "--platform", "wx00000000000000bb"],
        &["status", "--platform", "wx00000000000000bb"],
    ] {
        let ended = world.program_reading(arguments, "appid\nwx1111111111111111\n").await;
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.everything());
        assert!(ended.stderr.contains("wx00000000000000bb is not known"), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn the_environment_s_secret_goes_before_the_stored_one_and_a_stored_one_needs_no_environment() {
    let world = World::synced(plan(3, 1)).await;
    let first = appid(&world.wechat).to_owned();
    let stored = world.program_reading(&["platform", "add", &first], "planted-wrong-secret").await;
    assert!(stored.stderr.contains("goes before the stored secret"), "{}", stored.stderr);
    world.wechat.expire_all_tokens();
    let ended = world.program(PHONE).await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    let world = ["WXPATROL_COMPONENT_APPID", "WXPATROL_COMPONENT_APPSECRET", "WXPATROL_VERIFY_TICKET"]
        .into_iter()
        .fold(world, |world, name| world.without(name));
    world.wechat.expire_all_tokens();
    let ended = world.program(&["--once", "--check", "phone", "--all"]).await;
    assert_eq!(ended.code, Some(3), "{}", ended.everything());
    let right = world.wechat.plan().component_appsecret.clone();
    let mended = world.program_reading(&["platform", "add", &first], &right).await;
    assert_eq!(mended.code, Some(0), "{}", mended.everything());
    let ended = world.program(&["--once", "--check", "phone", "--all"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    world.program(&["platform", "disable", &first]).await;
    let refused = world.program(&["--once"]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.everything());
    assert!(refused.stderr.contains(&format!("wxpatrol platform enable {first}")), "{}", refused.stderr);
}
