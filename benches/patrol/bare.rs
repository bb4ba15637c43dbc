//! The bare loop: the same client, the same calls and the same parsing with the tokens in memory; no database, no limits,
//! nothing kept. This program runs itself for it, so that the loop's CPU time is that of a process of its own.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use secrecy::SecretString;
use wxpatrol::{
    config::CALL_DEADLINE,
    domain::Class,
    wechat::{Request, Timeouts, Wechat},
};

use crate::child::{self, Used};

const TOKENS: &str = "BARE_LOOP_TOKENS";
const BASE_URL: &str = "BARE_LOOP_BASE_URL";
const CALLS_MAX: &str = "BARE_LOOP_CALLS_MAX";

/// What the loop is to do.
pub struct Order {
    /// A file of tokens, one in a line.
    pub tokens: PathBuf,
    /// Where WeChat is.
    pub base_url: String,
    /// Calls in flight.
    pub calls_max: usize,
}

impl Order {
    /// The order that this process was started with, if it is to be the loop.
    pub fn from_env() -> Option<Self> {
        Some(Self {
            tokens: env::var_os(TOKENS)?.into(),
            base_url: env::var(BASE_URL).ok()?,
            calls_max: env::var(CALLS_MAX).ok()?.parse().ok()?,
        })
    }
}

/// Runs the loop in a process of its own; how long the loop itself took, and what the process used.
pub fn measured(tokens: &Path, base_url: &str, calls_max: usize) -> Result<(Duration, Used)> {
    let mut command = Command::new(env::current_exe()?);
    command.env(TOKENS, tokens).env(BASE_URL, base_url).env(CALLS_MAX, calls_max.to_string());
    let used = child::run(&mut command)?;
    let secs: f64 = used.stdout.trim().parse().context("the loop did not print its seconds")?;
    Ok((Duration::try_from_secs_f64(secs)?, used))
}

/// Is the loop: reads each merchant's phone and callback configuration, and prints the seconds.
pub fn run(order: &Order) -> Result<()> {
    let tokens: Vec<SecretString> =
        fs::read_to_string(&order.tokens)?.lines().map(|line| SecretString::from(line.to_owned())).collect();
    let wechat = Wechat::new(order.base_url.parse()?, Timeouts { total: CALL_DEADLINE, ..Timeouts::default() })?;
    let work = Arc::new((tokens, wechat, AtomicUsize::new(0)));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let secs = runtime.block_on(async {
        let began = Instant::now();
        let callers: Vec<_> = (0..order.calls_max)
            .map(|_| {
                let work = Arc::clone(&work);
                tokio::spawn(async move {
                    let (tokens, wechat, next) = &*work;
                    while let Some(token) = tokens.get(next.fetch_add(1, Ordering::Relaxed)) {
                        for request in [Request::CheckMobile { push_tmpl: false }, Request::GetCallbackConfig] {
                            match wechat.call(token, &request).await.result {
                                // Some merchants have no callback configuration to tell of, and say so.
                                Err(error) if error.class() != Class::NotApplicable => {
                                    bail!("a call of the bare loop failed: {error}");
                                }
                                Ok(_) | Err(_) => {}
                            }
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        for caller in callers {
            caller.await??;
        }
        anyhow::Ok(began.elapsed().as_secs_f64())
    })?;
    println!("{secs}");
    Ok(())
}
