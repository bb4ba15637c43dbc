//! The links of one official account: what its administrators decide, and what `wxamplinkget` shows of it.
//!
//! A link advances only when it is looked at (or by `World::approve`), so that a test needs no waiting.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::merchant::{Mark, Traits};
use super::plan::Plan;

/// How the administrators of a pair (or WeChat itself) deal with an invitation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkMode {
    /// 12, then 2, then 1.
    #[default]
    Approved,
    /// 12, then 1: the mini program asks for no confirmation.
    NoConfirmation,
    /// 1 at once.
    AtOnce,
    /// 12, then the item vanishes.
    OfficialAccountRefuses,
    /// 12, then 2, then 3.
    MiniProgramRefuses,
    /// 12 for ever.
    Stalls,
    /// 1 before anybody invited; the mode takes effect when it is set.
    AlreadyLinked,
    /// Listed with this status number once invited, for ever.
    Status(u32),
    /// `wxamplink` answers this errcode (89245, 89407, 89007, ...) and messages nobody.
    Answers(i64),
}

impl LinkMode {
    /// The mode of a pair for which none was set.
    fn by_nature(plan: &Plan, official_account: u32, mini_program: u32) -> Self {
        if !plan.quirks {
            return Self::Approved;
        }
        let pair = plan.draw(official_account, 0x11).wrapping_add(plan.draw(mini_program, 0x12));
        match pair % 100 {
            0..=4 => Self::NoConfirmation,
            5..=7 => Self::MiniProgramRefuses,
            8..=9 => Self::OfficialAccountRefuses,
            10..=11 => Self::Stalls,
            12..=14 => Self::Answers(89245),
            15 => Self::Answers(1005),
            16 => Self::Answers(89016),
            17 => Self::Answers(89407),
            18..=19 => Self::AlreadyLinked,
            _ => Self::Approved,
        }
    }
}

#[derive(Clone, Copy)]
struct Link {
    status: u32,
    polls: u32,
    mode: LinkMode,
}

/// All pairs of one official account, by the place of the mini program.
#[derive(Default)]
pub(super) struct Links {
    listed: BTreeMap<u32, Link>,
    modes: BTreeMap<u32, LinkMode>,
}

/// What an invitation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Invited {
    /// A person has been messaged, or none was needed; errcode 0.
    Sent,
    Answers(i64),
}

impl Links {
    pub(super) fn mode(&mut self, mini_program: u32, mode: LinkMode) {
        self.modes.insert(mini_program, mode);
        if mode == LinkMode::AlreadyLinked {
            self.listed.insert(mini_program, Link { status: 1, polls: 0, mode });
        } else if let Some(link) = self.listed.get_mut(&mini_program) {
            match mode {
                LinkMode::AtOnce => link.status = 1,
                LinkMode::Status(number) => link.status = number,
                // About invitations that are still to come.
                LinkMode::Answers(_) => return,
                _ => {}
            }
            link.mode = mode;
        }
    }

    pub(super) fn invite(&mut self, plan: &Plan, official_account: u32, mini_program: u32) -> Invited {
        let mode = self
            .modes
            .get(&mini_program)
            .copied()
            .unwrap_or_else(|| LinkMode::by_nature(plan, official_account, mini_program));
        match self.listed.get(&mini_program).map(|link| link.status) {
            Some(1) => return Invited::Answers(89015),
            Some(12 | 2) => return Invited::Answers(89010),
            // After a refusal, and at a number nobody knows, WeChat takes a new invitation.
            Some(_) | None => {}
        }
        let status = match mode {
            LinkMode::Answers(errcode) => return Invited::Answers(errcode),
            // Linked by nature, though nobody looked before: the list shows it from here on.
            LinkMode::AlreadyLinked => {
                self.listed.insert(mini_program, Link { status: 1, polls: 0, mode });
                return Invited::Answers(89015);
            }
            LinkMode::AtOnce => 1,
            LinkMode::Status(number) => number,
            LinkMode::Approved
            | LinkMode::NoConfirmation
            | LinkMode::OfficialAccountRefuses
            | LinkMode::MiniProgramRefuses
            | LinkMode::Stalls => 12,
        };
        self.listed.insert(mini_program, Link { status, polls: 0, mode });
        Invited::Sent
    }

    /// One administrator agrees: 12 to 2 (to 1 where no confirmation is asked for), 2 to 1. False: nothing is pending.
    pub(super) fn approve(&mut self, mini_program: u32) -> bool {
        let Some(link) = self.listed.get_mut(&mini_program) else { return false };
        match link.status {
            12 if link.mode == LinkMode::NoConfirmation => link.status = 1,
            12 => link.status = 2,
            2 => link.status = 1,
            _ => return false,
        }
        link.polls = 0;
        true
    }

    /// False: the pair was not listed.
    pub(super) fn unlink(&mut self, mini_program: u32) -> bool {
        self.modes.remove(&mini_program);
        self.listed.remove(&mini_program).is_some()
    }

    pub(super) fn statuses(&self) -> impl Iterator<Item = (u32, u32)> {
        self.listed.iter().map(|(mini_program, link)| (*mini_program, link.status))
    }

    fn advance(&mut self, plan: &Plan) {
        let official_account_agrees = plan.approve_official_account_after_polls;
        let mini_program_agrees = plan.approve_mini_program_after_polls;
        self.listed.retain(|_, link| {
            loop {
                let (patience, next) = match (link.status, link.mode) {
                    (12, LinkMode::NoConfirmation) => (official_account_agrees, Some(1)),
                    (12, LinkMode::OfficialAccountRefuses) => (official_account_agrees, None),
                    (12, LinkMode::Approved | LinkMode::MiniProgramRefuses) => (official_account_agrees, Some(2)),
                    (2, LinkMode::MiniProgramRefuses) => (mini_program_agrees, Some(3)),
                    // Whoever would have refused at 12, or would not have been asked, was approved past that by hand.
                    (2, LinkMode::Approved | LinkMode::OfficialAccountRefuses | LinkMode::NoConfirmation) => {
                        (mini_program_agrees, Some(1))
                    }
                    _ => break,
                };
                if link.polls < patience {
                    link.polls += 1;
                    break;
                }
                let Some(next) = next else { return false };
                link.status = next;
                link.polls = 0;
            }
            true
        });
    }

    /// The body of `wxamplinkget`.
    pub(super) fn poll(&mut self, plan: &Plan, official_account: u32) -> String {
        self.advance(plan);
        let mut body = String::with_capacity(64 + 420 * self.listed.len());
        body.push_str(r#"{"errcode":0,"errmsg":"ok","wxopens":{"items":["#);
        for (mini_program, link) in &self.listed {
            push_item(&mut body, &Traits { plan, place: *mini_program, mark: Mark::default() }, link.status);
            body.push(',');
        }
        // The list has been seen to hold service accounts as well.
        if plan.quirks && plan.draw(official_account, 0x13).is_multiple_of(50) {
            push_item(&mut body, &Traits { plan, place: official_account, mark: Mark::default() }, 1);
            body.push(',');
        }
        if body.ends_with(',') {
            body.pop();
            body.push_str("]}}");
            return body;
        }
        empty_list(plan, official_account).to_owned()
    }
}

/// Nobody has documented what an empty list looks like, so each official account has its own way.
fn empty_list(plan: &Plan, official_account: u32) -> &'static str {
    match plan.draw(official_account, 0x14) % 4 {
        0 => r#"{"errcode":0,"errmsg":"ok"}"#,
        1 => r#"{"errcode":0,"errmsg":"ok","wxopens":{}}"#,
        2 => r#"{"errcode":0,"errmsg":"ok","wxopens":{"items":[]}}"#,
        _ => r#"{"errcode":0,"errmsg":"ok","wxopens":{"items":null}}"#,
    }
}

fn push_item(body: &mut String, merchant: &Traits<'_>, status: u32) {
    let nickname = serde_json::Value::from(merchant.nick_name());
    let (user_name, place) = (merchant.user_name(), merchant.place);
    write!(
        body,
        r#"{{"status":{status},"username":"{user_name}","appid":"{}","source":"SOURCE_NORMAL","nickname":{nickname},"selected":0,"nearby_display_status":0,"released":1,"headimg_url":"http://wx.qlogo.cn/mmhead/x/0","email":"ops{place}@example.com","copy_verify_status":1,"func_infos":[{{"status":1,"id":1,"name":"weixin verification"}},{{"status":0,"id":2,"name":"weixin pay"}}]}}"#,
        merchant.plan.appid(place),
    )
    .expect("writing to a string cannot fail");
}

/// One invitation that WeChat sent out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// The official account that invites.
    pub official_account: String,
    /// The mini program that is to be linked.
    pub mini_program: String,
    /// Microseconds of the simulated clock since the start.
    pub at_micros: u64,
    /// All followers of the official account were messaged too.
    pub notify_users: bool,
}

/// One message to a mini program's administrator that asks for a phone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The mini program.
    pub appid: String,
    /// Microseconds of the simulated clock since the start.
    pub at_micros: u64,
}
