//! What the metrics mean, for `/metrics`.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Describes every metric; called once, after the recorder is installed.
pub(super) fn describe() {
    describe_counter!("wxpatrol_claims_total", Unit::Count, "Items claimed, by platform and check");
    describe_counter!("wxpatrol_items_total", Unit::Count, "Items recorded, by platform, check and outcome");
    describe_counter!("wxpatrol_runs_total", Unit::Count, "Runs that this process closed, by platform and state");
    describe_counter!("wxpatrol_patrols_total", Unit::Count, "Engines that this process began, by platform");
    describe_histogram!("wxpatrol_call_seconds", Unit::Seconds, "Calls to WeChat, by platform, endpoint and class");
    describe_gauge!("wxpatrol_claims_under_way", Unit::Count, "Claims that are not recorded yet, by platform");
    describe_counter!(
        "wxpatrol_pushes_total",
        Unit::Count,
        "Pushes to the event URL, by outcome: kept, changes_nothing, or why refused"
    );
    describe_counter!(
        "wxpatrol_quota_questions_total",
        Unit::Count,
        "Questions to WeChat about its limits, by platform, endpoint and class"
    );
    describe_gauge!(
        "wxpatrol_limit_shadow_held_back_today",
        Unit::Count,
        "Calls of today, of all processes, that a limit in shadow would have held back, by platform and endpoint"
    );
    describe_gauge!(
        "wxpatrol_database_away",
        Unit::Count,
        "1 while Postgres does not answer, or can not be written to"
    );
    describe_gauge!(
        "wxpatrol_platform_halted",
        Unit::Count,
        "1 while a fault of the whole platform stops all its calls"
    );
    describe_gauge!("wxpatrol_platform_works", Unit::Count, "1 while this process can work for the platform");
}
