//! HTTP for others: the status server and the receiver listen through here. A client is waited for only so long, for its
//! request and at the end: whoever sends half a request keeps neither a connection nor the process.

use std::time::Duration;

use axum::{Router, serve::Listener};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// How long the header of a request may take to come, and how long a connection may be without a request.
const HEADER_PATIENCE: Duration = Duration::from_secs(10);
/// Connections at once; others wait to be let in. Postgres and WeChat must have file descriptors of the process left.
const CONNECTIONS_MAX: usize = 256;
/// A connection is told to end after this, whoever keeps it busy,
const LIFE_MAX: Duration = Duration::from_secs(60);
/// and is cut off after this: a client that reads no answers never ends it.
const GOODBYE_MAX: Duration = Duration::from_secs(15);

/// Serves until `stop`, and from then on what is under way, for so long at most. What is not over by then is cut off.
pub async fn serve(mut listener: TcpListener, pages: Router, stop: CancellationToken, grace: Duration) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            (stream, _) = Listener::accept(&mut listener), if connections.len() < CONNECTIONS_MAX => {
                connections.spawn(answer(stream, pages.clone(), stop.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
    // Nobody is let in any more, and no new client is left waiting for an answer.
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, ended).await.is_err() {
        tracing::info!(connections = connections.len(), "clients that are not done are cut off");
    }
}

async fn answer(stream: TcpStream, pages: Router, stop: CancellationToken) {
    // Another version would be waited for without a time-out while it is told apart.
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_PATIENCE);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(pages));
    tokio::pin!(connection);
    let answered = tokio::select! {
        answered = connection.as_mut() => answered,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = tokio::time::sleep(LIFE_MAX) => {
            connection.as_mut().graceful_shutdown();
            let Ok(answered) = tokio::time::timeout(GOODBYE_MAX, connection).await else {
                return tracing::debug!("a connection was cut off");
            };
            answered
        }
    };
    if let Err(error) = answered {
        tracing::debug!(error, "a connection ended early");
    }
}
