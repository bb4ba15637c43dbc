-- token_dead.sql: calls about several merchants refused the platform's own token: nobody calls with it any more, unless another
-- one is stored meanwhile.
-- $1 platform, $2 version of the refused token
update credential
   set refused_version = $2
 where platform_id = $1
   and appid = ''
   and version = $2
   and refused_version is distinct from $2
