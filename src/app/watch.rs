//! A run by hand while it goes on: waits for its end, with a progress line where a person looks on.

use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use indicatif::{ProgressBar, ProgressStyle};
use uuid::Uuid;

use super::AppError;
use crate::{
    patrol::{Patrol, Progress, Until},
    store::{StoreError, runs::RunState},
};

/// A run of one platform that has begun.
pub(super) struct Watched {
    /// The platform's appid.
    pub platform: String,
    /// The run.
    pub run: Uuid,
    /// The engine that works on it.
    pub patrol: Patrol,
}

/// How a run ended; `None`: this process does not know.
pub(super) type Ended = Option<(RunState, Option<String>)>;

/// Works until every run is closed. What could not begin stays as it is.
pub(super) async fn all(begun: Vec<Result<Watched, AppError>>) -> Vec<Result<(Uuid, Ended), AppError>> {
    let shown: Vec<(String, Patrol)> = begun
        .iter()
        .filter_map(|begun| begun.as_ref().ok().map(|watched| (watched.platform.clone(), watched.patrol.clone())))
        .collect();
    let work = join_all(begun.into_iter().map(|begun| async move {
        let Watched { run, patrol, .. } = begun?;
        let ended = patrol.work(Until::RunCloses(run)).await.map_err(unfinished)?;
        Ok((run, ended))
    }));
    if shown.is_empty() || !std::io::stderr().is_terminal() {
        return work.await;
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}") {
        bar.set_style(style);
    }
    let began = Instant::now();
    tokio::pin!(work);
    let mut beat = tokio::time::interval(Duration::from_millis(200));
    let ended = loop {
        tokio::select! {
            ended = &mut work => break ended,
            _ = beat.tick() => {
                bar.set_message(message(&shown, began.elapsed()));
                bar.tick();
            }
        }
    };
    bar.finish_and_clear();
    ended
}

/// Works until one run is closed.
#[cfg(feature = "demo")]
pub(super) async fn one(platform: &str, patrol: &Patrol, run: Uuid) -> Result<Ended, AppError> {
    let watched = Watched { platform: platform.to_owned(), run, patrol: patrol.clone() };
    let ended = all(vec![Ok(watched)]).await;
    ended.into_iter().next().transpose().map(|ended| ended.and_then(|(_, ended)| ended))
}

/// Postgres went away when the run had begun.
pub(super) fn unfinished(error: StoreError) -> AppError {
    AppError::Incomplete(format!("the run could not be followed to its end: {error}; the next run goes on"))
}

fn message(shown: &[(String, Patrol)], elapsed: Duration) -> String {
    match shown {
        [(_, patrol)] => line(patrol.progress(), elapsed),
        several => {
            let lines =
                several.iter().map(|(platform, patrol)| format!("{platform} {}", line(patrol.progress(), elapsed)));
            lines.collect::<Vec<_>>().join("  |  ")
        }
    }
}

/// Done of eligible for each check, the rate, and what it waits for.
fn line(progress: &Progress, elapsed: Duration) -> String {
    let checks = progress.checks();
    let recorded: u64 = checks.iter().map(|check| check.recorded).sum();
    let mut parts: Vec<String> =
        checks.iter().map(|check| format!("{} {}/{}", check.check, check.recorded, check.eligible)).collect();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    parts.push(format!("{:.0}/s", recorded as f64 / elapsed.as_secs_f64().max(0.001)));
    if let Some(away) = progress.database_away() {
        parts.push(away.to_string());
    } else if let Some(what) = progress.waiting() {
        parts.push(format!("waits: {what}"));
    }
    parts.join("  ")
}
