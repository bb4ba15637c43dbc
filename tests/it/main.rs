//! The integration tests: one binary, one file for each promise of the design. Real Postgres, a simulated WeChat, the real
//! engine and the real program; only the wire and the clock are made up.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

mod answers;
mod asks;
mod bad_input;
mod breaker;
mod callbacks;
mod coverage;
mod doctor;
mod external_tokens;
mod half_open;
mod keys;
mod kills;
mod late_process;
mod learning;
mod limits;
mod links;
mod liveness;
mod merchant_list;
mod messages;
mod oddities;
mod once;
mod one_merchant;
mod outages;
mod platforms;
mod receiver;
mod receiver_properties;
mod roles;
mod schedules;
mod secrets;
mod shutdown;
mod sync;
mod ticks;
mod tokens;
