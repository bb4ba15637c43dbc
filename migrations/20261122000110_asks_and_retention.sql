-- An ask that slept because its phone was bound kept the class of an older refusal, and attention showed it: mended here for rows
-- that stand, in phone_stills_ask.sql for those to come. Retention read two big tables whole, each hour.
-- Half applied: apply again.

update item
   set class = null,
       errcode = null,
       rid = null
 where check_name = 'ask'
   and reason = 'phone_not_missing'
   and class is not null;

create index callback_snapshot_ended on callback_snapshot (valid_to) where valid_to is not null;
create index intent_by_time on intent (made_at);
comment on index callback_snapshot_ended is 'Serves retire_callback_snapshots.sql.';
comment on index intent_by_time is 'Serves retire_intents.sql.';
