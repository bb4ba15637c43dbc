//! `--once`: one run by hand of each platform, on the same way as every other, and its coverage.

use std::{collections::HashMap, time::Duration};

use futures_util::future::join_all;
use uuid::Uuid;

use super::{App, AppError, Exit, Ready, merchants, platforms::Member, watch};
use crate::{
    cli::{FailOn, Once},
    domain::{
        CheckName, PlatformId,
        message::{MessagePolicy, Permission},
    },
    ops::print::{Column, Format, Kind, Table},
    store::{
        StoreError,
        coverage::CoverageRow,
        runs::{RunState, RunWish},
    },
};

/// A dry run lists this many candidates at most.
const CANDIDATES_MAX: i64 = 100_000;
/// A run by hand is closed as interrupted after this, when no deadline was given: more than 400 000 merchants take at the
/// default limits.
const DEADLINE: Duration = Duration::from_secs(24 * 3600);

/// What a run by hand came to for one platform.
struct Ran {
    ended: Option<(RunState, Option<String>)>,
    run: Uuid,
    coverage: Vec<CoverageRow>,
    /// Who would be messaged, for a dry run, or why that is not known.
    listed: Option<Result<Table, StoreError>>,
}

impl App {
    /// Does one run of each platform and prints its coverage. What one platform lacks stops no other.
    pub(super) async fn once(&self, once: &Once) -> Result<Exit, AppError> {
        let members = self.members().await?;
        let several = members.len() > 1;
        let wishes = self.wishes(members, once).await?;
        let readied = join_all(wishes.iter().map(|(member, _)| self.ready_to_run(member))).await;
        if readied.iter().any(Result::is_ok) {
            self.mind_the_identity().await;
        }
        let begun = join_all(readied.into_iter().zip(&wishes).map(|(ready, (_, wish))| async move {
            let ready = ready?;
            let run = self.store.open_run(ready.platform.id, wish).await?;
            let patrol = self.patrol(&ready, !wish.dry_run);
            Ok::<_, AppError>(watch::Watched { platform: ready.platform.component_appid, run, patrol })
        }))
        .await;
        let ended = watch::all(begun).await;
        let ran = join_all(ended.into_iter().zip(&wishes).map(|(ended, (member, wish))| async move {
            let (run, ended) = ended?;
            let coverage = self.store.coverage(run).await.map_err(watch::unfinished)?;
            let listed = match wish.dry_run {
                true => Some(self.would_message(member.row.id, wish).await),
                false => None,
            };
            Ok(Ran { ended, run, coverage, listed })
        }))
        .await;
        let ran: Vec<(&str, Result<Ran, AppError>)> =
            wishes.iter().map(|(member, _)| member.appid()).zip(ran).collect();
        self.print_runs(&ran, several)?;
        self.conclude_all(ran, once.fail_on, several)
    }

    /// What is to be run for each platform. Of merchants that are named each platform is asked for those it knows.
    async fn wishes(&self, members: Vec<Member>, once: &Once) -> Result<Vec<(Member, RunWish)>, AppError> {
        let mut strangers = once.merchants.clone();
        let mut wishes = Vec::new();
        let mut idle = None;
        for member in members {
            let known = self.store.known_merchants(member.row.id, &once.merchants).await?;
            strangers.retain(|appid| !known.contains_key(appid));
            let merchants: Vec<String> =
                once.merchants.iter().filter(|appid| known.contains_key(*appid)).cloned().collect();
            if !once.merchants.is_empty() && merchants.is_empty() {
                continue;
            }
            let checks = if once.checks.is_empty() { member.checks() } else { sorted(&once.checks) };
            if checks.is_empty() {
                idle = Some(format!("no check is on for the platform {}: name one with --check", member.appid()));
                continue;
            }
            let wish = RunWish {
                checks,
                merchants: (!merchants.is_empty()).then_some(merchants),
                all: once.all,
                dry_run: once.dry_run,
                deadline: once.deadline.unwrap_or(DEADLINE),
            };
            wishes.push((member, wish));
        }
        if let Some(stranger) = strangers.first() {
            return Err(AppError::Input(format!(
                "{stranger} is no known merchant: run `wxpatrol sync`, or import it, and check the appid"
            )));
        }
        match idle {
            Some(idle) if wishes.is_empty() => Err(AppError::Input(idle)),
            _ => Ok(wishes),
        }
    }

    async fn ready_to_run(&self, member: &Member) -> Result<Ready, AppError> {
        let ready = self.ready_for(member).await?;
        self.greet_token_source(&ready);
        self.know_everybody(&ready).await?;
        Ok(ready)
    }

    /// Who would be messaged now, and who not and why.
    async fn would_message(&self, platform: PlatformId, wish: &RunWish) -> Result<Table, StoreError> {
        let policies: HashMap<CheckName, MessagePolicy> =
            wish.checks.iter().filter_map(|check| self.policy(*check).map(|policy| (*check, policy))).collect();
        let merchants = wish.merchants.as_deref();
        let candidates = self.store.would_message(platform, &policies, merchants, CANDIDATES_MAX).await?;
        for check in policies.keys().map(|check| check.name()) {
            if candidates.iter().filter(|candidate| candidate.check.name() == check).count() as i64 >= CANDIDATES_MAX {
                tell!(
                    "of {check} no more than the first {CANDIDATES_MAX} candidates are listed, in the order of their turn"
                );
            }
        }
        let columns = ["check_name", "appid", "counterpart", "nickname", "would_be_messaged", "reason", "not_before"];
        let rows = candidates.into_iter().map(|candidate| {
            let (message, reason, until) = match candidate.decision {
                Permission::Granted => ("yes", None, None),
                Permission::Later { reason, until } => ("no", Some(reason.to_owned()), Some(until.to_rfc3339())),
                Permission::No { reason } => ("no", Some(reason.to_owned()), None),
            };
            vec![
                Some(candidate.check.name().to_owned()),
                Some(candidate.appid),
                Some(candidate.counterpart),
                candidate.nickname,
                Some(message.to_owned()),
                reason,
                until,
            ]
        });
        Ok(Table {
            title: Some("who would be messaged now, and who not".to_owned()),
            columns: columns.into_iter().map(|name| Column::new(name, Kind::Text)).collect(),
            rows: rows.collect(),
        })
    }

    /// Merchants whose kind is not known would be left out of every check: WeChat is asked about them first.
    async fn know_everybody(&self, ready: &Ready) -> Result<(), AppError> {
        let (merchants, unknown) = self.store.count_merchants(ready.platform.id).await?;
        if merchants == 0 {
            return Err(AppError::Input(
                "there are no merchants yet: run `wxpatrol sync`, or `wxpatrol import FILE`".to_owned(),
            ));
        }
        if unknown > 0 && !self.can_ask() {
            tell!(
                "{unknown} merchants are of unknown kind and in no check's total: name their kind in `wxpatrol import` or in \
                 WXPATROL_MERCHANT_SQL, or set WXPATROL_COMPONENT_TOKEN_URL so that WeChat can be asked"
            );
        } else if unknown > 0 {
            tell!("{unknown} merchants are of unknown kind; asking WeChat about them first");
            match self.syncer(ready).learn_kinds().await {
                Ok(learnt) if learnt.failed == 0 => {}
                Ok(learnt) => tell!(
                    "{} merchants are still of unknown kind and in no check's total; `wxpatrol report attention` names them",
                    learnt.failed
                ),
                Err(error) if error.halts() => return Err(merchants::said(error)),
                Err(error) => tell!("not all of them could be learnt: {error}; they are in the report attention"),
            }
        }
        Ok(())
    }

    /// Prints what came of each platform's run: a statement of its own for people, rows that begin with the platform for
    /// programs.
    fn print_runs(&self, ran: &[(&str, Result<Ran, AppError>)], several: bool) -> Result<(), AppError> {
        let mut coverages = Vec::new();
        let mut listings = Vec::new();
        for (platform, ran) in ran {
            let Ok(ran) = ran else { continue };
            let of = if several { format!(" of the platform {platform}") } else { String::new() };
            let mut coverage = coverage_table(ran.run, &ran.coverage);
            coverage.title = coverage.title.map(|title| format!("{title}{of}"));
            coverages.push((*platform, coverage));
            if let Some(Ok(listed)) = &ran.listed {
                let mut listed = listed.clone();
                listed.title = listed.title.map(|title| format!("{title}{of}"));
                listings.push((*platform, listed));
            }
        }
        if coverages.is_empty() {
            return Ok(());
        }
        let dry_run = ran.iter().any(|(_, ran)| ran.as_ref().is_ok_and(|ran| ran.listed.is_some()));
        let mut tables: Vec<(&str, Table)> = Vec::new();
        for (name, group) in [("coverage", coverages), ("would_message", listings)] {
            if several && self.format != Format::Table {
                tables.extend(by_platform(group).map(|table| (name, table)));
            } else {
                tables.extend(group.into_iter().map(|(_, table)| (name, table)));
            }
        }
        match tables.as_slice() {
            [(_, coverage)] if !dry_run => self.print(coverage),
            tables => self.print_all(tables),
        }
    }

    fn conclude_all(
        &self,
        ran: Vec<(&str, Result<Ran, AppError>)>,
        fail_on: Option<FailOn>,
        several: bool,
    ) -> Result<Exit, AppError> {
        let mut ends = Vec::new();
        for (platform, ran) in ran {
            let concluded = ran.and_then(|ran| {
                let exit = conclude(ran.ended, &ran.coverage, fail_on)?;
                match ran.listed {
                    Some(Err(error)) => {
                        Err(AppError::Incomplete(format!("who would be messaged is not known: {error}")))
                    }
                    Some(Ok(_)) | None => Ok(exit),
                }
            });
            match concluded {
                Ok(exit) => ends.push(exit),
                Err(error) if !several => return Err(error),
                Err(error) => {
                    tell!("wxpatrol: {platform}: {error}");
                    ends.push(error.exit());
                }
            }
        }
        Ok(Exit::of_all(&ends))
    }
}

fn conclude(
    ended: Option<(RunState, Option<String>)>,
    coverage: &[CoverageRow],
    fail_on: Option<FailOn>,
) -> Result<Exit, AppError> {
    let (state, reason) = ended.unwrap_or((RunState::Interrupted, None));
    let reason = reason.unwrap_or_default();
    match state {
        RunState::Complete => {}
        RunState::Halted => return Err(AppError::Halted(reason)),
        RunState::Open | RunState::Interrupted | RunState::Skipped | RunState::Buffered | RunState::Missed => {
            return Err(AppError::Incomplete(format!("the run was interrupted: {reason}")));
        }
    }
    if let Some(row) = coverage.iter().find(|row| !row.adds_up()) {
        return Err(AppError::Incomplete(format!(
            "the coverage of {} does not add up to its total of {}; run `wxpatrol --once` again and keep the logs",
            row.check_name, row.total
        )));
    }
    if fail_on == Some(FailOn::Failed) && coverage.iter().any(|row| row.failed > 0) {
        return Err(AppError::Incomplete("some items failed; see `wxpatrol report failures`".to_owned()));
    }
    Ok(Exit::Done)
}

fn sorted(checks: &[CheckName]) -> Vec<CheckName> {
    CheckName::ALL.iter().copied().filter(|check| checks.contains(check)).collect()
}

/// Tables of several platforms as one whose rows begin with the platform; `None`: there are none.
fn by_platform(tables: Vec<(&str, Table)>) -> Option<Table> {
    let mut tables = tables.into_iter();
    let with = |platform: &str, rows: Vec<Vec<Option<String>>>| {
        let named = Some(platform.to_owned());
        rows.into_iter().map(move |row| std::iter::once(named.clone()).chain(row).collect::<Vec<_>>())
    };
    let (platform, first) = tables.next()?;
    let columns = std::iter::once(Column::new("platform", Kind::Text)).chain(first.columns).collect();
    let mut whole = Table { title: first.title, columns, rows: with(platform, first.rows).collect() };
    for (platform, table) in tables {
        whole.rows.extend(with(platform, table.rows));
    }
    Some(whole)
}

/// The coverage of a run, for people and programs.
#[must_use]
pub fn coverage_table(run: Uuid, coverage: &[CoverageRow]) -> Table {
    let columns = [
        ("check_name", Kind::Text),
        ("total", Kind::Number),
        ("done", Kind::Number),
        ("fresh", Kind::Number),
        ("skipped", Kind::Number),
        ("deferred", Kind::Number),
        ("failed", Kind::Number),
        ("adds_up", Kind::Boolean),
        ("reasons", Kind::Json),
    ];
    let rows = coverage.iter().map(|row| {
        vec![
            Some(row.check_name.clone()),
            Some(row.total.to_string()),
            Some(row.done.to_string()),
            Some(row.fresh.to_string()),
            Some(row.skipped.to_string()),
            Some(row.deferred.to_string()),
            Some(row.failed.to_string()),
            Some(row.adds_up().to_string()),
            Some(row.reasons.0.to_string()),
        ]
    });
    Table {
        title: Some(format!("coverage of run {run}")),
        columns: columns.into_iter().map(|(name, kind)| Column::new(name, kind)).collect(),
        rows: rows.collect(),
    }
}
