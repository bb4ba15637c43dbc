//! The life of a link under any sequence of events, against the rules of the design and against a model that keeps only what
//! a person would write down on paper.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::link::{Link, LinkEvent, LinkState, Patience, Seen};

const PATIENCE: Patience = Patience(Duration::from_secs(7 * 86_400));
/// A reading that began this soon after an invitation may miss it.
const SETTLES: TimeDelta = TimeDelta::seconds(15);

#[derive(Debug, Clone)]
enum Happens {
    /// A reading, begun so many seconds before it is recorded.
    Read {
        seen: Seen,
        took: i64,
    },
    Sent,
    LostAnswer,
    Already,
    Quota {
        hours: i64,
    },
    Refused,
    Operator,
}

fn happens() -> impl Strategy<Value = (i64, Happens)> {
    let seen = prop_oneof![
        4 => Just(Seen::Absent),
        1 => Just(Seen::WaitingOfficialAccount),
        1 => Just(Seen::WaitingMiniProgram),
        1 => Just(Seen::Linked),
        1 => Just(Seen::Refused),
        1 => Just(Seen::Unnamed(77)),
    ];
    let what = prop_oneof![
        6 => (seen, 0_i64..40).prop_map(|(seen, took)| Happens::Read { seen, took }),
        3 => Just(Happens::Sent),
        2 => Just(Happens::LostAnswer),
        1 => Just(Happens::Already),
        1 => (0_i64..100).prop_map(|hours| Happens::Quota { hours }),
        1 => Just(Happens::Refused),
        2 => Just(Happens::Operator),
    ];
    let pause = prop_oneof![Just(1_i64), Just(14), Just(16), 60_i64..7_200, 86_400_i64..3 * 86_400];
    (pause, what)
}

/// What a person would write down.
#[derive(Debug, Default)]
struct Paper {
    /// When an invitation was last sent, or may have been, that the pair took for its own.
    invited_at: Option<DateTime<Utc>>,
    /// Readings in a row that could have shown the invitation and did not show the pair.
    absences: u32,
}

fn ends_a_life(state: LinkState) -> bool {
    matches!(
        state,
        LinkState::Refused | LinkState::Vanished | LinkState::Stale | LinkState::Blocked | LinkState::Unlinked
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_pair_lives_by_the_rules_whatever_happens_to_it(story in proptest::collection::vec(happens(), 1..60)) {
        let mut now = DateTime::<Utc>::UNIX_EPOCH;
        let mut link = Link::wanted(now);
        let mut paper = Paper::default();
        for (pause, what) in story {
            now += TimeDelta::seconds(pause);
            let event = match &what {
                Happens::Read { seen, took } => {
                    LinkEvent::Read { seen: *seen, began_at: now - TimeDelta::seconds(*took) }
                }
                Happens::Sent => LinkEvent::InviteSent,
                Happens::LostAnswer => LinkEvent::InviteUnknown,
                Happens::Already => LinkEvent::AlreadyLinked,
                Happens::Quota { hours } => LinkEvent::QuotaUsedUp { until: now + TimeDelta::hours(*hours) },
                Happens::Refused => LinkEvent::Refused { errcode: 89_245, reason: "a test".to_owned() },
                Happens::Operator => LinkEvent::OperatorWants,
            };
            let next = link.next(&event, now, PATIENCE);
            let moved = next.state != link.state;
            let told = || format!("{:?} + {what:?} at {now} -> {:?}", link, next);

            // What stands beside a state stands there if and only if the state is that one.
            prop_assert_eq!(next.state == LinkState::Deferred, next.deferred_until.is_some(), "{}", told());
            prop_assert!(next.state != LinkState::Blocked || next.reason.is_some(), "{}", told());
            prop_assert_eq!(next.since, if moved { now } else { link.since }, "{}", told());

            // Nobody is invited anew but by an operator's word, or after a quota's end.
            if moved && next.state == LinkState::Wanted {
                match link.state {
                    LinkState::Deferred => prop_assert!(link.deferred_until.is_some_and(|until| until <= now), "{}", told()),
                    state => prop_assert!(ends_a_life(state) && matches!(what, Happens::Operator), "{}", told()),
                }
            }
            let may_invite = matches!(link.state, LinkState::Wanted | LinkState::Deferred | LinkState::Unlinked);
            if matches!(what, Happens::Sent | Happens::LostAnswer) && may_invite {
                prop_assert_eq!((next.state, next.invited_at), (LinkState::Invited, Some(now)), "{}", told());
                prop_assert_eq!(next.invite_confirmed, matches!(what, Happens::Sent), "{}", told());
                paper = Paper { invited_at: Some(now), absences: 0 };
            } else if next.invited_at != link.invited_at {
                // Somebody else's invitation, seen for the first time, or an old one that a renewed wish finds waiting.
                let renewed = link.state == LinkState::Wanted && link.invited_at.is_some_and(|at| at < link.since);
                prop_assert!((link.invited_at.is_none() || renewed) && next.invited_at == Some(now), "{}", told());
                paper.invited_at = Some(now);
            }
            prop_assert_eq!(next.invited_at, paper.invited_at, "{}", told());

            // Linked by WeChat's word and by nothing else, and until WeChat says otherwise.
            let says_linked = matches!(what, Happens::Already | Happens::Read { seen: Seen::Linked, .. });
            prop_assert!(!says_linked || next.state == LinkState::Linked, "{}", told());
            prop_assert!(says_linked || !moved || next.state != LinkState::Linked, "{}", told());
            if moved && link.state == LinkState::Linked {
                prop_assert!(matches!(what, Happens::Read { seen, .. } if seen != Seen::Linked), "{}", told());
            }

            // Two readings in a row that could have shown it, and did not: vanished. One, or a blind one: not.
            match what {
                Happens::Read { seen: Seen::Absent, took } if link.state.pending() => {
                    let began_at = now - TimeDelta::seconds(took);
                    let could_show = paper.invited_at.is_none_or(|at| began_at - at >= SETTLES);
                    paper.absences += u32::from(could_show);
                    prop_assert_eq!(next.state == LinkState::Vanished, paper.absences >= 2, "{}", told());
                    prop_assert!(paper.absences < 2 || link.invite_confirmed || next.reason.as_deref() == Some("never confirmed"));
                }
                _ => prop_assert!(next.state != LinkState::Vanished || link.state == LinkState::Vanished, "{}", told()),
            }
            if next.state == LinkState::Vanished || moved || next.absent_readings == 0 {
                paper.absences = 0;
            }

            // Stale only when patience is over.
            if moved && next.state == LinkState::Stale {
                prop_assert!(paper.invited_at.is_some_and(|at| (now - at).to_std().unwrap() >= PATIENCE.0), "{}", told());
            }
            link = next;
        }
    }
}
