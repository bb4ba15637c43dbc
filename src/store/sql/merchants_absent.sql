-- merchants_absent.sql: after a complete pass over the authorizer list: whom it did not name. Two passes in a row, and
-- the merchant counts as withdrawn. Merchants that no pass ever named (imported ones) are counted as well; who authorized while
-- the list was read may stand behind the page that would name it, and is not; nor whose event came within the hour before: the list
-- may lag behind.
-- $1 platform, $2 the pass's start
with absent as (
  update merchant
     set absent_passes = absent_passes + 1,
         withdrawn_at = case when absent_passes + 1 >= 2 then clock() end,
         plan_stale = plan_stale or absent_passes + 1 >= 2
   where platform_id = $1
     and withdrawn_at is null
     and (listed_at is null or listed_at < $2)
     and known_at < $2
     and (word_at is null or word_at < $2)
     and (event_at is null or event_at < $2 - interval '1 hour')
  returning platform_id, appid, withdrawn_at
), erased as (
  update credential c
     set access_sealed = null,
         access_expires_at = null,
         refresh_sealed = null,
         leased_until = null,
         fence = c.fence + 1
    from absent a
   where a.withdrawn_at is not null
     and c.platform_id = a.platform_id
     and c.appid = a.appid
)
select count(*) as absent, count(withdrawn_at) as withdrawn from absent
