//! The kill suite: the real program on a real Postgres, several processes at once, killed and stopped at random instants while
//! all five checks are at work and tokens expire. After each round the promises, as queries that must return no row.
//!
//! The short form is a test like every other. The long form, with at least a hundred kills:
//!
//! ```text
//! KILLS=100 cargo test --test it -- --ignored --nocapture long_form
//! ```
//!
//! It prints its seed; `SEED=...` takes the same decisions again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};
use wxpatrol::simulate::{Endpoint, Plan};

use crate::world::{Program, World, pair, plan, until};

const PROCESSES: usize = 3;
const IN_FLIGHT: usize = 16;
const LIMIT: usize = 100;
const LEASE_OVER: Duration = Duration::from_secs(31);
const COOLDOWN: Duration = Duration::from_secs(7 * 86_400);
const ACCOUNTS: u32 = 6;
/// Pairs that operators want newly in each round.
const WANTED: u32 = 12;

/// How long a campaign is.
#[derive(Debug, Clone, Copy)]
struct Campaign {
    rounds: u32,
    kills_each: u32,
    mini_programs: u32,
}

/// What happened, for the person who reads it.
#[derive(Debug, Default)]
struct Happened {
    /// Processes that were killed.
    kills: usize,
    /// Of these, while work was under way.
    at_work: usize,
    /// Processes that were stopped past their leases and then went on.
    stops: usize,
    asks: usize,
    invitations: usize,
    /// Messages of which nobody knows whether they were made; each stands in the attention view.
    unknown: i64,
    refreshes: u64,
    ticks: i64,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

impl Campaign {
    async fn world(self) -> World {
        let everybody_missing = Plan {
            phone_missing_share: 1.0,
            rotate_refresh_tokens: true,
            latency: Duration::from_millis(150),
            ..plan(self.mini_programs, ACCOUNTS)
        };
        let world = World::synced(everybody_missing).await;
        world.watch().await;
        let world = world
            .with("WXPATROL_LEASE", "30s")
            .with("WXPATROL_CALLS_MAX", &IN_FLIGHT.to_string())
            .with("WXPATROL_ASKS_MAX", "unlimited")
            .with("WXPATROL_LIMIT_CHECKMOBILE", &format!("{LIMIT}/s"))
            .with("WXPATROL_LIMIT_GETCALLBACKCONFIG", &format!("{LIMIT}/s"))
            .with("WXPATROL_SCHEDULE_SYNC", "*/4 * * * * *");
        ["PHONE", "ASK", "CALLBACK", "LINKS", "INVITE"]
            .into_iter()
            .fold(world, |world, name| world.with(&format!("WXPATROL_SCHEDULE_{name}"), "*/2 * * * * *"))
    }

    async fn run(self, seed: u64) -> Happened {
        eprintln!("{self:?} SEED={seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let world = self.world().await;
        let mut happened = Happened::default();
        for round in 0..self.rounds {
            let began = Instant::now();
            world.pass(COOLDOWN + Duration::from_secs(3_600)).await;
            let first = round * WANTED;
            let wanted: Vec<_> = (first..first + WANTED)
                .map(|number| pair(number % ACCOUNTS, (number / ACCOUNTS) % self.mini_programs))
                .collect();
            world.want(&wanted).await;
            let asked_before = asks_of_each(&world);
            let since = world.texts("select wxpatrol_data.clock()::text").await.concat();
            let stopped = self.rage(&world, &mut random, &mut happened).await;
            let raged = began.elapsed();
            // Nobody lives who could hold a lease.
            world.pass(LEASE_OVER).await;
            settle(&world).await;
            world.assert_promises(COOLDOWN, &limits()).await;
            self.assert_nobody_was_left_out(&world, &since, &asked_before).await;
            // The late ones come back to a world in which all that they knew is over.
            for late in stopped {
                late.signal(Signal::SIGCONT);
                late.signal(Signal::SIGTERM);
                let ended = late.ended().await;
                assert_eq!(ended.code, Some(0), "{}", ended.everything());
            }
            world.assert_promises(COOLDOWN, &limits()).await;
            eprintln!(
                "round {}: {raged:?} of kills, {:?} in all, {} kills so far",
                round + 1,
                began.elapsed(),
                happened.kills
            );
        }
        let readout = world.wechat.readout();
        (happened.asks, happened.invitations) = (readout.asks, readout.invitations);
        happened.refreshes = readout.refreshes;
        happened.unknown = world.count("select count(*) from wxpatrol_data.intent where outcome = 'unknown'").await;
        happened.ticks = world.count("select count(*) from wxpatrol.ticks").await;
        let bound = i64::try_from((happened.kills + happened.stops) * IN_FLIGHT).unwrap();
        assert!(happened.unknown <= bound, "more are unknown than calls were in flight: {happened:?}");
        happened
    }

    /// Three processes at work; one after the other is killed or stopped at a random instant and another takes its place. At
    /// last all are killed. Answers those that are only stopped.
    async fn rage(self, world: &World, random: &mut StdRng, happened: &mut Happened) -> Vec<Program> {
        let mut living: Vec<Program> = (0..PROCESSES).map(|_| world.spawn(&["run"])).collect();
        let mut stopped = Vec::new();
        for turn in 0..self.kills_each {
            // Every second time somebody must just have been asked.
            let made = || if turn % 2 == 0 { asks(world) } else { calls(world) };
            let before = made();
            until("a call is made, or all is done", async || {
                made() > before || (turn > 0 && nothing_is_due(world).await)
            })
            .await;
            tokio::time::sleep(Duration::from_millis(random.random_range(0..250))).await;
            let at_work =
                world.count("select count(*) from wxpatrol_data.item where leased_until > wxpatrol_data.clock()");
            happened.at_work += usize::from(at_work.await > 0);
            // The oldest is the surest to have messages in flight.
            let victim = if turn % 2 == 0 { 0 } else { random.random_range(0..living.len()) };
            let victim = living.remove(victim);
            if turn > 0 && random.random_range(0..5) == 0 && stopped.is_empty() {
                victim.signal(Signal::SIGSTOP);
                stopped.push(victim);
                happened.stops += 1;
            } else {
                assert!(victim.killed().await, "a process had ended by itself");
                happened.kills += 1;
            }
            living.push(world.spawn(&["run"]));
        }
        for last in living {
            assert!(last.killed().await, "a process had ended by itself");
            happened.kills += 1;
        }
        stopped
    }

    /// Promises 1 and 2 by the counts of WeChat: everybody was read, and everybody was asked in this round, but for those who
    /// stand in the attention view.
    async fn assert_nobody_was_left_out(self, world: &World, since: &str, asked_before: &BTreeMap<String, usize>) {
        let total_is_another = format!(
            "select format('%s %s: total %s', c.run_id, c.check_name, c.total)
               from wxpatrol.coverage c
              where c.started_at >= '{since}'
                and c.total <> case c.check_name
                      when 'links' then (select count(distinct official_account) from wxpatrol_data.wish)
                      when 'invite' then (select count(*) from wxpatrol_data.wish)
                      else (select count(*) from wxpatrol_data.merchant where kind = 'mini_program') end"
        );
        assert_eq!(world.texts(&total_is_another).await, [""; 0]);
        let everybody: BTreeSet<String> = (0..self.mini_programs).map(Plan::mini_program).collect();
        for (check, endpoint) in [("phone", Endpoint::Checkmobile), ("callback", Endpoint::Getcallbackconfig)] {
            let well: BTreeSet<String> = world.wechat.answered_well(endpoint).into_iter().collect();
            let done =
                format!("select appid from wxpatrol_data.item where check_name = '{check}' and outcome = 'done'");
            let done: BTreeSet<String> = world.texts(&done).await.into_iter().collect();
            assert!(done.is_subset(&well), "{check}: done, and WeChat has not answered: {:?}", done.difference(&well));
            assert!(check != "phone" || done == everybody, "{:?}", everybody.difference(&done));
        }
        let old = "select format('%s %s %s %s', appid, check_name, outcome, reason) from wxpatrol_data.item
                    where check_name in ('phone', 'callback')
                      and (outcome not in ('done', 'skipped') or recorded_at < wxpatrol_data.clock() - interval '1 day')";
        assert_eq!(world.texts(old).await, [""; 0], "not read in this round");
        // Attention names them once each call has had its time.
        world.pass(Duration::from_secs(60)).await;
        let unknown =
            format!("select subject from wxpatrol.attention where why = 'ask_unknown' and since >= '{since}'");
        let unknown: BTreeSet<String> = world.texts(&unknown).await.into_iter().collect();
        // Of this round alone: what a late process had written down and says it did not send is asked in the next one.
        let mut asked = asks_of_each(world);
        asked.retain(|appid, asks| *asks > asked_before.get(appid).copied().unwrap_or(0));
        let forgotten: Vec<_> =
            everybody.iter().filter(|appid| !asked.contains_key(*appid) && !unknown.contains(*appid)).collect();
        assert!(forgotten.is_empty(), "{forgotten:?} were not asked in a round in which {} were", asked.len());
        let uninvited = "select w.official_account || ' ' || w.mini_program from wxpatrol_data.wish w
                          where not exists (select from wxpatrol_data.intent t
                                             where t.appid = w.official_account and t.counterpart = w.mini_program
                                               and t.purpose = 'invite' and t.outcome <> 'not_made')";
        assert_eq!(world.texts(uninvited).await, [""; 0], "never invited");
    }
}

fn limits() -> [(Endpoint, usize); 2] {
    [(Endpoint::Checkmobile, LIMIT), (Endpoint::Getcallbackconfig, LIMIT)]
}

fn calls(world: &World) -> u64 {
    let endpoints = [Endpoint::Checkmobile, Endpoint::Getcallbackconfig, Endpoint::Wxamplink, Endpoint::Wxamplinkget];
    endpoints.into_iter().map(|endpoint| world.wechat.arrived(endpoint)).sum()
}

fn asks(world: &World) -> u64 {
    u64::try_from(world.wechat.asks().len()).unwrap()
}

fn asks_of_each(world: &World) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for ask in world.wechat.asks() {
        *times.entry(ask.appid).or_default() += 1;
    }
    times
}

/// What the dead hold is due, too, but not before their leases end.
async fn nothing_is_due(world: &World) -> bool {
    let free = "select count(*) from wxpatrol_data.item
                 where due_at <= wxpatrol_data.clock()
                   and (leased_until is null or leased_until <= wxpatrol_data.clock())";
    world.count(free).await == 0
}

/// Every schedule there is.
const SCHEDULES: &[&str] = &["phone", "ask", "callback", "links", "invite", "sync"];

/// Two processes by hand, until all work of all runs is done and closed.
async fn settle(world: &World) {
    for turn in 0.. {
        let all = [world.spawn(&["--once"]), world.spawn(&["--once"])];
        for once in all {
            let ended = once.ended().await;
            assert_eq!(ended.code, Some(0), "{}", ended.everything());
        }
        // A sync's run of a dead process is closed as interrupted once that is plainly dead.
        // Ticks that waited for a run of the dead begin one after the other, as their schedules would begin them.
        let store = &world.database.store;
        let begun = store.begin_waiting(world.platform().await, SCHEDULES).await.unwrap();
        let open = world.count("select count(*) from wxpatrol_data.run where state = 'open'").await;
        let waiting = world.count("select count(*) from wxpatrol_data.run where state = 'buffered'").await;
        let left = "select count(*) from wxpatrol_data.item where outcome = 'again' or (outcome is null and due_at < 'infinity')";
        if begun.is_empty() && open == 0 && waiting == 0 && world.count(left).await == 0 {
            break;
        }
        assert!(
            turn < 30,
            "work is left for ever: {:?}",
            world.texts("select r::text from wxpatrol_data.run r where state in ('open', 'buffered')").await
        );
        world.pass(Duration::from_secs(61)).await;
    }
}

#[tokio::test]
async fn every_promise_holds_while_processes_are_killed_and_stopped_at_random_instants() {
    let seed = number("SEED").unwrap_or_else(|| rand::rng().next_u64());
    let happened = Campaign { rounds: 1, kills_each: 6, mini_programs: 160 }.run(seed).await;
    eprintln!("{happened:?}");
    assert!(happened.kills >= 5 && happened.at_work > 0, "{happened:?}");
}

#[tokio::test]
#[ignore = "the long form, takes minutes; KILLS says how many"]
async fn long_form_every_promise_holds_through_a_hundred_kills() {
    let seed = number("SEED").unwrap_or_else(|| rand::rng().next_u64());
    let kills = u32::try_from(number("KILLS").unwrap_or(100)).unwrap();
    // Each round kills its last processes, too; one in five turns only stops.
    let rounds = kills.div_ceil(10).max(1);
    let happened = Campaign { rounds, kills_each: 10, mini_programs: 240 }.run(seed).await;
    eprintln!("{happened:?}");
    assert!(happened.kills >= kills as usize, "{happened:?}");
    assert!(happened.at_work * 2 >= happened.kills, "most kills met nobody at work: {happened:?}");
    assert!(happened.refreshes > u64::from(rounds) * 100, "tokens were to expire in every round: {happened:?}");
}
