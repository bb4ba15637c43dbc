//! What operators see: frames around views. Nothing here decides anything.

pub mod print;
pub mod report;
pub mod status;
