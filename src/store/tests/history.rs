//! What readings leave behind, against small models: the history of the message-push configuration, and the state of phones.
//! The clock is the test's; everything goes through claim and record. `PROPTEST_CASES=500` tries more.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    limits::{Still, few, runtime},
    *,
};
use crate::{
    domain::{Callback, Finding, Outcome, Settled, callback::CanonicalConfig, link::Patience, outcome::PhoneState},
    store::{claim::ClaimWish, record::RecordContext},
};

const LEASE: Duration = Duration::from_secs(30);
const MERCHANTS: [&str; 2] = ["wxa", "wxb"];
const ROUTES: [&str; 4] = ["text//e/f", "image//e/f", "event/subscribe/e/f", "event/subscribe/other/g"];
const FIELDS: [&str; 4] =
    ["container_config.text_mode", "container_config.path", "function_config.enable", "unknown.deep.key"];

/// What a reading shows: the leaves by their paths, which is also what the history must come to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    Absent,
    NotApplicable,
    Configured { enable: bool, fields: BTreeMap<usize, u8>, routes: BTreeMap<usize, bool> },
}

type Leaves = BTreeMap<String, String>;

impl Form {
    fn route(route: usize, enable: bool) -> Value {
        let parts: Vec<&str> = ROUTES[route].split('/').collect();
        json!({"msgType": parts[0], "event": parts[1], "env": parts[2], "functionName": parts[3], "enable": enable})
    }

    fn state(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::NotApplicable => "not_applicable",
            Self::Configured { .. } => "configured",
        }
    }

    fn leaves(&self) -> Leaves {
        let mut leaves = Leaves::from([("state".to_owned(), format!("\"{}\"", self.state()))]);
        if let Self::Configured { enable, fields, routes } = self {
            leaves.insert("container_config.enable".to_owned(), enable.to_string());
            leaves.extend(fields.iter().map(|(field, value)| (FIELDS[*field].to_owned(), value.to_string())));
            leaves.extend(routes.iter().map(|(route, enable)| {
                (format!("function_config.callbacks[{}]", ROUTES[*route]), Self::route(*route, *enable).to_string())
            }));
        }
        leaves
    }

    fn callback(&self) -> Callback {
        let Self::Configured { enable, fields, routes } = self else {
            return if *self == Self::Absent { Callback::Absent } else { Callback::NotApplicable };
        };
        let mut config = json!({"container_config": {"enable": enable}});
        for (field, value) in fields {
            let mut place = &mut config;
            for key in FIELDS[*field].split('.') {
                place = &mut place[key];
            }
            *place = json!(value);
        }
        if !routes.is_empty() {
            let routes: Vec<Value> = routes.iter().map(|(route, enable)| Self::route(*route, *enable)).collect();
            config["function_config"]["callbacks"] = json!(routes);
        }
        Callback::Configured(CanonicalConfig::of(&config))
    }
}

fn form() -> impl Strategy<Value = Form> {
    let fields = proptest::collection::btree_map(0..FIELDS.len(), 0_u8..3, 0..3);
    let routes = proptest::collection::btree_map(0..ROUTES.len(), any::<bool>(), 0..3);
    prop_oneof![
        1 => Just(Form::Absent),
        1 => Just(Form::NotApplicable),
        5 => (any::<bool>(), fields, routes)
            .prop_map(|(enable, fields, routes)| Form::Configured { enable, fields, routes }),
    ]
}

struct Desk {
    still: Still,
}

impl Desk {
    async fn new() -> Self {
        let still = Still::new().await;
        say(
            &still.database.pool,
            "insert into merchant (platform_id, appid, kind, plan_stale)
             select 1, unnest('{wxa,wxb}'::text[]), 'mini_program', false",
        )
        .await;
        Self { still }
    }

    async fn begin(&self) {
        say(
            &self.still.database.pool,
            "delete from item; delete from phone; delete from callback_snapshot; delete from callback_change;
             insert into item (platform_id, appid, check_name, due_at, due_since, outcome, reason)
             select 1, m.appid, c.check_name, c.due_at, c.due_at, c.outcome, c.reason
               from merchant m
              cross join (values ('phone', clock(), null, null), ('callback', clock(), null, null),
                                 ('ask', 'infinity', 'skipped', 'phone_not_missing')) as c (check_name, due_at, outcome, reason)",
        )
        .await;
    }

    /// Claims everybody's item and records what was read of these; the others go back.
    async fn read(&self, check: CheckName, readings: &BTreeMap<&str, Finding>) {
        let store = &self.still.database.store;
        let wish = ClaimWish { platform: self.still.platform, lease: LEASE, ..claim_of(check, 10) };
        let claims = store.claim(wish).await.unwrap();
        assert_eq!(claims.len(), MERCHANTS.len());
        let settled: Vec<Settled> = claims
            .iter()
            .map(|claim| {
                let finding = readings.get(claim.key.appid.as_str()).cloned();
                let outcome = match finding {
                    Some(_) => Outcome::Done { due_at: Some(self.still.now) },
                    None => Outcome::Back,
                };
                let (key, fence) = (claim.key.clone(), claim.fence);
                Settled { key, fence, outcome, call: None, finding, intent: None, free_at: None }
            })
            .collect();
        let context = RecordContext { platform: self.still.platform, run: None, patience: Patience(LEASE) };
        assert_eq!(store.record(context, &settled).await.unwrap().written, vec![true; settled.len()]);
    }

    /// The intervals of a merchant: from, to, state.
    async fn intervals(&self, appid: &str) -> Vec<(DateTime<Utc>, Option<DateTime<Utc>>, String)> {
        sqlx::query_as(
            "select valid_from, valid_to, state from wxpatrol_data.callback_snapshot where appid = $1 order by valid_from",
        )
        .bind(appid)
        .fetch_all(&self.still.database.pool)
        .await
        .unwrap()
    }

    /// The field changes of a merchant, in order.
    async fn changes(&self, appid: &str) -> Vec<(DateTime<Utc>, String, Option<String>, Option<String>)> {
        sqlx::query_as(
            "select changed_at, field, old_value, new_value from wxpatrol_data.callback_change where appid = $1
              order by changed_at, field",
        )
        .bind(appid)
        .fetch_all(&self.still.database.pool)
        .await
        .unwrap()
    }
}

#[test]
fn the_changes_of_the_history_re_applied_to_its_first_form_give_every_later_one() {
    let runtime = runtime();
    let desk = RefCell::new(runtime.block_on(Desk::new()));
    let case = |readings: Vec<(usize, Form)>| {
        let mut desk = desk.borrow_mut();
        runtime.block_on(async {
            desk.begin().await;
            let mut read: BTreeMap<&str, Vec<(DateTime<Utc>, Form)>> = BTreeMap::new();
            for (merchant, form) in readings {
                desk.still.pass(TimeDelta::minutes(10)).await;
                let appid = MERCHANTS[merchant];
                desk.read(CheckName::Callback, &BTreeMap::from([(appid, Finding::Callback(form.callback()))])).await;
                read.entry(appid).or_default().push((desk.still.now, form));
            }
            for (appid, mut forms) in read {
                forms.dedup_by(|later, earlier| later.1 == earlier.1);
                let ends = forms.iter().skip(1).map(|(at, _)| Some(*at)).chain([None]);
                let expected: Vec<_> =
                    forms.iter().zip(ends).map(|((at, form), end)| (*at, end, form.state().to_owned())).collect();
                prop_assert_eq!(desk.intervals(appid).await, expected);
                let mut leaves = forms[0].1.leaves();
                let changes = desk.changes(appid).await;
                let told: BTreeSet<DateTime<Utc>> = changes.iter().map(|change| change.0).collect();
                prop_assert_eq!(told, forms.iter().skip(1).map(|(at, _)| *at).collect::<BTreeSet<_>>());
                for (at, form) in &forms[1..] {
                    for (_, field, old, new) in changes.iter().filter(|change| change.0 == *at) {
                        prop_assert_ne!(old, new, "{} did not change", field);
                        prop_assert_eq!(leaves.get(field), old.as_ref(), "{} was another", field);
                        match new {
                            Some(new) => leaves.insert(field.clone(), new.clone()),
                            None => leaves.remove(field),
                        };
                    }
                    prop_assert_eq!(&leaves, &form.leaves());
                }
            }
            Ok(())
        })
    };
    let readings = proptest::collection::vec((0..MERCHANTS.len(), form()), 1..14);
    proptest::test_runner::TestRunner::new(few(12)).run(&readings, case).unwrap();
}

/// Whether it is bound, since when, when it was read, and when it was last seen bound.
type Phone = (bool, DateTime<Utc>, DateTime<Utc>, Option<DateTime<Utc>>);

#[test]
fn a_phone_s_row_tells_the_last_reading_since_when_and_whether_an_ask_follows() {
    let runtime = runtime();
    let desk = RefCell::new(runtime.block_on(Desk::new()));
    let case = |readings: Vec<BTreeMap<usize, bool>>| {
        let mut desk = desk.borrow_mut();
        runtime.block_on(async {
            desk.begin().await;
            let mut model: BTreeMap<&str, Phone> = BTreeMap::new();
            for reading in readings {
                desk.still.pass(TimeDelta::minutes(10)).await;
                let now = desk.still.now;
                let found = |bound: &bool| Finding::Phone(if *bound { PhoneState::Bound } else { PhoneState::Missing });
                let findings: BTreeMap<&str, Finding> =
                    reading.iter().map(|(merchant, bound)| (MERCHANTS[*merchant], found(bound))).collect();
                desk.read(CheckName::Phone, &findings).await;
                for (merchant, bound) in &reading {
                    let known = model.get(MERCHANTS[*merchant]).copied();
                    let since = known.filter(|known| known.0 == *bound).map_or(now, |known| known.1);
                    let bound_at = if *bound { Some(now) } else { known.and_then(|known| known.3) };
                    model.insert(MERCHANTS[*merchant], (*bound, since, now, bound_at));
                }
                type Row = (String, bool, DateTime<Utc>, DateTime<Utc>, Option<DateTime<Utc>>);
                let rows: Vec<Row> = sqlx::query_as(
                    "select appid, state = 'bound', since, read_at, bound_at from wxpatrol_data.phone order by appid",
                )
                .fetch_all(&desk.still.database.pool)
                .await
                .unwrap();
                let rows: BTreeMap<_, _> =
                    rows.iter().map(|(appid, bound, since, at, was)| (appid.as_str(), (*bound, *since, *at, *was))).collect();
                prop_assert_eq!(&rows, &model);
                let awake: Vec<String> = sqlx::query_scalar(
                    "select appid from wxpatrol_data.item where check_name = 'ask' and due_at < 'infinity' order by appid",
                )
                .fetch_all(&desk.still.database.pool)
                .await
                .unwrap();
                let missing: Vec<String> =
                    model.iter().filter(|(_, phone)| !phone.0).map(|(appid, _)| (*appid).to_owned()).collect();
                prop_assert_eq!(awake, missing);
            }
            Ok(())
        })
    };
    let reading = proptest::collection::btree_map(0..MERCHANTS.len(), any::<bool>(), 1..3);
    let readings = proptest::collection::vec(reading, 1..14);
    proptest::test_runner::TestRunner::new(few(12)).run(&readings, case).unwrap();
}
