//! No ticket for an hour: WeChat is asked to push them (again), by one of all processes, once an hour.
//!
//! Only where a receiver of ours listens: who does not hear the pushes has no business with their switch. Where no ticket
//! has ever come, the first question is asked at once.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{
    domain::{Endpoint, errcode},
    store::{Store, tickets::TicketSilence},
    wechat::{Platform, PushTicket, Wire},
};

/// WeChat pushes every ten minutes: six in a row were missed.
const SILENCE: Duration = Duration::from_secs(3600);
/// How often the age of the ticket is looked at.
const EVERY: Duration = Duration::from_secs(10);

/// Watches the age of one platform's ticket.
pub struct Silence {
    /// Where the ticket is.
    pub store: Store,
    /// The wire.
    pub wire: Wire,
    /// The platform.
    pub platform: Platform,
    /// Ends the watch.
    pub stop: CancellationToken,
}

impl Silence {
    /// Watches until it is told to stop.
    pub async fn watch(self) {
        loop {
            self.look().await;
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Looks once, and asks when it is time and no other process has.
    pub async fn look(&self) {
        match self.store.claim_ticket_ask(self.platform.id, SILENCE).await {
            Ok(Some(silence)) => {
                if !self.ask(silence).await
                    && let Err(error) = self.store.give_ticket_ask_back(self.platform.id, SILENCE).await
                {
                    tracing::debug!(%error, "tickets are asked for in an hour");
                }
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "the age of the ticket is not known"),
        }
    }

    /// Whether WeChat heard it.
    async fn ask(&self, silence: TicketSilence) -> bool {
        let permit = tokio::select! {
            () = self.stop.cancelled() => return false,
            permit = self.wire.pace().permit(self.platform.id, Endpoint::ApiStartPushTicket) => permit,
        };
        match permit {
            // One call in an hour hurts no pace, however late its slot is.
            Ok(permit) => drop(permit.still_good()),
            Err(_) => return false,
        }
        let platform = self.platform.component_appid.as_str();
        let ticket_age_secs = silence.ticket_age.map(|age| age.as_secs());
        match self.wire.wechat().start_push_ticket(&self.platform).await {
            Ok(PushTicket::Started) => {
                tracing::warn!(platform, ticket_age_secs, "tickets had stopped; WeChat pushes them again");
                true
            }
            Ok(PushTicket::Running) => {
                tracing::warn!(
                    platform,
                    ticket_age_secs,
                    "no ticket came for an hour, and WeChat says that it pushes them: do they reach this receiver?"
                );
                true
            }
            Err(error) => {
                let row = error.errcode().and_then(|code| errcode::lookup(Endpoint::ApiStartPushTicket, code));
                let remedy = row.map(|row| row.remedy_en);
                let answered = error.errcode().is_some();
                let next = if answered { "in an hour" } else { "in a minute" };
                tracing::error!(platform, ticket_age_secs, %error, remedy, next, "WeChat could not be asked for tickets");
                answered
            }
        }
    }
}
