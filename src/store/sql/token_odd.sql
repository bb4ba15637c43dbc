-- token_odd.sql: whether a merchant's refusals of the platform's own token say nothing: it refused two in a row within a
-- day. When many did, it is not they who are odd.
-- $1 platform, $2 appid, $3 merchants at most
select count(*) filter (where appid = $2) > 0 and count(*) <= $3
  from component_refusal
 where platform_id = $1
   and refused_at > clock() - interval '1 day'
