//! Why the simulated world could not be changed or read as asked: a sentence for whoever asked.

/// Why the world could not be changed or read as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// No merchant of the plan has this appid.
    #[error("{0} is no merchant of this simulation")]
    UnknownMerchant(String),
    /// No platform of the simulation has this appid.
    #[error("{0} is no platform of this simulation")]
    UnknownPlatform(String),
    /// The merchant is of the other kind.
    #[error("{0} is of the wrong kind for this")]
    WrongKind(String),
    /// Pushes go to plain HTTP with a host.
    #[error("the receiver's URL must begin with http:// and name a host")]
    BadUrl,
    /// A rule that could meet no call, or not as it says.
    #[error("{0}")]
    BadRule(&'static str),
    /// An account status that WeChat does not have.
    #[error("an account status is 1, 14, 16, 18 or 19")]
    BadStatus,
    /// A push that tells of nothing.
    #[error("info_type says what the push tells: component_verify_ticket, authorized, ...")]
    NothingToTell,
    /// Plain JSON has neither signature nor seal.
    #[error("a push in plain JSON can not have this fault: it is not sealed")]
    NotSealed,
    /// Nobody has said where the platform listens.
    #[error("nobody has said where the platform listens: set the receiver first")]
    NoReceiver,
    /// There was no push yet.
    #[error("nothing was pushed yet that could be pushed again")]
    NothingToReplay,
}
