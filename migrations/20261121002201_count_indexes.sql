-- Indexes for counts that operators ask for all the time. Held items are neither claimed nor recorded, and merchants change
-- seldom, so both cost next to nothing.
-- Building them reads `item` and `merchant` once and holds up their writers meanwhile: a second or two for millions of rows.
-- Half applied: apply again.

create index item_held on item (platform_id, check_name) where held;
comment on index item_held is 'Serves status_checks.sql.';
create index merchant_by_kind on merchant (platform_id, kind, withdrawn_at);
comment on index merchant_by_kind is 'Serves status_merchants.sql, merchants_count.sql and the view platforms.';
