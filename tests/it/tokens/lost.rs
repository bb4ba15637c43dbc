//! Refresh tokens that are lost: they are read back from the list, and who has none there is said.

use wxpatrol::{
    domain::link::Patience,
    store::{record::RecordContext, runs::RunWish},
};

use super::*;
use crate::world::Ran;

#[tokio::test]
async fn three_processes_whose_merchants_lost_their_tokens_read_the_list_once() {
    let world = imported(plan(3_000, 0)).await;
    for merchant in 0..3_000 {
        world.wechat.authorize(&Plan::mini_program(merchant)).unwrap();
    }
    world.wechat.set_latency(Duration::from_millis(50));
    let world = by_three_processes(world, CheckName::Phone, async |_| {}).await;
    assert_eq!(
        world.count("select count(*) from wxpatrol_data.item where outcome = 'done' and check_name = 'phone'").await,
        3_000
    );
    // Six pages of five hundred, and one that is not full.
    let readings = world.wechat.arrived(Endpoint::ApiGetAuthorizerList);
    assert!((6..=7).contains(&readings), "{readings} pages");
}

#[tokio::test]
async fn a_run_is_not_closed_while_another_process_reads_lost_tokens_back() {
    let world = World::synced(plan(5, 1)).await;
    let (platform, lost) = (world.platform().await, Plan::mini_program(2));
    // The other process has recorded the loss, and reads the list.
    world.wechat.authorize(&lost).unwrap();
    let app = world.app().await;
    app.store.plan(RecordContext { platform, run: None, patience: Patience(Duration::ZERO) }, false).await.unwrap();
    let lose = format!(
        "update wxpatrol_data.item set outcome = 'skipped', reason = 'token_lost', due_at = 'infinity', due_since = 'infinity',
                recorded_at = wxpatrol_data.clock() where appid = '{lost}' and check_name = 'phone';
         update wxpatrol_data.credential set lost_reason = 'refused', lost_at = wxpatrol_data.clock() where appid = '{lost}'"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(lose)).execute(&world.database.pool).await.unwrap();
    let other = world.database.another_store().await;
    let reading = other.take_recovery(platform, Duration::ZERO, Duration::from_secs(3600)).await.unwrap().unwrap();
    let ready = app.ready().await.unwrap();
    let run = app.store.open_run(platform, &wish(&[CheckName::Phone])).await.unwrap();
    let patrol = app.patrol(&ready, true);
    let brings_back = async {
        world
            .until("select count(*) = 4 from wxpatrol_data.item where check_name = 'phone' and outcome = 'done'")
            .await;
        // Every look is a chance to close the run too early.
        for _ in 0..50 {
            patrol.look();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let row = MerchantRow {
            appid: lost.clone(),
            refresh_token: Some(world.wechat.merchant_card(&lost).unwrap().refresh_token.into()),
            ..MerchantRow::default()
        };
        other.keep_merchants(platform, &[row], true).await.unwrap();
        other.prolong_recovery(reading, None).await.unwrap();
    };
    let (ran, ()) = tokio::join!(world.finish(&app, &patrol, run), brings_back);
    assert_eq!(ran.of(CheckName::Phone).done, 5, "{ran:?}");
    assert_eq!(world.wechat.arrived(Endpoint::ApiGetAuthorizerList), 1, "the sync's reading alone");
}

#[tokio::test]
async fn a_loss_whose_process_died_before_it_read_the_list_is_recovered_by_another() {
    let world = World::synced(plan(4, 1)).await;
    let lost = Plan::mini_program(1);
    world.once_of(&[CheckName::Phone]).await.assert_complete();
    world.wechat.authorize(&lost).unwrap();
    world.pass(Duration::from_secs(24 * 3600)).await;
    let lose = format!(
        "update wxpatrol_data.credential set lost_reason = 'refused', lost_at = wxpatrol_data.clock(), access_sealed = null,
                access_expires_at = null where appid = '{lost}';
         update wxpatrol_data.item set outcome = 'skipped', reason = 'token_lost', due_at = 'infinity', due_since = 'infinity'
          where appid = '{lost}'"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(lose)).execute(&world.database.pool).await.unwrap();
    let ran = world.once_of(&[CheckName::Callback]).await;
    ran.assert_complete();
    assert_eq!(
        ran.of(CheckName::Callback).reasons.0.get("skipped").and_then(|skipped| skipped.get("token_lost")),
        None
    );
}

#[tokio::test]
async fn a_merchant_whose_refresh_token_was_never_stored_stands_in_the_attention_view() {
    let world = World::new(plan(3, 1)).await;
    world.wechat.hide_refresh_token(&Plan::mini_program(1), true).unwrap();
    world.sync().await;
    let ran = world.once_of(&[CheckName::Phone]).await;
    ran.assert_complete();
    assert_eq!(ran.of(CheckName::Phone).skipped, 1);
    let told = "select subject || ': ' || detail from wxpatrol.attention where why = 'token_lost'";
    let expected = format!("{}: no refresh token is stored: run `wxpatrol sync` or import it", Plan::mini_program(1));
    assert_eq!(world.texts(told).await, [expected]);
}

#[tokio::test]
async fn merchants_that_authorized_anew_are_done_in_the_same_run_after_one_reading_of_the_list() {
    let world = World::synced(plan(8, 1)).await;
    let readings = world.wechat.arrived(Endpoint::ApiGetAuthorizerList);
    // Their stored refresh tokens are void from now on.
    for merchant in 1..4 {
        world.wechat.authorize(&Plan::mini_program(merchant)).unwrap();
    }
    assert_eq!(world.once_of(&[CheckName::Phone]).await.of(CheckName::Phone).done, 8);
    assert_eq!(world.wechat.arrived(Endpoint::ApiGetAuthorizerList), readings + 1);
}

#[tokio::test]
async fn a_merchant_whose_token_is_lost_hurts_nobody_and_stands_in_the_attention_view() {
    let world = World::synced(plan(4, 1)).await;
    let lost = Plan::mini_program(2);
    world.wechat.script(Rule::new(Oddity::Errcode(61023)).on(Endpoint::ApiAuthorizerToken).of(lost.as_str())).unwrap();
    let ran = world.once_of(&[CheckName::Phone]).await;
    ran.assert_complete();
    assert_eq!(ran.of(CheckName::Phone).done, 3);
    assert_eq!(world.outcomes(CheckName::Phone).await[&lost], "skipped token_lost");
    let told = format!("select count(*) from wxpatrol.attention where why = 'token_lost' and subject = '{lost}'");
    assert_eq!(world.count(&told).await, 1);
}

/// These merchants authorize anew, and the tokens that are stored of them are refused from now on.
fn authorize_anew(world: &World, merchants: std::ops::Range<u32>) {
    world.wechat.expire_all_tokens();
    for merchant in merchants {
        world.wechat.authorize(&Plan::mini_program(merchant)).unwrap();
    }
}

/// One run of the phones of all merchants; the time that only a rest between two readings of the list takes is passed.
async fn all_phones(world: &World) -> Ran {
    let app = world.app().await;
    let ready = app.ready().await.unwrap();
    let all = RunWish { all: true, ..wish(&[CheckName::Phone]) };
    let run = app.store.open_run(ready.platform.id, &all).await.unwrap();
    let patrol = app.patrol(&ready, false);
    let rests_pass = async {
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            if patrol.progress().waiting().is_some_and(|what| what.contains("authorizer list")) {
                world.pass(Duration::from_secs(5)).await;
            }
        }
    };
    let ran = tokio::select! {
        ran = world.finish(&app, &patrol, run) => ran,
        () = rests_pass => unreachable!("it never ends"),
    };
    app.store.close().await;
    ran
}

#[tokio::test]
async fn merchants_that_authorized_anew_right_after_a_reading_of_the_list_are_recovered_by_the_next() {
    let world = World::synced(plan(20, 1)).await;
    world.once_of(&[CheckName::Phone]).await.assert_complete();
    for turn in 1..=3 {
        let readings = world.wechat.arrived(Endpoint::ApiGetAuthorizerList);
        authorize_anew(&world, 0..20);
        let ran = all_phones(&world).await;
        ran.assert_complete();
        assert_eq!(ran.of(CheckName::Phone).done, 20, "{turn}: {ran:?}");
        assert_eq!(world.wechat.arrived(Endpoint::ApiGetAuthorizerList), readings + 1, "{turn}: one reading for all");
    }
    // And one alone.
    authorize_anew(&world, 7..8);
    assert_eq!(all_phones(&world).await.of(CheckName::Phone).done, 20);
}

#[tokio::test]
async fn a_merchant_is_not_declared_lost_while_the_list_can_not_be_read() {
    let world = World::synced(plan(4, 1)).await;
    let anew = Plan::mini_program(2);
    world.once_of(&[CheckName::Phone]).await.assert_complete();
    world.wechat.script(Rule::new(Oddity::HttpStatus(502)).on(Endpoint::ApiGetAuthorizerList)).unwrap();
    authorize_anew(&world, 2..3);
    let ran = all_phones(&world).await;
    ran.assert_complete();
    assert_eq!((ran.of(CheckName::Phone).done, ran.of(CheckName::Phone).deferred), (3, 1), "{ran:?}");
    assert_eq!(world.outcomes(CheckName::Phone).await[&anew], "deferred token_recovering");
    assert_eq!(world.count("select count(*) from wxpatrol.attention where why = 'token_lost'").await, 0);
    world.wechat.clear_script();
    world.pass(Duration::from_secs(3600)).await;
    assert_eq!(all_phones(&world).await.of(CheckName::Phone).done, 4);
}

#[tokio::test]
async fn a_list_that_brings_refused_tokens_again_and_again_holds_no_run_open() {
    let world = World::synced(plan(3, 1)).await;
    let odd = Plan::mini_program(1);
    world.wechat.script(Rule::new(Oddity::Errcode(61023)).on(Endpoint::ApiAuthorizerToken).of(odd.as_str())).unwrap();
    let another = async {
        let mut known = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let refused = world.count("select max(losses)::int8 from wxpatrol_data.credential").await;
            if refused > known {
                known = refused;
                world.wechat.authorize(&odd).unwrap();
            }
        }
    };
    let ran = tokio::select! { ran = all_phones(&world) => ran, () = another => unreachable!("it never ends") };
    ran.assert_complete();
    assert_eq!((ran.of(CheckName::Phone).done, ran.of(CheckName::Phone).deferred), (2, 1), "{ran:?}");
}

#[tokio::test]
async fn an_entry_of_the_list_without_an_appid_proves_no_absence_and_keeps_no_loss_from_being_proven() {
    let world = World::synced(plan(5, 0)).await;
    let (lost, odd) = (Plan::mini_program(2), Plan::mini_program(3));
    world.wechat.withdraw(&lost).unwrap();
    world.wechat.list_nameless(&odd, true).unwrap();
    for _ in 0..3 {
        let ended = world.program(&["sync"]).await;
        assert_eq!(ended.code, Some(1), "{}", ended.everything());
        assert!(ended.stderr.contains("1 row of the list names no merchant"), "{}", ended.stderr);
    }
    assert_eq!(world.count("select count(*) from wxpatrol_data.merchant where withdrawn_at is not null").await, 0);
    // Its refresh token is refused as one that is lost: WeChat's list is read for another, once.
    let lose = format!(
        "update wxpatrol_data.credential set access_sealed = null, access_expires_at = null, refresh_sealed = null,
                lost_reason = 'refused', lost_at = wxpatrol_data.clock() where appid = '{lost}'"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(lose)).execute(&world.database.pool).await.unwrap();
    let readings = world.wechat.arrived(Endpoint::ApiGetAuthorizerList);
    let ran = world.once_of(&[CheckName::Phone]).await;
    ran.assert_complete();
    let reason = format!("select reason from wxpatrol_data.item where check_name = 'phone' and appid = '{lost}'");
    assert_eq!(world.texts(&reason).await, ["token_lost"], "{ran:?}");
    assert!(world.wechat.arrived(Endpoint::ApiGetAuthorizerList) <= readings + 2, "the list is read again and again");
}
