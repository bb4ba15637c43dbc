//! What `getcallbackconfig` answers: varied over the merchants, steady in meaning from call to call (only order and the
//! spelling of one key vary), and changed by one revision at a time.

use std::fmt::Write as _;

use super::merchant::{Callback, Merchant, Traits};

const EVENTS: [(&str, &str); 6] = [
    ("event", "user_enter_tempsession"),
    ("text", ""),
    ("image", ""),
    ("event", "wxa_media_check"),
    ("miniprogrampage", ""),
    ("event", "subscribe_msg_popup_event"),
];

/// The body, or the errcode of a mini program that never opened cloud development.
pub(super) fn answer(merchant: &mut Merchant, traits: &Traits<'_>) -> Result<String, i64> {
    merchant.callback_calls = merchant.callback_calls.wrapping_add(1);
    match merchant.callback.as_deref() {
        Some(Callback::NotOpened) => return Err(-601_034),
        Some(Callback::Scripted(data)) => return Ok(format!(r#"{{"errcode":0,"errmsg":"ok","data":{data}}}"#)),
        None => {}
    }
    let drawn = traits.plan.draw(traits.place, 0x20);
    let revision = merchant.callback_revision;
    // One in sixteen never opened it, until a change says otherwise.
    if drawn.is_multiple_of(16) && revision == 0 {
        return Err(-601_034);
    }
    let mut body = String::with_capacity(512);
    body.push_str(r#"{"errcode":0,"errmsg":"ok","data":{"#);
    match (drawn >> 8) % 8 {
        0 => {}
        1 => body.push_str(r#""function_config":null,"#),
        _ => push_functions(&mut body, traits, merchant.callback_calls, revision),
    }
    if (drawn >> 16).is_multiple_of(16) && revision == 0 {
        body.push_str(r#""container_config":null}}"#);
    } else {
        push_container(&mut body, traits, merchant.callback_calls, revision);
        body.push_str("}}");
    }
    Ok(body)
}

fn push_functions(body: &mut String, traits: &Traits<'_>, calls: u32, revision: u32) {
    let drawn = traits.plan.draw(traits.place, 0x21);
    let count = (drawn % EVENTS.len() as u64) as usize;
    body.push_str(r#""function_config":{"enable":false"#);
    if count == 0 && drawn & 0x100 == 0 {
        body.push_str("},");
        return;
    }
    body.push_str(r#","callbacks":["#);
    for n in 0..count {
        // The order turns with every call: nothing promises it.
        let n = (n + calls as usize) % count;
        let (kind, event) = EVENTS[n];
        let on = (drawn >> (16 + n)) & 1 == 1 && !(n == 0 && revision >= 2);
        write!(
            body,
            r#"{{"msgType":"{kind}","event":"{event}","env":"prod-{:06x}","functionName":"kf{n}","enable":{on}}},"#,
            drawn & 0xff_ffff,
        )
        .expect("writing to a string cannot fail");
    }
    if body.ends_with(',') {
        body.pop();
    }
    body.push_str("]},");
}

fn push_container(body: &mut String, traits: &Traits<'_>, calls: u32, revision: u32) {
    let drawn = traits.plan.draw(traits.place, 0x22);
    let enable = (drawn & 1 == 1) != (revision % 2 == 1);
    // One page of the documentation spells the key with a space behind it; one in eight does so every other time.
    let space = if (drawn >> 8).is_multiple_of(8) && calls.is_multiple_of(2) { " " } else { "" };
    write!(
        body,
        r#""container_config":{{"enable":{enable},"qbase_env":"prod-{:06x}","qbase_container_path{space}":"/wx/msg{}","text_mode":{}}}"#,
        drawn & 0xff_ffff,
        revision / 2,
        1 + (drawn >> 16) % 2,
    )
    .expect("writing to a string cannot fail");
}
