//! What WeChat says about each merchant: its kind, its name, what it grants.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;

use super::{Sync, SyncError, Synced, TRIES};
use crate::{
    domain::{CallError, Class, Endpoint, Kind, TokenFault},
    store::{
        merchant_list::{Given, MerchantList},
        merchants::MerchantRow,
    },
    wechat::AccountKind,
};

/// Infos that are asked for at once.
const IN_FLIGHT: usize = 16;
/// Merchants that are asked about before it is looked who is left.
const BATCH: i64 = 200;
/// The platform's next token is waited for as long at a time.
const TOKEN_PATIENCE: Duration = Duration::from_secs(60);

/// What WeChat says about a merchant, and when it was asked.
type Answer = (String, DateTime<Utc>, Result<MerchantRow, SyncError>);

impl Sync {
    /// Reads what WeChat says about every merchant of which it was not asked, or only about those whose kind is not known.
    pub(super) async fn infos(&self, unknown_only: bool, synced: &mut Synced) -> Result<(), SyncError> {
        let platform = self.platform.id;
        let mut after = String::new();
        loop {
            let appids = self.store.merchants_without_info(platform, &after, BATCH, unknown_only).await?;
            let Some(last) = appids.last().cloned() else { return Ok(()) };
            // Whoever asks may hold a connection of the pool while its words are not looked at: with the keeping, which waits for
            // one too, it goes on beside. There is room for every answer, so that asking never waits for keeping.
            let (answered, answers) = mpsc::channel(appids.len());
            let asking = async {
                let mut asked = std::pin::pin!(
                    stream::iter(appids)
                        .map(|appid| async move {
                            let asked_at = self.store.now_at_least();
                            (appid.clone(), asked_at, self.info(appid).await)
                        })
                        .buffer_unordered(IN_FLIGHT)
                );
                while let Some(answer) = asked.next().await {
                    answered.try_send(answer).expect("there is room for every answer, and whoever keeps them is there");
                }
                drop(answered);
                Ok(())
            };
            tokio::try_join!(asking, self.kept(answers, synced))?;
            after = last;
        }
    }

    /// Keeps a batch's answers as they come: an event may bring newer words while others are asked about.
    async fn kept(&self, mut answers: mpsc::Receiver<Answer>, synced: &mut Synced) -> Result<(), SyncError> {
        let platform = self.platform.id;
        let mut told = false;
        let mut halted = None;
        let mut ended = None;
        let mut without_token = 0;
        let mut some = Vec::new();
        while answers.recv_many(&mut some, IN_FLIGHT).await > 0 {
            let mut rows = Vec::new();
            let mut withdrawn = Vec::new();
            let mut failed = Vec::new();
            for (appid, asked_at, answer) in some.drain(..) {
                match answer {
                    Ok(row) => rows.push(row),
                    Err(SyncError::Info(error)) if error.class() == Class::Withdrawn => {
                        withdrawn.push((appid, asked_at));
                    }
                    Err(SyncError::Info(error)) => {
                        tracing::warn!(merchant.id = appid, %error, "the info could not be read; a later sync asks again");
                        if platform_has_no_token(&error).is_some() {
                            without_token += 1;
                            halted = Some(error.clone());
                        } else if error.class() == Class::Halt {
                            halted = Some(error.clone());
                        } else {
                            told = true;
                        }
                        failed.push((appid, error));
                    }
                    Err(error) => ended = Some(error),
                }
            }
            told |= !rows.is_empty() || !withdrawn.is_empty();
            synced.failed += failed.len() as u64;
            synced.informed += rows.len() as u64;
            synced.withdrawn += withdrawn.len() as u64;
            if !rows.is_empty() {
                self.answered(synced).await?;
            }
            self.store.keep_info(platform, &rows, self.given()).await?;
            self.store.withdraw(platform, &withdrawn).await?;
            self.store.note_unread_infos(platform, &failed).await?;
            // Each of them has waited for one: the others would as long, one after the other.
            if !told && without_token >= IN_FLIGHT {
                break;
            }
        }
        // One merchant with such a code is odd; when nobody in the batch was told about, the platform is at fault.
        if !told {
            ended = ended.or(halted.map(SyncError::Info));
        }
        ended.map_or(Ok(()), Err)
    }

    async fn info(&self, appid: String) -> Result<MerchantRow, SyncError> {
        let mut tries = 0;
        loop {
            self.permit(Endpoint::ApiGetAuthorizerInfo).await?;
            let asked_at = self.store.now_at_least();
            match self.unless_stopped(self.wire.authorizer_info(&self.platform, &appid)).await? {
                Ok(info) => {
                    let small = |number: i64| i32::try_from(number).ok();
                    return Ok(MerchantRow {
                        appid,
                        kind: Some(match info.kind {
                            AccountKind::MiniProgram => Kind::MiniProgram,
                            AccountKind::OfficialAccount => Kind::OfficialAccount,
                            AccountKind::Other => Kind::Other,
                        }),
                        nickname: info.nickname,
                        principal: info.principal_name,
                        permission_sets: info.permission_sets.map(|sets| sets.into_iter().filter_map(small).collect()),
                        account_status: info.account_status.and_then(small),
                        authorized_at: None,
                        refresh_token: info.refresh_token,
                        asked_at: Some(asked_at),
                    });
                }
                Err(error) => {
                    tries += 1;
                    let passing = matches!(error.class(), Class::Transient | Class::QuotaMinute | Class::Token);
                    if !passing || tries >= TRIES {
                        return Err(SyncError::Info(error));
                    }
                    let next_token =
                        platform_has_no_token(&error).map_or(Duration::ZERO, |wait| wait.min(TOKEN_PATIENCE));
                    self.pause(next_token.max(Duration::from_secs(u64::from(tries)))).await?;
                }
            }
        }
    }

    /// Reads what WeChat says about one merchant, and keeps all of it but its refresh token.
    ///
    /// # Errors
    /// See [`SyncError`]; that it withdrew, or can not be read now, is kept.
    pub async fn inform(&self, appid: &str) -> Result<MerchantRow, SyncError> {
        let (platform, asked_at) = (self.platform.id, self.store.now_at_least());
        match self.info(appid.to_owned()).await {
            Ok(row) => {
                self.store.keep_info(platform, std::slice::from_ref(&row), self.given()).await?;
                Ok(row)
            }
            Err(SyncError::Info(error)) => {
                if error.class() == Class::Withdrawn {
                    self.store.withdraw(platform, &[(appid.to_owned(), asked_at)]).await?;
                } else {
                    self.store.note_unread_infos(platform, &[(appid.to_owned(), error.clone())]).await?;
                }
                Err(SyncError::Info(error))
            }
            Err(error) => Err(error),
        }
    }

    /// What WeChat's word does not replace.
    fn given(&self) -> Given {
        self.source.as_ref().map(MerchantList::given).unwrap_or_default()
    }
}

/// How long the platform's own token can not be had: not the fault of a merchant, who would lose his tries over it.
fn platform_has_no_token(error: &CallError) -> Option<Duration> {
    match error {
        CallError::NoToken(TokenFault::CoolingDown { wait, .. } | TokenFault::NoComponent { wait, .. }) => Some(*wait),
        _ => None,
    }
}
