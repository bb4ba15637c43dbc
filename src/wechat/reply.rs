//! What WeChat answered to a [`Request`](super::Request), parsed; the codes that are a success for an invitation
//! (sent, pending, already linked) are replies, every other code is a refusal.

use serde::Deserialize;
use serde_json::Value;

use super::body::{self, Body, Scalar, bounded};
use super::callback_form::canonical;
use super::request::Request;
use crate::domain::{CallError, Callback, Class};

/// A good answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// Whether a phone is bound.
    CheckMobile {
        /// `true`: one is bound.
        has_mobile: bool,
    },
    /// The message-push configuration in its canonical form, or that there is none.
    Callback(Callback),
    /// The invitation was taken.
    Linked(LinkAnswer),
    /// Every link and pending invitation of the official account: a complete reading.
    Links(Vec<LinkEntry>),
    /// What WeChat says about the limits.
    Quota(Quota),
}

/// What became of an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkAnswer {
    /// It was sent now. It is no link yet.
    Sent,
    /// One is out already.
    Pending,
    /// The two are linked already.
    Already,
}

/// One entry of the list of links. The e-mail address that WeChat sends is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkEntry {
    /// The appid of the mini program (or service account).
    pub appid: String,
    /// WeChat's status: 1 linked, 12 waits for the official account, 2 waits for the mini program, 3 refused; -1 when
    /// the entry held no number.
    pub status: i64,
    /// The name, when it has one.
    pub nickname: Option<String>,
    /// The original id (`gh_...`), when it has one.
    pub username: Option<String>,
    /// Whether it is shown on the official account's profile.
    pub shown: Option<bool>,
    /// Whether it is released.
    pub released: Option<bool>,
}

/// What WeChat says about the limits of one address. Each part may be missing: no published limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// This account's count of the day; `None` also when WeChat answers a limit of 0, which its own example does.
    pub day: Option<DayQuota>,
    /// The ordinary frequency limit.
    pub rate: Option<Frequency>,
    /// The frequency limit for calls on behalf of the account: the one that binds a third-party platform.
    pub component_rate: Option<Frequency>,
}

/// A day's count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayQuota {
    /// Calls allowed today.
    pub limit: i64,
    /// Calls made today.
    pub used: i64,
    /// Calls left today.
    pub remain: i64,
}

/// So many calls in so many seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frequency {
    /// Calls allowed.
    pub calls: i64,
    /// The length of the window.
    pub window_secs: i64,
}

/// Everything that the authorizer endpoints answer, in one shape, so that a body is parsed once.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Answered {
    errcode: Scalar,
    errmsg: Scalar,
    has_mobile: Scalar,
    data: Value,
    wxopens: Value,
    quota: Value,
    rate_limit: Value,
    component_rate_limit: Value,
}

impl Body for Answered {
    fn head(&self) -> (&Scalar, &Scalar) {
        (&self.errcode, &self.errmsg)
    }

    fn any_content(&self) -> bool {
        self.has_mobile != Scalar::Absent
            || [&self.data, &self.wxopens, &self.quota, &self.rate_limit, &self.component_rate_limit]
                .into_iter()
                .any(|part| !part.is_null())
    }
}

/// Reads the body of an answer; beside the reply, WeChat's request id when it sent one.
pub(super) fn read(request: &Request, bytes: &[u8]) -> (Result<Reply, CallError>, Option<String>) {
    let answered: Answered = match body::parse(bytes) {
        Ok(answered) => answered,
        Err(error) => return (Err(error), None),
    };
    let rid = body::rid_of(&answered);
    (judge(request, answered), rid)
}

fn judge(request: &Request, answered: Answered) -> Result<Reply, CallError> {
    if let Some(error) = body::refusal(request.endpoint(), &answered) {
        return match (request, error.class()) {
            (Request::WxampLink { .. }, Class::Pending) => Ok(Reply::Linked(LinkAnswer::Pending)),
            (Request::WxampLink { .. }, Class::Already) => Ok(Reply::Linked(LinkAnswer::Already)),
            _ => Err(error),
        };
    }
    match request {
        Request::CheckMobile { .. } => match answered.has_mobile.switch() {
            Some(has_mobile) => Ok(Reply::CheckMobile { has_mobile }),
            None => Err(CallError::Unreadable("a success without has_mobile".to_owned())),
        },
        Request::GetCallbackConfig => canonical(answered.data).map(Reply::Callback),
        Request::WxampLink { .. } => Ok(Reply::Linked(LinkAnswer::Sent)),
        Request::WxampLinkGet => links(&answered.wxopens).map(Reply::Links),
        Request::QuotaGet { .. } => Ok(Reply::Quota(Quota {
            day: day_quota(&answered.quota),
            rate: frequency(&answered.rate_limit),
            component_rate: frequency(&answered.component_rate_limit),
        })),
    }
}

/// The entries of `wxopens`: absent, null and empty all mean that there are none. An entry without an appid is nobody's
/// pair and is left out, so that one odd entry does not hide the others.
fn links(wxopens: &Value) -> Result<Vec<LinkEntry>, CallError> {
    let items = match wxopens {
        Value::Null => return Ok(Vec::new()),
        Value::Object(fields) => fields.get("items").unwrap_or(&Value::Null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            return Err(CallError::Unreadable("wxopens is no object".to_owned()));
        }
    };
    match items {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) => Ok(items.iter().filter_map(link).collect()),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            Err(CallError::Unreadable("wxopens.items is no list".to_owned()))
        }
    }
}

fn link(item: &Value) -> Option<LinkEntry> {
    let field = |name: &str| Scalar::of(item.get(name));
    Some(LinkEntry {
        appid: field("appid").text()?.trim().to_owned(),
        status: field("status").integer().unwrap_or(-1),
        nickname: field("nickname").text().map(|name| bounded(&name)),
        username: field("username").text().map(|name| bounded(&name)),
        shown: field("selected").switch(),
        released: field("released").switch(),
    })
}

fn day_quota(part: &Value) -> Option<DayQuota> {
    let number = |name: &str| Scalar::of(part.get(name)).integer();
    let limit = number("daily_limit").filter(|limit| *limit > 0)?;
    let used = number("used").unwrap_or(0);
    Some(DayQuota { limit, used, remain: number("remain").unwrap_or(limit - used) })
}

fn frequency(part: &Value) -> Option<Frequency> {
    let number = |name: &str| Scalar::of(part.get(name)).integer().filter(|number| *number > 0);
    Some(Frequency { calls: number("call_count")?, window_secs: number("refresh_second")? })
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
