//! `doctor`: whether wxpatrol could work here, one line for each thing that it stands on: ok, warn or fault, and what to do.
//!
//! It goes on after a fault as far as the rest can be looked at. It messages nobody and migrates nothing.

mod platform;

use std::{path::Path, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{App, AppError, Exit, print_table};
use crate::{
    config::{Config, ConfigError, Source},
    ops::{
        print::{Column, Format, Kind, Table},
        report,
    },
    store::{
        Store, StoreError,
        examine::{SchemaState, ServerFacts},
    },
};

/// The oldest Postgres that is worked with.
const POSTGRES_MIN: i32 = 150_000;
/// Clocks that differ by more make logs and rows tell different stories.
const SKEW_MAX: Duration = Duration::from_secs(2);

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Ok,
    /// Work goes on, and a person should know.
    Warn,
    /// Work does not begin, or stops.
    Fault,
}

impl Standing {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fault => "fault",
        }
    }
}

/// What was found, a row for each thing.
#[derive(Default)]
struct Findings {
    rows: Vec<(String, Standing, String, String)>,
}

impl Findings {
    fn ok(&mut self, what: &str, found: impl Into<String>) {
        self.rows.push((what.to_owned(), Standing::Ok, found.into(), String::new()));
    }

    fn warn(&mut self, what: &str, found: impl Into<String>, to_do: impl Into<String>) {
        self.rows.push((what.to_owned(), Standing::Warn, found.into(), to_do.into()));
    }

    fn fault(&mut self, what: &str, found: impl Into<String>, to_do: impl Into<String>) {
        self.rows.push((what.to_owned(), Standing::Fault, found.into(), to_do.into()));
    }

    /// Prints them; 2 when there is a fault.
    fn concluded(self, format: Format) -> Result<Exit, AppError> {
        let faulty = self.rows.iter().any(|(_, standing, ..)| *standing == Standing::Fault);
        let rows = self.rows.into_iter().map(|(what, standing, found, to_do)| {
            vec![
                Some(what),
                Some(standing.name().to_owned()),
                Some(found),
                Some(to_do).filter(|to_do| !to_do.is_empty()),
            ]
        });
        let columns = ["what", "standing", "found", "what_to_do"].map(|name| Column::new(name, Kind::Text));
        let table = Table { title: None, columns: columns.into(), rows: rows.collect() };
        print_table(&table, format)?;
        Ok(if faulty { Exit::CouldNotStart } else { Exit::Done })
    }
}

/// Looks at everything, and prints what was found.
pub(super) async fn examine(
    config: Result<Config, ConfigError>,
    format: Format,
    named: Option<String>,
    stop: CancellationToken,
) -> Result<Exit, AppError> {
    let mut findings = Findings::default();
    let config = match config {
        Ok(config) => config,
        Err(error) => {
            for fault in error.faults {
                findings.fault("settings", fault.to_string(), format!("mend {}", fault.variable));
            }
            return findings.concluded(format);
        }
    };
    let given = config.settings().iter().filter(|setting| setting.source == Source::Environment).count();
    findings.ok("settings", format!("{given} of {} variables are set, none wrongly", config.settings().len()));
    let (app, key_made) = match App::connected(config, format, stop, "doctor").await {
        Ok((app, made)) => (app.of(named), made),
        Err(error) => {
            findings.fault("database", error.to_string(), "see that Postgres runs there and lets this machine in");
            return findings.concluded(format);
        }
    };
    let readable = app.examine_database(key_made.as_deref(), &mut findings).await;
    app.examine_wechat(&mut findings).await;
    if readable && let Err(error) = app.examine_work(&mut findings).await {
        findings.fault("database", error.to_string(), "what is left could not be looked at: run it again");
    }
    app.store.close().await;
    findings.concluded(format)
}

impl App {
    /// The server, the schema, the login, the clocks, the key. Whether rows can be read.
    async fn examine_database(&self, key_made: Option<&Path>, findings: &mut Findings) -> bool {
        let (facts, schema) = match (self.store.server_facts().await, self.store.schema_state().await) {
            (Ok(facts), Ok(schema)) => (facts, schema),
            (Err(error), _) | (_, Err(error)) => {
                findings.fault("database", error.to_string(), "see that Postgres answers");
                return false;
            }
        };
        examine_server(&facts, findings);
        let private = self.config.database_url.is_none();
        let ready = examine_schema(&facts, &schema, private, findings);
        if !ready {
            return false;
        }
        match self.store.key_in_use().await {
            Ok(Some(key)) => findings.ok("encryption key", format!("opens what is sealed here ({key})")),
            Ok(None) => findings.ok("encryption key", "nothing is sealed here yet; the first start seals with it"),
            Err(error) => {
                #[cfg(feature = "demo")]
                let error = super::private::key_is_gone(key_made, error);
                #[cfg(not(feature = "demo"))]
                let _: Option<&Path> = key_made;
                let to_do = "set the key that this database is sealed with; `wxpatrol keys list` shows the ids";
                findings.fault("encryption key", error.to_string(), to_do);
            }
        }
        true
    }

    /// Whether WeChat can be reached at all; asked without any token.
    async fn examine_wechat(&self, findings: &mut Findings) {
        let base = &self.config.wechat_base_url;
        let shown = base.host_str().unwrap_or("WXPATROL_WECHAT_BASE_URL").to_owned();
        let reached = match self.wechat() {
            Ok(wechat) => wechat.reachable().await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match reached {
            Ok(status) if status < 500 => findings.ok("wechat", format!("{shown} answers")),
            Ok(status) => findings.warn(
                "wechat",
                format!("{shown} answers with HTTP {status}"),
                "if it stays so: is a proxy in between? Another host of WeChat's can be set as WXPATROL_WECHAT_BASE_URL",
            ),
            Err(error) => findings.fault(
                "wechat",
                format!("{shown} can not be reached: {error}"),
                "let this machine reach it over HTTPS (name resolution, firewall, proxy), or set WXPATROL_WECHAT_BASE_URL",
            ),
        }
    }

    /// Platforms, processes, the receiver.
    async fn examine_work(&self, findings: &mut Findings) -> Result<(), StoreError> {
        self.store.read_clock().await?;
        match self.known_platforms().await {
            Ok(known) => {
                let named = |appid: &str| self.named.as_deref().is_none_or(|named| named == appid);
                if !known.iter().any(|member| named(member.appid())) {
                    let to_do = "set WXPATROL_COMPONENT_APPID and its secret, or `wxpatrol platform add`; `wxpatrol \
                                 platform list` shows those that are known";
                    findings.fault("platform", "there is no such platform", to_do);
                }
                for member in known.iter().filter(|member| named(member.appid())) {
                    self.examine_platform(member, findings).await?;
                }
            }
            Err(error) => findings.fault("platform", error.to_string(), "see that Postgres answers"),
        }
        self.examine_receiver(findings).await?;
        examine_processes(&self.store, findings).await
    }

    async fn examine_receiver(&self, findings: &mut Findings) -> Result<(), StoreError> {
        let Some(settings) = &self.config.receiver else { return Ok(()) };
        let lacking = self.event_keys(settings).without_keys().await?;
        if settings.plain_json {
            findings.warn(
                "receiver",
                "it believes plain JSON, which nobody signs (WXPATROL_RECEIVER_JSON)",
                "its address must be reachable from WeChat's private network alone",
            );
        } else if lacking.is_empty() {
            findings.ok("receiver", "it has the keys of every platform");
        }
        if !settings.plain_json && !lacking.is_empty() {
            findings.warn(
                "receiver",
                format!("it has no keys of {}, whose events it refuses", lacking.join(", ")),
                "WXPATROL_RECEIVER_TOKEN and _AES_KEY, or `wxpatrol platform add APPID --event-token-file FILE \
                 --event-key-file FILE`",
            );
        }
        Ok(())
    }
}

fn examine_server(facts: &ServerFacts, findings: &mut Findings) {
    if facts.version_num < POSTGRES_MIN {
        findings.fault("database", format!("Postgres {} is too old", facts.version), "Postgres 15 or later is needed");
    } else if facts.read_only {
        findings.fault(
            "database",
            format!("Postgres {}, where nothing can be written", facts.version),
            "name the primary in DATABASE_URL, and a login that may write",
        );
    } else {
        findings.ok("database", format!("Postgres {}", facts.version));
    }
    let skew = Duration::from_millis(facts.skew_ms.unsigned_abs());
    let found = format!("this machine's clock differs from Postgres's by {:.1} s", skew.as_secs_f64());
    if skew > SKEW_MAX {
        findings.warn("clock", found, "let both keep time with NTP; Postgres's clock decides here");
    } else {
        findings.ok("clock", found);
    }
}

/// Whether the tables can be worked with.
fn examine_schema(facts: &ServerFacts, schema: &SchemaState, private: bool, findings: &mut Findings) -> bool {
    let login = &facts.login;
    let owns = facts.owner.as_ref() == Some(login);
    let ready = match schema {
        SchemaState::UpToDate => {
            findings.ok("schema", "it is the one of this program");
            true
        }
        SchemaState::Behind(missing) if facts.owner.is_none() => {
            let found = format!("there is none yet; the first start makes it ({missing} migrations)");
            findings.warn("schema", found, "`wxpatrol migrate`, as a login that may create schemas");
            false
        }
        SchemaState::Behind(missing) => {
            let owner = facts.owner.as_deref().unwrap_or("its owner");
            let found = format!("it lacks {missing} of this program's migrations");
            if owns || facts.superuser {
                findings.warn("schema", found, "`wxpatrol migrate`; each start does it as well");
            } else {
                findings.fault("schema", found, format!("let {owner} run `wxpatrol migrate` with this version"));
            }
            false
        }
        SchemaState::Newer(sentence) => {
            findings.fault("schema", sentence.clone(), "install the newer wxpatrol");
            false
        }
        SchemaState::Closed => {
            let owner = facts.owner.as_deref().unwrap_or("its owner");
            findings.fault(
                "schema",
                format!("{login} may not use the tables of wxpatrol"),
                format!("let {owner} run `wxpatrol migrate --roles`, then `grant wxpatrol_worker to {login}`"),
            );
            false
        }
    };
    if facts.superuser && private {
        findings.ok("role", format!("{login}, the private Postgres's own"));
    } else if facts.superuser {
        let to_do = "a worker needs none of that: `wxpatrol migrate --roles`, then a login in wxpatrol_worker";
        findings.warn("role", format!("{login} may do everything in this server"), to_do);
    } else if owns {
        findings.ok("role", format!("{login} owns the tables; a worker could do with wxpatrol_worker"));
    } else if facts.worker {
        findings.ok("role", format!("{login} is in wxpatrol_worker"));
    } else if ready {
        findings.ok("role", format!("{login} may work"));
    }
    ready
}

async fn examine_processes(store: &Store, findings: &mut Findings) -> Result<(), StoreError> {
    let processes = report::live_processes(store).await?;
    let unattended = processes.iter().filter(|(purpose, _)| purpose == "run").count();
    let mut versions: Vec<&str> = processes.iter().map(|(_, version)| version.as_str()).collect();
    versions.sort_unstable();
    versions.dedup();
    if unattended == 0 {
        findings.warn("processes", "nothing patrols unattended", "start `wxpatrol run`, where that is wanted");
    } else if versions.len() > 1 {
        let found = format!("{} live, of the versions {}", processes.len(), versions.join(", "));
        findings.warn("processes", found, "bring all of them to one version when the deployment is over");
    } else {
        findings.ok("processes", format!("{} live, {unattended} of them unattended", processes.len()));
    }
    Ok(())
}
