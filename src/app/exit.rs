//! How a command ends: the exit code, and a sentence where it ended without its answer.

use crate::{config::ConfigError, store::StoreError};

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// What was asked for is done; the coverage adds up.
    Done,
    /// Incomplete or interrupted.
    Incomplete,
    /// Could not start: usage, configuration, database. Nothing is half done.
    CouldNotStart,
    /// Halted by a fault of the whole platform.
    Halted,
}

impl Exit {
    /// The exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Incomplete => 1,
            Self::CouldNotStart => 2,
            Self::Halted => 3,
        }
    }

    /// What several platforms come to together: halted when one is, then incomplete. Where one could not start and another
    /// did, something was done: the whole is incomplete.
    #[must_use]
    pub fn of_all(ends: &[Self]) -> Self {
        let any = |end| ends.contains(&end);
        if any(Self::Halted) {
            Self::Halted
        } else if any(Self::CouldNotStart) && ends.iter().all(|end| *end == Self::CouldNotStart) {
            Self::CouldNotStart
        } else if any(Self::Incomplete) || any(Self::CouldNotStart) {
            Self::Incomplete
        } else {
            Self::Done
        }
    }
}

/// Why a command ended without its answer: a sentence for a person, and the exit code.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The environment is wrong.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// What the person gave is wrong; nothing was done.
    #[error("{0}")]
    Input(String),
    /// Postgres is not there, or is not what it must be.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// Something that was begun could not be finished.
    #[error("{0}")]
    Incomplete(String),
    /// A fault of the whole platform.
    #[error("halted: {0}")]
    Halted(String),
}

impl AppError {
    /// The exit code that says so.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Config(_) | Self::Input(_) | Self::Store(_) => Exit::CouldNotStart,
            Self::Incomplete(_) => Exit::Incomplete,
            Self::Halted(_) => Exit::Halted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Exit::{self, CouldNotStart, Done, Halted, Incomplete};

    #[test]
    fn several_platforms_end_as_the_worst_of_them_and_none_that_did_something_could_not_start() {
        for (ends, whole) in [
            (&[][..], Done),
            (&[Done, Done], Done),
            (&[Done, Incomplete], Incomplete),
            (&[Incomplete, Halted, Done], Halted),
            (&[CouldNotStart, CouldNotStart], CouldNotStart),
            (&[CouldNotStart, Done], Incomplete),
            (&[CouldNotStart, Halted], Halted),
        ] {
            assert_eq!(Exit::of_all(ends), whole, "{ends:?}");
        }
    }
}
