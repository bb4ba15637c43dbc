-- token_dead_version.sql: the version of the platform's own token when nobody is to call with the stored one any more; no row:
-- it is not known to be dead. What was known of one before it says nothing any more.
-- $1 platform
select refused_version from credential where platform_id = $1 and appid = '' and refused_version = version
