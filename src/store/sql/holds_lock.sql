-- holds_lock.sql: one writer of holds at a time, so that no hold is written twice. Readers go on.
lock table hold in share row exclusive mode
