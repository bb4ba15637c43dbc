//! What operators say: `want`, `unwant`, `ask`, `pause`, `resume`, `ticket`. Every list is all or nothing, and every line
//! that can not be used is named.

use std::{
    collections::HashSet,
    hash::Hash,
    io::{Read as _, stdin},
};

use secrecy::SecretString;

use super::{
    App, AppError, Exit,
    counted::{counted, merchants},
    inputs::{lines, open},
};
use crate::{
    cli::{Ask, Held, Input, Pairs, Pause, Resume},
    config,
    domain::{Kind, PlatformId},
    store::operator::{Grant, HoldTarget, Unwanted, Wanted},
};

/// Faulty lines that are named; the others are counted.
const NAMED_MAX: usize = 10;
/// Pairs or merchants in one transaction at most.
const LIST_MAX: usize = 100_000;

type Pair = (String, String);

impl App {
    /// Wants pairs.
    pub(super) async fn want(&self, flags: &Pairs) -> Result<Exit, AppError> {
        let pairs = pairs(flags)?;
        let platform = self.platform_of(&sides(&pairs)).await?;
        self.refuse_strangers(platform, &pairs).await?;
        let wanted = self.store.want(platform, &pairs, &who(), flags.dry_run).await?;
        let again = wanted.iter().filter(|wanted| **wanted == Wanted::Again).count();
        let dry = if flags.dry_run { " (dry run: nothing was stored)" } else { "" };
        let new = wanted.len() - again;
        tell!("want: {} new, {again} wanted before{dry}", counted(new as u64, "pair", "pairs"));
        self.did([("new", new.into()), ("wanted_before", again.into()), ("dry_run", flags.dry_run.into())])?;
        Ok(Exit::Done)
    }

    /// Takes wishes back.
    pub(super) async fn unwant(&self, flags: &Pairs) -> Result<Exit, AppError> {
        let pairs = pairs(flags)?;
        let platform = self.platform_of(&sides(&pairs)).await?;
        let mut unwanted = self.store.unwant(platform, &pairs, true).await?;
        let strangers: Vec<String> = pairs
            .iter()
            .zip(&unwanted)
            .filter(|(_, unwanted)| **unwanted == Unwanted::NotWanted)
            .map(|((account, program), _)| format!("{account},{program} is not wanted"))
            .collect();
        refuse("unwant", "take them out of the list, or look at `wxpatrol report links`", strangers)?;
        if !flags.dry_run {
            unwanted = self.store.unwant(platform, &pairs, false).await?;
        }
        let gone = unwanted.iter().filter(|unwanted| **unwanted != Unwanted::NotWanted).count();
        let dry = if flags.dry_run { " (dry run: nothing was stored)" } else { "" };
        tell!("unwant: {} wanted no more{dry}", counted(gone as u64, "pair is", "pairs are"));
        self.did([("wanted_no_more", gone.into()), ("dry_run", flags.dry_run.into())])?;
        Ok(Exit::Done)
    }

    /// Every account of the pairs must be a known merchant of the right kind that is not withdrawn.
    async fn refuse_strangers(&self, platform: PlatformId, pairs: &[Pair]) -> Result<(), AppError> {
        let known = self.store.known_merchants(platform, &sides(pairs)).await?;
        let fault = |appid: &String, kind: Kind, word: &str| match known.get(appid) {
            None => Some(format!("{appid} is no known merchant")),
            Some(merchant) if merchant.withdrawn => Some(format!("{appid} withdrew its authorization")),
            Some(merchant) if merchant.kind != kind && merchant.kind != Kind::Unknown => {
                Some(format!("{appid} is no {word}"))
            }
            Some(_) => None,
        };
        let mut faults: Vec<String> = pairs
            .iter()
            .flat_map(|(account, program)| {
                [
                    fault(account, Kind::OfficialAccount, "official account"),
                    fault(program, Kind::MiniProgram, "mini program"),
                ]
            })
            .flatten()
            .collect();
        faults.dedup();
        refuse(
            "want",
            "run `wxpatrol sync` if they are new, and mind the order: official account, mini program",
            faults,
        )
    }

    /// Grants one more ask.
    pub(super) async fn grant_asks(&self, flags: &Ask) -> Result<Exit, AppError> {
        let appids = match (&flags.merchant, &flags.from) {
            (Some(appid), _) => vec![appid.clone()],
            (None, Some(input)) => appids(input)?,
            (None, None) => Vec::new(),
        };
        let platform = self.platform_of(&appids).await?;
        let grants = self.store.grant_ask(platform, &appids).await?;
        let faults: Vec<String> = appids
            .iter()
            .zip(&grants)
            .filter_map(|(appid, grant)| {
                let why = match grant {
                    Grant::Granted { .. } => return None,
                    Grant::Unknown => "is no known merchant",
                    Grant::Withdrawn => "withdrew its authorization",
                    Grant::NoMiniProgram => "is an official account: only mini programs are asked for a phone",
                    Grant::NotRead => "has not been read yet: run `wxpatrol --once --check phone` first",
                    Grant::NotMissing => "has a phone bound: there is nothing to ask for",
                };
                Some(format!("{appid} {why}"))
            })
            .collect();
        refuse("ask", "take them out of the list", faults)?;
        let woken = grants.iter().filter(|grant| matches!(grant, Grant::Granted { woken: true })).count();
        tell!(
            "ask: one more ask granted to {}; {} now due, having reached the maximum; the cool-down and quiet hours still \
             hold",
            merchants(grants.len()),
            counted(woken as u64, "is", "are")
        );
        self.did([("granted", grants.len().into()), ("now_due", woken.into())])?;
        Ok(Exit::Done)
    }

    /// Holds merchants, checks, endpoints or schedules.
    pub(super) async fn pause(&self, flags: &Pause) -> Result<Exit, AppError> {
        let (platform, targets) = self.targets(&flags.held).await?;
        let now = self.store.read_clock().await?;
        let until = flags.until.map(|until| until.resolve(now, self.config.time_zone));
        if until.is_some_and(|until| until <= now) {
            return Err(AppError::Input(
                "--until lies in the past: give a time to come, such as 2h or 2026-12-01".to_owned(),
            ));
        }
        self.refuse_pointless(platform, &targets).await?;
        let paused = self.store.pause(platform, &targets, flags.note.as_deref(), until, &who()).await?;
        tell!("pause: {} set, {} renewed", counted(paused.new, "hold", "holds"), paused.renewed);
        self.did([("new", paused.new.into()), ("renewed", paused.renewed.into())])?;
        Ok(Exit::Done)
    }

    /// Ends holds.
    pub(super) async fn resume(&self, flags: &Resume) -> Result<Exit, AppError> {
        let (platform, targets) = self.targets(&flags.held).await?;
        let ended = self.store.resume(platform, &targets, flags.note.as_deref(), &who()).await?;
        tracing::info!(holds = ended, note = flags.note.as_deref(), by = who(), "resumed");
        if ended == 0 {
            return Err(AppError::Input(
                "nothing is held in these words; `wxpatrol report holds` shows what is".to_owned(),
            ));
        }
        tell!("resume: {} ended", counted(ended, "hold", "holds"));
        self.did([("ended", ended.into())])?;
        Ok(Exit::Done)
    }

    /// A hold that can meet no item would only seem to hold something: the items of each check are of one kind of merchant.
    async fn refuse_pointless(&self, platform: PlatformId, targets: &[HoldTarget]) -> Result<(), AppError> {
        let appids: Vec<String> = targets.iter().filter_map(|target| target.appid.clone()).collect();
        let known = self.store.known_merchants(platform, &appids).await?;
        let pointless = targets.iter().filter_map(|target| {
            let (appid, check) = (target.appid.as_ref()?, target.check?);
            let kind = known.get(appid)?.kind;
            let words = |kind| match kind {
                Kind::MiniProgram => ("a", "mini program"),
                Kind::OfficialAccount => ("an", "official account"),
                Kind::Unknown | Kind::Other => ("a", "merchant of another kind"),
            };
            (kind != check.kind() && kind != Kind::Unknown).then(|| {
                let ((a, is), (_, of)) = (words(kind), words(check.kind()));
                format!("{appid} is {a} {is}, and {} is about each {of}", check.name())
            })
        });
        refuse("pause", "name a check of the merchant's, or no check", pointless.collect())
    }

    /// What is named, and the platform that it is of.
    async fn targets(&self, held: &Held) -> Result<(PlatformId, Vec<HoldTarget>), AppError> {
        let merchants = match &held.from {
            Some(input) => appids(input)?,
            None => held.merchants.clone(),
        };
        let platform = self.platform_of(&merchants).await?;
        let known = self.store.known_merchants(platform, &merchants).await?;
        let strangers: Vec<String> = merchants
            .iter()
            .filter(|appid| !known.contains_key(*appid))
            .map(|appid| format!("{appid} is no known merchant"))
            .collect();
        refuse("pause or resume", "check the appids", strangers)?;
        let endpoints =
            held.endpoints.iter().map(|endpoint| HoldTarget { endpoint: Some(*endpoint), ..HoldTarget::default() });
        let schedules =
            held.schedules.iter().map(|name| HoldTarget { schedule: Some(name.clone()), ..HoldTarget::default() });
        let checks: Vec<Option<_>> =
            if held.checks.is_empty() { vec![None] } else { held.checks.iter().copied().map(Some).collect() };
        let appids: Vec<Option<String>> =
            if merchants.is_empty() { vec![None] } else { merchants.into_iter().map(Some).collect() };
        let named = appids.iter().flat_map(|appid| {
            checks.iter().map(|check| HoldTarget { appid: appid.clone(), check: *check, ..HoldTarget::default() })
        });
        let named = named.filter(|target| target.appid.is_some() || target.check.is_some());
        Ok((platform, named.chain(endpoints).chain(schedules).collect()))
    }

    /// Stores the verify ticket from standard input.
    pub(super) async fn keep_ticket(&self) -> Result<Exit, AppError> {
        self.refuse_own("a ticket is what wxpatrol's own tokens begin with")?;
        let platform = self.platform_id().await?;
        let mut text = String::new();
        stdin()
            .take(4_096)
            .read_to_string(&mut text)
            .map_err(|error| AppError::Input(format!("the ticket can not be read from stdin: {error}")))?;
        let ticket = text.trim();
        if ticket.is_empty() || ticket.contains(char::is_whitespace) {
            return Err(AppError::Input(
                "stdin holds no ticket: pipe component_verify_ticket alone, as in `printf %s \"$TICKET\" | wxpatrol ticket -`"
                    .to_owned(),
            ));
        }
        self.store.keep_ticket(platform, &SecretString::from(ticket.to_owned()), false).await?;
        tell!("ticket: stored, sealed");
        self.did([("stored", true.into())])?;
        Ok(Exit::Done)
    }
}

/// Who gives the word, for the rows that remember it.
fn who() -> String {
    ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| config::login_name(name))
        .unwrap_or_else(|| "operator".to_owned())
}

/// Every appid of the pairs, once.
fn sides(pairs: &[Pair]) -> Vec<String> {
    let mut appids: Vec<String> = pairs.iter().flat_map(|(left, right)| [left.clone(), right.clone()]).collect();
    appids.sort();
    appids.dedup();
    appids
}

pub(super) fn refuse(command: &str, what_to_do: &str, mut faults: Vec<String>) -> Result<(), AppError> {
    if faults.is_empty() {
        return Ok(());
    }
    let more = faults.len().saturating_sub(NAMED_MAX);
    faults.truncate(NAMED_MAX);
    if more > 0 {
        faults.push(format!("and {more} more"));
    }
    Err(AppError::Input(format!("{command}: nothing was changed; {what_to_do}:\n  {}", faults.join("\n  "))))
}

fn pairs(flags: &Pairs) -> Result<Vec<Pair>, AppError> {
    if let (Some(account), Some(program)) = (&flags.official_account, &flags.mini_program) {
        return Ok(vec![(account.clone(), program.clone())]);
    }
    let Some(input) = &flags.from else {
        return Err(AppError::Input("name an official account and a mini program, or a list with --from".to_owned()));
    };
    listed(input, |line| {
        let words: Vec<&str> =
            line.split([',', ';', '\t', ' ']).map(str::trim).filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            [account, program] if account == program => Err("the two appids are the same".to_owned()),
            [account, program] => Ok((config::appid(account)?, config::appid(program)?)),
            _ => Err("a line holds two appids, as in wx1111111111111111,wx2222222222222222".to_owned()),
        }
    })
}

fn appids(input: &Input) -> Result<Vec<String>, AppError> {
    listed(input, config::appid)
}

/// The entries of a list, each once. Empty lines, lines that begin with # and a header line of column names are passed over.
fn listed<T: Clone + Eq + Hash>(input: &Input, read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, AppError> {
    let mut entries = Vec::new();
    let mut faults = Vec::new();
    for line in lines(open(input)?) {
        let (number, line) = line?;
        let entry = line.and_then(|line| {
            let line = line.trim();
            let header = number == 1 && !line.starts_with("wx") && read(line).is_err() && is_header(line);
            if line.is_empty() || line.starts_with('#') || header {
                return Ok(None);
            }
            if line.contains('"') {
                return Err("a list holds appids without quotes".to_owned());
            }
            read(line).map(Some)
        });
        match entry {
            Ok(entry) => entries.extend(entry),
            Err(fault) => faults.push(format!("line {number}: {fault}")),
        }
    }
    refuse("list", "mend these lines", faults)?;
    if entries.is_empty() {
        return Err(AppError::Input("the list is empty: it holds one entry a line".to_owned()));
    }
    if entries.len() > LIST_MAX {
        return Err(AppError::Input(format!("the list holds more than {LIST_MAX} entries: split it")));
    }
    let mut seen = HashSet::new();
    entries.retain(|entry: &T| seen.insert(entry.clone()));
    Ok(entries)
}

/// A first line such as `official_account,mini_program`.
fn is_header(line: &str) -> bool {
    line.split([',', ';', '\t', ' '])
        .all(|word| word.chars().all(|letter| letter.is_ascii_alphabetic() || letter == '_'))
}
