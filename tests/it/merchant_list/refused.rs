//! Lists that can not work, and what is said of them.

use super::*;

#[tokio::test]
async fn a_list_that_can_not_work_is_refused_at_the_start_with_one_sentence() {
    let world = provider(plan(2, 0)).await;
    let meddles =
        "create function shop.meddle() returns text language sql as $$ delete from shop.tokens returning appid $$";
    say(&world, meddles).await;
    let from = "from shop.merchants where component_appid = $1";
    for (query, words) in [
        ("select appid, kind from shop.merchants".to_owned(), "must hold $1"),
        (format!("select kind {from}"), "gives no column appid"),
        (format!("select appid {from}"), "gives no column kind, without which nobody is patrolled"),
        (format!("select appid, kind, appid as authorizer_appid {from}"), "gives the column authorizer_appid twice"),
        (format!("select appid, kind, kind as sort {from}"), "gives a column \"sort\", which means nothing here"),
        (format!("select length(appid) as appid, kind {from}"), "its column appid must be text, and not INT4"),
        (format!("select appid, 1 as kind {from}"), "its column kind must be text, and not INT4"),
        (format!("select appid, kind, true as permission_sets {from}"), "must be an array of numbers"),
        (format!("select appid, kind, 'one' as account_status {from}"), "must be a whole number, and not TEXT"),
        (format!("select appid, kind, now()::timestamp as authorized_at {from}"), "does not say in which zone"),
        (format!("select apid as appid, kind {from}"), "column \"apid\" does not exist"),
        (
            "select appid, kind from shop.merchant where $1 <> ''".to_owned(),
            "relation \"shop.merchant\" does not exist",
        ),
        (format!("selec 'planted-key' {from}"), "fault in its syntax at its character 1"),
        (format!("select appid, kind {from}; drop table shop.merchants"), "fault in its syntax"),
        (
            "delete from shop.merchants where component_appid = $1 returning appid, kind".to_owned(),
            "tries to write, and may only read",
        ),
        (
            format!("with gone as (delete from shop.tokens returning appid) select appid, kind {from}"),
            "tries to write, and may only read",
        ),
        (format!("select appid, kind, shop.meddle() as nickname {from}"), "tries to write, and may only read"),
        (format!("select appid, kind {from} for update"), "tries to write, and may only read"),
    ] {
        for command in [&["sync"][..], &["--once"], &["run"]] {
            let ended = world.program_with(&[("WXPATROL_MERCHANT_SQL", &query)], command).await;
            assert_eq!(ended.code, Some(2), "{command:?} {query}: {}", ended.everything());
            let said = &ended.stderr;
            assert!(said.contains("WXPATROL_MERCHANT_SQL: ") && said.contains(words), "{command:?} {query}: {said}");
            assert!(!said.contains("planted"), "{said}");
        }
    }
    let counts = "select (select count(*) from shop.merchants) + (select count(*) from shop.tokens)
                       + (select count(*) from wxpatrol_data.merchant)";
    assert_eq!(world.count(counts).await, 4);
    // A file is no second list beside it.
    world.sync().await;
    let known = first(&world);
    let file = format!("appid,nickname\n{known},By hand\nwx1a000000000000ff,Nobody\n");
    let import = world.program_reading(&["import", "-", "--format", "csv"], &file).await;
    assert_eq!(import.code, Some(2), "{}", import.everything());
    assert!(import.stderr.contains("wx1a000000000000ff is no merchant"), "{}", import.stderr);
    assert!(import.stderr.contains("WXPATROL_MERCHANT_SQL lists the merchants"), "{}", import.stderr);
    assert_eq!(world.count("select count(*) from wxpatrol_data.merchant where nickname = 'By hand'").await, 0);
}

#[tokio::test]
async fn a_key_that_stands_in_the_query_shows_nowhere() {
    let world = provider(plan(2, 0)).await.with("WXPATROL_LOG", "trace");
    let query = format!("{} and 'planted-key' <> 'x'", COMPLETE.trim_end_matches(';'));
    let mut said = Vec::new();
    for command in [&["sync"][..], &["--once"], &["config"], &["status", "--json"]] {
        let ended = world.program_with(&[("WXPATROL_MERCHANT_SQL", &query)], command).await;
        assert_eq!(ended.code, Some(0), "{}", ended.everything());
        said.push(ended.everything());
    }
    say(&world, "alter table shop.merchants drop column principal").await;
    said.push(world.program_with(&[("WXPATROL_MERCHANT_SQL", &query)], &["sync"]).await.everything());
    assert!(said.iter().all(|said| !said.contains("planted")), "it shows");
}
