//! A push as it goes over the wire: how what happened is wrapped, spoilt where a test wants it spoilt, and sent.

use std::io;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::Url;

use super::gauge::hold;
use super::push::{CODE_LIVES, Fault, Happened};
use super::sealing;
use super::world::World;

/// A push as it goes over the wire.
#[derive(Clone, Debug)]
pub(super) struct Parcel {
    pub info_type: String,
    pub appid: Option<String>,
    query: String,
    body: String,
    content_type: &'static str,
}

impl World {
    /// The parcel of what happened, as it would be sent now.
    pub(super) fn wrapped(&self, happened: &Happened, plain_json: bool, fault: Option<Fault>) -> Parcel {
        let fields = self.fields(happened, fault);
        let parcel = |query, body, content_type| Parcel {
            info_type: happened.info_type.clone(),
            appid: happened.appid.clone(),
            query,
            body,
            content_type,
        };
        if plain_json {
            let object: serde_json::Map<String, serde_json::Value> = fields
                .into_iter()
                .map(|(name, text)| {
                    let number = if name == "CreateTime" { text.parse::<i64>().ok() } else { None };
                    (name.to_owned(), number.map_or_else(|| json!(text), |number| json!(number)))
                })
                .collect();
            return parcel(String::new(), json!(object).to_string(), "application/json");
        }
        let number = {
            let mut pushes = hold(&self.pushes);
            pushes.nonces += 1;
            pushes.nonces
        };
        let drawn = [self.plan.draw(number, 11).to_be_bytes(), self.plan.draw(number, 12).to_be_bytes()];
        let mut random = [0; 16];
        random.copy_from_slice(&drawn.concat());
        let message = xml(&fields, fault);
        let appid = self.plan.component_appid.as_str();
        let frame = if fault == Some(Fault::WrongAppid) { "wx0000000000000000" } else { appid };
        let mut text = sealing::framed(random, message.as_bytes(), frame);
        if fault == Some(Fault::BadPadding)
            && let Some(last) = text.last_mut()
        {
            *last = 0;
        }
        // A plan's key that is none seals with zeros: nobody can open that.
        let key = sealing::key_bytes(&self.plan.event_aes_key).unwrap_or_default();
        let mut sealed = sealing::chained(&key, &text);
        if fault == Some(Fault::Truncated) {
            sealed.truncate(sealed.len() - 24);
        }
        let mut encrypt = sealing::base64(&sealed);
        if fault == Some(Fault::BadBase64) {
            encrypt.insert(7, '~');
        }
        let at = self.push_now() - if fault == Some(Fault::StaleTimestamp) { 7_200 } else { 0 };
        let (timestamp, nonce) = (at.to_string(), (self.plan.draw(number, 13) % 2_000_000_000).to_string());
        let token = if fault == Some(Fault::ForgedSignature) { "nobody-s-token" } else { &self.plan.event_token };
        let signed = sealing::signature(token, &timestamp, &nonce, &encrypt);
        let plain = sealing::signature(token, &timestamp, &nonce, "");
        let query =
            format!("signature={plain}&timestamp={timestamp}&nonce={nonce}&encrypt_type=aes&msg_signature={signed}");
        let named = if fault == Some(Fault::OtherPlatform) { "wx0000000000000000" } else { appid };
        let mut body = format!(
            "<xml>\n    <AppId><![CDATA[{named}]]></AppId>\n    <Encrypt><![CDATA[{encrypt}]]></Encrypt>\n</xml>"
        );
        if fault == Some(Fault::Oversized) {
            body.push_str(&" ".repeat(4 << 20));
        }
        parcel(query, body, "text/xml")
    }

    fn fields(&self, happened: &Happened, fault: Option<Fault>) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("AppId", self.plan.component_appid.clone()),
            ("CreateTime", happened.created_at.to_string()),
            ("InfoType", happened.info_type.clone()),
        ];
        if fault == Some(Fault::MissingField) {
            return fields;
        }
        let merchant = ("AuthorizerAppid", happened.appid.clone().unwrap_or_default());
        match happened.info_type.as_str() {
            "component_verify_ticket" => fields.push(("ComponentVerifyTicket", happened.secret.clone())),
            "authorized" | "updateauthorized" => fields.extend([
                merchant,
                ("AuthorizationCode", happened.secret.clone()),
                (
                    "AuthorizationCodeExpiredTime",
                    happened.created_at.saturating_add(CODE_LIVES.as_secs() as i64).to_string(),
                ),
                ("PreAuthCode", "preauthcode@@@sim-fake".to_owned()),
            ]),
            _ => fields.push(merchant),
        }
        fields
    }
}

fn xml(fields: &[(&str, String)], fault: Option<Fault>) -> String {
    let mut text = String::new();
    if fault == Some(Fault::EntityExpansion) {
        text.push_str("<!DOCTYPE xml [<!ENTITY a0 \"aaaaaaaaaa\">");
        for level in 1..10 {
            text.push_str(&format!("<!ENTITY a{level} \"{}\">", format!("&a{};", level - 1).repeat(10)));
        }
        text.push_str("]>");
    }
    text.push_str("<xml>");
    for (name, value) in fields {
        match *name {
            "CreateTime" => text.push_str(&format!("<CreateTime>{value}</CreateTime>")),
            "InfoType" if fault == Some(Fault::EntityExpansion) => text.push_str("<InfoType>&a9;</InfoType>"),
            _ => text.push_str(&format!("<{name}><![CDATA[{value}]]></{name}>")),
        }
    }
    if fault == Some(Fault::DeepNesting) {
        text.push_str(&"<a>".repeat(4_000));
        text.push_str(&"</a>".repeat(4_000));
    }
    text.push_str("</xml>");
    text
}

impl Parcel {
    /// One POST by hand: a connection of its own, and what comes back.
    pub(super) async fn post(&self, url: &Url) -> io::Result<(u16, String)> {
        let no_host = || io::Error::from(io::ErrorKind::InvalidInput);
        let host = url.host_str().ok_or_else(no_host)?;
        let port = url.port_or_known_default().ok_or_else(no_host)?;
        let mut stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
        let target = match (url.query(), self.query.is_empty()) {
            (None, true) => url.path().to_owned(),
            (None, false) => format!("{}?{}", url.path(), self.query),
            (Some(own), true) => format!("{}?{own}", url.path()),
            (Some(own), false) => format!("{}?{own}&{}", url.path(), self.query),
        };
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: Mozilla/4.0\r\nContent-Type: {}\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.content_type,
            self.body.len(),
        );
        stream.write_all(head.as_bytes()).await?;
        // Whoever refuses a large body may hang up before it is all sent; the answer still counts.
        let sent = stream.write_all(self.body.as_bytes()).await;
        let mut bytes = Vec::new();
        let read = stream.take(1 << 20).read_to_end(&mut bytes).await;
        let text = String::from_utf8_lossy(&bytes);
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        match (status, text.split_once("\r\n\r\n")) {
            (Some(status), Some((_, body))) => Ok((status, body.to_owned())),
            _ => Err(sent.and(read.map(|_| ())).err().unwrap_or_else(|| io::ErrorKind::InvalidData.into())),
        }
    }
}
