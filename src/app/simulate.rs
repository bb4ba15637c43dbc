//! `simulate`: the simulated WeChat alone, for rehearsals.

use std::io::{ErrorKind, Write as _};

use tokio_util::sync::CancellationToken;

use super::{AppError, Exit, unprinted};
use crate::{
    cli::Simulate,
    simulate::{Plan, ReceiverUrl, SimulatedWechat},
};

/// Serves until a signal comes.
pub(super) async fn serve(flags: &Simulate, stop: CancellationToken) -> Result<Exit, AppError> {
    let mut plan = Plan {
        mini_programs: flags.mini_programs,
        official_accounts: flags.official_accounts,
        seed: flags.seed,
        latency: flags.latency,
        token_lifetime: flags.token_lifetime,
        quirks: flags.quirks,
        // Nobody shifts the clock of the Postgres that pushes are compared with.
        pushes_by_real_clock: true,
        ..Plan::default()
    };
    for limit in &flags.limits {
        let Some(per_second) = limit.limit.plain_per_second() else {
            return Err(AppError::Input(format!(
                "the simulated WeChat counts calls a second: write --limit {}=N/s",
                limit.endpoint.name()
            )));
        };
        plan.limits.insert(limit.endpoint.name().to_owned(), per_second);
    }
    let settings = [
        ("WXPATROL_COMPONENT_APPID", plan.component_appid.clone()),
        ("WXPATROL_COMPONENT_APPSECRET", plan.component_appsecret.clone()),
        ("WXPATROL_VERIFY_TICKET", plan.verify_ticket.clone()),
        ("WXPATROL_RECEIVER_TOKEN", plan.event_token.clone()),
        ("WXPATROL_RECEIVER_AES_KEY", plan.event_aes_key.clone()),
    ];
    let others: Vec<Plan> = (1..flags.platforms).map(|number| plan.clone().as_platform(number)).collect();
    let simulated =
        SimulatedWechat::start_with(flags.addr, plan, others.clone()).map_err(|error| match error.kind() {
            ErrorKind::InvalidInput => {
                AppError::Input(format!("the simulated WeChat can not be made like that: {error}"))
            }
            _ => AppError::Input(format!("the simulated WeChat can not listen on {}: {error}", flags.addr)),
        })?;
    for world in simulated.worlds() {
        world
            .set_receiver(ReceiverUrl { url: flags.receiver.clone(), plain_json: flags.receiver_json, automatic: true })
            .map_err(|error| AppError::Input(format!("--receiver: {error}")))?;
    }
    if !flags.addr.ip().is_loopback() {
        tell!("whoever reaches {} may use the control paths, which ask for no secret", flags.addr);
    }
    let mut printed = format!("export WXPATROL_WECHAT_BASE_URL={}\n", simulated.base_url());
    for (name, value) in settings {
        printed.push_str(&format!("export {name}='{value}'\n"));
    }
    // Comments, so that the lines above can be handed to a shell as they are.
    for Plan { component_appid, component_appsecret, verify_ticket, event_token, event_aes_key, .. } in &others {
        printed.push_str(&format!("# printf %s '{component_appsecret}' | wxpatrol platform add {component_appid}\n"));
        printed.push_str(&format!("# printf %s '{verify_ticket}' | wxpatrol ticket - --platform {component_appid}\n"));
        if flags.receiver.is_some() {
            printed.push_str(&format!(
                "# wxpatrol platform add {component_appid} --event-token-file <(printf %s '{event_token}') --event-key-file \
                 <(printf %s '{event_aes_key}') < /dev/null\n"
            ));
        }
    }
    // Whoever started this may read the lines it needs and close the pipe; that must not end the simulation.
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(printed.as_bytes()).and_then(|()| stdout.flush()).or_else(unprinted)?;
    drop(stdout);
    tell!("the simulated WeChat listens; its control paths are under /_sim/ (see README), Ctrl-C ends it");
    stop.cancelled().await;
    simulated.stop().await;
    Ok(Exit::Done)
}
