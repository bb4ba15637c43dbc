-- listing_used.sql: what is taken from a day's cap of messages; no row: nothing.
-- $1 platform, $2 purpose, $3 day of platform time
select used from message_day where platform_id = $1 and purpose = $2 and day = $3
