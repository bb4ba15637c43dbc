-- token_odd.sql: whether a merchant's refusals of the platform's own token say nothing: it refused two in a row within a
-- day.
-- $1 platform, $2 appid
select exists (select from component_refusal
                where platform_id = $1
                  and appid = $2
                  and refused_at > clock() - interval '1 day')
