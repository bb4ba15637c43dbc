//! Where the list of merchants comes from when it is not WeChat's: a view or table of the provider's own, through a query.
//! The query may hold a key, so its text is in no setting and in no fault.

use secrecy::SecretString;

use super::{
    reader::Reader,
    token_source::{bare, remembered},
};

const SQL: &str = "WXPATROL_MERCHANT_SQL";
const EXAMPLE: &str =
    "select appid, kind, permission_sets, account_status from shop.merchants where component_appid = $1";

/// Reads the query; `None`: merchants come from WeChat's authorizer list.
pub(super) fn merchant_source<L: Fn(&str) -> Option<String>>(r: &mut Reader<L>) -> Option<SecretString> {
    let meaning = "merchant_source: a query on the same Postgres that lists the merchants instead of WeChat's list";
    let text = remembered(r, SQL, meaning)?;
    let query = bare(&text);
    // Without it a second platform would be given every merchant of the first.
    if !query.contains("$1") {
        let rule = "must hold $1, the component's appid, also where there is only one platform (`where $1 = 'wx...'`)";
        r.fault(SQL, None, rule, Some(format!("{SQL}={EXAMPLE}")));
        return None;
    }
    Some(SecretString::from(query.to_owned()))
}
