//! The exchange of an authorization code, which an event brought, for the merchant's tokens: a single call, no retry and
//! no pacing.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::Platform;
use super::body::Scalar;
use super::client::Wechat;
use super::platform_calls::{Answered, expires_in, granted, secret};
use crate::domain::{CallError, Endpoint};

/// What a merchant granted, and the tokens to act for it. WeChat leaves the tokens out when the account has no API rights
/// at all.
#[derive(Debug, Clone)]
pub struct Authorization {
    /// The access token and how long it is good for.
    pub access_token: Option<(SecretString, Duration)>,
    /// The refresh token.
    pub refresh_token: Option<SecretString>,
    /// The permission sets it granted, sorted.
    pub permission_sets: Option<Vec<i64>>,
}

impl Wechat {
    /// Exchanges the authorization code of `appid`. Not to be repeated when it may have arrived: WeChat takes a code once.
    ///
    /// # Errors
    /// Why there is no usable answer; the code may be used up all the same.
    pub async fn query_auth(
        &self,
        platform: &Platform,
        component_token: &SecretString,
        appid: &str,
        code: &SecretString,
    ) -> Result<Authorization, CallError> {
        let body = json!({
            "component_appid": platform.component_appid,
            "authorization_code": code.expose_secret(),
        });
        let within = self.timeouts().total;
        let answered: Answered = self.ask(Endpoint::ApiQueryAuth, Some(component_token), &body, within).await?;
        read(&answered.authorization_info, appid)
    }
}

fn read(info: &Value, appid: &str) -> Result<Authorization, CallError> {
    if !info.is_object() {
        return Err(CallError::Unreadable("a success without authorization_info".to_owned()));
    }
    let field = |name: &str| Scalar::of(info.get(name));
    // One merchant's tokens must never be kept as another's.
    if field("authorizer_appid").text().is_some_and(|told| told != appid) {
        return Err(CallError::Unreadable("the code belongs to another merchant than the event says".to_owned()));
    }
    let access_token = match secret(field("authorizer_access_token")) {
        Some(token) => Some((token, expires_in(&field("expires_in"))?)),
        None => None,
    };
    Ok(Authorization {
        access_token,
        refresh_token: secret(field("authorizer_refresh_token")),
        permission_sets: granted(info),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_token_fields_may_be_absent_and_empty_ones_count_as_absent() {
        let info = json!({"authorizer_appid": "wxa", "func_info": [{"funcscope_category": {"id": 49}}, {"odd": 1}]});
        let bare = read(&info, "wxa").unwrap();
        assert!(bare.access_token.is_none() && bare.refresh_token.is_none());
        assert_eq!(bare.permission_sets, Some(vec![49]));
        let empty = json!({"authorizer_access_token": "", "authorizer_refresh_token": "", "expires_in": "x"});
        let empty = read(&empty, "wxa").unwrap();
        assert!(empty.access_token.is_none() && empty.refresh_token.is_none());
    }

    #[test]
    fn numbers_may_be_strings_and_a_missing_lifetime_is_the_documented_one() {
        let info = json!({"authorizer_access_token": "fake", "expires_in": "600"});
        assert_eq!(read(&info, "wxa").unwrap().access_token.unwrap().1, Duration::from_secs(600));
        let info = json!({"authorizer_access_token": "fake"});
        assert_eq!(read(&info, "wxa").unwrap().access_token.unwrap().1, Duration::from_secs(7200));
    }

    #[test]
    fn the_tokens_of_another_merchant_are_refused() {
        let info = json!({"authorizer_appid": "wxb", "authorizer_access_token": "fake", "expires_in": 7200});
        assert!(matches!(read(&info, "wxa"), Err(CallError::Unreadable(_))));
        assert!(matches!(read(&Value::Null, "wxa"), Err(CallError::Unreadable(_))));
    }
}
