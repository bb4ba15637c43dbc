//! Expectations written from the page of facts about WeChat, not from the table.

use std::collections::HashSet;

use super::{Scope, all, classify, lookup};
use crate::domain::Class::{self, *};
use crate::domain::Endpoint::{self, *};

/// Code, an endpoint where the page places it, and its class there.
#[rustfmt::skip]
const PAGE: &[(i64, Endpoint, Class)] = &[
    (0, CheckMobile, Ok), (-1, CheckMobile, Transient), (-1, WxampLink, Transient), (-1, ApiGetAuthorizerList, Transient),
    (-1000, CheckMobile, Transient), (-1000, GetCallbackConfig, Transient),
    (-601_026, CheckMobile, QuotaDay), (-601_034, CheckMobile, NotApplicable), (-601_034, GetCallbackConfig, NotApplicable),
    (-601_048, CheckMobile, Pending), (-601_049, CheckMobile, Pending),
    (1001, WxampLink, Human), (1002, WxampLink, Human), (1003, WxampLink, Human), (1004, WxampLink, Human),
    (1005, WxampLink, Human), (1006, WxampLink, Human), (1007, WxampLink, Human),
    (40001, CheckMobile, Token), (40001, ApiAuthorizerToken, Token), (40001, ApiComponentToken, Halt),
    (40013, WxampLink, Human), (40013, ApiGetAuthorizerList, Bug), (40013, ApiStartPushTicket, Bug),
    (40014, WxampLinkGet, Token), (40066, CheckMobile, Bug), (40097, CheckMobile, Bug), (40101, CheckMobile, Bug),
    (40125, ApiComponentToken, Halt), (40164, CheckMobile, Halt), (40170, ApiGetAuthorizerList, Bug),
    (41001, CheckMobile, Bug), (41002, ApiComponentToken, Bug), (41004, ApiComponentToken, Bug),
    (41018, ApiComponentToken, Bug), (42001, CheckMobile, Token), (42002, ApiAuthorizerToken, Token),
    (42006, ApiAuthorizerToken, Token), (42006, ApiGetAuthorizerInfo, Token), (42007, CheckMobile, Withdrawn),
    (43002, CheckMobile, Bug), (43003, CheckMobile, Bug), (44002, WxampLinkGet, Bug), (44991, CheckMobile, QuotaMinute),
    (44993, QuotaGet, QuotaDay), (45009, CheckMobile, QuotaDay), (45009, WxampLink, QuotaDay),
    (45009, ApiComponentToken, Halt), (45009, ApiAuthorizerToken, Halt), (45011, WxampLink, QuotaMinute),
    (45035, CheckMobile, Halt), (47001, CheckMobile, Bug), (47002, CheckMobile, Bug), (48001, CheckMobile, Permission),
    (48001, WxampLinkGet, Permission), (48004, CheckMobile, Human), (48006, QuotaGet, QuotaMonth),
    (50001, CheckMobile, Permission), (50002, CheckMobile, Human), (50002, ApiAuthorizerToken, Human),
    (50004, CheckMobile, Human), (61003, CheckMobile, Withdrawn), (61003, ApiGetAuthorizerInfo, Withdrawn),
    (61004, CheckMobile, Halt), (61004, ApiComponentToken, Halt), (61005, ApiComponentToken, Halt),
    (61006, ApiComponentToken, Halt), (61007, CheckMobile, Permission), (61009, QuotaGet, Bug), (61010, QuotaGet, Bug),
    (61009, ApiQueryAuth, Bug), (61010, ApiQueryAuth, Bug), (42006, ApiQueryAuth, Token), (48001, ApiQueryAuth, Halt),
    (61011, ApiComponentToken, Halt), (61014, ApiGetAuthorizerList, Bug), (61015, CheckMobile, Bug),
    (61016, CheckMobile, Permission), (61017, GetCallbackConfig, Permission), (61023, ApiAuthorizerToken, Token),
    (61024, ApiAuthorizerToken, Bug), (61028, CheckMobile, Halt), (61029, CheckMobile, Halt), (61055, WxampLink, QuotaMonth),
    (76001, QuotaGet, NotApplicable), (76003, QuotaGet, Bug), (76021, QuotaGet, Bug), (76022, QuotaGet, Bug),
    (89007, WxampLink, QuotaMonth), (89008, WxampLink, Human), (89009, WxampLink, Human), (89010, WxampLink, Pending),
    (89011, WxampLink, Human), (89012, WxampLink, Human), (89013, WxampLink, Human), (89014, WxampLink, Bug),
    (89015, WxampLink, Already), (89016, WxampLink, QuotaMonth), (89017, WxampLink, QuotaMonth),
    (89018, WxampLink, Pending), (89030, WxampLink, QuotaMonth), (89035, WxampLink, Pending), (89235, WxampLink, Human),
    (89245, WxampLink, Human), (89407, WxampLink, Human), (89501, CheckMobile, Human), (89502, CheckMobile, Human),
    (89503, CheckMobile, Human), (89504, CheckMobile, Human), (89505, CheckMobile, Human), (89506, CheckMobile, Human),
    (89507, CheckMobile, Human),
    // Codes of no table.
    (-501_000, CheckMobile, NotApplicable), (-501_000, GetCallbackConfig, NotApplicable), (-501_000, WxampLink, Unknown),
    (-99_999, CheckMobile, Unknown), (-1_000_000, CheckMobile, Unknown), (777, CheckMobile, Unknown),
    (99_999, WxampLink, Unknown), (89010, WxampLinkGet, Unknown), (i64::MIN, WxampLink, Unknown), (i64::MAX, CheckMobile, Unknown),
];

#[test]
fn every_code_of_the_page_has_the_class_that_the_page_gives_it() {
    for (code, endpoint, class) in PAGE {
        assert_eq!(classify(*endpoint, *code), *class, "{code} on {endpoint:?}");
    }
}

#[test]
fn every_row_is_on_the_page() {
    let on_page: HashSet<i64> = PAGE.iter().map(|(code, ..)| *code).collect();
    let missing: Vec<i64> = all().iter().map(|row| row.code).filter(|code| !on_page.contains(code)).collect();
    assert_eq!(missing, Vec::<i64>::new());
}

#[test]
fn no_two_rows_hold_for_the_same_code_and_endpoint() {
    let mut seen = HashSet::new();
    for row in all() {
        match row.scope {
            Scope::Any => assert!(seen.insert((row.code, None)), "{} twice", row.code),
            Scope::Only(endpoints) => {
                assert!(!endpoints.is_empty(), "{} holds nowhere", row.code);
                for endpoint in endpoints {
                    assert!(seen.insert((row.code, Some(*endpoint))), "{} twice on {endpoint:?}", row.code);
                }
            }
        }
    }
}

#[test]
fn every_row_says_something_in_both_languages() {
    for row in all() {
        for chinese in [row.meaning_zh, row.remedy_zh] {
            assert!(chinese.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)), "{}: {chinese}", row.code);
        }
        for english in [row.meaning_en, row.remedy_en] {
            assert!(!english.is_empty() && english.is_ascii(), "{}: {english}", row.code);
        }
    }
}

#[test]
fn an_endpoint_specific_row_wins_over_the_general_one() {
    let meaning = |endpoint| lookup(endpoint, 45009).map(|row| row.meaning_en);
    assert!(meaning(ApiAuthorizerToken).is_some_and(|text| text.contains("platform's own")));
    assert!(meaning(CheckMobile).is_some_and(|text| !text.contains("platform's own")));
    assert_eq!(lookup(CheckMobile, 777), None);
}
