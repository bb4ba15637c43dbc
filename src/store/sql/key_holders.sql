-- key_holders.sql: the processes that live, and the keys that each has.
select process_id, purpose, version, key_ids, sealing_key_id
  from process
 where beat_at > clock() - interval '30 s'
 order by process_id
