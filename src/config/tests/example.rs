//! The example file: every variable stands in it with a comment and its default, and it is accepted as it stands.

use super::*;

/// The variables of the example file with their values, each with the comment above it.
fn example() -> Vec<(String, String, String)> {
    let mut entries = Vec::new();
    let mut comment = String::new();
    for line in include_str!("../../../.env.example").lines() {
        let assignment = line.strip_prefix('#').filter(|rest| !rest.starts_with(' '));
        if let Some((name, value)) = assignment.and_then(|rest| rest.split_once('=')) {
            entries.push((name.to_owned(), value.to_owned(), std::mem::take(&mut comment)));
        } else if line.is_empty() {
            comment.clear();
        } else {
            comment.push_str(line);
        }
    }
    entries
}

#[test]
fn the_example_file_holds_every_variable_with_a_comment_and_its_default() {
    let config = read(&[]).unwrap();
    let example = example();
    let mut names: Vec<&str> = example.iter().map(|(name, _, _)| name.as_str()).collect();
    let mut known: Vec<&str> = config.settings().iter().map(|setting| setting.name.as_str()).collect();
    names.sort_unstable();
    known.sort_unstable();
    assert_eq!(names, known);
    for (name, value, comment) in &example {
        assert!(comment.len() > 40, "{name} needs a comment");
        let setting = config.settings().iter().find(|setting| setting.name == *name).unwrap();
        if setting.source == Source::Default && setting.value != "not set" && name != "WXPATROL_DATA_DIR" {
            assert_eq!(*value, setting.value, "{name}");
        }
    }
}

#[test]
fn the_example_file_is_accepted_with_every_line_in_force() {
    // wxpatrol's own tokens, or those of another system from one of two places: lines that exclude each other.
    let own = ["WXPATROL_COMPONENT_APPSECRET", "WXPATROL_VERIFY_TICKET"];
    let url = ["WXPATROL_TOKEN_URL", "WXPATROL_TOKEN_BEARER", "WXPATROL_COMPONENT_TOKEN_URL"];
    let sql = ["WXPATROL_TOKEN_SQL", "WXPATROL_COMPONENT_TOKEN_SQL"];
    for left_out in [[&url[..], &sql], [&own, &sql], [&own, &url]] {
        let vars: HashMap<String, String> = example()
            .into_iter()
            .filter(|(name, _, _)| !name.ends_with("_FILE") && !left_out.concat().contains(&name.as_str()))
            .map(|(name, value, _)| (name, value))
            .collect();
        let config = Config::from_vars(|name| vars.get(name).cloned(), vars.keys().cloned()).unwrap();
        assert!(config.platform.is_some(), "without {left_out:?}");
    }
}
