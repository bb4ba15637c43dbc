//! Planning and closing runs. A run belongs to no process: whoever finds it unplanned plans it, whoever finds nothing
//! left closes it, by one conditional update.

use std::sync::Arc;

use metrics::SharedString;
use uuid::Uuid;

use super::{Inner, recovery};
use crate::{
    domain::{CheckName, Endpoint},
    store::{
        Store, StoreError,
        coverage::{Closed, Closing},
        runs::{OpenRun, RunState, Shut},
    },
};

/// Times that a run is counted: what becomes known while it is counted is planned and counted again. A coverage that does not add
/// up even then is written as it is, for everybody to see.
const COUNTS_MAX: u32 = 5;

/// Gives every merchant its items, makes due what the run asks for, and counts what is to be done.
pub(super) async fn plan(inner: &Arc<Inner>, run: &OpenRun) -> Result<(), StoreError> {
    let planned = inner.store.plan(inner.context(None), inner.settings.hold_new).await?;
    if run.all {
        inner.store.make_due(run.run_id).await?;
    }
    inner.store.mark_planned(run.run_id).await?;
    tracing::debug!(run.id = %run.run_id, merchants = planned.merchants, wishes = planned.wishes, "planned");
    // The work goes on while it is counted.
    let (inner, run) = (Arc::clone(inner), run.clone());
    tokio::spawn(async move {
        if let Err(error) = tell_due(&inner, &run).await {
            tracing::warn!(run.id = %run.run_id, %error, "what is due could not be counted");
        }
    });
    Ok(())
}

/// Says how many calls and refreshes a run needs, and how long they take at least.
async fn tell_due(inner: &Inner, run: &OpenRun) -> Result<(), StoreError> {
    for count in inner.store.due_counts(inner.platform.id, &run.checks, run.merchants.as_deref()).await? {
        if let Ok(check) = count.check_name.parse::<CheckName>() {
            let calls = u64::try_from(count.items).unwrap_or(0);
            inner.progress.expect(check, calls);
            let pace = |endpoint, calls: u64| {
                let interval = inner.settings.limits.get(&endpoint).and_then(crate::domain::Limit::interval);
                interval.unwrap_or_default().saturating_mul(u32::try_from(calls).unwrap_or(u32::MAX))
            };
            // Another system's tokens are not refreshed here.
            let refreshes = if inner.wire.tokens().are_external() { 0 } else { count.refreshes };
            let refreshes = u64::try_from(refreshes).unwrap_or(0);
            let takes = pace(check.endpoint(), calls).max(pace(Endpoint::ApiAuthorizerToken, refreshes));
            tracing::info!(
                platform = inner.platform.component_appid,
                run.id = %run.run_id,
                check.name = check.name(),
                calls = count.items,
                refreshes,
                takes_at_least_secs = takes.as_secs(),
                "due"
            );
        }
    }
    Ok(())
}

/// Closes a run that has nothing left, or that must end.
pub(super) async fn if_over(
    inner: &Arc<Inner>,
    run: &OpenRun,
    shut: &[Shut],
    halted: Option<&str>,
) -> Result<(), StoreError> {
    if run.of_one_process {
        if !run.abandoned && run.overdue.is_none() {
            return Ok(());
        }
        let reason = "the process that did it is gone; the next one goes on";
        return end_of_one_process(&inner.store, &inner.label, run.run_id, RunState::Interrupted, Some(reason)).await;
    }
    let (state, reason) = if let Some(halted) = halted {
        // The claims under way go back first, so that they are counted as halted and not as leased.
        if inner.progress.under_way() > 0 {
            return Ok(());
        }
        (RunState::Halted, Some(halted.to_owned()))
    } else if let Some(since) = run.overdue {
        // The same, as long as calls may take: nothing is claimed for it any more, and what was not called goes back.
        if inner.progress.under_way_of(&run.checks) > 0 && since < inner.step_max() {
            return Ok(());
        }
        (RunState::Interrupted, Some("the deadline is over".to_owned()))
    } else {
        // While calls of its checks are under way there is something left; asking Postgres would be a statement for nothing. Those
        // of other checks are other runs' work, and of a few merchants' run nobody knows whose calls they are.
        if run.merchants.is_none() && inner.progress.under_way_of(&run.checks) > 0 {
            return Ok(());
        }
        let open: Vec<CheckName> =
            run.checks.iter().copied().filter(|check| !shut.iter().any(|shut| shut.check == *check)).collect();
        let open: Vec<CheckName> = open.into_iter().filter(|check| !(run.dry_run && check.messages_people())).collect();
        let unfinished = async || inner.store.unfinished(inner.platform.id, &open, run.merchants.as_deref()).await;
        // Merchants whose refresh token is being read back, by whatever process, may come due.
        if unfinished().await? || recovery::awaited(inner).await? || unfinished().await? {
            return Ok(());
        }
        (RunState::Complete, None)
    };
    close(inner, run, state, reason.as_deref(), shut).await
}

async fn close(
    inner: &Inner,
    run: &OpenRun,
    state: RunState,
    reason: Option<&str>,
    shut: &[Shut],
) -> Result<(), StoreError> {
    let left_because = match state {
        RunState::Halted => Some("halted"),
        RunState::Interrupted => Some("interrupted"),
        RunState::Complete if run.dry_run => Some("dry_run"),
        RunState::Complete | RunState::Open | RunState::Skipped | RunState::Buffered | RunState::Missed => None,
    };
    let mut counts = 0;
    loop {
        counts += 1;
        // What became known in mid-run (a withdrawal, a hold) must have reached the items before they are counted.
        inner.store.plan(inner.context(None), inner.settings.hold_new).await?;
        let closing = Closing { state, reason, left_because, shut, sure: counts < COUNTS_MAX };
        match inner.store.close_run(inner.platform.id, run, closing).await? {
            Closed::Yes => break,
            Closed::ByAnother => return Ok(()),
            Closed::NotYet => tracing::debug!(run.id = %run.run_id, "something became known meanwhile; counting again"),
        }
    }
    let coverage = inner.store.coverage(run.run_id).await?;
    for row in &coverage {
        tracing::info!(
            platform = inner.platform.component_appid,
            run.id = %run.run_id,
            check.name = row.check_name,
            total = row.total,
            done = row.done,
            fresh = row.fresh,
            skipped = row.skipped,
            deferred = row.deferred,
            failed = row.failed,
            "coverage"
        );
        if !row.adds_up() {
            tracing::error!(run.id = %run.run_id, check.name = row.check_name, "the coverage does not add up");
        }
    }
    let name: &'static str = state.into();
    let schedule = run.schedule.as_deref().unwrap_or("once");
    let platform = inner.platform.component_appid.as_str();
    tracing::info!(platform, run.id = %run.run_id, run.schedule = schedule, run.state = name, reason, "run closed");
    counted(&inner.label, state);
    Ok(())
}

/// Closes a run that one process does alone, and that has no coverage: a sync's.
///
/// # Errors
/// Postgres did not answer: the run is open yet.
pub(crate) async fn end_of_one_process(
    store: &Store,
    platform: &SharedString,
    run: Uuid,
    state: RunState,
    reason: Option<&str>,
) -> Result<(), StoreError> {
    // Only whoever closes it counts it.
    if store.end_run(run, state, reason).await? {
        counted(platform, state);
    }
    Ok(())
}

fn counted(platform: &SharedString, state: RunState) {
    let name: &'static str = state.into();
    metrics::counter!("wxpatrol_runs_total", "platform" => platform.clone(), "state" => name).increment(1);
}

/// Closes a run that this process can not finish, and answers how it ended.
pub(super) async fn interrupted(
    inner: &Inner,
    run: Uuid,
    reason: &str,
) -> Result<(RunState, Option<String>), StoreError> {
    let open = inner.store.open_runs(inner.platform.id).await?;
    if let Some(run) = open.iter().find(|open| open.run_id == run) {
        let shut = inner.store.shut_checks(inner.platform.id).await?;
        close(inner, run, RunState::Interrupted, Some(reason), &shut).await?;
    }
    inner.store.run_state(run).await
}
