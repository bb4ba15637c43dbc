//! Where tickets and authorization events come from: the receiver, a file, a word at the start; and who works on them.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::{App, AppError, Ready, platforms::Member};
use crate::{
    config::ReceiverSettings,
    domain::ports::TokenVault as _,
    receiver::{EveryPlatform, Receiver, Silence, TicketFile, Worker},
    store::StoreError,
};

impl App {
    /// Keeps the ticket that the configuration names for a platform, and makes sure that there is one. Who receives
    /// tickets may wait for the first (`may_wait`).
    pub(super) async fn begin_with_a_ticket(&self, member: &Member, may_wait: bool) -> Result<(), AppError> {
        let (platform, named) = (member.row.id, self.config.platform.as_ref().filter(|_| member.in_environment));
        if let Some(ticket) = named.and_then(|settings| settings.verify_ticket.as_ref()) {
            self.store.keep_ticket(platform, ticket, true).await?;
        }
        let mut file_fault = None;
        if let Some(path) = named.and_then(|settings| settings.verify_ticket_file.clone())
            && let Err(error) = TicketFile::new(self.store.clone(), platform, path.clone()).look().await
        {
            file_fault = Some(format!("WXPATROL_VERIFY_TICKET_FILE={}: {error}", path.display()));
        }
        let ticket = self.store.ticket(platform).await.map_err(|error| StoreError::Postgres(error.to_string()))?;
        match (ticket, file_fault) {
            (Some(_), None) => Ok(()),
            (Some(_), Some(fault)) => {
                tracing::warn!(fault, "the ticket file gives no ticket; the stored one stays in force");
                Ok(())
            }
            (None, _) if may_wait => Ok(()),
            (None, Some(fault)) => Err(AppError::Input(format!("no component_verify_ticket is stored, and {fault}"))),
            (None, None) if member.in_environment => Err(AppError::Input(
                "no component_verify_ticket is stored: set WXPATROL_VERIFY_TICKET once, or hand the newest one over with \
                 `printf %s \"$TICKET\" | wxpatrol ticket -`"
                    .to_owned(),
            )),
            (None, None) => Err(AppError::Input(format!(
                "no component_verify_ticket is stored: hand the newest one over with `printf %s \"$TICKET\" | wxpatrol \
                 ticket - --platform {}`",
                member.appid()
            ))),
        }
    }

    /// The keys of every platform's events, as they are configured and stored.
    pub(super) fn event_keys(&self, settings: &ReceiverSettings) -> EveryPlatform {
        let configured = self.config.platform.as_ref().zip(settings.keys.clone());
        let configured = configured.map(|(platform, keys)| (platform.component_appid.clone(), keys));
        EveryPlatform::new(self.store.clone(), configured, self.config.token_source.is_none())
    }

    /// Begins to receive events for every platform, until the app stops; `None`: this process has no receiver.
    pub(super) async fn receive_events(&self) -> Result<Option<JoinHandle<()>>, AppError> {
        let Some(settings) = &self.config.receiver else { return Ok(None) };
        let keys = self.event_keys(settings);
        let lacking = keys.without_keys().await?;
        if !settings.plain_json && lacking.len() == keys.recipients().await?.len() {
            return Err(AppError::Input(
                "WXPATROL_RECEIVER_ADDR is set, but no platform has the keys that its events are signed and sealed with: set \
                 WXPATROL_RECEIVER_TOKEN and WXPATROL_RECEIVER_AES_KEY (or their _FILE), or store them with `wxpatrol \
                 platform add APPID --event-token-file FILE --event-key-file FILE`"
                    .to_owned(),
            ));
        }
        for platform in lacking {
            tracing::warn!(platform, "its event keys are not known: sealed events for it are refused");
        }
        let receiver = Receiver::new(self.store.clone(), Arc::new(keys), settings.plain_json, self.events.clone());
        let (_addr, serving) = receiver.serve(settings.addr, self.stop.clone()).await.map_err(|error| {
            AppError::Input(format!(
                "the receiver can not listen on {}: {error}; set WXPATROL_RECEIVER_ADDR",
                settings.addr
            ))
        })?;
        Ok(Some(tokio::spawn(serving)))
    }

    /// What goes on about a platform's tickets and events beside its engine, until `ready.stop`. Events are worked on in
    /// every process, whichever received them.
    pub(super) fn attend(&self, ready: &Ready, member: &Member) -> TaskTracker {
        let tasks = TaskTracker::new();
        let (store, wire, platform, stop) =
            (self.store.clone(), ready.wire.clone(), ready.platform.clone(), ready.stop.clone());
        if !wire.tokens().are_external() {
            if self.config.receiver.is_some() {
                let (store, wire, platform, stop) = (store.clone(), wire.clone(), platform.clone(), stop.clone());
                tasks.spawn(Silence { store, wire, platform, stop }.watch());
            }
            let named = self.config.platform.as_ref().filter(|_| member.in_environment);
            if let Some(path) = named.and_then(|settings| settings.verify_ticket_file.clone()) {
                tasks.spawn(TicketFile::new(store.clone(), platform.id, path).watch(stop.clone()));
            }
        }
        let (informs, noted) = (self.can_ask(), self.events.subscribe());
        tasks.spawn(Worker { store, wire, platform, informs, noted, stop }.work());
        tasks.close();
        tasks
    }
}
