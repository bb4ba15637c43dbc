//! A process that stopped by itself claims again as soon as somebody else has found that the platform works.

use super::{calls, refused};

#[tokio::test]
async fn a_process_that_stopped_goes_on_when_the_breaker_was_closed_before_it_looked() {
    let world = refused().await;
    // Whoever opens the breaker finds it closed when it looks, and the same work on its board as before; a second goes by in
    // between, in which its lanes see that it stops.
    let closed = "create function wxpatrol_data.closed_at_once() returns trigger language plpgsql as $$
                  begin
                    if new.halted_at is not null then
                      perform pg_sleep(1);
                      new.halted_at = null; new.halt_errcode = null; new.halt_reason = null;
                      new.probe_at = null; new.probing_until = null; new.probes = 0;
                    end if;
                    return new;
                  end $$;
                  create trigger closed_at_once before update on wxpatrol_data.platform
                     for each row execute function wxpatrol_data.closed_at_once()";
    sqlx::raw_sql(closed).execute(&world.database.pool).await.unwrap();
    let before = calls(&world);
    let process = world.spawn(&["--once", "--check", "phone", "--check", "callback"]);
    crate::world::until("calls are refused", async || calls(&world) >= before + 3).await;
    world.wechat.clear_script();
    let ended = process.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    world.assert_every_run_adds_up().await;
}
