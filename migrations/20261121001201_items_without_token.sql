-- An index for what waits for a token: recoveries wake it, the view attention shows it. Nearly always empty.
-- Building it reads `item` once and holds up claims meanwhile: a second for millions of rows. Half applied: apply again.

create index item_without_token on item (platform_id, reason, appid)
  where reason in ('token_lost', 'external_token_dead', 'external_token_missing', 'token_source_silent');
comment on index item_without_token is 'Serves recovery_wake.sql and the view attention.';
