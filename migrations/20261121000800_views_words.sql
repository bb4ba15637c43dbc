-- What the views of the schema wxpatrol share: the clock as a relation, the endpoint of each check, the indexes.
-- A reader of a view runs its functions in his own name but reads its tables in the owner's. So the clock is a relation
-- here, and readers need nothing but the views. Half applied: no view exists yet, apply again.

create view moment as
select clock_timestamp() + c.shift as now
  from rehearsal_clock c;
comment on view moment is 'Now, as one row, for views: what clock() answers.';
comment on column moment.now is 'The time that decides, moved as rehearsal_clock says.';

create function check_endpoint(check_name text) returns text
  language sql immutable parallel safe
  as $$
    select case check_name
             when 'phone' then 'checkmobile'
             when 'ask' then 'checkmobile'
             when 'callback' then 'getcallbackconfig'
             when 'links' then 'wxamplinkget'
             when 'invite' then 'wxamplink'
           end
  $$;
comment on function check_endpoint(text) is 'The endpoint that a check calls; null for a check of a newer program.';

create index item_failed on item (platform_id, recorded_at) where outcome = 'failed';
create index item_barred on item (platform_id, reason) where outcome = 'skipped' and (reason in ('permission', 'maximum_reached', 'human') or class = 'human');
create index merchant_unusual on merchant (platform_id, appid) where withdrawn_at is not null or kind = 'unknown' or account_status not in (1, 18);
create index credential_lost on credential (platform_id, appid) where lost_reason is not null;
create index link_undone on link (platform_id, official_account) where state in ('refused', 'vanished', 'stale', 'blocked', 'unlinked');
create index failure_unknown on failure (platform_id, errcode) where class = 'unknown';
comment on index item_failed is 'Serves the view attention.';
comment on index item_barred is 'Serves the view attention.';
comment on index merchant_unusual is 'Serves the view attention.';
comment on index credential_lost is 'Serves the view attention.';
comment on index link_undone is 'Serves the view attention.';
comment on index failure_unknown is 'Serves the view attention.';
