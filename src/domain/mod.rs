//! The words of the product as types: pure, with no input or output, no clock and no SQL.

pub mod call;
pub mod check;
pub mod class;
pub mod endpoint;
pub mod errcode;
pub mod limit;
pub mod ports;

pub use call::{CallError, TokenFault};
pub use check::CheckName;
pub use class::Class;
pub use endpoint::Endpoint;
pub use limit::Limit;

/// The row number of a platform in Postgres. Every key of the product starts with it.
pub type PlatformId = i32;
