//! Reads the sources and fails on what the layers forbid: an arrow that points up, SQL or sockets outside their home, a
//! file that nothing declares, a file that wants splitting.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Who may name whom, from the words up. Every module outside this list is the edge, which may name all but the app.
const ARROWS: [(&str, &[&str]); 8] = [
    ("domain", &[]),
    ("wechat", &["domain"]),
    ("store", &["domain"]),
    ("checks", &["domain", "wechat"]),
    ("patrol", &["checks", "domain", "store", "wechat"]),
    ("ops", &["domain", "store"]),
    ("private_postgres", &[]),
    ("simulate", &[]),
];

/// What checks may know of `wechat`: questions and answers, never the wire.
const QUESTIONS: [&str; 3] = ["LinkAnswer", "Reply", "Request"];

/// The longest file, its tests apart.
const LINES_MAX: usize = 400;

/// A source file of the product.
struct Source {
    /// Below `src`.
    path: PathBuf,
    /// Without comments, and without the tests at its foot.
    code: String,
    /// Lines down to its tests.
    lines: usize,
}

impl Source {
    fn module(&self) -> &str {
        self.path.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs")
    }

    fn is_in(&self, homes: &[&str]) -> bool {
        homes.iter().any(|home| self.path.starts_with(home) || self.path == Path::new(&format!("{home}.rs")))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The modules that a file declares, with the attributes before each: where they lie, and whether they are tests.
fn declared(file: &Path, text: &str) -> Vec<(PathBuf, bool)> {
    let stem = file.file_stem().unwrap().to_str().unwrap();
    let here = file.parent().unwrap();
    let folder = if ["lib", "main", "mod"].contains(&stem) { here.to_owned() } else { here.join(stem) };
    let mut found = Vec::new();
    let (mut test, mut path) = (false, None);
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            test |= line == "#[cfg(test)]";
            path =
                path.or_else(|| line.strip_prefix("#[path = \"").map(|rest| here.join(rest.trim_end_matches("\"]"))));
            continue;
        }
        let words: Vec<&str> = line.trim_end_matches(';').split_whitespace().collect();
        if line.ends_with(';')
            && let [.., "mod", name] = words[..]
        {
            let beside = folder.join(format!("{name}.rs"));
            let below = folder.join(name).join("mod.rs");
            let usual = if beside.exists() { beside } else { below };
            found.push((path.take().unwrap_or(usual), test));
        }
        (test, path) = (false, None);
    }
    found
}

/// Every file that is reachable from `lib.rs` and `main.rs`, and whether it is a test.
fn reachable() -> BTreeMap<PathBuf, bool> {
    let mut known = BTreeMap::new();
    let mut open = vec![(root().join("lib.rs"), false), (root().join("main.rs"), false)];
    while let Some((file, test)) = open.pop() {
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let below = declared(&file, &text).into_iter().map(|(below, its_own)| (below, test || its_own));
        open.extend(below);
        known.insert(file, test);
    }
    known
}

fn sources() -> Vec<Source> {
    let product = reachable().into_iter().filter(|(path, test)| !test && path.starts_with(root()));
    product
        .map(|(path, _)| {
            let text = fs::read_to_string(&path).unwrap();
            let foot = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
            let code = text[..foot].lines().filter(|line| !line.trim_start().starts_with("//"));
            Source {
                code: code.collect::<Vec<_>>().join("\n"),
                lines: text[..foot].lines().count(),
                path: path.strip_prefix(root()).unwrap().to_owned(),
            }
        })
        .collect()
}

/// The paths after each `crate::`, its groups spread out: `a::b` for `crate::{a::b, c}`.
fn named(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        spread("", &code[at + "crate::".len()..], &mut found);
    }
    found
}

/// Reads one path, or a group of paths, behind `prefix`; answers how much it read.
fn spread(prefix: &str, text: &str, found: &mut BTreeSet<String>) -> usize {
    let end = text.find(|letter: char| !(letter.is_alphanumeric() || letter == '_' || letter == ':'));
    let end = end.unwrap_or(text.len());
    let path = format!("{prefix}{}", &text[..end]);
    if !text[end..].starts_with('{') {
        found.insert(path);
        return end;
    }
    let mut at = end + 1;
    loop {
        at += text[at..].find(|letter: char| !letter.is_whitespace() && letter != ',').unwrap_or(0);
        if text[at..].starts_with('}') || at >= text.len() {
            return at + 1;
        }
        let read = spread(&path, &text[at..], found);
        at += read.max(1);
        // A new name: `a as b`.
        if text[at..].trim_start().starts_with("as ") {
            at += text[at..].find([',', '}']).unwrap_or(0);
        }
    }
}

/// The files outside their homes that hold one of these words.
fn strays(words: &[&str], homes: &[&str]) -> Vec<String> {
    let holds = |source: &Source| words.iter().find(|word| source.code.contains(**word)).copied();
    let strays = sources().into_iter().filter(|source| !source.is_in(homes));
    strays.filter_map(|source| Some(format!("{}: {}", source.path.display(), holds(&source)?))).collect()
}

#[test]
fn no_arrow_points_up() {
    let sources = sources();
    let modules: BTreeSet<&str> = sources.iter().map(Source::module).collect();
    let mut forbidden = Vec::new();
    for source in &sources {
        let module = source.module();
        let allowed = ARROWS.iter().find(|(name, _)| *name == module).map(|(_, allowed)| *allowed);
        for path in named(&source.code) {
            let target = path.split("::").next().unwrap();
            if target == module || !modules.contains(target) || module == "lib" {
                continue;
            }
            let fine = match allowed {
                Some(allowed) => allowed.contains(&target),
                None => target != "app" || module == "main",
            };
            if !fine {
                forbidden.push(format!("{} names {path}", source.path.display()));
            }
        }
    }
    assert!(forbidden.is_empty(), "{forbidden:#?}");
}

#[test]
fn checks_know_questions_and_answers_but_not_the_wire() {
    let checks = sources().into_iter().filter(|source| source.module() == "checks");
    let strange: Vec<String> = checks
        .flat_map(|source| named(&source.code))
        .filter_map(|path| path.strip_prefix("wechat::").map(str::to_owned))
        .filter(|name| !QUESTIONS.contains(&name.split("::").next().unwrap()))
        .collect();
    assert!(strange.is_empty(), "{strange:?}");
}

#[test]
fn sql_stands_in_the_store_and_in_migrations_alone() {
    let strays = strays(&["sqlx::", "PgPool", "PgConnection"], &["store"]);
    assert!(strays.is_empty(), "{strays:#?}");
    let statements = files(&root(), "sql").into_iter().filter(|path| !path.starts_with(root().join("store/sql")));
    assert_eq!(statements.collect::<Vec<_>>(), Vec::<PathBuf>::new());
}

#[test]
fn every_statement_s_file_is_used_and_begins_with_its_name() {
    let store: String =
        sources().into_iter().filter(|source| source.module() == "store").map(|source| source.code).collect();
    for path in files(&root().join("store/sql"), "sql") {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(store.contains(&format!("sql/{name}\"")), "{name} is dead");
        let first = fs::read_to_string(&path).unwrap().lines().next().unwrap_or_default().to_owned();
        assert!(first.starts_with(&format!("-- {name}: ")), "{name} begins with {first:?}");
    }
}

#[test]
fn only_wechat_makes_requests() {
    let strays = strays(&["reqwest"], &["wechat"]);
    assert!(strays.is_empty(), "{strays:#?}");
}

#[test]
fn only_the_servers_and_what_stands_beside_the_product_hold_sockets() {
    let words = ["TcpListener", "TcpStream", "TcpSocket", "UnixListener", "UnixStream", "axum", "hyper_util"];
    let homes = ["serving", "app/status_server", "receiver/server", "simulate", "private_postgres"];
    let strays = strays(&words, &homes);
    assert!(strays.is_empty(), "{strays:#?}");
}

#[test]
fn only_the_configuration_reads_the_environment() {
    let words = ["env::var(", "env::var_os(", "env::vars(", "env::vars_os("];
    let strays = strays(&words, &["config", "private_postgres"]);
    assert!(strays.is_empty(), "{strays:#?}");
}

#[test]
fn no_file_is_dead() {
    let reachable = reachable();
    let dead: Vec<PathBuf> = files(&root(), "rs").into_iter().filter(|path| !reachable.contains_key(path)).collect();
    assert!(dead.is_empty(), "nothing declares {dead:#?}");
}

#[test]
fn no_file_is_too_long_to_read() {
    let long = sources().into_iter().filter(|source| source.lines > LINES_MAX);
    let long: Vec<String> = long.map(|source| format!("{}: {}", source.path.display(), source.lines)).collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn every_file_says_what_it_is() {
    let silent = sources().into_iter().map(|source| source.path);
    let silent: Vec<PathBuf> =
        silent.filter(|path| !fs::read_to_string(root().join(path)).unwrap().starts_with("//!")).collect();
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn groups_of_names_are_spread_out() {
    let code = "use crate::{a::B, c::{self, D as E}, f};\nlet g = crate::h::i();";
    let expected = ["a::B", "c::D", "c::self", "f", "h::i"].map(str::to_owned);
    assert_eq!(named(code), BTreeSet::from(expected));
}
