//! The simulated world: what is true of every merchant, and the handle by which tests and operators change it.
//!
//! Each merchant has its own short-held lock and no function holds two of them. The simulated clock is the time since
//! the start plus a shift; tokens, cool-downs and records live by it, limits and arrival times by the real one.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::endpoint::Endpoint;
use super::gauge::{Gauge, hold, micros};
use super::link::{Invitation, LinkMode, Links};
use super::merchant::{Callback, Mark, Merchant, MerchantCard, Numbered, Traits};
use super::oddity::{Oddity, Rule, Script};
use super::paging::Paging;
use super::plan::{Kind, Plan};
use super::push::Pushes;
use super::refusal::WorldError;

/// Scripting and read-out of one platform of a running simulation, most of it over HTTP as well: see the module's table.
pub struct World {
    pub(super) plan: Plan,
    pub(super) mark: Mark,
    pub(super) start: Instant,
    pub(super) merchants: Box<[Mutex<Merchant>]>,
    pub(super) withdrawn: RwLock<BTreeSet<u32>>,
    pub(super) gauges: [Gauge; Endpoint::ALL.len()],
    pub(super) script: Script,
    pub(super) component: Mutex<Numbered>,
    pub(super) component_fetches: AtomicU64,
    pub(super) ticket_pushed: AtomicBool,
    pub(super) invitations: Mutex<Vec<Invitation>>,
    pub(super) in_flight: AtomicUsize,
    pub(super) in_flight_max: AtomicUsize,
    pub(super) redirects_followed: AtomicU64,
    pub(super) throttle_asks: AtomicBool,
    pub(super) rotate_refresh_tokens: AtomicBool,
    pub(super) empty_refresh_tokens: AtomicBool,
    pub(super) latency_micros: AtomicU64,
    pub(super) stopping: CancellationToken,
    pub(super) pushes: Mutex<Pushes>,
    pub(super) paging: Mutex<Paging>,
    /// Something is in the outbox of `pushes`.
    pub(super) told: Notify,
    /// Microseconds since 1970 at the start.
    start_unix: u64,
    token_overlap_micros: AtomicU64,
    shift_micros: AtomicU64,
    token_epoch: AtomicU32,
    rids: AtomicU64,
}

impl World {
    pub(super) fn new(plan: Plan, mark: Mark, stopping: CancellationToken) -> Self {
        let merchants = (0..plan.merchant_count()).map(|place| Mutex::new(Merchant::at_start(&plan, place))).collect();
        let gauges = Endpoint::ALL.map(|endpoint| {
            Gauge::new(plan.limits.get(endpoint.name()).copied(), plan.record_arrivals, plan.arrivals_max)
        });
        Self {
            mark,
            start: Instant::now(),
            merchants,
            withdrawn: RwLock::default(),
            gauges,
            script: Script::default(),
            component: Mutex::default(),
            component_fetches: AtomicU64::new(0),
            ticket_pushed: AtomicBool::new(false),
            invitations: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            in_flight_max: AtomicUsize::new(0),
            redirects_followed: AtomicU64::new(0),
            throttle_asks: AtomicBool::new(plan.throttle_asks),
            rotate_refresh_tokens: AtomicBool::new(plan.rotate_refresh_tokens),
            empty_refresh_tokens: AtomicBool::new(false),
            latency_micros: AtomicU64::new(micros(plan.latency)),
            stopping,
            pushes: Mutex::default(),
            paging: Mutex::default(),
            told: Notify::new(),
            start_unix: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, micros),
            token_overlap_micros: AtomicU64::new(micros(plan.token_overlap)),
            shift_micros: AtomicU64::new(0),
            token_epoch: AtomicU32::new(0),
            rids: AtomicU64::new(0),
            plan,
        }
    }

    /// What the simulation was started with.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Microseconds of the simulated clock since the start.
    pub(super) fn now(&self) -> u64 {
        micros(self.start.elapsed()).saturating_add(self.shift_micros.load(Ordering::Relaxed))
    }

    /// The simulated clock as seconds since 1970.
    pub(super) fn unix_now(&self) -> i64 {
        i64::try_from(self.start_unix.saturating_add(self.now()) / 1_000_000).unwrap_or(i64::MAX)
    }

    /// What a push says is the time, in seconds since 1970: whoever takes it compares that with a clock of its own.
    pub(super) fn push_now(&self) -> i64 {
        if self.plan.pushes_by_real_clock {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            return i64::try_from(now).unwrap_or(i64::MAX);
        }
        self.unix_now()
    }

    pub(super) fn gauge(&self, endpoint: Endpoint) -> &Gauge {
        &self.gauges[endpoint as usize]
    }

    pub(super) fn traits(&self, place: u32) -> Traits<'_> {
        Traits { plan: &self.plan, place, mark: self.mark }
    }

    pub(super) fn merchant(&self, place: u32) -> MutexGuard<'_, Merchant> {
        hold(&self.merchants[place as usize])
    }

    pub(super) fn token_epoch(&self) -> u32 {
        self.token_epoch.load(Ordering::Relaxed)
    }

    pub(super) fn token_overlap(&self) -> u64 {
        self.token_overlap_micros.load(Ordering::Relaxed)
    }

    pub(super) fn issue(&self, numbered: &mut Numbered) -> u32 {
        numbered.issue(self.now(), micros(self.plan.token_lifetime), self.token_overlap(), self.token_epoch())
    }

    /// An id of the shape that WeChat appends to its error messages.
    pub(super) fn rid(&self) -> String {
        let n = self.rids.fetch_add(1, Ordering::Relaxed);
        let drawn = self.plan.draw(0, n.wrapping_add(1 << 32));
        format!("{:08x}-{:08x}-{:08x}", 0x6550_0000 + n / 1000, drawn >> 32, drawn & 0xffff_ffff)
    }

    pub(super) fn place(&self, appid: &str) -> Result<u32, WorldError> {
        self.plan.place(appid).ok_or_else(|| WorldError::UnknownMerchant(appid.to_owned()))
    }

    pub(super) fn place_of(&self, appid: &str, kind: Kind) -> Result<u32, WorldError> {
        let place = self.place(appid)?;
        if self.plan.kind(place) == kind { Ok(place) } else { Err(WorldError::WrongKind(appid.to_owned())) }
    }

    pub(super) fn change<R>(&self, appid: &str, change: impl FnOnce(&mut Merchant) -> R) -> Result<R, WorldError> {
        let place = self.place(appid)?;
        Ok(change(&mut self.merchant(place)))
    }

    /// Shifts the simulated clock forward.
    pub fn advance(&self, by: Duration) {
        let later = |shift: u64| Some(shift.saturating_add(micros(by)));
        self.shift_micros.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later).ok();
    }

    /// Every component and authorizer token issued so far answers 42001 (or 40001 if it was replaced) from now on.
    pub fn expire_all_tokens(&self) {
        self.token_epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// How long a replaced token lives on, from the next replacement on.
    pub fn set_token_overlap(&self, overlap: Duration) {
        self.token_overlap_micros.store(micros(overlap), Ordering::Relaxed);
    }

    /// Whether each refresh issues a new refresh token.
    pub fn set_rotate_refresh_tokens(&self, rotate: bool) {
        self.rotate_refresh_tokens.store(rotate, Ordering::Relaxed);
    }

    /// Whether `api_authorizer_token` answers an empty refresh token beside the access token; the one that was used goes on.
    pub fn set_empty_refresh_tokens(&self, empty: bool) {
        self.empty_refresh_tokens.store(empty, Ordering::Relaxed);
    }

    /// Whether `api_get_authorizer_list` shows an empty refresh token for this merchant.
    ///
    /// # Errors
    /// When the merchant is unknown.
    pub fn hide_refresh_token(&self, appid: &str, hidden: bool) -> Result<(), WorldError> {
        self.change(appid, |merchant| merchant.refresh_hidden = hidden)
    }

    /// Whether a second ask within 24 hours answers -601026.
    pub fn set_throttle_asks(&self, throttle: bool) {
        self.throttle_asks.store(throttle, Ordering::Relaxed);
    }

    /// Slept before every answer from now on.
    pub fn set_latency(&self, latency: Duration) {
        self.latency_micros.store(micros(latency), Ordering::Relaxed);
    }

    /// Calls per second from now on; `None`: no limit.
    pub fn set_limit(&self, endpoint: Endpoint, per_second: Option<u32>) {
        self.gauge(endpoint).limit(per_second);
    }

    /// Whether arrival times are kept from now on.
    pub fn set_record_arrivals(&self, keep: bool) {
        self.gauges.iter().for_each(|gauge| gauge.keep(keep));
    }

    /// Forgets counts and arrival times of all endpoints, but nothing that is true of a merchant.
    pub fn reset_counts(&self) {
        self.gauges.iter().for_each(Gauge::reset);
        self.in_flight_max.store(self.in_flight.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Adds a rule to the script.
    ///
    /// # Errors
    /// When the rule names an unknown merchant, no calls at all, or a status that HTTP does not have.
    pub fn script(&self, rule: Rule) -> Result<(), WorldError> {
        let place = rule.appid.as_deref().map(|appid| self.place(appid)).transpose()?;
        if rule.calls == Some(0) {
            return Err(WorldError::BadRule("calls is how many calls meet the oddity: at least one"));
        }
        if let Oddity::HttpStatus(status) | Oddity::EchoPage(status) = rule.oddity
            && !(200..=599).contains(&status)
        {
            return Err(WorldError::BadRule("an HTTP status is between 200 and 599"));
        }
        self.script.write(place, &rule);
        Ok(())
    }

    /// Takes all rules back. Calls that hang already go on hanging.
    pub fn clear_script(&self) {
        self.script.clear();
    }

    /// The administrator has bound a phone.
    ///
    /// # Errors
    /// When the merchant is unknown or no mini program.
    pub fn bind_phone(&self, appid: &str) -> Result<(), WorldError> {
        self.set_phone(appid, true)
    }

    /// The phone is gone again.
    ///
    /// # Errors
    /// When the merchant is unknown or no mini program.
    pub fn unbind_phone(&self, appid: &str) -> Result<(), WorldError> {
        self.set_phone(appid, false)
    }

    fn set_phone(&self, appid: &str, bound: bool) -> Result<(), WorldError> {
        let place = self.place_of(appid, Kind::MiniProgram)?;
        self.merchant(place).phone_bound = bound;
        Ok(())
    }

    /// The merchant takes its authorization back: it leaves the list, its tokens answer 61003, and an event tells of it.
    ///
    /// # Errors
    /// When the merchant is unknown.
    pub fn withdraw(&self, appid: &str) -> Result<(), WorldError> {
        let place = self.place(appid)?;
        self.withdrawn.write().unwrap_or_else(PoisonError::into_inner).insert(place);
        {
            let mut merchant = self.merchant(place);
            merchant.withdrawn = true;
            merchant.access.void();
        }
        self.tell("unauthorized", place);
        Ok(())
    }

    /// The merchant authorizes (again): it is listed, with a new refresh token; the old one answers 61023 at once. An
    /// event tells of it.
    ///
    /// # Errors
    /// When the merchant is unknown.
    pub fn authorize(&self, appid: &str) -> Result<(), WorldError> {
        let place = self.place(appid)?;
        self.withdrawn.write().unwrap_or_else(PoisonError::into_inner).remove(&place);
        {
            let now = self.unix_now();
            let mut merchant = self.merchant(place);
            merchant.withdrawn = false;
            merchant.authorizes(now);
        }
        self.tell("authorized", place);
        Ok(())
    }

    /// The permission sets granted from now on.
    ///
    /// # Errors
    /// When the merchant is unknown.
    pub fn set_permission_sets(&self, appid: &str, sets: &[u16]) -> Result<(), WorldError> {
        self.change(appid, |merchant| merchant.permission_sets = Some(sets.into()))
    }

    /// 1 normal, 14 cancelled, 16 banned, 18 warned, 19 frozen; calls for 14, 16 and 19 answer 50002.
    ///
    /// # Errors
    /// When the merchant or the status is unknown.
    pub fn set_account_status(&self, appid: &str, status: u8) -> Result<(), WorldError> {
        if !matches!(status, 1 | 14 | 16 | 18 | 19) {
            return Err(WorldError::BadStatus);
        }
        self.change(appid, |merchant| merchant.account_status = status)
    }

    /// Someone changes the callback configuration: `container_config.enable` flips, and every second time the path
    /// changes as well. Undoes [`World::set_callback`].
    ///
    /// # Errors
    /// When the merchant is unknown or no mini program.
    pub fn change_callback(&self, appid: &str) -> Result<(), WorldError> {
        let place = self.place_of(appid, Kind::MiniProgram)?;
        let mut merchant = self.merchant(place);
        merchant.callback_revision += 1;
        merchant.callback = None;
        Ok(())
    }

    /// Puts this `data` object in the place of the callback configuration; `None`: -601034, not opened.
    ///
    /// # Errors
    /// When the merchant is unknown or no mini program.
    pub fn set_callback(&self, appid: &str, data: Option<Value>) -> Result<(), WorldError> {
        let place = self.place_of(appid, Kind::MiniProgram)?;
        self.merchant(place).callback = Some(Box::new(data.map_or(Callback::NotOpened, Callback::Scripted)));
        Ok(())
    }

    fn change_links<R>(
        &self,
        official_account: &str,
        mini_program: &str,
        change: impl FnOnce(&mut Links, u32) -> R,
    ) -> Result<R, WorldError> {
        let mini_program = self.place_of(mini_program, Kind::MiniProgram)?;
        let place = self.place_of(official_account, Kind::OfficialAccount)?;
        Ok(change(self.merchant(place).links.get_or_insert_default(), mini_program))
    }

    /// How this pair's administrators will decide, also about an invitation that is out.
    ///
    /// # Errors
    /// When a side is unknown or of the wrong kind.
    pub fn link_mode(&self, official_account: &str, mini_program: &str, mode: LinkMode) -> Result<(), WorldError> {
        self.change_links(official_account, mini_program, |links, mini_program| links.mode(mini_program, mode))
    }

    /// The administrator whose turn it is agrees now. False: no invitation is pending.
    ///
    /// # Errors
    /// When a side is unknown or of the wrong kind.
    pub fn approve(&self, official_account: &str, mini_program: &str) -> Result<bool, WorldError> {
        self.change_links(official_account, mini_program, Links::approve)
    }

    /// The pair leaves the list, and its mode is forgotten. False: it was not listed.
    ///
    /// # Errors
    /// When a side is unknown or of the wrong kind.
    pub fn unlink(&self, official_account: &str, mini_program: &str) -> Result<bool, WorldError> {
        self.change_links(official_account, mini_program, Links::unlink)
    }

    /// One merchant as it is now.
    ///
    /// # Errors
    /// When the merchant is unknown.
    pub fn merchant_card(&self, appid: &str) -> Result<MerchantCard, WorldError> {
        let place = self.place(appid)?;
        Ok(self.merchant(place).card(&self.traits(place)))
    }
}
