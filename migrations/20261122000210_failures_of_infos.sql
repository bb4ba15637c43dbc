-- A sync's question about a merchant that was refused stands among the failed calls, too. Only comments change. Half applied: apply
-- again.

comment on column wxpatrol.failures.check_name is 'The check; empty: none, a sync asked about the merchant.';
comment on column wxpatrol.failures.appid is 'The merchant whom the call was about.';
comment on column wxpatrol.failures.endpoint is 'The endpoint that was called.';
comment on column failure.check_name is 'The check; empty: none, a sync asked about the merchant.';
