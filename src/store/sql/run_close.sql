-- run_close.sql: closes a run; of all processes that find nothing left, one does.
-- $1 run, $2 state, $3 reason or null
update run
   set state = $2,
       reason = $3,
       ended_at = clock()
 where run_id = $1
   and state = 'open'
