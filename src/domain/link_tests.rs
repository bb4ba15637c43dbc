//! The life of a link as a table of moves, frozen.

use super::*;

const PATIENCE: Patience = Patience(Duration::from_secs(7 * 86_400));

fn at(hours: i64) -> DateTime<Utc> {
    DateTime::<Utc>::UNIX_EPOCH + chrono::TimeDelta::hours(hours)
}

fn in_state(state: LinkState) -> Link {
    let deferred_until = (state == LinkState::Deferred).then(|| at(2));
    let reason = (state == LinkState::Blocked).then(|| "code".to_owned());
    Link { state, invited_at: Some(at(0)), deferred_until, reason, ..Link::wanted(at(0)) }
}

fn events() -> Vec<(&'static str, LinkEvent)> {
    let read = |seen| LinkEvent::Read { seen, began_at: at(10) };
    vec![
        ("seen 12", read(Seen::WaitingOfficialAccount)),
        ("seen 2", read(Seen::WaitingMiniProgram)),
        ("seen 1", read(Seen::Linked)),
        ("seen 3", read(Seen::Refused)),
        ("seen ?", read(Seen::Unnamed(99))),
        ("absent", read(Seen::Absent)),
        ("sent", LinkEvent::InviteSent),
        ("lost answer", LinkEvent::InviteUnknown),
        ("already", LinkEvent::AlreadyLinked),
        ("quota", LinkEvent::QuotaUsedUp { until: at(700) }),
        ("refused", LinkEvent::Refused { errcode: 89_245, reason: "switch is off".to_owned() }),
        ("operator", LinkEvent::OperatorWants),
    ]
}

/// The whole matrix, as ARCHITECTURE.md shows it.
#[must_use]
pub fn matrix() -> String {
    let mut lines = String::new();
    for state in LinkState::ALL {
        for (name, event) in events() {
            let next = in_state(*state).next(&event, at(10), PATIENCE);
            lines.push_str(&format!("{} + {name} -> {}\n", state.name(), next.state.name()));
        }
    }
    lines
}

#[test]
fn the_matrix_of_moves_is_the_frozen_one() {
    insta::assert_snapshot!(matrix());
}

#[test]
fn a_reading_begun_before_the_invitation_says_nothing_about_it() {
    let invited = Link::wanted(at(0)).next(&LinkEvent::InviteSent, at(5), PATIENCE);
    let read = LinkEvent::Read { seen: Seen::Absent, began_at: at(4) };
    assert_eq!(invited.next(&read, at(6), PATIENCE).next(&read, at(7), PATIENCE), invited);
}

#[test]
fn an_unconfirmed_invitation_vanishes_after_two_readings_without_it() {
    let read = LinkEvent::Read { seen: Seen::Absent, began_at: at(2) };
    let lost = Link::wanted(at(0)).next(&LinkEvent::InviteUnknown, at(1), PATIENCE);
    let once = lost.next(&read, at(2), PATIENCE);
    assert_eq!(once.state, LinkState::Invited);
    let twice = once.next(&read, at(3), PATIENCE);
    assert_eq!((twice.state, twice.reason.as_deref()), (LinkState::Vanished, Some("never confirmed")));
}

#[test]
fn a_sighting_between_two_absences_starts_the_count_again() {
    let read = |seen| LinkEvent::Read { seen, began_at: at(2) };
    let link = Link::wanted(at(0))
        .next(&LinkEvent::InviteSent, at(1), PATIENCE)
        .next(&read(Seen::Absent), at(2), PATIENCE)
        .next(&read(Seen::WaitingOfficialAccount), at(3), PATIENCE)
        .next(&read(Seen::Absent), at(4), PATIENCE);
    assert_eq!((link.state, link.absent_readings), (LinkState::WaitingOfficialAccount, 1));
}

#[test]
fn a_status_that_nobody_has_named_is_stale_when_patience_is_over() {
    let read = LinkEvent::Read { seen: Seen::Unnamed(77), began_at: at(2) };
    let invited = Link::wanted(at(0)).next(&LinkEvent::InviteSent, at(1), PATIENCE);
    assert_eq!(invited.next(&read, at(24), PATIENCE), invited);
    assert_eq!(invited.next(&read, at(24 * 7 + 2), PATIENCE).state, LinkState::Stale);
}

#[test]
fn patience_ends_a_wait_and_a_late_decision_still_counts() {
    let read = |seen| LinkEvent::Read { seen, began_at: at(200) };
    let link = Link::wanted(at(0)).next(&LinkEvent::InviteSent, at(1), PATIENCE);
    let stale = link.next(&read(Seen::WaitingMiniProgram), at(24 * 7 + 2), PATIENCE);
    assert_eq!(stale.state, LinkState::Stale);
    assert_eq!(stale.next(&read(Seen::Linked), at(300), PATIENCE).state, LinkState::Linked);
}

#[test]
fn a_wanted_pair_with_a_status_that_nobody_has_named_is_stale_when_patience_is_over_and_may_be_wanted_again() {
    let read = LinkEvent::Read { seen: Seen::Unnamed(77), began_at: at(2) };
    let wanted = Link::wanted(at(0));
    assert_eq!(wanted.next(&read, at(24), PATIENCE), wanted);
    let stale = wanted.next(&read, at(24 * 7), PATIENCE);
    assert_eq!((stale.state, stale.invite_confirmed), (LinkState::Stale, false));
    let again = stale.next(&LinkEvent::OperatorWants, at(24 * 8), PATIENCE);
    assert_eq!(again.next(&read, at(24 * 9), PATIENCE).state, LinkState::Wanted);
}
