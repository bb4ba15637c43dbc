//! The form of an appid: the name by which WeChat knows an account.

/// An appid: `wx` and 8 to 30 letters or digits (WeChat gives 16).
///
/// # Errors
///
/// The rule, when the text is no appid.
pub fn appid(text: &str) -> Result<String, String> {
    let text = text.trim();
    let rest = text.strip_prefix("wx").unwrap_or_default();
    if (8..=30).contains(&rest.len()) && rest.chars().all(|c| c.is_ascii_alphanumeric()) {
        Ok(text.to_owned())
    } else {
        Err("must be an appid: wx and 16 letters or digits".to_owned())
    }
}
