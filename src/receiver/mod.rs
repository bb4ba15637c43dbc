//! The receiver of authorization events: what WeChat pushes to the platform's event URL. Off unless it is configured.
//!
//! Reading a push is pure ([`Envelope`]): bytes, query, keys and the time in, an event or a refusal out. What is refused
//! is not stored, and no push makes a call to WeChat: the answer waits for Postgres alone, and what there is to do
//! afterwards is noted there first, so that it survives the process that answered.

mod cipher;
mod fields;
mod keys;
mod message;
mod refusal;
mod server;
mod silence;
mod ticket_file;
mod work;

pub use keys::{EventKey, EventKeys, EveryPlatform, KeyRing, Recipient, Recipients};
pub use message::{Envelope, Received, WINDOW};
pub use refusal::Refusal;
pub use server::Receiver;
pub use silence::Silence;
pub use ticket_file::{TicketFile, TicketFileError};
pub use work::Worker;

/// The largest body that is read. WeChat's events are below 2 KiB.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
