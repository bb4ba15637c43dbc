-- leases_return.sql: everything that this process still leases comes due as it was, at an orderly end.
-- $1 process
update item
   set leased_by = null,
       leased_until = null
 where leased_by = $1
   and leased_until > clock()
