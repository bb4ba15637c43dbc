//! Rows about tokens, authorization and the platform itself.

use super::{ANY, Actor, BY_COMPONENT, Class, Errcode, PLATFORM, REFRESH, SECRET, errcodes};

pub(super) const ROWS: &[Errcode] = errcodes! {
    40001 SECRET Halt ProviderEngineer:
        "第三方平台的 appsecret 不对", "the platform's appsecret is wrong" =>
        "核对第三方平台的密钥：环境里设置了 WXPATROL_COMPONENT_APPSECRET（或 ..._FILE）时，改正后重启；否则用 `wxpatrol platform add APPID` 存入新的密钥，运行中的进程会立即采用。", "Check the platform's secret, which may have been reset: where WXPATROL_COMPONENT_APPSECRET (or ..._FILE) is set, put the right one there and restart; otherwise store it with `wxpatrol platform add APPID`, and a running process takes it up at once.";
    40001 ANY Token Operator:
        "令牌无效或已不是最新", "invalid credential: the token is invalid or not the latest" =>
        "会自动刷新并重试一次；若反复出现，说明有别的系统在刷新同一令牌，请改用外部令牌模式。", "It is refreshed and repeated once; if it keeps coming, another system refreshes the same tokens: use external tokens.";
    40014 ANY Token Operator:
        "令牌不合法", "invalid access_token" =>
        "会自动刷新并重试一次；若反复出现，说明有别的系统在刷新同一令牌，请改用外部令牌模式。", "It is refreshed and repeated once; if it keeps coming, another system refreshes the same tokens: use external tokens.";
    40125 ANY Halt ProviderEngineer:
        "appsecret 无效", "invalid appsecret" =>
        "核对第三方平台的密钥：环境里设置了 WXPATROL_COMPONENT_APPSECRET（或 ..._FILE）时，改正后重启；否则用 `wxpatrol platform add APPID` 存入新的密钥，运行中的进程会立即采用。", "Check the platform's secret, which may have been reset: where WXPATROL_COMPONENT_APPSECRET (or ..._FILE) is set, put the right one there and restart; otherwise store it with `wxpatrol platform add APPID`, and a running process takes it up at once.";
    40164 ANY Halt ProviderEngineer:
        "出口 IP 不在白名单", "the outgoing ip is not in the allow list" =>
        "把 errmsg 里的 IP 加入第三方平台的白名单 IP 列表（不是商户的）。", "Add the ip of the errmsg to the allow list of the third-party platform (not of the merchant).";
    42001 ANY Token Nobody:
        "令牌已过期", "access_token expired" =>
        "无需处理，会自动刷新并重试一次。", "Nothing: it is refreshed and repeated once.";
    42002 REFRESH Token Operator:
        "刷新令牌已过期", "refresh_token expired" =>
        "执行 `wxpatrol sync` 从授权列表找回；若列表里为空，请商户重新扫码授权。", "Run `wxpatrol sync` to recover it through the authorizer list; if it is empty there, the merchant must authorize again.";
    42006 BY_COMPONENT Token Nobody:
        "第三方平台令牌已过期", "component_access_token expired" =>
        "无需处理，会自动刷新并重试一次。", "Nothing: it is refreshed and repeated once.";
    42007 ANY Withdrawn MerchantAdmin:
        "用户修改了微信密码，令牌失效，须重新授权", "the user changed the WeChat password: tokens are void, authorize again" =>
        "请商户管理员重新扫码授权，然后执行 `wxpatrol sync`。", "Ask the merchant's administrator to authorize again, then run `wxpatrol sync`.";
    45035 ANY Halt ProviderEngineer:
        "访问 IP 不在白名单", "the accessing ip is not in the allow list" =>
        "把出口 IP 加入第三方平台的白名单 IP 列表（不是商户的）。", "Add the outgoing ip to the allow list of the third-party platform (not of the merchant).";
    48001 PLATFORM Halt Operator:
        "第三方平台没有调用该接口的权限", "the platform itself lacks the right to call this" =>
        "在微信开放平台检查第三方平台的审核与上线状态。", "Check on open.weixin.qq.com that the third-party platform is reviewed and published.";
    61003 ANY Withdrawn MerchantAdmin:
        "该账号未授权给本第三方平台（已取消授权）", "the component is not authorized by this account: it withdrew" =>
        "若商户仍需服务，请其重新扫码授权，然后执行 `wxpatrol sync`；否则无需处理。", "If the merchant still wants the service, it must authorize again, then run `wxpatrol sync`; otherwise nothing.";
    61004 ANY Halt ProviderEngineer:
        "出口 IP 未登记", "access clientip is not registered" =>
        "把 errmsg 中 requestIP 后的地址加入第三方平台的白名单 IP 列表（不是商户的）；检查是否有第二个出口 IP。", "Add the address after requestIP in the errmsg to the allow list of the third-party platform (not of the merchant); look for a second outgoing ip.";
    61005 ANY Halt Operator:
        "component_verify_ticket 已过期", "component ticket is expired" =>
        "检查回调接收服务是否仍在保存新票据；用 `wxpatrol ticket -` 写入最新票据。微信每 10 分钟推送一次，停推时需 api_start_push_ticket。", "See that the callback receiver still stores tickets; put the newest in with `wxpatrol ticket -`. WeChat pushes one every 10 minutes; if it stopped, api_start_push_ticket starts it.";
    61006 ANY Halt Operator:
        "component_verify_ticket 无效", "component ticket is invalid" =>
        "用 `wxpatrol ticket -` 写入最新票据；核对票据、appid 与密钥属于同一个第三方平台。", "Put the newest ticket in with `wxpatrol ticket -`; check that ticket, appid and secret belong to one and the same platform.";
    61007 ANY Permission MerchantAdmin:
        "商户未把该权限集授予第三方平台", "the api is unauthorized to the component: the permission set is not granted" =>
        "请商户重新扫码并勾选所需权限集（49/64 云开发，33 小程序关联）；49 只能授予一家平台。", "Ask the merchant to authorize again with the set (49/64 cloud development, 33 links); set 49 can be given to one platform only.";
    61009 ANY Bug ProviderEngineer:
        "授权码无效", "authorization code is invalid" =>
        "丢弃该授权码；执行 `wxpatrol sync` 从授权列表取得刷新令牌。", "Drop the code; run `wxpatrol sync` to take the refresh token from the authorizer list.";
    61010 ANY Bug ProviderEngineer:
        "授权码已过期", "authorization code is expired" =>
        "丢弃该授权码；执行 `wxpatrol sync` 从授权列表取得刷新令牌。", "Drop the code; run `wxpatrol sync` to take the refresh token from the authorizer list.";
    61011 ANY Halt ProviderEngineer:
        "第三方平台无效", "invalid component" =>
        "核对 WXPATROL_COMPONENT_APPID，并检查第三方平台是否被下线。", "Check WXPATROL_COMPONENT_APPID, and that the third-party platform has not been taken down.";
    61014 ANY Bug ProviderEngineer:
        "该接口须用第三方平台令牌", "a component api must be called with the component token" =>
        "令牌类型用错：报告为程序缺陷。", "The wrong kind of token was sent: report a bug of wxpatrol.";
    61015 ANY Bug ProviderEngineer:
        "该接口须用商户令牌，不能用第三方平台令牌", "this api must be called with the account's token, not the component's" =>
        "令牌类型用错：核对外部令牌来源，否则报告为程序缺陷。", "The wrong kind of token was sent: check the external token source, otherwise report a bug of wxpatrol.";
    61016 ANY Permission Operator:
        "权限集需由第三方平台确认", "the function category needs to be confirmed by the component" =>
        "在微信开放平台为该商户确认权限集，然后执行 `wxpatrol sync`。", "Confirm the permission set for the merchant on open.weixin.qq.com, then run `wxpatrol sync`.";
    61017 ANY Permission MerchantAdmin:
        "权限集未授权", "the function category is not authorized" =>
        "请商户重新扫码并勾选所需权限集。", "Ask the merchant to authorize again with the permission set.";
    61023 REFRESH Token Operator:
        "刷新令牌无效", "refresh_token is invalid" =>
        "执行 `wxpatrol sync` 从授权列表找回；若列表里为空，请商户重新扫码授权。", "Run `wxpatrol sync` to recover it through the authorizer list; if it is empty there, the merchant must authorize again.";
    61024 ANY Bug ProviderEngineer:
        "第三方平台账号须用 api_component_token 取令牌", "a component account gets its token from api_component_token" =>
        "检查 WXPATROL_COMPONENT_APPID 与商户 appid 是否写反。", "Check that the platform's appid is not listed as a merchant.";
    61028 ANY Halt Operator:
        "第三方平台未发布", "the component is unpublished" =>
        "在微信开放平台完成第三方平台的全网发布。", "Publish the third-party platform on open.weixin.qq.com.";
    61029 ANY Halt Operator:
        "第三方平台须带基础权限集重新发布", "the component must be published again with the base category" =>
        "在微信开放平台加上基础权限集并重新全网发布。", "Add the base permission set on open.weixin.qq.com and publish again.";
    89501 ANY Human MerchantAdmin:
        "该 IP 调用须管理员确认，请求已发出", "this ip waits for the confirmation of the account's administrator" =>
        "不应出现在代调用中：请商户管理员确认 IP，并核对令牌来源。", "It should not occur on behalf of a merchant: have its administrator confirm the ip, and check where the token comes from.";
    89502 ANY Human MerchantAdmin:
        "账号管理员的 IP 确认未完成", "the ip confirmation by the account's administrator is not complete" =>
        "不应出现在代调用中：请商户管理员确认 IP，并核对令牌来源。", "It should not occur on behalf of a merchant: have its administrator confirm the ip, and check where the token comes from.";
    89503 ANY Human MerchantAdmin:
        "该 IP 调用需要管理员确认", "calls from this ip need the confirmation of the account's administrator" =>
        "请商户管理员在微信里确认该 IP。", "The merchant's administrator confirms the ip in WeChat.";
    89504 ANY Human MerchantAdmin:
        "账号管理员的 IP 确认未完成", "the ip confirmation by the account's administrator is not complete" =>
        "不应出现在代调用中：请商户管理员确认 IP，并核对令牌来源。", "It should not occur on behalf of a merchant: have its administrator confirm the ip, and check where the token comes from.";
    89505 ANY Human MerchantAdmin:
        "账号管理员的 IP 确认未完成", "the ip confirmation by the account's administrator is not complete" =>
        "不应出现在代调用中：请商户管理员确认 IP，并核对令牌来源。", "It should not occur on behalf of a merchant: have its administrator confirm the ip, and check where the token comes from.";
    89506 ANY Human MerchantAdmin:
        "管理员在 24 小时内拒绝了该 IP", "the administrator refused this ip within 24 hours" =>
        "24 小时后请商户管理员再次确认该 IP。", "After 24 hours have the merchant's administrator confirm the ip again.";
    89507 ANY Human MerchantAdmin:
        "管理员在 1 小时内拒绝了该 IP", "the administrator refused this ip within an hour" =>
        "1 小时后请商户管理员再次确认该 IP。", "After an hour have the merchant's administrator confirm the ip again.";
};
