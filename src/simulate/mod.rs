//! The simulated WeChat: an HTTP server that stands in for `api.weixin.qq.com` in rehearsals, tests and measurements.
//!
//! It knows nothing of the rest of the crate, so that it is a second, independent reading of WeChat's rules: token
//! lifetimes and kinds, permission sets, limits, the two approvals of a link, and the ways in which answers are odd.
//! What it holds is deterministic in its [`Plan`]; what happens to it is scripted through [`World`], in the process or
//! over HTTP. It writes no logs, and none of its secrets is real.
//!
//! # Control paths
//!
//! All under `/_sim/`, JSON in and out; a refused call has a 4xx status and says why in `error`. Endpoints go by their
//! names (`checkmobile`, `api_authorizer_token`, ...), oddities as in [`Oddity`], link modes as in [`LinkMode`], faults of
//! pushes as in [`Fault`]. Of several platforms the first is meant, unless the query says `platform=APPID`.
//!
//! | call | body or parameters | what it does |
//! |---|---|---|
//! | `GET readout` | | all counts: per endpoint, asks, invitations, refreshes, concurrency |
//! | `GET platforms` | | the platforms by appid, and how many merchants each has |
//! | `GET plan` | | what the simulation was started with |
//! | `GET merchants` | `offset`, `count` (1000) | the merchants with kind, names, refresh token, sets, asks |
//! | `GET merchant` | `appid` | one of them |
//! | `GET counts` | `endpoint` | arrived, ok, unreadable, by errcode, worst second, share used |
//! | `GET arrivals` | `endpoint` | arrival times, microseconds since the start |
//! | `GET worst_window` | `endpoint`, `seconds` (1) | the most arrivals in any sliding window |
//! | `GET used_share` | `endpoint`, `per_second` | the arrival rate as a share of a limit |
//! | `GET answered_well` | `endpoint` | appids that got a good answer |
//! | `GET asks` | | every message that asks for a phone, with its time |
//! | `GET invitations` | | every invitation sent, with its time |
//! | `GET links` | `appid` of an official account | status by mini program; does not count as a poll |
//! | `GET refreshes` | | refreshes by appid |
//! | `GET pushes` | | what the last ten thousand pushes to the event URL were answered |
//! | `GET elsewhere` | | where the `redirect` oddity points; counts who follows |
//! | `POST script` | `{"oddity": "reset", "appid", "endpoint", "calls", "unheard"}` | the next calls that match meet the oddity |
//! | `POST clear_script` | | takes all rules back |
//! | `POST advance` | `{"seconds": 3600}` | shifts the simulated clock; limits and the dates of pushes go by the real one |
//! | `POST expire_all_tokens` | | every token answers 42001 |
//! | `POST token_overlap` | `{"seconds": 0}` | how long a replaced token lives on |
//! | `POST issue_live_token` | `{"appid"}` | an access token without a refresh |
//! | `POST issue_live_tokens` | `{"offset", "count"}` | the same for so many merchants from a place in `merchants` on |
//! | `POST issue_component_token` | | a component token without a fetch |
//! | `POST rotate_refresh_tokens` | `{"on"}` | each refresh changes the refresh token |
//! | `POST empty_refresh_tokens` | `{"on"}` | refreshes answer an empty refresh token |
//! | `POST hide_refresh_token` | `{"appid", "on"}` | the list shows an empty refresh token |
//! | `POST list_twice` | `{"appid", "on"}` | the list names the merchant twice |
//! | `POST list_nameless` | `{"appid", "on"}` | the merchant's entry in the list has no appid |
//! | `POST change_list_after_pages` | `{"pages": [[{"withdraw": "wx…"}]]}` | what happens after each of the next pages of the list |
//! | `POST throttle_asks` | `{"on"}` | -601026 for a second ask in 24 hours |
//! | `POST record_arrivals` | `{"on"}` | keep arrival times |
//! | `POST latency` | `{"seconds": 0.05}` | slept before every answer |
//! | `POST limit` | `{"endpoint", "per_second"}` | 45011 beyond it; `null`: no limit |
//! | `POST quota` | `{"appid", "endpoint", "quota": {"day": [5000, 12], "rate": [500, 60], "component_rate": [300, 60]}}` | what `quota/get` says of this merchant; without `quota` what is counted |
//! | `POST reset_counts` | | forgets counts and arrival times |
//! | `POST bind_phone` | `{"appid"}` | the mini program has a phone |
//! | `POST unbind_phone` | `{"appid"}` | it has none |
//! | `POST withdraw` | `{"appid"}` | leaves the list, tokens answer 61003 |
//! | `POST authorize` | `{"appid"}` | is listed (again) with a new refresh token |
//! | `POST update_authorization` | `{"appid", "sets": [49]}` | grants other sets, with a new refresh token and an event |
//! | `POST api_rights` | `{"appid", "on": false}` | `api_query_auth` gives no tokens for it |
//! | `POST receiver` | `{"url": "http://127.0.0.1:9465/", "plain_json", "automatic"}` | where tickets and events are pushed; `null`: nowhere |
//! | `POST stop_tickets` | | no more tickets until `api_start_push_ticket` |
//! | `POST push` | `{"info_type", "appid", "seconds_ago", "created_at", "secret", "fault"}` | pushes a ticket or event now, and tells the answer |
//! | `POST permission_sets` | `{"appid", "sets": [49]}` | what the merchant has granted |
//! | `POST account_status` | `{"appid", "status": 19}` | 14, 16 and 19 answer 50002 |
//! | `POST change_callback` | `{"appid"}` | the callback configuration changes |
//! | `POST callback` | `{"appid", "data": {...}}` | a callback configuration of one's own; without `data` -601034 |
//! | `POST link_mode` | `{"official_account", "mini_program", "mode": "stalls"}` | how this pair decides |
//! | `POST approve` | `{"official_account", "mini_program"}` | the administrator whose turn it is agrees |
//! | `POST unlink` | `{"official_account", "mini_program"}` | the pair leaves the list |

mod answer;
mod callback;
mod component;
mod control;
mod endpoint;
mod gauge;
mod issue;
mod link;
mod merchant;
mod oddity;
mod paging;
mod parcel;
mod plan;
mod platforms;
mod push;
mod quota;
mod readout;
mod refusal;
pub mod sealing;
mod spoil;
#[cfg(test)]
mod tests;
mod wire;
mod world;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use endpoint::Endpoint;
pub use gauge::EndpointCounts;
pub use issue::LiveToken;
pub use link::{Ask, Invitation, LinkMode};
pub use merchant::MerchantCard;
pub use oddity::{Oddity, Rule};
pub use paging::ListChange;
pub use plan::{Kind, Plan};
pub use push::{Fault, Push, Pushed, ReceiverUrl};
pub use quota::ScriptedQuota;
pub use readout::Readout;
pub use refusal::WorldError;
pub use world::World;

use platforms::Platforms;

/// How long [`SimulatedWechat::stop`] waits for callers that neither read nor go away.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// A running simulated WeChat. It stops when it is dropped; [`SimulatedWechat::stop`] waits for that.
pub struct SimulatedWechat {
    addr: SocketAddr,
    platforms: Arc<Platforms>,
    stopping: CancellationToken,
    server: JoinHandle<io::Result<()>>,
}

impl SimulatedWechat {
    /// Listens on `addr` (port 0: any free one) and answers from then on. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the plan's limits name an unknown endpoint, its merchants are too many, or the address cannot be bound.
    pub fn start(addr: SocketAddr, plan: Plan) -> io::Result<Self> {
        Self::start_with(addr, plan, Vec::new())
    }

    /// The same with further platforms, each with its own secret, ticket, merchants, tokens, limits and script. Two of
    /// them may have merchants of the same appid.
    ///
    /// # Errors
    /// As [`SimulatedWechat::start`], and when two platforms have one appid.
    pub fn start_with(addr: SocketAddr, first: Plan, others: Vec<Plan>) -> io::Result<Self> {
        let mut appids = std::collections::BTreeSet::new();
        for plan in std::iter::once(&first).chain(&others) {
            plan.check()?;
            if !appids.insert(&plan.component_appid) {
                let message = format!("two platforms have the appid {}", plan.component_appid);
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
        }
        let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        // A benchmark opens many connections at once.
        let listener = socket.listen(4096)?;
        let addr = listener.local_addr()?;
        let stopping = CancellationToken::new();
        let platforms = Arc::new(Platforms::new(first, others, &stopping));
        let service = Router::new()
            .fallback(wire::respond)
            .with_state(Arc::clone(&platforms))
            .into_make_service_with_connect_info::<wire::Scissors>();
        for world in platforms.all() {
            tokio::spawn(push::keep_telling(Arc::clone(world)));
        }
        let stopped = stopping.clone().cancelled_owned();
        let server =
            tokio::spawn(
                async move { axum::serve(wire::Gate(listener), service).with_graceful_shutdown(stopped).await },
            );
        Ok(Self { addr, platforms, stopping, server })
    }

    /// What to call in the place of `https://api.weixin.qq.com`; no slash at the end.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The handle that scripts the first platform and reads it out. It stays readable after the stop.
    #[must_use]
    pub fn world(&self) -> Arc<World> {
        Arc::clone(&self.platforms.first)
    }

    /// The handles of all platforms, in the order of their plans.
    #[must_use]
    pub fn worlds(&self) -> Vec<Arc<World>> {
        self.platforms.all().map(Arc::clone).collect()
    }

    /// Accepts no more, cuts the calls that hang or wait, and returns when the connections are gone (or after three
    /// seconds, if a caller does not go away).
    pub async fn stop(mut self) {
        self.stopping.cancel();
        if tokio::time::timeout(STOP_PATIENCE, &mut self.server).await.is_err() {
            self.server.abort();
        }
    }
}

impl Drop for SimulatedWechat {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}
