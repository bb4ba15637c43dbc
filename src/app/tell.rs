//! What is said to a person, on stderr: stdout belongs to tables.

/// Says a line on stderr. Whoever read it may have gone (`2>&1 | head`): what was done stays done, where `eprintln!` would panic.
macro_rules! tell {
    ($($said:tt)*) => {{
        use std::io::Write as _;
        writeln!(std::io::stderr(), $($said)*).ok();
    }};
}
