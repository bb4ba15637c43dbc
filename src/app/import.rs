//! `import`: merchants and refresh tokens from CSV or JSON lines. All of the file or nothing: a line that can not be used
//! is named with its number, and then nothing is stored.

use std::{collections::BTreeSet, io::Read};

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

use super::{
    App, AppError, Exit,
    counted::merchants,
    inputs::{Numbered, lines, open},
    operators::refuse,
    platforms::Member,
    quotes::Watched,
};
use crate::{
    cli::{Import, ListFormat},
    config,
    domain::{Kind, PlatformId},
    store::merchants::MerchantRow,
};

/// Faulty lines that are named; the others are counted.
const NAMED_MAX: usize = 10;
/// Merchants that are kept in one transaction.
const BATCH: usize = 1_000;

const UNCLOSED: &str = "a quote opens here that this line does not close; close it, or write a quote that belongs to the text twice, \
                        within quotes";

/// A line as it stands in the file. WeChat's own names of the fields are understood as well.
#[derive(Deserialize)]
struct Line {
    #[serde(alias = "authorizer_appid")]
    appid: String,
    #[serde(default, alias = "authorizer_refresh_token")]
    refresh_token: Option<String>,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default, alias = "nick_name")]
    nickname: Option<String>,
    #[serde(default, alias = "principal_name")]
    principal: Option<String>,
    #[serde(default)]
    permission_sets: Option<Value>,
    #[serde(default)]
    account_status: Option<Value>,
}

/// Each name that a column may have, and our own.
const COLUMNS: &[(&str, &str)] = &[
    ("appid", "appid"),
    ("authorizer_appid", "appid"),
    ("refresh_token", "refresh_token"),
    ("authorizer_refresh_token", "refresh_token"),
    ("kind", "kind"),
    ("nickname", "nickname"),
    ("nick_name", "nickname"),
    ("principal", "principal"),
    ("principal_name", "principal"),
    ("permission_sets", "permission_sets"),
    ("account_status", "account_status"),
];

impl App {
    /// Takes over merchants from a file.
    pub(super) async fn import(&self, flags: &Import) -> Result<Exit, AppError> {
        let platform = self.platform_id().await?;
        let rows = read(flags)?;
        if rows.iter().any(|row| row.refresh_token.is_some()) {
            self.refuse_own("the file brings refresh tokens")?;
        }
        self.refuse_platforms(&rows).await?;
        self.refuse_newcomers(platform, &rows).await?;
        let unknown = self.without_kind(platform, &rows).await?;
        let did =
            [("merchants", rows.len().into()), ("without_kind", unknown.into()), ("dry_run", flags.dry_run.into())];
        if flags.dry_run {
            tell!("import: {} can be imported; nothing was stored (dry run)", merchants(rows.len()));
            self.did(did)?;
            return Ok(Exit::Done);
        }
        for batch in rows.chunks(BATCH) {
            self.store.keep_merchants(platform, batch, false).await.map_err(|error| {
                AppError::Incomplete(format!(
                    "not all merchants were stored: {error}; import the file again, it may be repeated"
                ))
            })?;
        }
        tell!("import: {} stored", merchants(rows.len()));
        if unknown > 0 {
            tell!(
                "import: {unknown} of them without a kind; `wxpatrol sync` or the next --once asks WeChat about them"
            );
        }
        self.did(did)?;
        Ok(Exit::Done)
    }

    /// How many merchants of a file have a kind neither there nor from before.
    async fn without_kind(&self, platform: PlatformId, rows: &[MerchantRow]) -> Result<usize, AppError> {
        let silent: Vec<String> = rows.iter().filter(|row| row.kind.is_none()).map(|row| row.appid.clone()).collect();
        let mut unknown = 0;
        for batch in silent.chunks(BATCH) {
            let known = self.store.known_merchants(platform, batch).await?;
            unknown += batch
                .iter()
                .filter(|appid| known.get(*appid).is_none_or(|merchant| merchant.kind == Kind::Unknown))
                .count();
        }
        Ok(unknown)
    }

    /// A platform's own appid is no merchant's: with its token nobody is asked for anything.
    async fn refuse_platforms(&self, rows: &[MerchantRow]) -> Result<(), AppError> {
        let known = self.known_platforms().await?;
        let platforms: BTreeSet<&str> = known.iter().map(Member::appid).collect();
        let named = rows.iter().filter(|row| platforms.contains(row.appid.as_str()));
        let faults = named.map(|row| format!("{} is a platform, no merchant", row.appid)).collect();
        refuse("import", "take these out of the file", faults)
    }

    /// One list says who is a merchant: beside `WXPATROL_MERCHANT_SQL` a file brings tokens and facts of known ones alone.
    async fn refuse_newcomers(&self, platform: PlatformId, rows: &[MerchantRow]) -> Result<(), AppError> {
        if self.config.merchant_source.is_none() {
            return Ok(());
        }
        let mut faults = Vec::new();
        for batch in rows.chunks(BATCH) {
            let appids: Vec<String> = batch.iter().map(|row| row.appid.clone()).collect();
            let known = self.store.known_merchants(platform, &appids).await?;
            let strangers = appids.into_iter().filter(|appid| known.get(appid).is_none_or(|known| known.withdrawn));
            faults.extend(strangers.map(|appid| format!("{appid} is no merchant")));
        }
        let remedy = "WXPATROL_MERCHANT_SQL lists the merchants, so have it name these and run `wxpatrol sync` first";
        refuse("import", remedy, faults)
    }
}

fn read(flags: &Import) -> Result<Vec<MerchantRow>, AppError> {
    let reader = open(&flags.input)?;
    let format = flags.list_format().ok_or_else(|| AppError::Input("say --format csv or --format jsonl".to_owned()))?;
    let lines = match format {
        ListFormat::Csv => csv_lines(reader)?,
        ListFormat::Jsonl => json_lines(reader)?,
    };
    let mut rows = Vec::new();
    let mut faults = Vec::new();
    let mut seen = std::collections::HashMap::new();
    for (number, line) in lines {
        match line.and_then(merchant) {
            Ok(row) => match seen.insert(row.appid.clone(), number) {
                None => rows.push(row),
                Some(first) => faults.push(format!("line {number}: {} stands in line {first} already", row.appid)),
            },
            Err(fault) => faults.push(format!("line {number}: {fault}")),
        }
    }
    if !faults.is_empty() {
        return Err(faulty(faults));
    }
    if rows.is_empty() {
        return Err(AppError::Input(
            "the file holds no merchants: CSV needs a header line such as appid,refresh_token,kind".to_owned(),
        ));
    }
    Ok(rows)
}

fn faulty(mut faults: Vec<String>) -> AppError {
    let more = faults.len().saturating_sub(NAMED_MAX);
    faults.truncate(NAMED_MAX);
    if more > 0 {
        faults.push(format!("and {more} more"));
    }
    AppError::Input(format!(
        "the file can not be imported, nothing was stored; mend these lines:\n  {}",
        faults.join("\n  ")
    ))
}

fn csv_lines(reader: Box<dyn Read>) -> Result<Vec<Numbered<Line>>, AppError> {
    let mut csv = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(Watched::new(reader));
    let lines = csv_records(&mut csv);
    let unclosed = csv.into_inner().unclosed();
    if unclosed.is_empty() {
        return lines;
    }
    // What else is wrong follows from them: the lines behind such a quote were taken for its text.
    Err(faulty(unclosed.iter().map(|number| format!("line {number}: {UNCLOSED}")).collect()))
}

fn csv_records(csv: &mut csv::Reader<Watched<Box<dyn Read>>>) -> Result<Vec<Numbered<Line>>, AppError> {
    let header =
        csv.headers().map_err(|error| AppError::Input(format!("the header line can not be read: {error}")))?.clone();
    let header: csv::StringRecord = header.iter().map(|name| name.trim_start_matches('\u{feff}')).collect();
    let mut columns = BTreeSet::new();
    for (place, name) in (1..).zip(header.iter()) {
        let Some((_, column)) = COLUMNS.iter().find(|(known, _)| *known == name) else {
            return Err(AppError::Input(format!(
                "the first line must be a header line, and its column {place}{} is not known; the columns are appid, \
                 refresh_token, kind, nickname, principal, permission_sets, account_status",
                quoted(name)
            )));
        };
        if !columns.insert(*column) {
            return Err(AppError::Input(format!(
                "the header line names the column {column} twice, the second time as column {place}: leave one of them out"
            )));
        }
    }
    if !columns.contains("appid") {
        return Err(AppError::Input("the header line names no column appid".to_owned()));
    }
    let mut lines = Vec::new();
    for record in csv.records() {
        lines.push(match record {
            Ok(record) => {
                let number = record.position().map_or(0, csv::Position::line);
                // The error of a row would repeat its fields, and a token with them.
                (number, record.deserialize::<Line>(Some(&header)).map_err(|_| "its fields can not be read".to_owned()))
            }
            Err(error) => {
                let number = error.position().map_or(0, csv::Position::line);
                let fault = match error.kind() {
                    csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                        format!("{len} fields, but the header names {expected_len}")
                    }
                    csv::ErrorKind::Utf8 { .. } => "it is not UTF-8".to_owned(),
                    _ => "it can not be read".to_owned(),
                };
                (number, Err(fault))
            }
        });
    }
    Ok(lines)
}

fn json_lines(reader: Box<dyn Read>) -> Result<Vec<Numbered<Line>>, AppError> {
    let parsed = |line: String| {
        serde_json::from_str::<Line>(&line)
            .map_err(|error| format!("no JSON object with a text appid (column {})", error.column()))
    };
    let blank = |line: &Result<String, String>| line.as_ref().is_ok_and(|line| line.trim().is_empty());
    let mut numbered = Vec::new();
    for line in lines(reader) {
        let (number, line) = line?;
        if !blank(&line) {
            numbered.push((number, line.and_then(parsed)));
        }
    }
    Ok(numbered)
}

fn merchant(line: Line) -> Result<MerchantRow, String> {
    let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let appid = config::appid(line.appid.trim())?;
    let kind = match filled(line.kind) {
        None => None,
        Some(word) => Some(word.trim().parse::<Kind>().map_err(|_| {
            format!("the kind{} is none of mini_program, official_account, other, unknown", quoted(&word))
        })?),
    };
    Ok(MerchantRow {
        appid,
        kind: kind.filter(|kind| *kind != Kind::Unknown),
        nickname: filled(line.nickname),
        principal: filled(line.principal),
        permission_sets: line.permission_sets.map(permission_sets).transpose()?.flatten(),
        account_status: line.account_status.map(account_status).transpose()?.flatten(),
        authorized_at: None,
        refresh_token: filled(line.refresh_token).map(|token| SecretString::from(token.trim().to_owned())),
        asked_at: None,
    })
}

/// A word to show, behind a space; nothing when it may be a token that stands in the wrong column.
fn quoted(word: &str) -> String {
    let plain = word.len() <= 32 && word.chars().all(|letter| letter.is_ascii_alphabetic() || "_- ".contains(letter));
    if plain { format!(" {word:?}") } else { String::new() }
}

/// `49;33`, `49 33`, `49,33` in quotes, or a JSON array.
fn permission_sets(value: Value) -> Result<Option<Vec<i32>>, String> {
    let fault = || "permission_sets must be numbers, such as 49;33".to_owned();
    match value {
        Value::Null => Ok(None),
        Value::Array(sets) => {
            let sets: Option<Vec<i32>> =
                sets.iter().map(|set| set.as_i64().and_then(|set| i32::try_from(set).ok())).collect();
            sets.map(Some).ok_or_else(fault)
        }
        Value::String(text) => {
            let words = text.split([';', ',', ' ']).map(str::trim).filter(|word| !word.is_empty());
            let sets: Vec<i32> = words.map(str::parse).collect::<Result<_, _>>().map_err(|_| fault())?;
            Ok((!sets.is_empty()).then_some(sets))
        }
        Value::Number(number) => {
            number.as_i64().and_then(|set| i32::try_from(set).ok()).map(|set| Some(vec![set])).ok_or_else(fault)
        }
        Value::Bool(_) | Value::Object(_) => Err(fault()),
    }
}

fn account_status(value: Value) -> Result<Option<i32>, String> {
    let fault = || "account_status must be a number, such as 1".to_owned();
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.trim().is_empty() => Ok(None),
        Value::String(text) => text.trim().parse().map(Some).map_err(|_| fault()),
        Value::Number(number) => {
            number.as_i64().and_then(|status| i32::try_from(status).ok()).map(Some).ok_or_else(fault)
        }
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(fault()),
    }
}
