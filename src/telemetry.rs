//! Logs and metrics of the process: the only module that installs something global.
//!
//! Logs go to stderr, so that stdout belongs to tables. Nothing here logs; nothing here opens a socket.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;
use tracing_subscriber::{EnvFilter, filter::ParseError, util::TryInitError};

use crate::config::{LogFormat, LogSettings};

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read. [`crate::config::Config`] never holds such a filter.
    #[error("the log filter cannot be read")]
    Filter(#[from] ParseError),
    /// Logging was set up before in this process.
    #[error("logging is set up already")]
    Installed(#[from] TryInitError),
}

/// Sets up logging for the rest of the process.
///
/// # Errors
///
/// When the filter cannot be read, or logging was set up before.
pub fn init(settings: &LogSettings) -> Result<(), TelemetryError> {
    use tracing_subscriber::util::SubscriberInitExt as _;

    // It repeats the values of parameters of DATABASE_URL that it does not know, and one may be a password.
    let silent = "sqlx_postgres::options=off".parse()?;
    let filter = EnvFilter::try_new(&settings.filter)?.add_directive(silent);
    let terminal = io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // Where stderr is a pipe whose reader has gone, it would tell of that on stderr, and panic in whatever task logs.
        .log_internal_errors(false);
    if as_json(settings.format, terminal) {
        // Fields at the top of the object are what log stores index.
        builder.json().flatten_event(true).with_current_span(true).with_span_list(false).finish().try_init()?;
    } else {
        builder.with_ansi(terminal && settings.color).finish().try_init()?;
    }
    Ok(())
}

fn as_json(format: LogFormat, terminal: bool) -> bool {
    match format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    }
}

/// The bounds of every histogram of seconds: from a fast statement to a call's deadline and beyond.
const SECONDS_BOUNDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// A gauge that nobody sets any more is shown for this long: its platform was disabled, its limit is in shadow no more. Those
/// of limits in shadow need an answer of Postgres to be set.
const GAUGE_LIVES: Duration = Duration::from_secs(15 * 60);

/// Makes the `metrics` macros count from now on. The handle renders what was counted; whoever keeps it calls its
/// `run_upkeep` every few seconds, or the samples of histograms pile up between two renderings.
///
/// # Errors
///
/// When a recorder was installed before in this process.
pub fn install_metrics() -> Result<PrometheusHandle, BuildError> {
    metrics_builder()?.install_recorder()
}

fn metrics_builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .idle_timeout(MetricKindMask::GAUGE, Some(GAUGE_LIVES))
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BOUNDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_automatic_format_looks_at_the_terminal() {
        assert!(as_json(LogFormat::Auto, false) && !as_json(LogFormat::Auto, true));
        assert!(as_json(LogFormat::Json, true) && !as_json(LogFormat::Text, false));
    }

    #[test]
    fn seconds_are_counted_in_buckets() {
        let recorder = metrics_builder().unwrap().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || metrics::histogram!("wxpatrol_call_seconds").record(0.2));
        let text = handle.render();
        assert!(text.contains("wxpatrol_call_seconds_bucket{le=\"0.25\"} 1"), "{text}");
    }

    #[test]
    fn a_filter_that_cannot_be_read_installs_nothing() {
        let settings = LogSettings { filter: "wxpatrol=loud".to_owned(), ..LogSettings::default() };
        assert!(matches!(init(&settings), Err(TelemetryError::Filter(_))));
    }
}
