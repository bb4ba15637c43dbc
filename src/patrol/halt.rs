//! Faults of the whole platform. Odd merchants must not stop the others: a halt code opens the breaker only when three
//! different merchants say so in a row, with no success between them, or all that can be called where fewer are looked at,
//! or two calls in a row while nothing has succeeded here, nor in any run of the last day; a fault of the platform's own
//! token opens it at once.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use tokio::sync::watch;

use super::{Inner, Until};
use crate::{
    domain::{CallError, CheckName, Endpoint, TokenFault, errcode},
    store::{StoreError, breaker::Breaker, runs::OpenRun},
};

/// What this process does about the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Stand {
    /// It knows of no fault, or has not said so itself: what is on the board is claimed for.
    #[default]
    Claims,
    /// The platform is halted, and this process tries one merchant.
    Probes,
    /// It has said itself that the platform is halted: nothing is claimed and nobody called.
    Stops,
}

#[derive(Default)]
pub(super) struct HaltWatch {
    /// Calls in a row that said so, and the first few merchants among them.
    in_a_row: AtomicU32,
    merchants: Mutex<Vec<String>>,
    worked: AtomicBool,
    stand: watch::Sender<Stand>,
    /// What the board last heard from the breaker.
    reason: Mutex<Option<String>>,
}

/// Different merchants that must say so.
const MERCHANTS: u32 = 3;
/// Calls that must say so where nothing has succeeded yet, or where fewer merchants are looked at.
const CALLS: u32 = 2;

impl HaltWatch {
    /// Notes a halt code of one merchant; `true`: enough of them.
    fn note(&self, appid: &str) -> bool {
        let in_a_row = self.in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        let mut merchants = self.merchants.lock().expect("nobody panics while holding the list");
        if merchants.len() < MERCHANTS as usize && !merchants.iter().any(|known| known == appid) {
            merchants.push(appid.to_owned());
        }
        merchants.len() >= MERCHANTS as usize || (in_a_row >= CALLS && !self.worked.load(Ordering::Relaxed))
    }

    /// How many different merchants say so in a row by now; `None`: the row is too short to tell.
    fn voices(&self) -> Option<usize> {
        let merchants = self.merchants.lock().expect("nobody panics while holding the list");
        (self.in_a_row.load(Ordering::Relaxed) >= CALLS).then_some(merchants.len())
    }

    /// What this process does, and when that changes.
    pub(super) fn stands(&self) -> watch::Receiver<Stand> {
        self.stand.subscribe()
    }

    fn stand(&self) -> Stand {
        *self.stand.borrow()
    }

    /// Answers with what it did before.
    fn take_stand(&self, next: Stand) -> Stand {
        self.stand.send_replace(next)
    }

    /// Gives a probe up, when there is one; `false`: there was none.
    pub(super) fn probes_no_more(&self) -> bool {
        self.stand.send_if_modified(|stand| {
            let probed = *stand == Stand::Probes;
            if probed {
                *stand = Stand::Claims;
            }
            probed
        })
    }

    pub(super) fn works(&self) {
        self.worked.store(true, Ordering::Relaxed);
        self.begin_anew();
    }

    /// The next call that says so is the first of a row.
    fn begin_anew(&self) {
        // The lock is for the rare call that ends a row.
        if self.in_a_row.swap(0, Ordering::Relaxed) > 0 {
            self.merchants.lock().expect("nobody panics while holding the list").clear();
        }
    }
}

/// What the breaker says to a run.
pub(super) enum Consulted {
    /// The platform works.
    Working,
    /// The platform is halted, and this process may try one merchant.
    Probing,
    /// The platform is halted, and another process tries one merchant, or what this one calls is not over: what follows is not
    /// known yet.
    Elsewhere,
    /// The platform is halted.
    Halted {
        /// What to do about it.
        reason: String,
    },
}

/// Reads the breaker, and remembers what it says.
async fn read(inner: &Inner) -> Result<Breaker, StoreError> {
    let breaker = inner.store.breaker(inner.platform.id).await?;
    let reason = breaker.halt_reason.clone();
    let before =
        std::mem::replace(&mut *inner.halt.reason.lock().expect("nobody panics while holding the text"), reason);
    if !breaker.halted {
        // Whoever closed it had an answer: a row that began before is over, and so is a try of this process that said nothing.
        if inner.halt.stand() != Stand::Claims {
            inner.halt.take_stand(Stand::Claims);
            inner.halt.begin_anew();
        } else if before.is_some() {
            inner.halt.begin_anew();
        }
    }
    Ok(breaker)
}

/// The runs that wait until the halted platform works again: while none but a sync is open, nothing else would try a merchant.
pub(super) async fn waiting(inner: &Inner) -> Result<Vec<OpenRun>, StoreError> {
    if !read(inner).await?.halted {
        return Ok(Vec::new());
    }
    let on = inner.schedules.lock().expect("nobody panics while holding the list").clone();
    inner.store.waiting_runs(inner.platform.id, &on).await
}

/// Asks the breaker, and takes the probe when it is time. A person who waits for a run probes at once.
pub(super) async fn consult(inner: &Inner, until: Until) -> Result<Consulted, StoreError> {
    let platform = inner.platform.id;
    let breaker = read(inner).await?;
    if !breaker.halted {
        return Ok(Consulted::Working);
    }
    let at_once = until != Until::Stopped;
    let stand = inner.halt.stand();
    // This process said so itself: nothing has changed since.
    if stand == Stand::Stops && at_once {
        return Ok(Consulted::Halted { reason: breaker.halt_reason.unwrap_or_default() });
    }
    if stand == Stand::Probes && breaker.probing {
        return Ok(Consulted::Probing);
    }
    if at_once || breaker.probe_in().is_zero() {
        // What is called now was claimed before: its answers are nothing that a probe has said.
        if inner.progress.under_way() > 0 {
            return Ok(Consulted::Elsewhere);
        }
        if inner.store.take_probe(platform, at_once).await? {
            tracing::info!(platform = inner.platform.component_appid, "probing the halted platform with one merchant");
            // Whoever opened the breaker claims nothing while it stops, and would never try.
            inner.halt.take_stand(Stand::Probes);
            return Ok(Consulted::Probing);
        }
    }
    if breaker.probing {
        return Ok(Consulted::Elsewhere);
    }
    Ok(Consulted::Halted { reason: breaker.halt_reason.unwrap_or_default() })
}

impl Inner {
    /// A call succeeded, or failed in a way that is the merchant's own: the platform works.
    pub(super) async fn platform_works(&self) {
        self.halt.works();
        if self.halt.probes_no_more() {
            match Box::pin(self.store.close_breaker(self.platform.id)).await {
                Ok(_) => tracing::info!(platform = self.platform.component_appid, "the platform works again"),
                Err(error) => tracing::warn!(%error, "the breaker could not be closed"),
            }
            self.look.notify_one();
        }
    }

    /// A call failed with a code of the whole platform. `true`: the breaker is open, nothing was the merchant's fault.
    pub(super) async fn platform_fault(&self, check: CheckName, appid: &str, error: &CallError) -> bool {
        let enough = self.halt.note(appid);
        let probe = self.halt.stand() == Stand::Probes;
        let certain = probe || matches!(error, CallError::NoToken(TokenFault::Platform { certain: true, .. }));
        if !certain && !enough && !self.every_merchant_says_so().await {
            return false;
        }
        if self.halt.take_stand(Stand::Stops) == Stand::Stops {
            return true;
        }
        let reason = reason(check.endpoint(), error);
        let platform = self.platform.component_appid.as_str();
        tracing::error!(platform, errcode = error.errcode(), reason, "the platform is halted");
        if let Err(error) = self.store.open_breaker(self.platform.id, error.errcode(), &reason, probe).await {
            tracing::warn!(%error, "the breaker could not be written; the next halt writes it");
            self.halt.take_stand(Stand::Claims);
        }
        self.look.notify_one();
        true
    }

    /// Where fewer merchants are looked at than must say so, all that can be called suffice.
    async fn every_merchant_says_so(&self) -> bool {
        if self.halt.voices().is_none() {
            return false;
        }
        match self.store.voices_needed(self.platform.id, MERCHANTS).await {
            // Asked again: somebody may have been answered well meanwhile.
            Ok(needed) => self.halt.voices().is_some_and(|voices| voices >= needed),
            Err(error) => {
                tracing::debug!(%error, "how many merchants there are is asked at the next fault");
                false
            }
        }
    }

    /// Why the platform is halted, as last read.
    pub(super) fn halt_reason(&self) -> Option<String> {
        self.halt.reason.lock().expect("nobody panics while holding the text").clone()
    }

    /// Whether this process has said itself that the platform is halted.
    pub(super) fn halted(&self) -> bool {
        self.halt.stand() == Stand::Stops
    }
}

/// What WeChat said, what it means and what to do, for a person: the address that is not on the allow list stands only in
/// WeChat's own words. They are bounded, and without the token, since they were read.
pub(super) fn reason(endpoint: Endpoint, error: &CallError) -> String {
    if let CallError::NoToken(TokenFault::Platform { reason, .. }) = error {
        return reason.clone();
    }
    match error.errcode().and_then(|code| errcode::lookup(endpoint, code).map(|row| (code, row))) {
        Some((code, row)) => {
            let said = match error {
                CallError::Refused { errmsg, .. } if !errmsg.is_empty() => format!(" (WeChat says: {errmsg})"),
                _ => String::new(),
            };
            format!("errcode {code}: {}{said}. {}", row.meaning_en.trim_end_matches('.'), row.remedy_en)
        }
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Class;

    #[test]
    fn the_reason_of_a_halt_holds_wechat_s_words_and_what_to_do() {
        let refused = |errmsg: &str| CallError::Refused {
            errcode: 61004,
            class: Class::Halt,
            errmsg: errmsg.to_owned(),
            rid: None,
        };
        let told = reason(
            Endpoint::CheckMobile,
            &refused("access clientip is not registered requestIP: 203.0.113.77 rid: 1-2"),
        );
        assert!(told.starts_with("errcode 61004: access clientip is not registered (WeChat says: "), "{told}");
        assert!(told.contains("requestIP: 203.0.113.77 rid: 1-2)") && told.contains("allow list"), "{told}");
        assert!(!reason(Endpoint::CheckMobile, &refused("")).contains("WeChat says"));
    }

    #[test]
    fn two_odd_merchants_halt_nothing_once_the_platform_worked() {
        let watch = HaltWatch::default();
        watch.works();
        assert!((0..50).all(|turn| !watch.note(if turn % 2 == 0 { "wxa" } else { "wxb" })));
        assert!(watch.note("wxc"));
    }

    #[test]
    fn a_success_between_starts_the_row_again() {
        let watch = HaltWatch::default();
        assert!(!watch.note("wxa"));
        watch.works();
        assert!(!watch.note("wxb") && !watch.note("wxc"));
    }

    #[test]
    fn a_platform_that_never_worked_is_halted_by_the_second_call_even_of_one_merchant() {
        let watch = HaltWatch::default();
        assert!(!watch.note("wxa"));
        assert!(watch.note("wxa"));
    }
}
