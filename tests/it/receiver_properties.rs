//! What holds for every push to the event URL: the same property that the fuzz target holds, and what a changed push comes
//! to.

#[path = "../../fuzz/property.rs"]
mod property;

use property::{KEY, NOW, PLATFORM, Push, holds_for, read, sealed, signed};
use proptest::prelude::*;
use wxpatrol::{
    domain::event::News,
    receiver::{BODY_BYTES_MAX, Refusal},
};

fn ticket(text: &str) -> String {
    format!(
        "<xml><AppId><![CDATA[{PLATFORM}]]></AppId><CreateTime>{NOW}</CreateTime>\
         <InfoType><![CDATA[component_verify_ticket]]></InfoType>\
         <ComponentVerifyTicket><![CDATA[{text}]]></ComponentVerifyTicket></xml>"
    )
}

/// Bytes that are nearly what the receiver knows, so that they come far.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "<xml>",
        "</xml>",
        "<AppId>",
        "</AppId>",
        PLATFORM,
        "<![CDATA[",
        "]]>",
        "<CreateTime>",
        "</CreateTime>",
        "1760000000",
        "<InfoType>",
        "</InfoType>",
        "unauthorized",
        "authorized",
        "component_verify_ticket",
        "<AuthorizerAppid>",
        "</AuthorizerAppid>",
        "wx1a00000000000001",
        "<Encrypt>",
        "</Encrypt>",
        "&amp;",
        "&a;",
        "&#x0;",
        "&#99999999;",
        "<!DOCTYPE xml [<!ENTITY a \"b\">]>",
        "<!--",
        "-->",
        "<?xml version=\"1.0\"?>",
        "<a/>",
        "<a b='c'>",
        "{",
        "}",
        "\"AppId\":",
        "[",
        "\u{0}",
        "\u{feff}",
        " ",
        "=",
        "timestamp=1760000000&",
        "nonce=1&",
        "msg_signature=",
        "%",
        "%ff",
        "AAAA",
    ]);
    let piece = prop_oneof![
        4 => words.prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        holds_for(&bytes);
    }

    #[test]
    fn what_is_nearly_a_push_is_read_or_refused_without_a_panic(bytes in nearly()) {
        holds_for(&bytes);
    }

    #[test]
    fn a_ticket_comes_out_as_it_was_sealed(text in "[!-;=-Z^-~]{1,200}") {
        use secrecy::ExposeSecret as _;
        let received = sealed(ticket(&text).as_bytes()).read().unwrap();
        let News::Ticket(ticket) = received.event.news else { panic!("it is a ticket") };
        prop_assert_eq!(ticket.expose_secret(), &text);
    }

    #[test]
    fn a_push_changed_in_any_one_place_is_refused(part in 0..4_usize, place in any::<prop::sample::Index>(), letter in "[ -~]") {
        let honest = sealed(ticket("fake").as_bytes());
        let mut changed = honest.clone();
        let text = match part {
            0 => &mut changed.encrypt,
            1 => &mut changed.signature,
            2 => &mut changed.timestamp,
            _ => &mut changed.nonce,
        };
        let at = place.index(text.len());
        text.replace_range(at..=at, &letter);
        let same = |push: &Push| (push.encrypt.clone(), push.signature.clone(), push.timestamp.clone(), push.nonce.clone());
        prop_assume!(same(&changed) != same(&honest));
        prop_assert!(changed.read().is_err(), "{changed:?}");
    }

    #[test]
    fn a_ciphertext_that_is_cut_is_refused_even_when_it_is_signed(keep in 0..400_usize) {
        let honest = sealed(ticket("fake").as_bytes());
        prop_assume!(keep < honest.encrypt.len());
        let refusal = signed(honest.encrypt[..keep].to_owned()).read().unwrap_err();
        prop_assert!((400..500).contains(&refusal.status()));
    }

    #[test]
    fn depth_is_refused_beyond_its_bound_and_size_beyond_its_own(depth in 8..3_000_usize, more in 1..100_000_usize) {
        let deep = format!("<xml>{}{}</xml>", "<a>".repeat(depth), "</a>".repeat(depth));
        prop_assert!(matches!(read("", deep.as_bytes()).unwrap_err(), Refusal::Malformed(_)));
        prop_assert!(matches!(sealed(deep.as_bytes()).read().unwrap_err(), Refusal::Malformed(_) | Refusal::TooLarge));
        let json = format!("{{\"AppId\":{}", "[".repeat(depth));
        prop_assert!(read("", json.as_bytes()).is_err());
        let honest = sealed(ticket("fake").as_bytes());
        let large = format!("{}{}", honest.body(), " ".repeat(BODY_BYTES_MAX - honest.body().len() + more));
        prop_assert_eq!(read(&honest.query(), large.as_bytes()).unwrap_err(), Refusal::TooLarge);
    }

    #[test]
    fn no_entity_is_expanded_whatever_it_is_called(name in "[a-z]{2,9}", levels in 1..20_usize) {
        prop_assume!(!["lt", "gt", "amp", "quot", "apos"].contains(&name.as_str()));
        let used = format!("<xml><AppId>&{name};</AppId></xml>");
        prop_assert_eq!(read("", used.as_bytes()).unwrap_err(), Refusal::Malformed("an entity"));
        let entities: String = (0..levels).map(|level| format!("<!ENTITY {name}{} \"&{name}{level};&{name}{level};\">", level + 1)).collect();
        let bomb = format!("<!DOCTYPE xml [{entities}]>{}", used);
        prop_assert_eq!(read("", bomb.as_bytes()).unwrap_err(), Refusal::Malformed("a DTD"));
        prop_assert_eq!(sealed(bomb.as_bytes()).read().unwrap_err(), Refusal::Malformed("a DTD"));
    }
}

#[test]
fn the_keys_of_the_property_are_those_of_the_simulated_wechat() {
    let plan = wxpatrol::simulate::Plan::default();
    assert_eq!((plan.component_appid.as_str(), plan.event_aes_key.as_str()), (PLATFORM, KEY));
}
