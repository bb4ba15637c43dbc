-- plan_left.sql: whether anything is left to plan. A batch that another process planned first comes back empty.
-- $1 platform. Served by merchant_to_plan and wish_to_plan.
select exists (select from merchant m where m.platform_id = $1 and m.plan_stale)
    or exists (select from wish w where w.platform_id = $1 and w.plan_stale)
