//! Rows that any endpoint can answer, and those of the phone and callback readings: passing faults, faults of our own
//! request, quotas, and the cloud-development family.

use super::{ANY, Actor, Class, Errcode, LINK, PHONE, TCB, TOKENS, errcodes};

pub(super) const ROWS: &[Errcode] = errcodes! {
    -601049 PHONE Pending MerchantAdmin:
        "管理员尚未同意，微信已向其发送消息", "the administrator has not agreed yet; WeChat sent the message" =>
        "等管理员在微信里确认；次日会自动再查。", "Wait for the administrator to confirm in WeChat; it is read again the next day.";
    -601048 PHONE Pending MerchantAdmin:
        "未绑定手机号，微信已向管理员发送消息", "no phone is bound; WeChat sent the message to the administrator" =>
        "等管理员在微信里填写手机号；次日会自动再查。", "Wait for the administrator to give a phone in WeChat; it is read again the next day.";
    -601034 TCB NotApplicable MerchantAdmin:
        "没有权限，需先开通云开发或云托管", "no right: cloud development or cloud hosting is not open" =>
        "如需该能力，请管理员在微信开发者工具中开通云开发；否则无需处理。", "If the feature is wanted, the administrator opens cloud development in the WeChat developer tools; otherwise nothing.";
    -601026 PHONE QuotaDay Nobody:
        "模板消息频率限制：同一小程序管理员 24 小时内只发一条", "message limit: one for each mini program's administrator in 24 hours" =>
        "无需处理，24 小时内已提醒过管理员。", "Nothing: the administrator was messaged within the last 24 hours already.";
    -1000 TCB Transient WeChat:
        "云开发系统错误", "system error of the cloud-development layer" =>
        "会自动重试；若持续超过一小时，凭 rid 向微信反馈。", "It is retried; if it lasts for an hour, report a rid to WeChat.";
    -1 LINK Transient Operator:
        "系统繁忙；若反复出现，目标可能不是小程序", "system error; when it stays, the target may be no mini program" =>
        "会自动重试；若反复失败，请核对目标 appid 是小程序而不是服务号。", "It is retried; if it stays, check that the wanted appid is a mini program and not a service account.";
    -1 ANY Transient WeChat:
        "系统繁忙", "system error, busy" =>
        "会自动重试；若持续超过一小时，凭 rid 向微信反馈。", "It is retried; if it lasts for an hour, report a rid to WeChat.";
    0 ANY Ok Nobody:
        "成功", "success" =>
        "无需处理。", "Nothing.";
    1003 ANY Bug ProviderEngineer:
        "POST 参数非法", "illegal POST parameter" =>
        "请求参数有误：凭 rid 查看请求，并报告为程序缺陷。", "Our request is wrong: look it up by its rid and report a bug of wxpatrol.";
    40013 LINK Human Operator:
        "小程序 appid 无效", "the mini program's appid is invalid" =>
        "核对期望表里的小程序 appid，改正后重新 `wxpatrol want`。", "Check the mini program's appid in the wish, then `wxpatrol want` the right pair.";
    40013 ANY Bug ProviderEngineer:
        "appid 无效", "invalid appid" =>
        "核对 WXPATROL_COMPONENT_APPID 与该商户的 appid 是否写错。", "Check WXPATROL_COMPONENT_APPID and the merchant's appid for a typing error.";
    40066 ANY Bug ProviderEngineer:
        "url 无效", "invalid url" =>
        "检查 WXPATROL_WECHAT_BASE_URL 是否多了路径或空格。", "Check WXPATROL_WECHAT_BASE_URL for a stray path or space.";
    40097 ANY Bug ProviderEngineer:
        "参数错误", "invalid args" =>
        "请求参数有误：凭 rid 查看请求，并报告为程序缺陷。", "Our request is wrong: look it up by its rid and report a bug of wxpatrol.";
    40101 ANY Bug ProviderEngineer:
        "缺少必填参数", "missing parameter" =>
        "请求缺少参数：凭 rid 查看请求，并报告为程序缺陷。", "Our request lacks a parameter: look it up by its rid and report a bug of wxpatrol.";
    40170 ANY Bug ProviderEngineer:
        "count 超过上限（500）", "args count exceed count limit (500)" =>
        "分页大小超限：报告为程序缺陷。", "The page asked for is too large: report a bug of wxpatrol.";
    41001 ANY Bug ProviderEngineer:
        "缺少 access_token", "access_token missing" =>
        "检查出口代理是否去掉了 URL 的查询参数，否则报告为程序缺陷。", "Check that no outgoing proxy strips the query of the URL; otherwise report a bug of wxpatrol.";
    41002 ANY Bug ProviderEngineer:
        "缺少 appid", "appid missing" =>
        "检查 WXPATROL_COMPONENT_APPID 是否为空。", "Check that WXPATROL_COMPONENT_APPID is not empty.";
    41004 ANY Bug ProviderEngineer:
        "缺少 appsecret", "appsecret missing" =>
        "检查 WXPATROL_COMPONENT_APPSECRET（或 ..._FILE），或用 `wxpatrol platform add APPID` 存入的密钥，是否为空。", "Check that WXPATROL_COMPONENT_APPSECRET (or ..._FILE), or the secret that `wxpatrol platform add APPID` stored, is not empty.";
    41018 ANY Bug ProviderEngineer:
        "缺少 component_appid", "component_appid missing" =>
        "检查 WXPATROL_COMPONENT_APPID 是否为空。", "Check that WXPATROL_COMPONENT_APPID is not empty.";
    43002 ANY Bug ProviderEngineer:
        "需要 POST 请求", "POST method required" =>
        "检查出口代理是否改写了请求方法。", "Check that no outgoing proxy turns POST into GET.";
    43003 ANY Bug ProviderEngineer:
        "需要 HTTPS", "https required" =>
        "WXPATROL_WECHAT_BASE_URL 必须以 https:// 开头。", "WXPATROL_WECHAT_BASE_URL must begin with https://.";
    44002 ANY Bug ProviderEngineer:
        "POST 数据为空", "empty POST data" =>
        "检查出口代理是否丢弃了请求体。", "Check that no outgoing proxy drops the request body.";
    44991 ANY QuotaMinute Nobody:
        "超过每分钟调用上限", "too many calls in this minute (for one appid)" =>
        "会自动降速；若经常出现，请调低该接口的 WXPATROL_LIMIT_...。", "It slows down by itself; if it happens often, lower WXPATROL_LIMIT_... of the endpoint.";
    44993 ANY QuotaDay Nobody:
        "超过当日频率上限", "too many calls today" =>
        "次日自动继续；查看是否有别的系统在用同一额度。", "It goes on tomorrow; see whether another system uses the same quota.";
    45009 TOKENS Halt Operator:
        "第三方平台自己的令牌接口当日额度已用完（计在平台，不在商户）", "the platform's own daily count for token calls is used up (it counts on the platform, not on the merchant)" =>
        "停止其他刷新令牌的系统；等到次日（北京时间），或由运维调用 component/clear_quota/v2 清零（每月 10 次）。", "Stop whatever else refreshes tokens; wait for the next day (Beijing time), or have an operator clear the count with component/clear_quota/v2 (10 times a month).";
    45009 ANY QuotaDay Nobody:
        "当日调用额度已用完", "daily quota of this account and address is used up" =>
        "次日（北京时间）自动继续；查看是否有别的系统在用该商户的额度。", "It goes on the next day (Beijing time); see whether another system uses this merchant's quota.";
    45011 ANY QuotaMinute Nobody:
        "每分钟频率超限，须放慢，下一分钟再试", "minute quota reached: slow down, retry in the next minute" =>
        "会自动降速；若经常出现，请调低该接口的 WXPATROL_LIMIT_...。", "It slows down by itself; if it happens often, lower WXPATROL_LIMIT_... of the endpoint.";
    47001 ANY Bug ProviderEngineer:
        "JSON 格式错误", "data format error: not JSON" =>
        "检查出口代理是否改写了请求体，否则报告为程序缺陷。", "Check that no outgoing proxy rewrites the body; otherwise report a bug of wxpatrol.";
    47002 ANY Bug ProviderEngineer:
        "数据格式错误：须用 UTF-8，不得用 \\u 转义", "data format error: UTF-8 without \\u escapes is wanted" =>
        "报告为程序缺陷。", "Report a bug of wxpatrol.";
    48001 ANY Permission MerchantAdmin:
        "接口未授权：账号没有该能力、权限集未授予，或令牌类型不符", "api unauthorized: the account lacks the ability, the permission set is not granted, or the kind of token is wrong" =>
        "请商户重新扫码并勾选所需权限集；同时核对该账号类型（小程序或公众号）与接口相符。", "Ask the merchant to authorize again with the permission set; check that the kind of account fits the address.";
    48004 ANY Human MerchantAdmin:
        "接口因违规被封禁", "api forbidden for irregularities" =>
        "请商户管理员在微信后台查看违规通知并申诉。", "The merchant's administrator looks at the violation notice in WeChat's console and appeals.";
    48006 ANY QuotaMonth Nobody:
        "本月清零次数已用完", "the monthly count of quota clearings is used up" =>
        "等到下月，或等当日额度次日恢复。", "Wait for the next month, or for the daily quota to return tomorrow.";
    50001 ANY Permission MerchantAdmin:
        "用户未授权该接口", "not authorized for this api" =>
        "请商户重新扫码授权，并勾选所需权限集。", "Ask the merchant to authorize again with the permission set.";
    50002 ANY Human MerchantAdmin:
        "账号受限：已冻结或注销", "the account is limited: frozen or cancelled" =>
        "请商户管理员登录微信后台查看账号状态；账号恢复后执行 `wxpatrol sync`。", "The merchant's administrator looks at the account's state in WeChat's console; run `wxpatrol sync` once it is well again.";
    50004 ANY Human MerchantAdmin:
        "禁止使用令牌，可能受到处罚", "use of the token is forbidden, maybe as a punishment" =>
        "请商户管理员在微信后台查看处罚通知。", "The merchant's administrator looks for a punishment notice in WeChat's console.";
    61055 ANY QuotaMonth Nobody:
        "超过每月额度", "exceeds the quota of the month" =>
        "下月自动继续。", "It goes on next month.";
    76001 ANY NotApplicable Nobody:
        "rid 不存在或已超过 7 天", "the rid is not found or older than 7 days" =>
        "无需处理；请用 7 天内的 rid 查询。", "Nothing; ask with a rid of the last 7 days.";
    76003 ANY Bug ProviderEngineer:
        "cgi_path 格式不正确", "cgi_path is not in the right form" =>
        "cgi_path 须以斜杠开头且不含域名：报告为程序缺陷。", "It must begin with a slash and hold no host: report a bug of wxpatrol.";
    76021 ANY Bug ProviderEngineer:
        "cgi_path 不存在", "cgi_path not found" =>
        "核对接口路径是否改名，并报告为程序缺陷。", "See whether WeChat renamed the address, and report a bug of wxpatrol.";
    76022 ANY Bug ProviderEngineer:
        "令牌类型与 cgi_path 不匹配", "the kind of token does not fit cgi_path" =>
        "小程序接口用小程序令牌、公众号接口用公众号令牌查询：报告为程序缺陷。", "A mini program's address needs a mini program's token, an official account's its own: report a bug of wxpatrol.";
};
