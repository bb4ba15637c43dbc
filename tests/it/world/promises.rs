//! The promises of the design, as queries that must return no row, asked together.
//!
//! What the database alone can tell is the view `wxpatrol.broken_promises`. What only a comparison of two moments shows (a late
//! write, a message without a claim) is written down by triggers, from [`World::watch`] on. The rest is what the simulated
//! WeChat has counted.

use std::{collections::BTreeMap, time::Duration};

use sqlx::{AssertSqlSafe, PgPool};
use wxpatrol::simulate::Endpoint;

use super::World;

/// The clocks of the database and of the simulated WeChat are moved on one after the other.
const CLOCKS_APART: Duration = Duration::from_secs(300);

/// What was seen to break a promise while it happened.
const WATCH: &str = "
    create table wxpatrol_data.seen (promise integer not null, rule text not null, detail text not null);

    create function wxpatrol_data.see_item() returns trigger language plpgsql as $$
    begin
      insert into wxpatrol_data.seen
      select 5, s.rule, format('%s %s %s: %s -> %s', new.appid, new.check_name, new.counterpart, to_json(old), to_json(new))
        from (values
          ('a fence never goes back', new.fence < old.fence),
          ('nobody claims what another holds',
           new.fence > old.fence and new.leased_by is not null and old.leased_until > wxpatrol_data.clock()),
          ('nothing is recorded without a lease that holds',
           new.fence = old.fence
           and new.recorded_at is distinct from old.recorded_at
           and new.reason is distinct from 'killed_its_process'
           and not (new.check_name = 'invite' and old.leased_by is null)
           and (old.leased_by is null or old.leased_until <= new.recorded_at))) as s (rule, broken)
       where s.broken;
      return null;
    end $$;
    create trigger see after update on wxpatrol_data.item for each row execute function wxpatrol_data.see_item();

    create function wxpatrol_data.see_intent() returns trigger language plpgsql as $$
    begin
      insert into wxpatrol_data.seen
      select 5, 'nobody is messaged without a claim that holds', new::text
       where not exists (
             select from wxpatrol_data.item i
              where i.platform_id = new.platform_id
                and i.appid = new.appid
                and i.check_name = new.purpose
                and i.counterpart = new.counterpart
                and i.leased_by = new.process_id
                and i.leased_until > new.made_at);
      return null;
    end $$;
    create trigger see after insert on wxpatrol_data.intent for each row execute function wxpatrol_data.see_intent();
";

/// All of a schema's rows that hold a token or secret of the simulated WeChat, as text or in hexadecimal digits.
const LEAKS: &str = "
    select string_agg(format(
             $$select 8 as promise, 'no secret is stored in the open' as rule, %L || t::text as detail from %s t
                where t::text ~ '(sim-(at|rt|ct)-|73696d2d(61|72|63)742d|fake-component-appsecret|ticket@@@)'$$,
             c.oid::regclass || ' ', c.oid::regclass), ' union all ')
      from pg_class c
     where c.relnamespace = 'wxpatrol_data'::regnamespace
       and c.relkind = 'r'";

async fn rows(pool: &PgPool, statement: &str) -> Vec<String> {
    let rows: Vec<(i32, String, String)> = sqlx::query_as(AssertSqlSafe(statement)).fetch_all(pool).await.unwrap();
    rows.into_iter().map(|(promise, rule, detail)| format!("{promise}, {rule}: {detail}")).collect()
}

impl World {
    /// From now on late writes and messages without a claim are written down.
    pub async fn watch(&self) {
        sqlx::raw_sql(WATCH).execute(&self.database.pool).await.unwrap();
    }

    /// Every query of the promises, none of which returns a row. `cooldown`: between two asks of one merchant; `limits`: the
    /// rate a second of endpoints that have one, with the burst unset.
    pub async fn assert_promises(&self, cooldown: Duration, limits: &[(Endpoint, usize)]) {
        self.assert_promises_in(&self.database.pool, cooldown, limits).await;
    }

    /// The same where the work was done in another database than the world's own.
    pub async fn assert_promises_in(&self, pool: &PgPool, cooldown: Duration, limits: &[(Endpoint, usize)]) {
        let view =
            "select promise, rule, concat_ws(', ', platform, subject, since, detail) from wxpatrol.broken_promises";
        let mut broken = rows(pool, view).await;
        let watched: bool = sqlx::query_scalar("select exists (select from pg_tables where tablename = 'seen')")
            .fetch_one(pool)
            .await
            .unwrap();
        if watched {
            broken.extend(rows(pool, "select promise, rule, detail from wxpatrol_data.seen").await);
        }
        let leaks: String = sqlx::query_scalar(LEAKS).fetch_one(pool).await.unwrap();
        broken.extend(rows(pool, &leaks).await);
        broken.extend(self.asked_too_soon(cooldown));
        broken.extend(self.invited_twice(pool).await);
        for (endpoint, limit) in limits {
            let worst = self.wechat.worst_window(*endpoint, Duration::from_secs(1));
            // A machine that is busy bunches what was sent evenly: half a second is its share, not the limit's.
            let most = limit + (limit / 40).max(1) + limit / 2;
            if worst > most {
                broken.push(format!("3, {}: {worst} calls in one second", endpoint.name()));
            }
        }
        broken.truncate(20);
        assert!(broken.is_empty(), "broken promises:\n{}", broken.join("\n"));
    }

    /// By WeChat's own count, which knows nothing of intents.
    fn asked_too_soon(&self, cooldown: Duration) -> Vec<String> {
        let asks = self.wechat.asks();
        let window = (cooldown - CLOCKS_APART).as_micros();
        let too_soon = asks
            .windows(2)
            .filter(|two| two[0].appid == two[1].appid && u128::from(two[1].at_micros - two[0].at_micros) < window);
        too_soon.map(|two| format!("2, {} was asked twice within the cool-down", two[0].appid)).collect()
    }

    /// By WeChat's own count: an invitation more than operators have given word for.
    async fn invited_twice(&self, pool: &PgPool) -> Vec<String> {
        let words: Vec<(String, String, i64)> = sqlx::query_as(
            "select official_account, mini_program, count(*) from wxpatrol_data.link_transition
              where cause = 'an operator wants it' and from_state is not null group by 1, 2",
        )
        .fetch_all(pool)
        .await
        .unwrap();
        let words: BTreeMap<_, _> =
            words.into_iter().map(|(account, program, words)| ((account, program), words)).collect();
        let mut sent: BTreeMap<(String, String), i64> = BTreeMap::new();
        for invitation in self.wechat.invitations() {
            *sent.entry((invitation.official_account, invitation.mini_program)).or_default() += 1;
        }
        let more = sent.into_iter().filter(|(pair, sent)| *sent > 1 + words.get(pair).copied().unwrap_or(0));
        more.map(|(pair, sent)| format!("2, {pair:?} was invited {sent} times")).collect()
    }
}
