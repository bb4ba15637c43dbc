//! Patrols every merchant of a WeChat third-party platform: asks for missing phones, keeps the history of the
//! message-push configuration, sends link invitations and follows them until they are decided.
//!
//! The layers, from the words up: [`domain`] is pure; [`wechat`] speaks HTTP and [`store`] speaks SQL, and neither knows
//! the other; [`checks`] hold one question each; [`patrol`] does the work and [`ops`] shows it; the edge ties them together.

// A reader of stderr or stdout that has gone must not cost more than what it would have read: these macros panic.
#![cfg_attr(not(test), warn(clippy::print_stderr, clippy::print_stdout))]
// The tests' world names the library as programs outside do, and stands inside it as well.
#[cfg(test)]
extern crate self as wxpatrol;

pub mod app;
pub mod checks;
pub mod cli;
pub mod config;
pub mod domain;
pub mod ops;
pub mod patrol;
pub mod receiver;
pub mod schedule;
pub mod serving;
pub mod store;
pub mod telemetry;
pub mod wechat;

#[cfg(feature = "demo")]
pub mod private_postgres;
#[cfg(feature = "demo")]
pub mod simulate;
