//! The words of the product as types: pure, with no input or output, no clock and no SQL.

pub mod appid;
pub mod call;
pub mod callback;
pub mod check;
pub mod class;
pub mod endpoint;
pub mod errcode;
pub mod event;
pub mod expiry;
pub mod limit;
pub mod link;
#[cfg(test)]
mod link_properties_tests;
pub mod message;
pub mod outcome;
pub mod platform_time;
pub mod ports;

pub use call::{CallError, TokenFault};
pub use callback::Callback;
pub use check::{CheckName, Kind};
pub use class::Class;
pub use endpoint::Endpoint;
pub use event::Event;
pub use limit::Limit;
pub use outcome::{Finding, ItemKey, Outcome, Settled};

/// The row number of a platform in Postgres. Every key of the product starts with it.
pub type PlatformId = i32;
