//! What `doctor` looks at of one platform: its secret, its ticket, its breaker, who keeps its tokens, its merchants, and
//! whether WeChat takes its token from this machine's address.

use std::time::Duration;

use super::{App, Findings};
use crate::{
    app::{Ready, platforms::Member},
    domain::{CallError, Class, Endpoint, errcode, ports::TokenVault as _},
    store::{StoreError, identity::HOLD_REASON},
};

const HOUR: Duration = Duration::from_secs(3600);
/// How long the one call may wait for its slot.
const PATIENCE: Duration = Duration::from_secs(15);

impl App {
    pub(super) async fn examine_platform(&self, member: &Member, findings: &mut Findings) -> Result<(), StoreError> {
        let appid = member.appid();
        let what = |part: &str| format!("platform {appid}: {part}");
        if !member.row.enabled {
            findings.ok(&what("patrol"), format!("disabled; `wxpatrol platform enable {appid}` takes it up again"));
            return Ok(());
        }
        let elsewhere = !member.has_secret() && member.row.named_lately;
        if elsewhere {
            let found =
                "neither a secret nor a token source is here; a process named this platform within the last day";
            let to_do = "to have its token tried too, run `wxpatrol doctor` with the settings of that process";
            findings.warn(&what("secret"), found, to_do);
        }
        let external = member.external || elsewhere && member.row.external;
        if !external {
            self.examine_ticket(member, &what("ticket"), findings).await?;
        }
        let status = self.store.platform_status().await?.into_iter().find(|status| status.platform == appid);
        if let Some(status) = status {
            if let Some(reason) = status.halt_reason {
                let to_do =
                    "mend what it says; one merchant is tried from time to time, and a run by hand tries at once";
                findings.fault(&what("breaker"), format!("halted: {reason}"), to_do);
            }
            if status.attention > 0 {
                let to_do = format!("`wxpatrol report attention --platform {appid}`");
                findings.warn(&what("attention"), format!("{} rows want attention", status.attention), to_do);
            }
        }
        let holds = self.store.holds(member.row.id).await?;
        let held: Vec<&str> = (holds.iter().filter(|hold| hold.reason == HOLD_REASON))
            .filter_map(|hold| hold.check_name.as_deref())
            .collect();
        if !held.is_empty() {
            let found = format!("{} are held: the database was restored or failed over", held.join(" and "));
            let to_do =
                "compare `wxpatrol report intents` with reality, then `wxpatrol resume --check ask --check invite`";
            findings.warn(&what("messages"), found, to_do);
        }
        self.examine_merchants(member, &what("merchants"), findings).await?;
        if elsewhere {
            return Ok(());
        }
        match self.ready_for(member).await {
            Ok(ready) => self.examine_token(&ready, &what("token"), findings).await,
            Err(error) => {
                findings.fault(&what("setup"), error.to_string(), "until then nothing is patrolled for it");
                Ok(())
            }
        }
    }

    async fn examine_ticket(&self, member: &Member, what: &str, findings: &mut Findings) -> Result<(), StoreError> {
        let ticket = self.store.ticket(member.row.id).await.map_err(|error| StoreError::Postgres(error.to_string()))?;
        let receives = "see that WeChat's pushes reach the receiver, or hand the newest over with `wxpatrol ticket -`";
        let settings = self.config.platform.as_ref().filter(|_| member.in_environment);
        let at_hand = settings.is_some_and(|named| named.verify_ticket.is_some() || named.verify_ticket_file.is_some());
        match ticket {
            None if at_hand => findings.ok(what, "none is stored yet; the one of the environment is for the beginning"),
            None if self.config.receiver.is_some() => {
                findings.warn(what, "none has come yet; without one nothing works", receives);
            }
            None => findings.fault(what, "none is stored, and without one nothing works", receives),
            Some((_, age)) => {
                let found = format!("the newest is {} min old; each is good for 12 hours", age.as_secs() / 60);
                match age {
                    age if age >= 12 * HOUR => findings.fault(what, found, receives),
                    age if age >= HOUR => findings.warn(what, found, receives),
                    _ => findings.ok(what, found),
                }
            }
        }
        Ok(())
    }

    async fn examine_merchants(&self, member: &Member, what: &str, findings: &mut Findings) -> Result<(), StoreError> {
        let (merchants, unknown) = self.store.count_merchants(member.row.id).await?;
        if merchants == 0 {
            findings.warn(what, "none is known", "`wxpatrol sync`, or `wxpatrol import FILE`");
        } else if unknown > 0 {
            let found = format!("{merchants} are authorized, {unknown} of them of unknown kind and in no check");
            findings.warn(what, found, "`wxpatrol sync`, or name their kind");
        } else {
            findings.ok(what, format!("{merchants} are authorized"));
        }
        Ok(())
    }

    /// One call that changes nothing and tells nobody, with the token that everything stands on.
    async fn examine_token(&self, ready: &Ready, what: &str, findings: &mut Findings) -> Result<(), StoreError> {
        let (endpoint, platform) = (Endpoint::ApiGetAuthorizerList, &ready.platform);
        if !ready.wire.tokens().know_the_platform() {
            let Some(appid) = self.store.some_merchant(platform.id).await? else {
                findings.ok(what, "another system keeps the tokens; there is no merchant yet to ask it for");
                return Ok(());
            };
            match ready.wire.tokens().fresh(platform, &appid, None).await {
                Ok(_) => findings.ok(what, "the system that keeps the tokens hands them out"),
                Err(error) => {
                    findings.fault(what, error.to_string(), "see that the system that keeps the tokens works")
                }
            }
            return Ok(());
        }
        let permit = tokio::time::timeout(PATIENCE, ready.wire.pace().permit(platform.id, endpoint)).await;
        if !matches!(permit, Ok(Ok(_))) {
            findings.warn(what, format!("not tried: {} has no slot now", endpoint.name()), "run it again later");
            return Ok(());
        }
        match ready.wire.authorizer_list(platform, 0, 1).await {
            Ok(_) => findings.ok(what, "WeChat takes it, and this machine's address is on the allow list"),
            Err(error) => {
                let to_do = remedy(endpoint, &error);
                if matches!(error.class(), Class::Transient | Class::QuotaMinute) {
                    findings.warn(what, error.to_string(), to_do);
                } else {
                    findings.fault(what, error.to_string(), to_do);
                }
            }
        }
        Ok(())
    }
}

/// The runbook's word, where the error does not say itself what to do.
fn remedy(endpoint: Endpoint, error: &CallError) -> String {
    let row = error.errcode().and_then(|code| errcode::lookup(endpoint, code));
    row.map_or_else(
        || "see what it says; `wxpatrol report attention` may tell more".to_owned(),
        |row| row.remedy_en.to_owned(),
    )
}
