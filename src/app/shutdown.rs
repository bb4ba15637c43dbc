//! SIGTERM and Ctrl-C: the first ends everything in order; a second one ends at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancels `stop` on the first signal from now on.
pub fn listen(stop: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals can not be listened for; only a kill ends this process");
        return;
    };
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if stop.is_cancelled() {
                // Leases end by themselves, and intents stand: nothing is lost by leaving now.
                std::process::exit(1);
            }
            tracing::info!("stopping: no new claims, calls in flight finish, leases go back");
            stop.cancel();
        }
    });
}
