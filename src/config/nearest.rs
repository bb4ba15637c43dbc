//! The known name that a misspelt one most likely means. Pure.

/// The nearest of `known`, `None` when none is near enough to be a likely slip.
pub(super) fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    // What all names begin with says nothing; a third of the rest may differ.
    const PREFIX: usize = "WXPATROL_".len();
    known
        .iter()
        .map(|candidate| (edits(name, candidate), candidate.as_str()))
        .min()
        .filter(|(edits, _)| *edits <= (name.chars().count().saturating_sub(PREFIX) / 3).max(2))
        .map(|(_, candidate)| candidate)
}

/// How many characters must be inserted, removed or replaced to turn one text into the other.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, from) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, to) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

/// Whether the name is one of those that Kubernetes and Docker links set for every service in reach. A service named
/// `wxpatrol` gives `WXPATROL_SERVICE_HOST`, `WXPATROL_PORT_9464_TCP` and more, which must not stop a start.
pub(super) fn service_link(name: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| name.contains("_PORT_") && name.contains(protocol))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_count_single_characters() {
        assert_eq!(edits("lease", "lease"), 0);
        assert_eq!(edits("leese", "lease"), 1);
        assert_eq!(edits("", "lease"), 5);
        assert_eq!(edits("leases", "ease"), 2);
    }

    #[test]
    fn a_slip_finds_its_name_and_a_stranger_finds_none() {
        let known = ["WXPATROL_LEASE".to_owned(), "WXPATROL_ASKS_MAX".to_owned()];
        assert_eq!(nearest("WXPATROL_LAESE", &known), Some("WXPATROL_LEASE"));
        assert_eq!(nearest("WXPATROL_ASK_MAX", &known), Some("WXPATROL_ASKS_MAX"));
        assert_eq!(nearest("WXPATROL_TOKEN_URL", &known), None);
    }

    #[test]
    fn links_of_a_service_are_told_from_misspelt_names() {
        for name in
            ["WXPATROL_SERVICE_HOST", "WXPATROL_SERVICE_PORT_HTTP", "WXPATROL_PORT", "WXPATROL_PORT_9464_TCP_ADDR"]
        {
            assert!(service_link(name), "{name}");
        }
        assert!(!service_link("WXPATROL_LEESE"));
        assert!(!service_link("WXPATROL_IMPORT_MAX"));
    }
}
