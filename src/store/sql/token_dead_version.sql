-- token_dead_version.sql: the version of the platform's own token with which nobody is to call any more; null: there is none.
-- $1 platform
select refused_version from credential where platform_id = $1 and appid = ''
