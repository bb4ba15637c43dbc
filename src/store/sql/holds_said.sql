-- holds_said.sql: who changes holds in this transaction, and why; hold_event keeps it.
-- $1 who, $2 note or null
select set_config('wxpatrol.said_by', $1, true), set_config('wxpatrol.said_note', coalesce($2, ''), true)
