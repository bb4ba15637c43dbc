-- leases_return.sql: everything that this process still leases comes due as it was, at an orderly end.
-- $1 process
update item
   set due_at = due_since,
       leased_by = null
 where leased_by = $1
   and due_at > clock()
