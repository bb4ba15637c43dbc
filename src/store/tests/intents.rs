//! Messages that are written down together: each is judged for itself, and all of them share the day's cap.

use std::time::Duration;

use super::*;
use crate::{
    domain::{
        Finding, Outcome, Settled,
        message::{MessagePolicy, Permission},
        outcome::{IntentOutcome, InviteAnswer},
    },
    store::{
        claim::Claim,
        intend::{Intended, Leased},
        operator::HoldTarget,
    },
};

const CALL_MAX: Duration = Duration::from_secs(20);
const POLICY: MessagePolicy = MessagePolicy {
    cooldown: Duration::from_secs(7 * 86_400),
    messages_max: Some(3),
    per_day: None,
    quiet_hours: None,
};

/// So many mini programs that were read as missing, whose administrators may be asked.
async fn to_ask(count: i32) -> TestDatabase {
    let database = mini_programs(count).await;
    say(
        &database.pool,
        "insert into item (platform_id, appid, check_name, due_at, due_since)
         select 1, appid, check_name, clock(), clock() from merchant, unnest(array['phone', 'ask']) check_name;
         insert into phone (platform_id, appid, state, since, read_at) select 1, appid, 'missing', clock(), clock() from merchant",
    )
    .await;
    database
}

/// What an invitation needs to be allowed: an official account that wants so many mini programs, and was read.
async fn to_invite(count: i32) -> TestDatabase {
    let database = mini_programs(count).await;
    say(
        &database.pool,
        "insert into merchant (platform_id, appid, kind)
         select 1, 'wxoa' || appid, 'official_account' from merchant;
         insert into wish (platform_id, official_account, mini_program, notify_users)
         select 1, 'wxoa' || appid, appid, appid = 'wx0002' from merchant where kind = 'mini_program';
         insert into link (platform_id, official_account, mini_program, state, since, read_at)
         select 1, official_account, mini_program, 'wanted', clock(), clock() from wish;
         insert into item (platform_id, appid, check_name, counterpart, due_at, due_since)
         select 1, official_account, 'invite', mini_program, clock(), clock() from wish",
    )
    .await;
    database
}

async fn claimed(store: &Store, check: CheckName, items_max: u32) -> Vec<Claim> {
    store.claim(claim_of(check, items_max)).await.unwrap()
}

fn leased(claims: &[Claim]) -> Vec<Leased> {
    claims.iter().map(Leased::of).collect()
}

fn yes(intended: &[Intended]) -> usize {
    intended.iter().filter(|answer| matches!(answer, Intended::Yes { .. })).count()
}

async fn written(database: &TestDatabase) -> Vec<String> {
    sqlx::query_scalar("select appid || ' ' || number from wxpatrol_data.intent where settled_at is null order by 1")
        .fetch_all(&database.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_batch_takes_no_more_messages_than_the_day_has_left() {
    let database = to_ask(7).await;
    let claims = claimed(&database.store, CheckName::Ask, 7).await;
    let policy = MessagePolicy { per_day: Some(5), ..POLICY };
    let first = database.store.intend(&leased(&claims[..2]), &policy, CALL_MAX).await.unwrap();
    assert_eq!(yes(&first), 2);
    let second = database.store.intend(&leased(&claims[2..]), &policy, CALL_MAX).await.unwrap();
    assert_eq!(yes(&second), 3);
    let capped = |answer: &Intended| matches!(answer, Intended::Refused(Permission::Later { reason: "day_cap", .. }));
    assert_eq!(second.iter().filter(|answer| capped(answer)).count(), 2, "{second:?}");
    assert_eq!(written(&database).await.len(), 5);
    let used: i32 =
        sqlx::query_scalar("select used from wxpatrol_data.message_day").fetch_one(&database.pool).await.unwrap();
    assert_eq!(used, 5);
}

#[tokio::test]
async fn who_may_not_be_messaged_keeps_nobody_else_in_the_batch_from_it() {
    let database = to_ask(8).await;
    let mut claims = claimed(&database.store, CheckName::Ask, 8).await;
    say(
        &database.pool,
        "insert into hold (platform_id, appid, reason) values (1, 'wx0002', 'a test');
         update phone set state = 'bound', bound_at = clock() where appid = 'wx0003';
         update merchant set withdrawn_at = clock() where appid = 'wx0005';
         insert into intent (platform_id, purpose, appid, number, made_at, deadline_at, process_id, outcome, settled_at)
         select 1, 'ask', appid, number, clock() - days * interval '1 day', clock() - days * interval '1 day',
                '00000000-0000-0000-0000-000000000001', outcome, clock() - days * interval '1 day'
           from (values ('wx0004', 1, 6, 'made'), ('wx0006', 1, 8, 'made'), ('wx0006', 2, 1, 'not_made'),
                        ('wx0007', 1, 40, 'made'), ('wx0007', 2, 30, 'unknown'), ('wx0007', 3, 20, 'made'))
                as t (appid, number, days, outcome)",
    )
    .await;
    claims[0].fence -= 1;
    // Calls begin in no order of keys; answers come back in theirs.
    claims.reverse();
    let answers = database.store.intend(&leased(&claims), &POLICY, CALL_MAX).await.unwrap();
    let of: BTreeMap<&str, &Intended> = claims.iter().map(|claim| claim.key.appid.as_str()).zip(&answers).collect();
    let no = |reason| Intended::Refused(Permission::No { reason });
    assert_eq!(*of["wx0001"], Intended::LeaseLost);
    assert_eq!(*of["wx0002"], no("held"));
    assert_eq!(*of["wx0003"], no("not_wanted"));
    assert!(matches!(of["wx0004"], Intended::Refused(Permission::Later { reason: "cooldown", .. })), "{of:?}");
    assert_eq!(*of["wx0005"], no("withdrawn"));
    assert!(matches!(of["wx0006"], Intended::Yes { number: 3, .. }), "{of:?}");
    assert_eq!(*of["wx0007"], no("maximum_reached"));
    assert!(matches!(of["wx0008"], Intended::Yes { number: 1, .. }), "{of:?}");
    let unsettled =
        "select appid || ' ' || number from wxpatrol_data.intent where outcome = 'unknown' and settled_at is null";
    let mut unsettled: Vec<String> = sqlx::query_scalar(unsettled).fetch_all(&database.pool).await.unwrap();
    unsettled.sort();
    assert_eq!(unsettled, ["wx0006 3", "wx0008 1"]);
}

#[tokio::test]
async fn a_paused_schedule_forbids_no_message() {
    let database = to_ask(1).await;
    let schedule = HoldTarget { schedule: Some("sync".to_owned()), ..HoldTarget::default() };
    database.store.pause(1, &[schedule], None, None, "me").await.unwrap();
    let claims = claimed(&database.store, CheckName::Ask, 1).await;
    assert_eq!(yes(&database.store.intend(&leased(&claims), &POLICY, CALL_MAX).await.unwrap()), 1);
}

#[tokio::test]
async fn a_lease_that_ends_before_the_call_would_messages_nobody() {
    let database = to_ask(3).await;
    let claims = claimed(&database.store, CheckName::Ask, 3).await;
    let answers = database.store.intend(&leased(&claims), &POLICY, Duration::from_secs(61)).await.unwrap();
    assert_eq!(answers, [Intended::LeaseLost, Intended::LeaseLost, Intended::LeaseLost]);
    assert!(written(&database).await.is_empty());
}

#[tokio::test]
async fn processes_that_write_at_once_never_pass_the_days_cap_together() {
    let database = to_ask(40).await;
    let policy = MessagePolicy { per_day: Some(25), ..POLICY };
    let mut writers = Vec::new();
    for _ in 0..4 {
        let store = database.another_store().await;
        let claims = claimed(&store, CheckName::Ask, 10).await;
        assert_eq!(claims.len(), 10);
        let policy = policy.clone();
        writers.push(tokio::spawn(async move {
            let mut written = 0;
            for batch in leased(&claims).chunks(3) {
                written += yes(&store.intend(batch, &policy, CALL_MAX).await.unwrap());
            }
            written
        }));
    }
    let mut all = 0;
    for writer in writers {
        all += writer.await.unwrap();
    }
    assert_eq!(all, 25);
    assert_eq!(written(&database).await.len(), 25);
}

#[tokio::test]
async fn an_invitation_is_written_with_what_its_wish_says_unless_an_earlier_one_is_unsettled() {
    let database = to_invite(7).await;
    let claims = claimed(&database.store, CheckName::Invite, 7).await;
    say(
        &database.pool,
        "update merchant set withdrawn_at = clock() where appid = 'wx0006';
         update merchant set kind = 'other' where appid = 'wx0007';
         update link set read_at = clock() - interval '26 hours' where mini_program = 'wx0003';
         delete from wish where mini_program = 'wx0004';
         insert into intent (platform_id, purpose, appid, counterpart, number, made_at, deadline_at, process_id)
         values (1, 'invite', 'wxoawx0005', 'wx0005', 1, clock() - interval '1 min', clock(), '00000000-0000-0000-0000-000000000001')",
    )
    .await;
    let answers = database.store.intend(&leased(&claims), &POLICY, CALL_MAX).await.unwrap();
    let not_wanted = Intended::Refused(Permission::No { reason: "not_wanted" });
    let of: BTreeMap<&str, &Intended> =
        claims.iter().map(|claim| claim.key.counterpart.as_str()).zip(&answers).collect();
    assert!(
        matches!(of["wx0001"], Intended::Yes { number: 1, notify_users: false, show_profile: false, .. }),
        "{of:?}"
    );
    assert!(matches!(of["wx0002"], Intended::Yes { number: 1, notify_users: true, show_profile: false, .. }), "{of:?}");
    assert_eq!(*of["wx0003"], not_wanted);
    assert_eq!(*of["wx0006"], not_wanted, "it has withdrawn since it was planned");
    assert_eq!(*of["wx0007"], not_wanted, "it is no mini program");
    assert!(matches!(of["wx0004"], Intended::LeaseLost | Intended::Refused(_)), "{of:?}");
    assert_eq!(*of["wx0005"], Intended::Unsettled);
    assert_eq!(written(&database).await, ["wxoawx0001 1", "wxoawx0002 1", "wxoawx0005 1"]);
}

#[tokio::test]
async fn nobody_is_messaged_on_a_database_that_is_another_than_before() {
    let database = to_ask(3).await;
    database.store.compare_identity().await.unwrap();
    let claims = claimed(&database.store, CheckName::Ask, 3).await;
    assert_eq!(yes(&database.store.intend(&leased(&claims[..1]), &POLICY, CALL_MAX).await.unwrap()), 1);
    // Postgres fails over under a worker that goes on.
    say(&database.pool, "update cluster_identity set timeline = timeline - 1").await;
    let held = Intended::Refused(Permission::No { reason: "held" });
    // The first sees it, the others meet the hold.
    for _ in 0..2 {
        let answers = database.store.intend(&leased(&claims[1..]), &POLICY, CALL_MAX).await.unwrap();
        assert_eq!(answers, [held.clone(), held.clone()]);
    }
    assert_eq!(written(&database).await, ["wx0001 1"]);
}

#[tokio::test]
async fn an_invitation_whose_record_comes_too_late_is_settled_with_the_next_claim_and_not_sent_again() {
    let database = to_invite(1).await;
    let late = claimed(&database.store, CheckName::Invite, 1).await.remove(0);
    let answers = database.store.intend(&[Leased::of(&late)], &POLICY, CALL_MAX).await.unwrap();
    let Intended::Yes { number, .. } = answers[0] else { panic!("{answers:?}") };
    database.advance(Duration::from_secs(61)).await;
    let sent = |outcome| Settled {
        key: late.key.clone(),
        fence: late.fence,
        outcome: Outcome::Done { due_at: None },
        call: None,
        finding: Some(Finding::Invite(InviteAnswer::Sent)),
        intent: Some((number, outcome)),
        free_at: None,
    };
    let context = RecordContext { platform: 1, run: None, patience: Patience(Duration::from_secs(60)) };
    let recorded = database.store.record(context, &[sent(IntentOutcome::Made)]).await.unwrap();
    assert_eq!(recorded.written, [false]);
    let next = claimed(&database.store, CheckName::Invite, 1).await.remove(0);
    // Long after the cool-down, and read as not linked yet: nothing else would hold the second one back.
    database.advance(Duration::from_secs(30)).await;
    let policy = MessagePolicy { cooldown: Duration::from_secs(1), ..POLICY };
    let answers = database.store.intend(&[Leased::of(&next)], &policy, CALL_MAX).await.unwrap();
    assert_eq!(answers, [Intended::Unsettled]);
    // That it was not made is known, whoever holds the item.
    database.store.record(context, &[sent(IntentOutcome::NotMade)]).await.unwrap();
    let outcome = "select outcome from wxpatrol_data.intent";
    assert_eq!(sqlx::query_scalar::<_, String>(outcome).fetch_one(&database.pool).await.unwrap(), "not_made");
}
