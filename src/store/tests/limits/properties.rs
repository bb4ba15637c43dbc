//! Whatever happens in whatever order: no window gets more than limit and burst, no day more than its count.

use super::*;
use crate::domain::platform_time;

/// One thing that happens, to one of three processes.
#[derive(Debug, Clone)]
enum Event {
    /// A process asks for so many slots and uses every one at its time.
    Ask { process: usize, wanted: u32 },
    /// A process asks, and is killed with all its slots; another takes its place.
    AskAndDie { wanted: u32 },
    /// So many milliseconds pass.
    Pass { millis: u32 },
    /// Postgres crashes: the unlogged row is gone.
    Crash,
    /// Postgres's clock is set back by so many milliseconds.
    Back { millis: u32 },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0_usize..3, 1_u32..200).prop_map(|(process, wanted)| Event::Ask { process, wanted }),
        1 => (1_u32..200).prop_map(|wanted| Event::AskAndDie { wanted }),
        4 => (1_u32..700).prop_map(|millis| Event::Pass { millis }),
        1 => (2_000_u32..20_000).prop_map(|millis| Event::Pass { millis }),
        1 => Just(Event::Crash),
        1 => prop_oneof![1_u32..3_000, Just(3_600_000)].prop_map(|millis| Event::Back { millis }),
    ]
}

/// The most slots in any window of this length.
pub(super) fn most_in(window: TimeDelta, slots: &[DateTime<Utc>]) -> usize {
    (0..slots.len())
        .map(|first| slots[first..].iter().take_while(|slot| **slot - slots[first] < window).count())
        .max()
        .unwrap_or(0)
}

#[test]
fn in_any_window_at_most_limit_and_burst_slots_are_handed_out_through_kills_restarts_crashes_and_clocks_set_back() {
    let runtime = runtime();
    let still = std::cell::RefCell::new(runtime.block_on(Still::new()));
    let case = |(limit, events): (String, Vec<Event>)| {
        let mut still = still.borrow_mut();
        let crashes = events.iter().filter(|event| matches!(event, Event::Crash)).count() as f64;
        let slots = runtime.block_on(async {
            say(&still.database.pool, "truncate pace").await;
            still.pass(TimeDelta::minutes(5)).await;
            let mut slots = Vec::new();
            let mut behind = TimeDelta::zero();
            // Restarted or not, a process knows nothing but the row.
            let processes = [still.limits(&limit), still.limits(&limit), still.limits(&limit)];
            for event in events {
                match event {
                    Event::Ask { process, wanted } => {
                        if let Slice::Granted { count, wait, interval, .. } =
                            still.take(&processes[process], wanted).await
                        {
                            assert!(count <= wanted);
                            slots.extend((0..count).map(|slot| still.now + behind + wait + interval * slot));
                        }
                    }
                    Event::AskAndDie { wanted } => drop(still.take(&still.limits(&limit), wanted).await),
                    Event::Pass { millis } => still.pass(TimeDelta::milliseconds(i64::from(millis))).await,
                    Event::Crash => say(&still.database.pool, "truncate pace").await,
                    Event::Back { millis } => {
                        let back = TimeDelta::milliseconds(i64::from(millis));
                        still.pass(-back).await;
                        behind += back;
                    }
                }
            }
            slots.sort();
            slots
        });
        let limit: Limit = limit.parse().unwrap();
        // Nobody knows after a crash when the last call was, so one that is minutes apart from it is not waited for.
        let unknown = if limit.interval().unwrap() > Duration::from_secs(1) { crashes } else { 0.0 };
        for window in [10, 250, 1_000, 5_000, 60_000] {
            let window = TimeDelta::milliseconds(window);
            let paced = window.as_seconds_f64() / limit.interval().unwrap().as_secs_f64();
            let most = most_in(window, &slots);
            prop_assert!(
                most as f64 <= paced.ceil() + f64::from(limit.burst()) + unknown,
                "{most} slots in {window}, limit {limit}: {slots:?}"
            );
        }
        Ok(())
    };
    let limits = prop_oneof![Just("200/s"), Just("40/s"), Just("7/s"), Just("30/min"), Just("200/s burst 60")];
    let events = (limits.prop_map(str::to_owned), proptest::collection::vec(event(), 1..50));
    proptest::test_runner::TestRunner::new(few(24)).run(&events, case).unwrap();
}

#[test]
fn a_day_never_gets_more_than_its_count_whoever_asks_and_dies() {
    let runtime = runtime();
    let still = std::cell::RefCell::new(runtime.block_on(Still::new()));
    let events = proptest::collection::vec((1_u32..30, prop_oneof![Just(0_i64), 1_i64..30_000, Just(86_399)]), 1..30);
    let case = |(count, events): (u32, Vec<(u32, i64)>)| {
        let mut still = still.borrow_mut();
        runtime.block_on(async {
            say(&still.database.pool, "truncate pace; delete from day_count; delete from closure").await;
            still.pass(TimeDelta::minutes(5)).await;
            let mut days: HashMap<chrono::NaiveDate, u32> = HashMap::new();
            for (wanted, secs) in events {
                let limits = still.limits(&format!("{count}/day"));
                if let Slice::Granted { count, wait, good_for, .. } = still.take(&limits, wanted).await {
                    let day = platform_time::day(still.now);
                    *days.entry(day).or_default() += count;
                    // The last use still arrives on the same day.
                    let last = still.now + wait + good_for.expect("day slots say how long they are good");
                    prop_assert_eq!(platform_time::day(last + TimeDelta::seconds(1) - wait), day);
                }
                still.pass(TimeDelta::seconds(secs)).await;
            }
            prop_assert!(days.values().all(|used| *used <= count), "{days:?} of {count}");
            Ok(())
        })
    };
    proptest::test_runner::TestRunner::new(few(16)).run(&(1_u32..40, events), case).unwrap();
}
