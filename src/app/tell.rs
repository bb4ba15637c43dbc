//! What is said to a person, on stderr: stdout belongs to tables.

use std::{fmt::Arguments, io::Write as _};

/// Says a line on stderr. Whoever read it may have gone (`2>&1 | head`): what was done stays done, where `eprintln!` would panic.
pub fn tell(said: Arguments<'_>) {
    writeln!(std::io::stderr(), "{said}").ok();
}

/// [`tell`] with the words of a format.
macro_rules! tell {
    ($($said:tt)*) => {
        $crate::app::tell(format_args!($($said)*))
    };
}
