//! Claim and record against a small model of the items: three processes claim, record, prolong, give back, come late and try
//! what is another's, in any order, while the clock is the test's. `PROPTEST_CASES=500` tries more of them.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::{
    limits::{Still, few, runtime},
    *,
};
use crate::{
    domain::{Outcome, Settled, link::Patience},
    store::{
        claim::{Claim, ClaimWish, Claimed, Losses, QueuePlace},
        record::RecordContext,
    },
};

const LEASE: Duration = Duration::from_secs(30);
const PROCESSES: usize = 3;
const MERCHANTS: [&str; 5] = ["wxa", "wxb", "wxc", "wxd", "wxe"];

/// What somebody does.
#[derive(Debug, Clone)]
enum Deed {
    Claim {
        process: usize,
        items_max: u32,
        losses: Losses,
        /// Goes on behind the last one that this process has claimed, if it has claimed anything.
        behind: bool,
    },
    /// Records these of all claims that were ever made, each counted from the last one; `process` may not be who made them.
    Record {
        process: usize,
        claims: Vec<usize>,
        became: Became,
    },
    Prolong {
        process: usize,
    },
    Return {
        process: usize,
    },
    Park,
    Pass {
        millis: i64,
    },
}

#[derive(Debug, Clone, Copy)]
enum Became {
    Done { secs: i64 },
    Again { secs: i64, attempt: bool },
    Dormant,
    Back,
}

fn deed() -> impl Strategy<Value = Deed> {
    let process = || 0..PROCESSES;
    let became = prop_oneof![
        (0_i64..90).prop_map(|secs| Became::Done { secs }),
        (0_i64..90, any::<bool>()).prop_map(|(secs, attempt)| Became::Again { secs, attempt }),
        Just(Became::Dormant),
        Just(Became::Back),
    ];
    let losses = prop_oneof![
        7 => Just(Losses::OnceAtMost),
        1 => Just(Losses::Twice),
        1 => Just(Losses::ThreeTimes),
        1 => Just(Losses::FourTimes),
    ];
    // At the edge of the lease, and on both sides of it.
    let millis = prop_oneof![Just(1_i64), Just(10_000), Just(29_999), Just(30_000), Just(30_001), Just(60_000)];
    prop_oneof![
        5 => (process(), 1_u32..6, losses, prop::bool::weighted(0.3))
            .prop_map(|(process, items_max, losses, behind)| Deed::Claim { process, items_max, losses, behind }),
        5 => (process(), proptest::collection::vec(0_usize..8, 1..5), became)
            .prop_map(|(process, claims, became)| Deed::Record { process, claims, became }),
        1 => process().prop_map(|process| Deed::Prolong { process }),
        1 => process().prop_map(|process| Deed::Return { process }),
        1 => Just(Deed::Park),
        4 => millis.prop_map(|millis| Deed::Pass { millis }),
    ]
}

/// One item, as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    /// `None`: dormant.
    due_at: Option<DateTime<Utc>>,
    lease: Option<(usize, DateTime<Utc>)>,
    fence: i64,
    abandoned: i16,
    attempts: i16,
    outcome: Option<String>,
}

impl Item {
    fn new(now: DateTime<Utc>) -> Self {
        Self { due_at: Some(now), lease: None, fence: 0, abandoned: 0, attempts: 0, outcome: None }
    }

    fn leased(&self, now: DateTime<Utc>) -> bool {
        self.lease.is_some_and(|(_, until)| until > now)
    }

    fn lost(&self) -> i16 {
        self.abandoned + i16::from(self.lease.is_some())
    }

    fn claimable(&self, losses: Losses, now: DateTime<Utc>) -> bool {
        let fits = match losses {
            Losses::OnceAtMost => self.lost() < 2,
            Losses::Twice => self.lost() == 2,
            Losses::ThreeTimes => self.lost() == 3,
            Losses::FourTimes => self.lost() >= 4,
        };
        self.due_at.is_some_and(|due_at| due_at <= now) && !self.leased(now) && fits
    }

    fn become_(&mut self, became: Became, now: DateTime<Utc>) {
        self.lease = None;
        let (outcome, due_at) = match became {
            Became::Back => return,
            Became::Done { secs } => ("done", Some(now + TimeDelta::seconds(secs))),
            Became::Again { secs, .. } => ("again", Some(now + TimeDelta::seconds(secs))),
            Became::Dormant => ("skipped", None),
        };
        self.attempts = if let Became::Again { attempt, .. } = became { self.attempts + i16::from(attempt) } else { 0 };
        (self.abandoned, self.due_at, self.outcome) = (0, due_at, Some(outcome.to_owned()));
    }
}

type Model = BTreeMap<String, Item>;

struct Workshop {
    still: Still,
    stores: Vec<Store>,
}

impl Workshop {
    async fn new() -> Self {
        let still = Still::new().await;
        say(
            &still.database.pool,
            "insert into merchant (platform_id, appid, kind, plan_stale)
             select 1, unnest('{wxa,wxb,wxc,wxd,wxe}'::text[]), 'mini_program', false",
        )
        .await;
        let mut stores = Vec::new();
        for _ in 0..PROCESSES {
            stores.push(still.database.another_store().await);
        }
        Self { still, stores }
    }

    async fn begin(&self) -> Model {
        say(
            &self.still.database.pool,
            "delete from item;
             insert into item (platform_id, appid, check_name, due_at, due_since)
             select 1, m.appid, 'phone', clock(), clock() from merchant m order by m.appid",
        )
        .await;
        MERCHANTS.iter().map(|appid| ((*appid).to_owned(), Item::new(self.still.now))).collect()
    }

    async fn rows(&self) -> Model {
        type Row =
            (String, Option<DateTime<Utc>>, Option<uuid::Uuid>, Option<DateTime<Utc>>, i64, i16, i16, Option<String>);
        let rows: Vec<Row> = sqlx::query_as(
            "select appid, nullif(due_at, 'infinity'), leased_by, leased_until, fence, abandoned, attempts, outcome
               from wxpatrol_data.item",
        )
        .fetch_all(&self.still.database.pool)
        .await
        .unwrap();
        rows.into_iter()
            .map(|(appid, due_at, leased_by, until, fence, abandoned, attempts, outcome)| {
                let holder = leased_by.and_then(|id| self.stores.iter().position(|store| store.process_id() == id));
                (appid, Item { due_at, lease: holder.zip(until), fence, abandoned, attempts, outcome })
            })
            .collect()
    }

    async fn claim(&self, process: usize, items_max: u32, losses: Losses, behind: Option<&QueuePlace>) -> Claimed {
        let wish =
            ClaimWish { platform: self.still.platform, lease: LEASE, losses, ..claim_of(CheckName::Phone, items_max) };
        self.stores[process].claim_behind(wish, behind).await.unwrap()
    }

    async fn record(&self, process: usize, claims: &[&Claim], became: Became) -> Vec<bool> {
        let now = self.still.now;
        let at = |secs| now + TimeDelta::seconds(secs);
        let outcome = match became {
            Became::Done { secs } => Outcome::Done { due_at: Some(at(secs)) },
            Became::Again { secs, attempt } => {
                Outcome::Again { due_at: at(secs), reason: "a test".to_owned(), attempt }
            }
            Became::Dormant => Outcome::Skipped { due_at: None, reason: "a test".to_owned() },
            Became::Back => Outcome::Back,
        };
        let settled: Vec<Settled> = claims
            .iter()
            .map(|claim| Settled {
                key: claim.key.clone(),
                fence: claim.fence,
                outcome: outcome.clone(),
                call: None,
                finding: None,
                intent: None,
                free_at: None,
            })
            .collect();
        let context = RecordContext { platform: self.still.platform, run: None, patience: Patience(LEASE) };
        self.stores[process].record(context, &settled).await.unwrap().written
    }
}

#[test]
fn whoever_claims_records_and_comes_late_the_items_are_as_the_model_says() {
    let runtime = runtime();
    let workshop = RefCell::new(runtime.block_on(Workshop::new()));
    let case = |deeds: Vec<Deed>| {
        let mut workshop = workshop.borrow_mut();
        runtime.block_on(async {
            let mut model = workshop.begin().await;
            let mut claims: Vec<(usize, Claim)> = Vec::new();
            let mut places: [Option<QueuePlace>; PROCESSES] = Default::default();
            for deed in deeds {
                let now = workshop.still.now;
                match &deed {
                    Deed::Claim { process, items_max, losses, behind } => {
                        let behind = places[*process].clone().filter(|_| *behind);
                        let mut expected: Vec<_> = model
                            .iter()
                            .filter(|(_, item)| item.claimable(*losses, now))
                            .filter(|(appid, item)| {
                                behind
                                    .as_ref()
                                    .is_none_or(|place| (item.due_at, *appid) > (Some(place.due_at), &place.appid))
                            })
                            .map(|(appid, item)| (item.due_at, appid.clone()))
                            .collect();
                        // Most overdue first.
                        expected.sort();
                        let most = if *losses == Losses::FourTimes { 1 } else { *items_max as usize };
                        let mut expected: Vec<_> = expected.into_iter().take(most).map(|(_, appid)| appid).collect();
                        expected.sort();
                        let claimed = workshop.claim(*process, *items_max, *losses, behind.as_ref()).await;
                        let made = claimed.claims;
                        places[*process] = claimed.last.or(behind);
                        let got: Vec<_> = made.iter().map(|claim| claim.key.appid.clone()).collect();
                        prop_assert_eq!(got, expected, "{:?}", deed);
                        for claim in &made {
                            let item = model.get_mut(&claim.key.appid).unwrap();
                            item.abandoned = item.lost();
                            item.fence += 1;
                            item.lease = Some((*process, now + TimeDelta::from_std(LEASE).unwrap()));
                            prop_assert_eq!(claim.fence, item.fence);
                        }
                        claims.extend(made.into_iter().map(|claim| (*process, claim)));
                    }
                    Deed::Record { process, claims: which, became } => {
                        let mut batch: Vec<&Claim> = Vec::new();
                        for back in which {
                            let Some((_, claim)) = claims.iter().rev().nth(*back) else { continue };
                            // An item is in a batch once: its first claim is settled before its second is made.
                            if !batch.iter().any(|known| known.key == claim.key) {
                                batch.push(claim);
                            }
                        }
                        if batch.is_empty() {
                            continue;
                        }
                        let written = workshop.record(*process, &batch, *became).await;
                        for (claim, written) in batch.iter().zip(written) {
                            let item = model.get_mut(&claim.key.appid).unwrap();
                            let holds = item.fence == claim.fence
                                && item.lease.is_some_and(|(holder, until)| holder == *process && until > now);
                            prop_assert_eq!(written, holds, "{:?} of {:?}", deed, claim.key);
                            if holds {
                                item.become_(*became, now);
                            }
                        }
                    }
                    Deed::Prolong { process } => {
                        let leases = claims.iter().filter(|(of, _)| of == process);
                        let leases: Vec<_> = leases.map(|(_, claim)| Arc::clone(&claim.lease)).collect();
                        workshop.stores[*process].prolong(workshop.still.platform, leases, LEASE).await.unwrap();
                        for item in model.values_mut() {
                            if let Some((holder, until)) = &mut item.lease
                                && holder == process
                                && *until > now
                            {
                                *until = now + TimeDelta::from_std(LEASE).unwrap();
                            }
                        }
                    }
                    Deed::Return { process } => {
                        workshop.stores[*process].return_leases(workshop.still.platform).await.unwrap();
                        for item in model.values_mut() {
                            if item.leased(now) && item.lease.is_some_and(|(holder, _)| holder == *process) {
                                item.lease = None;
                            }
                        }
                    }
                    Deed::Park => {
                        let store = &workshop.stores[0];
                        store.park(workshop.still.platform, CheckName::Phone).await.unwrap();
                        for item in model.values_mut() {
                            let due = item.due_at.is_some_and(|due_at| due_at <= now);
                            if due && item.abandoned >= 4 && item.lease.is_some() && !item.leased(now) {
                                item.lease = None;
                                item.attempts = 0;
                                item.due_at = Some(now + TimeDelta::hours(20));
                                item.outcome = Some("failed".to_owned());
                            }
                        }
                    }
                    Deed::Pass { millis } => workshop.still.pass(TimeDelta::milliseconds(*millis)).await,
                }
                let rows = workshop.rows().await;
                prop_assert_eq!(&rows, &model, "after {:?}", deed);
            }
            Ok(())
        })
    };
    proptest::test_runner::TestRunner::new(few(12)).run(&proptest::collection::vec(deed(), 1..60), case).unwrap();
}
