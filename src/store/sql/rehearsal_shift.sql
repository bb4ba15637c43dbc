-- rehearsal_shift.sql: moves the clock of a rehearsal forward; it never goes back.
-- $1 seconds
update rehearsal_clock set shift = shift + make_interval(secs => $1)
