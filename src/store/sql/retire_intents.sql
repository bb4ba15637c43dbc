-- retire_intents.sql: deletes a batch of intents that count for nothing any more.
-- $1 their age in days, never less than a year, $2 rows at most. May be repeated.
delete from intent t
 where t.ctid = any (array(
       select o.ctid
         from intent o
        where o.made_at < (select clock()) - make_interval(days => greatest($1, 365))
        limit $2))
