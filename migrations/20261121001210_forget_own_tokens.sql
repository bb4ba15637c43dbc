-- For an installation whose tokens shall come from another system from now on: what wxpatrol refreshes with must go first.
-- Half applied: apply again.

create function forget_own_tokens(component_appid text) returns bigint
  language sql volatile
  as $$
    with forgotten as (
      update wxpatrol_data.platform p
         set ticket_sealed = null,
             ticket_at = null
       where p.component_appid = $1
      returning p.platform_id
    ), erased as (
      update wxpatrol_data.credential c
         set access_sealed = null,
             access_expires_at = null,
             refresh_sealed = null,
             refresh_at = null,
             leased_until = null,
             fence = c.fence + 1,
             failures = 0,
             cool_until = null,
             failure_reason = null,
             failure_errcode = null,
             lost_reason = null
        from forgotten f
       where c.platform_id = f.platform_id
      returning 1
    )
    select count(*) from erased
  $$;
comment on function forget_own_tokens(text) is 'Erases the verify ticket and all tokens that are stored for a platform; answers for how many holders. Stop wxpatrol before.';
