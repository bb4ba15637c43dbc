-- While one process probes a halted platform, the others know it, and close no run as halted that its answer may let go on.
-- An older binary knows nothing of the column: it closes such runs as before. Half applied: apply again.

alter table platform add column probing_until timestamptz;
comment on column platform.probing_until is 'While the breaker is open: until when a process may be trying one merchant; null or past: none does.';
