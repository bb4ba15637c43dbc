//! Patrols every merchant of a WeChat third-party platform.

#[cfg(feature = "demo")]
pub mod private_postgres;
