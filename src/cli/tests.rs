//! Lines that are understood, lines that are refused, and the help as people see it.

use std::time::Duration;

use super::*;
use crate::domain::{CheckName, Endpoint};

const OA: &str = "wx1111111111111111";
const MP: &str = "wx2222222222222222";

fn read(line: &str) -> Result<Invocation, clap::Error> {
    Invocation::read(std::iter::once("wxpatrol").chain(line.split_whitespace()))
}

fn command(line: &str) -> Command {
    match read(line).map(|invocation| invocation.action) {
        Ok(Action::Command(command)) => command,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn the_definitions_are_consistent() {
    Line::command().debug_assert();
}

#[test]
fn without_a_command_it_patrols() {
    assert_eq!(command(""), Command::Run);
    assert_eq!(command("run"), Command::Run);
}

#[test]
fn a_run_by_hand_takes_its_flags() {
    let line = format!(
        "--once --check phone --check ask --merchant {MP} --all --dry-run --deadline 2h --fail-on failed --json"
    );
    let invocation = read(&line).unwrap();
    assert_eq!(invocation.format, Format::Json);
    let Action::Once(once) = invocation.action else { panic!("a run by hand") };
    assert_eq!(once.checks, [CheckName::Phone, CheckName::Ask]);
    assert_eq!(once.merchants, [MP]);
    assert!(once.all && once.dry_run);
    assert_eq!(once.deadline, Some(Duration::from_secs(7_200)));
    assert_eq!(once.fail_on, Some(FailOn::Failed));
}

#[test]
fn output_flags_stand_before_or_after_the_command() {
    assert_eq!(read("--csv status").unwrap().format, Format::Csv);
    assert_eq!(read("status --csv").unwrap().format, Format::Csv);
    assert_eq!(read("status").unwrap().format, Format::Table);
}

#[test]
fn commands_take_their_arguments() {
    assert!(matches!(command("runs"), Command::Runs(runs) if runs.count.get() == 20));
    assert!(matches!(command("runs 5"), Command::Runs(runs) if runs.count.get() == 5));
    assert!(matches!(command("report"), Command::Report(Report { name: None })));
    assert!(matches!(command("ticket -"), Command::Ticket(_)));
    assert!(matches!(command("migrate --print"), Command::Migrate(Migrate { print: true, roles: false })));
    assert!(matches!(command("migrate --roles"), Command::Migrate(Migrate { print: false, roles: true })));
    assert!(matches!(command("keys list"), Command::Keys(Keys { action: KeysAction::List })));
    assert!(matches!(command("keys rotate"), Command::Keys(Keys { action: KeysAction::Rotate })));
    let Command::Import(import) = command("import - --format jsonl --dry-run") else { panic!("an import") };
    assert_eq!((import.input.clone(), import.list_format()), (Input::Stdin, Some(ListFormat::Jsonl)));
    let Command::Want(pairs) = command(&format!("want {OA} {MP}")) else { panic!("a wish") };
    assert_eq!((pairs.official_account.as_deref(), pairs.mini_program.as_deref()), (Some(OA), Some(MP)));
    let Command::Unwant(pairs) = command("unwant --from - --dry-run") else { panic!("a wish taken back") };
    assert_eq!((pairs.from, pairs.dry_run), (Some(Input::Stdin), true));
    let Command::Pause(pause) = command("pause --check ask --until 2h --note quiet") else { panic!("a pause") };
    assert_eq!(pause.until, Some(Moment::In(Duration::from_secs(7_200))));
    assert_eq!(pause.held.checks, [CheckName::Ask]);
    let Command::Pause(pause) = command("pause --schedule phone --schedule sync") else { panic!("a pause") };
    assert_eq!(pause.held.schedules, ["phone", "sync"]);
    assert_eq!(command("schedule"), Command::Schedule);
    let Command::Resume(resume) = command("resume --endpoint wxamplink") else { panic!("a resume") };
    assert_eq!(resume.held.endpoints, [Endpoint::WxampLink]);
}

#[test]
fn a_platform_is_added_with_what_is_given_and_named_before_or_after_a_command() {
    let line = format!(
        "platform add {OA} --secret-file - --ticket-file ticket --event-key-file key --nickname shop \
         --limit checkmobile=50/s --limit wxamplink_merchant=default --schedules phone,sync"
    );
    let Command::Platform(PlatformArgs { command: PlatformCommand::Add(add) }) = command(&line) else {
        panic!("a platform")
    };
    assert_eq!((add.appid.as_str(), &add.secret_file), (OA, &Some(Input::Stdin)));
    assert_eq!((add.ticket_file, add.event_token_file), (Some("ticket".into()), None));
    assert_eq!(add.limits.len(), 2);
    assert_eq!(add.schedules, Some(Scope::Only(["phone", "sync"].map(Into::into).into())));
    for line in [format!("--once --platform {OA}"), format!("status --platform {OA}"), format!("--platform {OA} sync")]
    {
        assert_eq!(read(&line).unwrap().platform.as_deref(), Some(OA), "{line}");
    }
}

#[cfg(feature = "demo")]
#[test]
fn the_simulated_wechat_takes_its_flags() {
    let Command::Demo(demo) = command("demo") else { panic!("a demo") };
    assert_eq!(demo.merchants, 300);
    let line = "simulate --addr 127.0.0.1:0 --limit checkmobile=50/s --limit wxamplink=1/min --latency 80ms --quirks";
    let Command::Simulate(simulate) = command(line) else { panic!("a simulation") };
    assert_eq!(simulate.limits.len(), 2);
    assert_eq!(simulate.latency, Duration::from_millis(80));
    assert!(simulate.quirks);
}

#[test]
fn lines_that_say_too_much_or_too_little_are_refused() {
    for line in [
        "--check phone",
        "--all",
        "--dry-run",
        "--fail-on failed",
        "--once status",
        "--once run",
        "--once --check telephone",
        "--once --merchant someone",
        "--once --deadline 0s",
        "--once --deadline soon",
        "--once --fail-on skipped",
        "status --json --csv",
        "runs 0",
        "want",
        "want wx1111111111111111",
        "want wx1111111111111111 wx2222222222222222 --from -",
        "ask",
        "ask wx2222222222222222 --from -",
        "pause",
        "pause --note why",
        "pause --endpoint wxamplink --check invite",
        "pause --merchant wx2222222222222222 --from -",
        "pause --check ask --until soon",
        "resume --check ask --until 2h",
        "ticket",
        "ticket made-up-ticket-not-a-real-one",
        "import",
        "import -",
        "import merchants.txt",
        "platform",
        "platform add",
        "platform add somebody",
        "platform add wx0123456789abcdef fake-secret",
        "platform add wx0123456789abcdef --ticket-file -",
        "platform add wx0123456789abcdef --limit checkmobile=fast",
        "platform add wx0123456789abcdef --schedules phones",
        "platform list --platform wx0123456789abcdef",
        "config --platform wx0123456789abcdef",
        "status --platform somebody",
    ] {
        let error = read(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn a_ticket_on_the_command_line_is_not_repeated() {
    let error = read("ticket made-up-ticket-not-a-real-one").unwrap_err().to_string();
    assert!(error.contains("stdin") && !error.contains("made-up-ticket"), "{error}");
}

/// The help of a command and of those below it.
#[cfg(feature = "demo")]
fn help_of(command: &mut clap::Command, above: &str, text: &mut String) {
    if command.get_name() == "help" {
        return;
    }
    let name = format!("{above} {}", command.get_name());
    text.push_str(&format!("\n==== {name} ====\n\n{}", command.clone().term_width(100).render_long_help()));
    for below in command.get_subcommands_mut() {
        help_of(below, &name, text);
    }
}

/// The help of the program and of each command, as wide wherever the test runs.
#[cfg(feature = "demo")]
#[test]
fn the_help_is_as_frozen() {
    let mut definition = Line::command().term_width(100);
    definition.build();
    let mut text = definition.render_long_help().to_string();
    for command in definition.get_subcommands_mut() {
        help_of(command, "wxpatrol", &mut text);
    }
    insta::with_settings!({snapshot_path => "../../tests/frozen", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("help", text);
    });
}

#[test]
fn every_command_teaches_with_an_example() {
    fn teaches(command: &clap::Command) {
        let help = command.get_long_about().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains("Example: "), "{}", command.get_name());
        command.get_subcommands().for_each(teaches);
    }
    Line::command().get_subcommands().for_each(teaches);
}
