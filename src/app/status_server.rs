//! The status server: `/healthz`, `/readyz` and `/metrics`, without a token and without a secret.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::patrol::Patrol;

/// What the pages show.
#[derive(Clone)]
struct Shown {
    patrol: Arc<Patrol>,
    metrics: PrometheusHandle,
    stop: CancellationToken,
}

/// Listens, and serves until `stop`.
///
/// # Errors
/// The address can not be listened on.
pub(super) async fn serve(
    addr: SocketAddr,
    patrol: Patrol,
    metrics: PrometheusHandle,
    stop: CancellationToken,
) -> std::io::Result<tokio::task::JoinHandle<()>> {
    let listener = TcpListener::bind(addr).await?;
    tracing::info!(addr = %listener.local_addr()?, "the status server listens");
    let shown = Shown { patrol: Arc::new(patrol), metrics, stop: stop.clone() };
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
        let serving = axum::serve(listener, pages).with_graceful_shutdown(stop.cancelled_owned());
        tokio::select! {
            served = serving => if let Err(error) = served {
                tracing::error!(%error, "the status server ended");
            },
            () = beat => {}
        }
    }))
}

/// 200 while work can be done, 503 with the reason otherwise.
async fn ready(State(shown): State<Shown>) -> (StatusCode, String) {
    if shown.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned());
    }
    if shown.patrol.progress().database_away() {
        return (StatusCode::SERVICE_UNAVAILABLE, "waits for Postgres\n".to_owned());
    }
    if let Some(reason) = shown.patrol.halted() {
        return (StatusCode::SERVICE_UNAVAILABLE, format!("halted: {reason}\n"));
    }
    match shown.patrol.progress().waiting() {
        Some(what) => (StatusCode::OK, format!("ready; waits: {what}\n")),
        None => (StatusCode::OK, "ready\n".to_owned()),
    }
}

async fn rendered(State(shown): State<Shown>) -> String {
    metrics::gauge!("wxpatrol_claims_under_way").set(shown.patrol.progress().under_way() as f64);
    let away = if shown.patrol.progress().database_away() { 1.0 } else { 0.0 };
    metrics::gauge!("wxpatrol_database_away").set(away);
    let halted = if shown.patrol.halted().is_some() { 1.0 } else { 0.0 };
    metrics::gauge!("wxpatrol_platform_halted").set(halted);
    shown.metrics.render()
}
