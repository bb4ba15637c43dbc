//! What is wrong with the environment, gathered so that one start shows every fault.
//!
//! A fault never repeats the value of a secret.

use std::fmt;

/// One thing that a person must put right before anything can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The variable at fault.
    pub variable: String,
    /// The text that was given; `None` when nothing was given or when it is a secret.
    pub given: Option<String>,
    /// What must hold, as half a sentence that follows the name of the variable.
    pub rule: String,
    /// A value that would be accepted, or a command that makes one; `None` where the rule says all there is.
    pub example: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.variable)?;
        if let Some(given) = &self.given {
            // The debug form keeps control characters and line breaks of the value out of the terminal.
            write!(f, "={given:?}")?;
        }
        write!(f, ": {}", self.rule)?;
        match &self.example {
            Some(example) => write!(f, "; for example {example}"),
            None => Ok(()),
        }
    }
}

/// Every fault of the environment, in the order of `wxpatrol config`. Never empty. Displayed as one line for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The faults.
    pub faults: Vec<Fault>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
