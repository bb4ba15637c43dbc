//! The world on WeChat's side: HTTP out, its tokens and its pace. Knows nothing of Postgres: what must be kept, and the
//! limits that all processes share, are asked for through the traits of [`crate::domain::ports`].
//!
//! # Where secrets stop
//!
//! Tokens, the secret and the ticket are [`secrecy::SecretString`] everywhere; they are exposed in two places only: in
//! the URL that `client` builds as the last thing before a call, and in the bodies that `platform_calls` builds. No
//! error that leaves this module holds a URL, a body or a secret.

mod body;
mod callback_form;
mod client;
mod pace;
mod reply;
mod request;

pub use client::{Answer, ClientError, Timeouts, Wechat};
pub use pace::{Closed, Pace, PaceConfig, Permit};
pub use reply::{DayQuota, Frequency, LinkAnswer, LinkEntry, Quota, Reply};
pub use request::Request;
