//! The binary: reads the command line, runs the app, ends with its exit code.

#![warn(clippy::print_stderr, clippy::print_stdout)]

use std::{process::ExitCode, time::Duration};

use tokio_util::sync::CancellationToken;
use wxpatrol::{app, cli::Invocation, config::Config, telemetry};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long tasks that nobody waits for may take to end with the program.
const LAST_MAX: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let invocation = match Invocation::read(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(error) => error.exit(),
    };
    // Once: what a `_FILE` names may be a pipe, which can be read but once.
    let config = Config::from_env();
    let mut log = config.as_ref().map(|config| config.log.clone()).unwrap_or_default();
    if invocation.shows_a_person() {
        // What the person asked for stands on stdout; the log tells only of trouble, unless more was asked for.
        log.quieten();
    }
    if let Err(error) = telemetry::init(&log) {
        app::tell(format_args!("wxpatrol: logging could not be set up: {error}"));
        return ExitCode::from(app::Exit::CouldNotStart.code());
    }
    // Two at least: a command that waits for standard input keeps one.
    let workers = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            app::tell(format_args!("wxpatrol: the runtime could not be started: {error}"));
            return ExitCode::from(app::Exit::CouldNotStart.code());
        }
    };
    let exit = runtime.block_on(async {
        let stop = CancellationToken::new();
        app::shutdown::listen(stop.clone());
        app::run(invocation, config, stop).await
    });
    // A refresh that nobody waits for any more may be under way; what it has written is written.
    runtime.shutdown_timeout(LAST_MAX);
    match exit {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => {
            app::tell(format_args!("wxpatrol: {error}"));
            ExitCode::from(error.exit().code())
        }
    }
}
