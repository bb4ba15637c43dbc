//! How many items there are, as the schema keeps it, and how many are due, as far as it counts.

use super::*;

/// Items by check: as they are counted, and as they are.
async fn counts(pool: &PgPool) -> (Vec<(String, i64)>, Vec<(String, i64)>) {
    let kept = "select check_name, items from wxpatrol_data.item_count where items <> 0 order by 1";
    let true_ones = "select check_name, count(*) from wxpatrol_data.item group by 1 order by 1";
    (sqlx::query_as(kept).fetch_all(pool).await.unwrap(), sqlx::query_as(true_ones).fetch_all(pool).await.unwrap())
}

#[tokio::test]
async fn items_are_counted_as_they_come_and_go() {
    let (database, platform) = seeded().await;
    let (kept, there) = counts(&database.pool).await;
    assert_eq!(kept, there);
    assert!(there.contains(&("phone".to_owned(), 2)), "{there:?}");
    // Planning inserts, overwrites and deletes; a wish that is taken back deletes.
    say(&database.pool, "update merchant set kind = 'official_account' where appid = 'wxmini2'").await;
    let context = RecordContext { platform, run: None, patience: Patience(Duration::from_secs(86_400)) };
    database.store.plan(context, false).await.unwrap();
    say(&database.pool, "delete from wish where mini_program = 'wxmini1'").await;
    let (kept, there) = counts(&database.pool).await;
    assert_eq!(kept, there);
    assert!(there.contains(&("invite".to_owned(), 1)), "{there:?}");
}

#[tokio::test]
async fn what_is_due_is_told_by_a_bounded_count() {
    let (database, _) = seeded().await;
    let counted = async || -> (i64, i64, i64, i64) {
        let statement =
            "select items, barred, leased, extract(epoch from wxpatrol_data.clock() - due_since)::bigint / 60
                           from wxpatrol_data.due_count where check_name = 'ask'";
        sqlx::query_as(statement).fetch_one(&database.pool).await.unwrap()
    };
    assert_eq!(counted().await, (1, 0, 0, 0));
    say(
        &database.pool,
        "create or replace function count_bound() returns bigint language sql immutable as 'select 10::bigint';
         insert into merchant (platform_id, appid) select 1, 'wxmany' || n from generate_series(1, 30) n;
         insert into item (platform_id, appid, check_name, due_at, due_since, free_at)
         select 1, 'wxmany' || n, 'ask', clock() - interval '1 h', clock() - interval '1 h',
                case when n <= 5 then clock() + interval '1 h' else '-infinity' end
           from generate_series(1, 7) n;
         update item set leased_until = clock() + interval '1 min', leased_by = '00000000-0000-0000-0000-000000000001'
          where appid in ('wxmany6', 'wxmany7')",
    )
    .await;
    assert_eq!(counted().await, (6, 5, 2, 60));
    say(
        &database.pool,
        "insert into item (platform_id, appid, check_name, due_at, due_since)
         select 1, 'wxmany' || n, 'ask', clock() - interval '1 min', clock() - interval '1 min' from generate_series(8, 30) n",
    )
    .await;
    assert_eq!(counted().await, (8, 5, 2, 60), "no more are looked at than the bound says, the longest due first");
}
