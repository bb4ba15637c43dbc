//! A source that is not there, does not answer, or answers what is no token.

use nix::sys::signal::Signal;
use tokio::net::TcpSocket;

use super::*;

#[tokio::test]
async fn whatever_a_dead_source_answers_its_merchants_are_put_off_and_nobody_failed() {
    for (manner, words) in [
        (Manner::Status(500), "answers HTTP status 500"),
        (Manner::Page, "a page instead of JSON"),
        (Manner::Nothing, "an empty body"),
        (Manner::Endlessly, "more than 65536 bytes"),
        (Manner::Elsewhere, "a redirect"),
        (Manner::Status(401), "check WXPATROL_TOKEN_BEARER"),
    ] {
        // So few that nobody has to be taken for the source's own trouble.
        let (world, keeper) = kept(plan(2, 0)).await;
        keeper.answers(manner);
        assert_put_off(&world.once_of(&[CheckName::Phone]).await, CheckName::Phone, "token_source_silent");
        world.assert_every_run_adds_up().await;
        let said = format!(
            "select count(distinct appid) from wxpatrol.failures where detail like '%{words}%' and class = 'transient'"
        );
        assert_eq!(world.count(&said).await, 2, "{manner:?}");
        let planted = "select count(*) from wxpatrol_data.failure f where f::text like '%planted%'";
        assert_eq!(world.count(planted).await, 0, "{manner:?}");
        let told = "select what_en from wxpatrol.attention where why = 'token_source_silent' and subject = ''";
        assert_eq!(world.texts(told).await.len(), 1, "{manner:?}");
        assert_eq!(world.wechat.arrived(Endpoint::Checkmobile), 0);
        assert_nothing_was_bought(&world);
    }
}

#[tokio::test]
async fn a_source_that_is_away_at_the_start_is_said_and_the_work_begins_when_it_comes() {
    let world = imported(plan(2, 0)).await;
    // Bound and not listening: whoever connects is refused, and nobody else gets the port.
    let away = TcpSocket::new_v4().unwrap();
    away.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let addr = away.local_addr().unwrap();
    let url = format!("http://{addr}/{{component_appid}}/{{appid}}?key={KEY}");
    let world = world.with("WXPATROL_TOKEN_URL", &url).with("WXPATROL_TOKEN_BEARER", BEARER);
    let world = world.unattended_without_schedules().with("WXPATROL_SCHEDULE_PHONE", "* * * * * *");
    let unattended = world.spawn(&["run"]);
    let put_off = "select count(*) = 2 from wxpatrol_data.item where check_name = 'phone' and outcome = 'deferred' and reason = 'token_source_silent'";
    while_time_passes(&world, put_off).await;
    assert_eq!(world.count("select count(*) from wxpatrol_data.item where outcome = 'failed'").await, 0);
    let _keeper = Keeper::on(&world, away.listen(16).unwrap());
    while_time_passes(&world, "select count(*) = 2 from wxpatrol_data.phone").await;
    unattended.signal(Signal::SIGTERM);
    let ended = unattended.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert!(ended.stderr.contains("the external token source can not be reached"), "{}", ended.stderr);
    assert!(ended.stderr.contains("merchants can not be read from WeChat"), "{}", ended.stderr);
    assert!(!ended.everything().contains(KEY) && !ended.everything().contains(BEARER));
    assert_nothing_was_bought(&world);
}

/// Waits for a condition. Whenever all work only waits for its time, half an hour passes: longer than anybody is put off here.
/// A source that was just away is not asked for a moment of real time, in which tries may fail and be put off once more.
async fn while_time_passes(world: &World, condition: &str) {
    let waiting =
        "select (count(*) > 0 and bool_and(leased_by is null and due_at > wxpatrol_data.clock()))::int::bigint
                     from wxpatrol_data.item where check_name = 'phone' and outcome in ('again', 'deferred')";
    let holds = format!("select ({condition})::int::bigint");
    let holds = async || {
        if world.count(&holds).await == 1 {
            return true;
        }
        if world.count(waiting).await == 1 {
            world.database.advance(Duration::from_secs(1800)).await;
        }
        false
    };
    until(condition, holds).await;
}

#[tokio::test]
async fn a_source_that_never_answers_puts_its_merchants_off() {
    let (world, keeper) = kept(plan(2, 0)).await;
    keeper.answers(Manner::Slowly);
    assert_put_off(&world.once_of(&[CheckName::Phone]).await, CheckName::Phone, "token_source_silent");
    let said = world.texts("select distinct detail from wxpatrol.failures").await;
    assert_eq!(said, ["no token: the external token source did not answer within 5 s"]);
}

#[tokio::test]
async fn merchants_for_whom_the_source_fails_keep_no_other_from_being_done() {
    let (world, keeper) = kept(plan(120, 0)).await;
    let mut appids: Vec<String> = world.wechat.merchants().into_iter().map(|merchant| merchant.appid).collect();
    appids.sort();
    let (failing, well) = appids.split_at(60);
    failing.iter().for_each(|appid| keeper.answers_of(appid, Manner::Status(500)));
    let once = world.spawn(&["--once", "--check", "phone"]);
    let undone = async || {
        let outcomes = world.outcomes(CheckName::Phone).await;
        well.iter().filter(|appid| !outcomes.contains_key(*appid) || outcomes[*appid].contains("none")).count()
    };
    until("everybody whom the source serves is done", async || undone().await == 0).await;
    let put_off =
        "select count(*) from wxpatrol_data.item where outcome = 'deferred' and reason = 'token_source_silent'";
    let put_off = world.count(put_off).await;
    assert!(put_off < 60, "{put_off} were put off, and only 60 fail");
    failing.iter().for_each(|appid| keeper.answers_of(appid, Manner::Well));
    let ended = once.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    let silent: Vec<_> = (world.outcomes(CheckName::Phone).await.into_iter())
        .filter(|(appid, outcome)| outcome.contains("token_source_silent") && well.contains(appid))
        .collect();
    assert!(silent.is_empty(), "put off, though the source serves them: {silent:?}");
}

#[tokio::test]
async fn a_source_that_is_away_for_a_moment_in_mid_run_costs_nobody_the_day() {
    let (world, keeper) = kept(plan(60, 0)).await;
    keeper.answers(Manner::Status(503));
    let once = world.spawn(&["--once", "--check", "phone"]);
    // Eight more each time that it was left alone: it would have been all of them, three times each.
    let asked = || keeper.asked().values().sum::<u32>();
    until("the source was left alone twice", async || asked() > 20).await;
    keeper.answers(Manner::Well);
    let ended = once.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    let put_off =
        "select count(*) from wxpatrol_data.item where check_name = 'phone' and reason = 'token_source_silent'";
    assert_eq!(world.count(put_off).await, 0);
    assert_eq!(world.count("select count(*) from wxpatrol_data.phone").await, 60);
}
