//! The fields of a message, from XML or JSON: flat, bounded, and nothing is expanded.

use std::collections::BTreeMap;

use quick_xml::{
    Reader,
    escape::resolve_predefined_entity,
    events::{BytesRef, Event},
};
use serde_json::Value;

use super::refusal::Refusal;

/// Elements inside of each other, the root included. WeChat's events have two, a few of no interest have three.
const DEPTH_MAX: usize = 8;
/// Elements in all.
const ELEMENTS_MAX: usize = 256;

/// The plain fields right below the root.
#[derive(Debug, Default)]
pub(super) struct Fields(BTreeMap<String, Field>);

#[derive(Debug)]
enum Field {
    Text(String),
    /// It holds other elements: of no use, and no fault.
    Nested,
    /// It is there more than once, and two readers could take different ones.
    Twice,
}

impl Fields {
    /// The text of a field without white space around it, `None` when it is absent or empty.
    pub(super) fn optional(&self, name: &'static str) -> Result<Option<&str>, Refusal> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Field::Text(text)) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
            Some(Field::Nested | Field::Twice) => Err(Refusal::Odd(name)),
        }
    }

    /// The text of a field that must be there.
    pub(super) fn required(&self, name: &'static str) -> Result<&str, Refusal> {
        self.optional(name)?.ok_or(Refusal::Missing(name))
    }

    /// A whole number that must be there.
    pub(super) fn number(&self, name: &'static str) -> Result<i64, Refusal> {
        self.required(name)?.parse().map_err(|_| Refusal::Odd(name))
    }

    fn keep(&mut self, name: String, field: Field) {
        let again = self.0.contains_key(&name);
        self.0.insert(name, if again { Field::Twice } else { field });
    }

    /// Reads `<xml>` with its fields. A DTD is refused, and so is every entity but the five of XML itself.
    pub(super) fn of_xml(text: &[u8]) -> Result<Self, Refusal> {
        const MALFORMED: Refusal = Refusal::Malformed("no well-formed XML");
        let text = std::str::from_utf8(text).map_err(|_| Refusal::Malformed("not UTF-8"))?;
        let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
        reader.config_mut().expand_empty_elements = true;
        let mut fields = Self::default();
        let mut open: Option<(String, Field)> = None;
        let (mut depth, mut elements, mut roots) = (0_usize, 0_usize, 0_usize);
        loop {
            match reader.read_event().map_err(|_| MALFORMED)? {
                Event::Start(start) => {
                    depth += 1;
                    elements += 1;
                    if depth > DEPTH_MAX || elements > ELEMENTS_MAX {
                        return Err(Refusal::Malformed("too many elements, or too deep"));
                    }
                    let name: &str = start.name().into_inner();
                    match (depth, &mut open) {
                        (1, _) => {
                            roots += 1;
                            if roots > 1 || name != "xml" {
                                return Err(Refusal::Malformed("the root is not one <xml>"));
                            }
                        }
                        (2, _) => open = Some((name.to_owned(), Field::Text(String::new()))),
                        (_, Some((_, field))) => *field = Field::Nested,
                        (_, None) => {}
                    }
                }
                Event::End(_) => {
                    depth = depth.checked_sub(1).ok_or(MALFORMED)?;
                    if depth == 1
                        && let Some((name, field)) = open.take()
                    {
                        fields.keep(name, field);
                    }
                }
                Event::Text(text) => add(depth, &mut open, &text.into_inner())?,
                Event::CData(text) => add(depth, &mut open, &text.into_inner())?,
                Event::GeneralRef(reference) => add(depth, &mut open, &resolved(&reference)?)?,
                Event::DocType(_) => return Err(Refusal::Malformed("a DTD")),
                Event::PI(_) => return Err(Refusal::Malformed("a processing instruction")),
                Event::Decl(_) | Event::Comment(_) => {}
                // Never met: empty elements are told as a start and an end.
                Event::Empty(_) => return Err(MALFORMED),
                Event::Eof if depth == 0 && roots == 1 => return Ok(fields),
                Event::Eof => return Err(MALFORMED),
            }
        }
    }

    /// Reads a JSON object; numbers count as their text.
    pub(super) fn of_json(text: &[u8]) -> Result<Self, Refusal> {
        let Ok(Value::Object(object)) = serde_json::from_slice(text) else {
            return Err(Refusal::Malformed("no JSON object"));
        };
        let mut fields = Self::default();
        for (name, value) in object {
            let field = match value {
                Value::Null => continue,
                Value::String(text) => Field::Text(text),
                Value::Number(number) => Field::Text(number.to_string()),
                Value::Bool(_) | Value::Array(_) | Value::Object(_) => Field::Nested,
            };
            fields.keep(name, field);
        }
        Ok(fields)
    }
}

/// Text belongs to the field that is open; between fields there is only white space.
fn add(depth: usize, open: &mut Option<(String, Field)>, text: &str) -> Result<(), Refusal> {
    match open {
        Some((_, Field::Text(known))) if depth == 2 => known.push_str(text),
        Some(_) => {}
        None if text.trim().is_empty() => {}
        None => return Err(Refusal::Malformed("text outside of a field")),
    }
    Ok(())
}

fn resolved(reference: &BytesRef<'_>) -> Result<String, Refusal> {
    if let Ok(Some(letter)) = reference.resolve_char_ref() {
        return Ok(letter.into());
    }
    resolve_predefined_entity(reference).map(str::to_owned).ok_or(Refusal::Malformed("an entity"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Fields, Refusal> {
        Fields::of_xml(text.as_bytes())
    }

    #[test]
    fn cdata_text_and_the_five_entities_are_the_same_text() {
        let fields = read(
            "<?xml version=\"1.0\"?>\n<xml>\n <A><![CDATA[a<b&c]]></A><!-- so --><B>a&lt;b&amp;&#99;</B>\n<C> 7 </C><D/></xml>\n",
        )
        .unwrap();
        assert_eq!(fields.required("A"), Ok("a<b&c"));
        assert_eq!(fields.required("B"), Ok("a<b&c"));
        assert_eq!(fields.number("C"), Ok(7));
        assert_eq!(fields.required("D"), Err(Refusal::Missing("D")));
        assert_eq!(fields.optional("E"), Ok(None));
    }

    #[test]
    fn nested_elements_hurt_only_who_asks_for_them() {
        let fields = read("<xml><info><name>x</name></info><A>1</A></xml>").unwrap();
        assert_eq!(fields.number("A"), Ok(1));
        assert_eq!(fields.required("info"), Err(Refusal::Odd("info")));
        assert_eq!(fields.required("name"), Err(Refusal::Missing("name")));
    }

    #[test]
    fn a_field_that_stands_twice_is_believed_in_neither_place() {
        let fields = read("<xml><A>1</A><A>2</A></xml>").unwrap();
        assert_eq!(fields.required("A"), Err(Refusal::Odd("A")));
    }

    #[test]
    fn dtds_entities_depth_and_what_is_no_xml_are_refused() {
        let deep = format!("<xml>{}{}</xml>", "<a>".repeat(9), "</a>".repeat(9));
        let wide = format!("<xml>{}</xml>", "<a/>".repeat(300));
        for bad in [
            "<!DOCTYPE xml [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><xml><A>&b;</A></xml>",
            "<xml><A>&b;</A></xml>",
            "<xml><A>&#0;</A></xml>",
            "<xml><?php echo 1 ?></xml>",
            "<xml><A></xml>",
            "<xml><A>1</B></xml>",
            "<xml><A>1</A>",
            "<xml></xml><xml></xml>",
            "<html></html>",
            "</xml>",
            "text",
            "",
            "<xml>text</xml>",
            &deep,
            &wide,
        ] {
            assert!(matches!(read(bad), Err(Refusal::Malformed(_))), "{bad}: {:?}", read(bad));
        }
        assert!(Fields::of_xml(b"<xml><A>\xff</A></xml>").is_err());
    }

    #[test]
    fn json_is_an_object_of_texts_and_numbers() {
        let fields = Fields::of_json(br#"{"A": 7, "B": "b", "C": {"D": 1}, "E": null}"#).unwrap();
        assert_eq!((fields.number("A"), fields.required("B")), (Ok(7), Ok("b")));
        assert_eq!((fields.required("C"), fields.required("E")), (Err(Refusal::Odd("C")), Err(Refusal::Missing("E"))));
        let deep = "[".repeat(30_000);
        for bad in ["[]", "7", "{", "", &format!("{{\"a\":{deep}")] {
            assert!(Fields::of_json(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
