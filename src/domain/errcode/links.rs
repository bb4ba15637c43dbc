//! Rows of the link invitation.

use super::{ANY, Actor, Class, Errcode, LINK, errcodes};

pub(super) const ROWS: &[Errcode] = errcodes! {
    1001 LINK Human MerchantAdmin:
        "该主体的小程序数量已达上限", "the legal entity owns too many mini programs" =>
        "请商户注销不用的小程序，或换一个主体。", "The merchant cancels mini programs that it does not use, or takes another entity.";
    1002 LINK Human MerchantAdmin:
        "主体在黑名单中", "the legal entity is on WeChat's blacklist" =>
        "请商户向微信申诉；在此之前不要再邀请。", "The merchant appeals to WeChat; do not invite before that.";
    1003 LINK Human MerchantAdmin:
        "管理员绑定的账号过多", "the administrator is bound to too many accounts" =>
        "请商户更换管理员，或让其解绑一些账号。", "The merchant changes the administrator, or the administrator leaves some accounts.";
    1004 LINK Human MerchantAdmin:
        "该微信号在黑名单中", "the WeChat user is on WeChat's blacklist" =>
        "请商户更换管理员。", "The merchant changes the administrator.";
    1005 LINK Human MerchantAdmin:
        "管理员手机号绑定的账号过多（errmsg 可能为空）", "the administrator's phone is bound to too many accounts (errmsg may be empty)" =>
        "请商户更换管理员手机号；并查看该公众号是否已关联 3 个以上不同主体的小程序。", "The merchant changes the administrator's phone; see also whether the official account has more than 3 links to other entities.";
    1006 LINK Human MerchantAdmin:
        "管理员手机号违规，在黑名单中", "the administrator's phone breaks WeChat's rules and is on the blacklist" =>
        "请商户更换管理员手机号。", "The merchant changes the administrator's phone.";
    1007 LINK Human MerchantAdmin:
        "管理员身份证绑定的账号过多", "the administrator's ID card is bound to too many accounts" =>
        "请商户更换管理员。", "The merchant changes the administrator.";
    89007 LINK QuotaMonth Nobody:
        "公众号本月可关联的小程序数已用完", "this month's number of mini programs to link is used up" =>
        "下月（北京时间）自动继续。", "It goes on next month (Beijing time).";
    89008 LINK Human Operator:
        "境外主体不能关联", "an overseas account can not link" =>
        "无法关联：用 `wxpatrol unwant` 撤回这一对。", "This pair can not be linked: take it back with `wxpatrol unwant`.";
    89009 LINK Human OfficialAccountAdmin:
        "公众号关联小程序总数已达上限", "the total number of links of the official account is reached" =>
        "请公众号管理员先解除一个不用的关联，再由运维恢复这一对。", "The official account's administrator unlinks one first; then an operator wants the pair again.";
    89010 LINK Pending OfficialAccountAdmin:
        "关联邀请已发出，等待确认", "the link message has been sent already: an invitation is out" =>
        "等公众号与小程序管理员在微信里同意。", "Wait until the administrators of both accounts agree in WeChat.";
    89011 LINK Human OfficialAccountAdmin:
        "附近的小程序不能解除关联", "a nearby mini program can not be unlinked" =>
        "请公众号管理员先关闭“附近的小程序”展示。", "The official account's administrator first ends its showing among nearby mini programs.";
    89012 LINK Human OfficialAccountAdmin:
        "门店或商城小程序不能解除关联", "a store or mall can not be unlinked" =>
        "请公众号管理员在公众号后台处理门店或商城小程序。", "The official account's administrator deals with the store or mall in WeChat's console.";
    89013 LINK Human MerchantAdmin:
        "小程序已被封禁", "the mini program is banned" =>
        "请小程序管理员申诉解封；否则用 `wxpatrol unwant` 撤回这一对。", "The mini program's administrator appeals; otherwise take the pair back with `wxpatrol unwant`.";
    89014 LINK Bug ProviderEngineer:
        "支持版本错误", "support version error" =>
        "不应出现在邀请中：凭 rid 报告为程序缺陷。", "It should not come from an invitation: report a bug of wxpatrol with the rid.";
    89015 LINK Already Nobody:
        "已经关联", "has linked wxa: linked already" =>
        "无需处理。", "Nothing.";
    89016 LINK QuotaMonth Nobody:
        "本月同主体关联数已用完", "this month's links to mini programs of the same entity are used up" =>
        "下月（北京时间）自动继续。", "It goes on next month (Beijing time).";
    89017 LINK QuotaMonth Nobody:
        "本月不同主体关联数已用完", "this month's links to mini programs of other entities are used up" =>
        "下月（北京时间）自动继续。", "It goes on next month (Beijing time).";
    89018 LINK Pending OfficialAccountAdmin:
        "解除关联的消息已发出，等待确认", "the unlink message has been sent already" =>
        "等公众号管理员在微信里确认或忽略解除请求。", "Wait until the official account's administrator answers the unlink message.";
    89030 ANY QuotaMonth Nobody:
        "本月操作次数已达上限", "the operation reached its limit of the month" =>
        "下月（北京时间）自动继续。", "It goes on next month (Beijing time).";
    89035 LINK Pending MerchantAdmin:
        "已由公众号后台发起关联，等待小程序管理员确认", "a link started in the account's own console waits for the mini program's administrator" =>
        "等小程序管理员在微信里同意。", "Wait until the mini program's administrator agrees in WeChat.";
    89235 ANY Human MerchantAdmin:
        "命中黑名单联系人", "hit a blacklisted contractor" =>
        "请商户更换联系人或向微信申诉。", "The merchant changes the contact person or appeals to WeChat.";
    89245 LINK Human MerchantAdmin:
        "小程序不允许公众号关联", "the mini program forbids links: its switch is off" =>
        "请小程序管理员在小程序后台打开“允许公众号关联”，再由运维恢复这一对。", "The mini program's administrator switches on \"allow official accounts to link\"; then an operator wants the pair again.";
    89407 LINK Human OfficialAccountAdmin:
        "不同主体关联数已达上限", "the limit of links to other entities is reached" =>
        "请公众号管理员解除一个不同主体的关联；下月由运维再试。", "The official account's administrator unlinks one of another entity; an operator tries again next month.";
};
