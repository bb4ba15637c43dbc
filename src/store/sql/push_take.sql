-- push_take.sql: takes a push, once. No row: this very push was taken before.
-- $1 platform, $2 its signature. Waits for a transaction that is taking the same push.
insert into taken_push (platform_id, msg_signature)
values ($1, $2)
on conflict do nothing
returning platform_id
