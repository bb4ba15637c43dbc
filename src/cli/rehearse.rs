//! The flags of what needs no WeChat: `demo` and `simulate`.

use std::{net::SocketAddr, time::Duration};

use clap::Args;

use super::values::{self, EndpointLimit};
use crate::config;

/// Flags of `demo`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Demo {
    /// How many merchants are made up
    #[arg(long, value_name = "N", default_value = "300", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub merchants: u32,
}

/// Flags of `simulate`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Simulate {
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub addr: SocketAddr,
    /// How many mini programs authorized the platform
    #[arg(long, value_name = "N", default_value_t = 300)]
    pub mini_programs: u32,
    /// How many official accounts authorized the platform
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub official_accounts: u32,
    /// How many platforms, each with so many merchants; what to export is said for the first, the others are added
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub platforms: u32,
    /// Decides everything that is made up; the same seed makes the same merchants
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How long every answer takes
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = config::duration)]
    pub latency: Duration,
    /// Refuse calls above this limit with 45011 (repeatable)
    #[arg(long = "limit", value_name = "ENDPOINT=LIMIT")]
    pub limits: Vec<EndpointLimit>,
    /// How long a token is good for
    #[arg(long, value_name = "TIME", default_value = "2h", value_parser = values::some_time)]
    pub token_lifetime: Duration,
    /// Let a few in a hundred merchants answer oddly, as real ones do
    #[arg(long)]
    pub quirks: bool,
    /// Push tickets and authorization events there, sealed as WeChat seals them: http://HOST:PORT/PATH
    #[arg(long, value_name = "URL")]
    pub receiver: Option<String>,
    /// Push plain JSON instead, as platforms get it that WeChat hosts
    #[arg(long, requires = "receiver")]
    pub receiver_json: bool,
}
