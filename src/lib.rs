//! Patrols every merchant of a WeChat third-party platform: asks for missing phones, keeps the history of the
//! message-push configuration, sends link invitations and follows them until they are decided.
//!
//! The layers, from the words up: [`domain`] is pure; `wechat` speaks HTTP and `store` speaks SQL, and neither knows
//! the other; `checks` hold one question each; `patrol` does the work and `ops` shows it; the edge ties them together.

pub mod domain;
pub mod wechat;
