-- intend_durable.sql: an intent is on disk before its call, whatever the server's default is.
set local synchronous_commit = on
