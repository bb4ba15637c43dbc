-- process_beat.sql: this process lives; answers the clock's skew, and the canary of the key in use. May be repeated.
-- $1 process, $2 version, $3 purpose, $4 this machine's clock, $5 when it last claimed, or null, $6 the ids of its keys,
-- or null, $7 the id of the key it seals with, or null
-- The skew is against the real clock: rehearsals move only the other one.
insert into process as p (process_id, started_at, beat_at, version, purpose, last_claim_at, clock_skew_ms, key_ids, sealing_key_id)
select $1, m.now, m.now, $2, $3, $5, round(extract(epoch from $4::timestamptz - clock_timestamp()) * 1000)::bigint, $6, $7
  from (select clock() as now) m
on conflict (process_id) do update
   set beat_at = excluded.beat_at,
       last_claim_at = greatest(p.last_claim_at, excluded.last_claim_at),
       clock_skew_ms = excluded.clock_skew_ms,
       key_ids = excluded.key_ids,
       sealing_key_id = excluded.sealing_key_id
returning p.clock_skew_ms, (select canary from sealing_key)
