-- event_order.sql: from here to the transaction's end, events about one merchant come one after the other.
-- $1 platform, $2 appid. Taken before any row is locked; nothing else waits for it.
select pg_advisory_xact_lock(hashtextextended('authorization_event ' || $2::text, $1::integer))
