//! The status server: `/healthz`, `/readyz` and `/metrics`, without a token and without a secret.

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::fleet::{Roster, Standing};
use crate::serving;

/// How long a page that is being shown may take at the end.
const GRACE: Duration = Duration::from_secs(2);

/// What the pages show.
#[derive(Clone)]
struct Shown {
    roster: Roster,
    metrics: PrometheusHandle,
    stop: CancellationToken,
}

/// Listens, and serves until `stop`.
///
/// # Errors
/// The address can not be listened on.
pub(super) async fn serve(
    addr: SocketAddr,
    roster: Roster,
    metrics: PrometheusHandle,
    stop: CancellationToken,
) -> std::io::Result<tokio::task::JoinHandle<()>> {
    let listener = TcpListener::bind(addr).await?;
    tracing::info!(addr = %listener.local_addr()?, "the status server listens");
    let shown = Shown { roster, metrics, stop: stop.clone() };
    let upkeep = shown.metrics.clone();
    let pages = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(rendered))
        .with_state(shown);
    Ok(tokio::spawn(async move {
        let beat = async {
            loop {
                tokio::time::sleep(Duration::from_secs(5)).await;
                upkeep.run_upkeep();
            }
        };
        tokio::select! {
            () = serving::serve(listener, pages, stop, GRACE) => {}
            () = beat => {}
        }
    }))
}

/// 200 while work can be done, 503 with the reason otherwise. Of several platforms one that works is enough, and every one
/// is named with how it stands.
async fn ready(State(shown): State<Shown>) -> (StatusCode, String) {
    if shown.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned());
    }
    if let Some(away) = shown.roster.database_away() {
        return (StatusCode::SERVICE_UNAVAILABLE, format!("{away}\n"));
    }
    let standings = shown.roster.standings();
    let stand: Vec<(&String, Result<String, String>)> =
        standings.iter().filter_map(|(platform, standing)| Some((platform, standing.works()?))).collect();
    let code = match stand.iter().any(|(_, works)| works.is_ok()) {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let text = match stand.as_slice() {
        [] => "no platform is patrolled\n".to_owned(),
        [(_, Ok(text) | Err(text))] => format!("{text}\n"),
        several => {
            let mut text =
                if code == StatusCode::OK { "ready\n" } else { "no platform can be worked for\n" }.to_owned();
            for (platform, Ok(how) | Err(how)) in several {
                writeln!(text, "{platform}: {how}").expect("writing to a string cannot fail");
            }
            text
        }
    };
    (code, text)
}

impl Standing {
    /// Whether the platform can be worked for, and how it stands; `None`: it is no concern of this process any more.
    fn works(&self) -> Option<Result<String, String>> {
        match self {
            Self::Gone => None,
            Self::Waits(reason) => Some(Err(format!("waits: {reason}"))),
            Self::Patrols(patrol) => Some(match (patrol.halted(), patrol.progress().waiting()) {
                (Some(reason), _) => Err(format!("halted: {reason}")),
                (None, Some(what)) => Ok(format!("ready; waits: {what}")),
                (None, None) => Ok("ready".to_owned()),
            }),
        }
    }
}

async fn rendered(State(shown): State<Shown>) -> String {
    let standings = shown.roster.standings();
    let number = |holds: bool| if holds { 1.0 } else { 0.0 };
    metrics::gauge!("wxpatrol_database_away").set(number(shown.roster.database_away().is_some()));
    for (platform, standing) in &standings {
        let (under_way, halted) = match standing {
            Standing::Patrols(patrol) => (patrol.progress().under_way(), patrol.halted().is_some()),
            Standing::Waits(_) | Standing::Gone => (0, false),
        };
        let labels = [("platform", platform.clone())];
        metrics::gauge!("wxpatrol_claims_under_way", &labels).set(under_way as f64);
        metrics::gauge!("wxpatrol_platform_halted", &labels).set(number(halted));
        // What is no concern of this process any more neither works nor fails to: nobody sets it, and it ceases to be shown.
        if let Some(works) = standing.works() {
            metrics::gauge!("wxpatrol_platform_works", &labels).set(number(works.is_ok()));
        }
    }
    shown.metrics.render()
}
