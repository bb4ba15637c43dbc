//! Whatever is posted to the event URL is read or refused, and nothing panics.

#![no_main]

#[path = "../property.rs"]
mod property;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| property::holds_for(bytes));
