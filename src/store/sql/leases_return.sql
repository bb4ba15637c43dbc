-- leases_return.sql: everything of a platform that this process still leases comes due as it was, at an orderly end.
-- $1 process, $2 platform. Served by item_due: a leased item is still due there.
update item
   set leased_by = null,
       leased_until = null
 where platform_id = $2
   and check_name in ('phone', 'ask', 'callback', 'links', 'invite')
   and not held
   and due_at <= clock()
   and leased_by = $1
   and leased_until > clock()
