//! A number with its noun, as a sentence wants it.

/// `1 merchant`, `2 merchants`, `0 merchants`.
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// The same of as many merchants as a list holds.
pub(super) fn merchants(number: usize) -> String {
    counted(number as u64, "merchant", "merchants")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_the_word_of_one_and_every_other_number_that_of_many() {
        assert_eq!([0, 1, 2, 21].map(merchants), ["0 merchants", "1 merchant", "2 merchants", "21 merchants"]);
        assert_eq!(counted(1, "hold", "holds"), "1 hold");
    }
}
