//! A database of its own for each test, on one private Postgres that all tests of all processes share.
//!
//! The migrated database is made once for each state of the migrations, as a template; a test gets a copy of it, which
//! is dropped with the value. Used by the integration tests and, through `#[path]`, by the tests inside the library.
//! `TEST_POSTGRES_MAJOR=18` chooses the version; each has its own folder below `target`.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use wxpatrol::{
    private_postgres::{Durability, Options, PrivatePostgres, PrivatePostgresError, Sources, Wanted},
    store::{ANSWER_MAX, Sealer, SealingKey, Store, StoreSettings, migrate},
};

/// The lease of every test's store.
const LEASE: Duration = Duration::from_secs(60);

/// The one server; it ends a moment after the last process that uses it.
fn server() -> &'static PrivatePostgres {
    static SERVER: OnceLock<PrivatePostgres> = OnceLock::new();
    SERVER.get_or_init(|| {
        let major = std::env::var("TEST_POSTGRES_MAJOR").ok();
        let folder = match &major {
            Some(major) => format!("test-postgres-{major}"),
            None => "test-postgres".to_owned(),
        };
        let data_dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target").join(folder);
        let wanted = major.map_or(Wanted::Any, |major| Wanted::Major(major.parse().expect("a version such as 18")));
        let options = Options { durability: Durability::None, sources: Sources::MayInstall, wanted };
        std::fs::create_dir_all(&data_dir).expect("the folder target can be written to");
        let say = |line: &str| eprintln!("{line}");
        match PrivatePostgres::join_or_start(&data_dir, options, &say) {
            // As root the server runs as another user, who may not enter a checkout below somebody's own folder.
            Err(PrivatePostgresError::NotPassable { .. }) => {
                PrivatePostgres::join_or_start(&passable(&data_dir), options, &say)
            }
            started => started,
        }
        .expect("tests need a Postgres")
    })
}

/// A folder for this checkout's tests that everybody may enter.
fn passable(data_dir: &Path) -> PathBuf {
    let digest = Sha256::digest(data_dir.as_os_str().as_encoded_bytes());
    let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let folder = std::env::temp_dir().join(format!("wxpatrol-tests-{name}"));
    std::fs::create_dir_all(&folder).expect("the temporary folder can be written to");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).expect("the folder is ours");
    folder
}

async fn admin() -> PgConnection {
    let server = tokio::task::spawn_blocking(server).await.expect("starting Postgres does not panic");
    PgConnection::connect(&server.url("postgres")).await.expect("the private Postgres answers")
}

async fn run(connection: &mut PgConnection, statement: String) {
    sqlx::query(AssertSqlSafe(statement)).execute(connection).await.expect("the statement is a correct one");
}

fn sealer() -> Sealer {
    Sealer::new(&SealingKey::new(Box::new([7; 32])))
}

async fn connect(url: &str) -> Store {
    let settings = StoreSettings { connections_max: 8, lease: LEASE, answer_max: ANSWER_MAX, purpose: "test" };
    // The product gives up after seconds; a machine that stands still for longer is no fault of it.
    let mut tries = 0;
    loop {
        tries += 1;
        match Store::connect(url, &settings, Some(sealer())).await {
            Ok(store) => return store,
            Err(error) => assert!(tries < 20, "the test's database does not answer: {error}"),
        }
    }
}

/// The migrated database that tests copy, made by whoever comes first.
async fn template(admin: &mut PgConnection) -> String {
    let digest = Sha256::digest(migrate::printed());
    let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let name = format!("template_{name}");
    // The lock is held by the connection, so the death of its holder frees it.
    run(admin, "select pg_advisory_lock(hashtext('template'))".to_owned()).await;
    let there: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(&name)
        .fetch_one(&mut *admin)
        .await
        .expect("the catalog answers");
    if !there {
        let making = format!("{name}_making");
        run(admin, format!("drop database if exists {making} with (force)")).await;
        run(admin, format!("create database {making}")).await;
        let store = connect(&server().url(&making)).await;
        store.migrate().await.expect("the migrations apply");
        store.close().await;
        // Only a whole template has the name that others look for.
        run(admin, format!("alter database {making} rename to {name}")).await;
    }
    run(admin, "select pg_advisory_unlock(hashtext('template'))".to_owned()).await;
    name
}

/// A migrated database of one test.
pub struct TestDatabase {
    /// A store on it.
    pub store: Store,
    /// Plain connections, for what only tests say.
    pub pool: PgPool,
    name: String,
}

impl TestDatabase {
    /// An empty, migrated database.
    pub async fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mut admin = admin().await;
        let template = template(&mut admin).await;
        let name = format!("test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // A process id may come again after a test that was killed.
        run(&mut admin, format!("drop database if exists {name} with (force)")).await;
        run(&mut admin, format!("create database {name} template {template} strategy file_copy")).await;
        let url = server().url(&name);
        let pool = PgPool::connect_lazy(&url).expect("the server's URL is one");
        Self { store: connect(&url).await, pool, name }
    }

    /// The address of the database.
    pub fn url(&self) -> String {
        server().url(&self.name)
    }

    /// Another store on the same database, as a second process would have it.
    pub async fn another_store(&self) -> Store {
        connect(&self.url()).await
    }

    /// Moves the clock that decides.
    pub async fn advance(&self, by: Duration) {
        sqlx::query("update wxpatrol_data.rehearsal_clock set shift = shift + make_interval(secs => $1)")
            .bind(by.as_secs_f64())
            .execute(&self.pool)
            .await
            .expect("there is one clock");
        self.store.read_clock().await.expect("the clock answers");
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let name = std::mem::take(&mut self.name);
        // A thread of its own: the test's runtime cannot be waited on from within.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut admin = admin().await;
                let statement = format!("drop database if exists {name} with (force)");
                sqlx::query(AssertSqlSafe(statement)).execute(&mut admin).await.map_err(std::io::Error::other)
            })
        });
        // A database that stays behind hurts nobody; a panic while a test panics would hide why.
        if !matches!(dropping.join(), Ok(Ok(_))) {
            eprintln!("a test's database could not be dropped");
        }
    }
}
