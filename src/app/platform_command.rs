//! `platform`: adding, changing and listing the platforms of this installation. Secrets come from files or standard input
//! only, are sealed before they are stored, and are shown as `set` or `not set`.

use std::{
    fs::File,
    io::{IsTerminal as _, Read, stdin},
    path::Path,
    time::Duration,
};

use secrecy::SecretString;

use super::{App, AppError, Exit, operators::refuse, platforms::Member};
use crate::{
    cli::{Input, PlatformAdd, PlatformCommand, Scope},
    config,
    ops::{print::Table, report},
    store::platforms::{PlatformChange, PlatformKept},
};

/// More than any of these texts holds.
const TEXT_BYTES_MAX: u64 = 4_096;
/// After this a person is told what is waited for.
const SILENCE: Duration = Duration::from_secs(2);

type Rule = fn(&SecretString) -> Result<(), String>;

impl App {
    pub(super) async fn platform_command(&self, command: &PlatformCommand) -> Result<Exit, AppError> {
        match command {
            PlatformCommand::Add(flags) => self.add_platform(flags).await,
            PlatformCommand::List => {
                self.print(&self.listed_platforms().await?)?;
                Ok(Exit::Done)
            }
            PlatformCommand::Disable(name) => self.enable_platform(&name.appid, false).await,
            PlatformCommand::Enable(name) => self.enable_platform(&name.appid, true).await,
        }
    }

    /// Adds a platform, or changes what is given.
    async fn add_platform(&self, flags: &PlatformAdd) -> Result<Exit, AppError> {
        let appid = &flags.appid;
        let secret = match &flags.secret_file {
            Some(Input::File(path)) => Some(read_file(path)),
            Some(Input::Stdin) => Some(piped().await?.ok_or_else(|| "stdin is empty: pipe the secret in".to_owned())),
            None if stdin().is_terminal() => None,
            None => piped().await?.map(Ok),
        };
        let mut faults = Vec::new();
        let mut checked = |what: &str, given: Option<Result<SecretString, String>>, rule: Rule| {
            let checked = given.map(|given| given.and_then(|text| rule(&text).map(|()| text)));
            match checked {
                Some(Ok(text)) => Some(text),
                Some(Err(fault)) => {
                    faults.push(format!("{what}: {fault}"));
                    None
                }
                None => None,
            }
        };
        let given = |path: &Option<std::path::PathBuf>| path.as_deref().map(read_file);
        let mut change = PlatformChange {
            nickname: flags.nickname.as_ref().map(|name| name.trim().to_owned()),
            secret: checked("the secret", secret, config::platform_secret),
            ticket: checked("--ticket-file", given(&flags.ticket_file), config::secret_word),
            event_token: checked("--event-token-file", given(&flags.event_token_file), config::event_token),
            event_key: checked("--event-key-file", given(&flags.event_key_file), config::event_key),
            schedules: flags.schedules.as_ref().map(|scope| match scope {
                Scope::All => None,
                Scope::Only(names) => Some(names.clone()),
            }),
            limits: Vec::new(),
        };
        if change.nickname.as_ref().is_some_and(|name| name.chars().any(char::is_control)) {
            faults.push("--nickname: must be plain text on one line".to_owned());
        }
        for limit in &flags.limits {
            let meant = (limit.endpoint, limit.per_merchant);
            if change.limits.iter().any(|(endpoint, per_merchant, _)| (*endpoint, *per_merchant) == meant) {
                faults.push(format!("--limit: {} is given twice", limit.endpoint.name()));
            }
            change.limits.push((limit.endpoint, limit.per_merchant, limit.limit.clone()));
        }
        refuse("platform add", "mend what was given", faults)?;

        let known = self.known_platforms().await?;
        let member = known.iter().find(|member| member.appid() == appid);
        let needless = self.config.token_source.is_some();
        if change.secret.is_none() && !needless && !member.is_some_and(Member::has_secret) {
            return Err(AppError::Input(format!(
                "platform add: the platform {appid} needs its secret: name a file with --secret-file, or pipe it in, as in \
                 `printf %s \"$SECRET\" | wxpatrol platform add {appid}`"
            )));
        }
        let (id, kept) = self.store.keep_platform(appid, &change).await?;
        match kept {
            PlatformKept::Added => tell!("platform add: {appid} is known now; its secrets are sealed"),
            PlatformKept::Changed => tell!("platform add: {appid} is changed"),
            PlatformKept::Same => tell!("platform add: {appid} is as it was"),
        }
        if change.secret.is_some() && member.is_some_and(|member| member.in_environment) {
            tell!("platform add: WXPATROL_COMPONENT_APPSECRET of this environment goes before the stored secret");
        }
        if member.is_some_and(|member| !member.row.enabled) {
            tell!("platform add: it stays disabled; `wxpatrol platform enable {appid}` patrols it again");
        }
        let ticket = crate::domain::ports::TokenVault::ticket(&self.store, id).await;
        if ticket.is_ok_and(|ticket| ticket.is_none()) {
            tell!(
                "platform add: it has no ticket yet: `printf %s \"$TICKET\" | wxpatrol ticket - --platform {appid}`, then \
                 `wxpatrol sync --platform {appid}`"
            );
        } else if kept == PlatformKept::Added {
            tell!("platform add: `wxpatrol sync --platform {appid}` reads its merchants");
        }
        let word = match kept {
            PlatformKept::Added => "added",
            PlatformKept::Changed => "changed",
            PlatformKept::Same => "unchanged",
        };
        self.did([("platform", appid.as_str().into()), ("became", word.into())])?;
        Ok(Exit::Done)
    }

    async fn enable_platform(&self, appid: &str, enabled: bool) -> Result<Exit, AppError> {
        let known = self.known_platforms().await?;
        let Some(member) = known.iter().find(|member| member.appid() == appid) else {
            return Err(AppError::Input(format!(
                "the platform {appid} is not known: `wxpatrol platform list` shows those that are"
            )));
        };
        let changed = self.store.enable_platform(member.row.id, enabled).await?;
        let word = if enabled { "enabled" } else { "disabled" };
        let before = if changed { "" } else { " already" };
        tell!("platform: {appid} is {word}{before}");
        self.did([("platform", appid.into()), ("became", if changed { word } else { "unchanged" }.into())])?;
        Ok(Exit::Done)
    }

    /// The report of the platforms, in which the secret that this environment has counts as set.
    async fn listed_platforms(&self) -> Result<Table, AppError> {
        let known = self.known_platforms().await?;
        let mut table = report::platforms(&self.store).await?;
        let place = |name: &str| table.columns.iter().position(|column| column.name == name);
        if let (Some(appid), Some(secret)) = (place("platform"), place("secret")) {
            for row in &mut table.rows {
                let in_environment =
                    known.iter().any(|member| member.in_environment && Some(member.appid()) == row[appid].as_deref());
                if in_environment {
                    row[secret] = Some("set".to_owned());
                }
            }
        }
        Ok(table)
    }
}

/// The text of a file, or why there is none; neither holds any of the text's letters in the latter.
fn read_file(path: &Path) -> Result<SecretString, String> {
    let file = File::open(path).map_err(|error| format!("{} can not be read: {error}", path.display()))?;
    match text(file) {
        Ok(Some(text)) => Ok(text),
        Ok(None) => Err(format!("{} is empty", path.display())),
        Err(error) => Err(format!("{} can not be read: {error}", path.display())),
    }
}

fn text(reader: impl Read) -> std::io::Result<Option<SecretString>> {
    let mut text = String::new();
    reader.take(TEXT_BYTES_MAX).read_to_string(&mut text)?;
    let word = text.trim();
    Ok((!word.is_empty()).then(|| SecretString::from(word.to_owned())))
}

/// What is piped in; `None`: nothing.
async fn piped() -> Result<Option<SecretString>, AppError> {
    let reading = tokio::task::spawn_blocking(|| text(stdin().lock()));
    tokio::pin!(reading);
    let read = tokio::select! {
        read = &mut reading => read,
        () = tokio::time::sleep(SILENCE) => {
            tell!("platform add: reads the secret from standard input; close it (< /dev/null) to leave the secret as it is");
            reading.await
        }
    };
    match read {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => Err(AppError::Input(format!("the secret can not be read from stdin: {error}"))),
        Err(error) => Err(AppError::Incomplete(format!("reading stdin ended in a bug: {error}"))),
    }
}
