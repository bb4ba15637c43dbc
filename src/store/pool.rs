//! Connections to Postgres that are waited for only so long.
//!
//! A connection can be half open: the other end is gone, or something between is stuck, and nobody says so. A statement on
//! it would wait for ever, and so would the look that the pool takes at each connection that comes back, with its place in
//! the pool. Here every wait has an end; a connection that did not answer is thrown away, never used again.
//!
//! A session can also be one that only reads: opened while its Postgres was a replica, or read-only. It would stay so for as
//! long as it lives, so none that may be such a one is used again.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{
    StreamExt as _, TryStreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    Describe, Either, Execute, Executor, PgPool, Postgres, SqlSafeStr, SqlStr,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};
use tokio::time::timeout;

/// What Postgres answers to a statement that wants to write where nothing can be written.
pub(super) const READ_ONLY: &str = "25006";
/// How long a connection that comes back to the pool may take to show that it still answers.
const RETURN_MAX: Duration = Duration::from_secs(5);
/// How long a connection to get out of the pool is waited for.
const ACQUIRE_MAX: Duration = Duration::from_secs(5);
/// A session that is no older than this is not replaced: a newer one would read only as well, and opening one costs Postgres a
/// process.
const REPLACED_MIN: Duration = Duration::from_secs(1);

/// When a session was last found to be read-only. Those that were opened before then are suspects, all of them: what they
/// were opened on is what that one was opened on.
#[derive(Debug, Clone, Default)]
struct ReadOnly {
    found_at: Arc<Mutex<Option<Instant>>>,
}

impl ReadOnly {
    fn found(&self) {
        *self.found_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Looks for what Postgres says of a statement that wants to write.
    fn note(&self, error: &sqlx::Error) {
        if error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == READ_ONLY) {
            self.found();
        }
    }

    /// Whether a session of this age is to be closed and not used again.
    fn suspects(&self, age: Duration) -> bool {
        let found_at = *self.found_at.lock().unwrap_or_else(PoisonError::into_inner);
        age >= REPLACED_MIN && found_at.is_some_and(|found_at| age >= found_at.elapsed())
    }
}

/// The pool of one process. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    inner: PgPool,
    answer_max: Duration,
    read_only: ReadOnly,
}

impl Pool {
    /// A pool of so many connections, opened when they are wanted, whose statements may take this long to answer, and this
    /// long again between two rows.
    pub(super) fn new(options: PgConnectOptions, connections_max: u32, answer_max: Duration) -> Self {
        let read_only = ReadOnly::default();
        let found = read_only.clone();
        let inner = PgPoolOptions::new()
            .max_connections(connections_max)
            .acquire_timeout(ACQUIRE_MAX)
            .before_acquire(move |_, session| {
                let good = !found.suspects(session.age);
                Box::pin(async move { Ok(good) })
            })
            .connect_lazy_with(options);
        Self { inner, answer_max, read_only }
    }

    /// A connection, for several statements in a row.
    pub(super) async fn acquire(&self) -> Result<Connection, sqlx::Error> {
        let live = self.inner.acquire().await?;
        let read_only = self.read_only.clone();
        Ok(Connection { live: Some(live), answer_max: self.answer_max, health: Health { lost: false, read_only } })
    }

    /// A session was found to be one that only reads: neither it nor any that is as old is used again.
    pub(super) fn found_read_only(&self) {
        self.read_only.found();
    }

    /// A connection whose statements may take any time: for migrations.
    pub(super) async fn acquire_unbounded(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        self.inner.acquire().await
    }

    pub(super) async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        self.begin_with(include_str!("sql/begin.sql")).await
    }

    /// A transaction that begins with these commands.
    pub(super) async fn begin_with(&self, commands: impl SqlSafeStr) -> Result<Transaction, sqlx::Error> {
        // Open from the first word on: what is dropped half begun is rolled back.
        let mut transaction = Transaction { connection: self.acquire().await?, open: true };
        transaction.execute(commands.into_sql_str()).await?;
        Ok(transaction)
    }

    /// Closes the pool after the statements under way.
    pub(super) async fn close(&self) {
        self.inner.close().await;
    }
}

/// A connection out of the pool; it goes back when it is dropped, unless it did not answer.
pub(super) struct Connection {
    /// `None` only while it is dropped.
    live: Option<PoolConnection<Postgres>>,
    answer_max: Duration,
    health: Health,
}

/// What was learnt of a connection while it was used.
struct Health {
    /// It did not answer in time.
    lost: bool,
    read_only: ReadOnly,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("lost", &self.health.lost).finish_non_exhaustive()
    }
}

impl Connection {
    /// Gives the connection back to the pool, after a rollback where a transaction was left open.
    fn give_back(&mut self, open: bool) {
        let Some(mut live) = self.live.take() else { return };
        if self.health.lost {
            // Its place in the pool is free at once, and closing it waits for nobody.
            drop(live.detach());
            return;
        }
        // Outside of a runtime the pool is gone, too.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            if open {
                let rollback = live.execute(include_str!("sql/rollback.sql"));
                if !matches!(timeout(RETURN_MAX, rollback).await, Ok(Ok(_))) {
                    // Dropped as it is, it would keep its place in the pool for as long as it does not answer.
                    drop(live.detach());
                    return;
                }
            }
            // As the pool's own drop does: it asks the connection whether it still answers.
            timeout(RETURN_MAX, live.return_to_pool()).await.ok();
        });
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.give_back(false);
    }
}

fn live(connection: &mut Option<PoolConnection<Postgres>>) -> &mut sqlx::PgConnection {
    connection.as_mut().expect("only drop takes it")
}

fn no_answer(answer_max: Duration) -> sqlx::Error {
    let text = format!("no answer for {} s", answer_max.as_secs_f64());
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, text))
}

async fn in_time<T>(
    answer_max: Duration,
    health: &mut Health,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match timeout(answer_max, answer).await {
        Ok(answer) => answer.inspect_err(|error| health.read_only.note(error)),
        Err(_) => {
            health.lost = true;
            Err(no_answer(answer_max))
        }
    }
}

/// A transaction; rolled back when it is dropped without a word.
#[derive(Debug)]
pub(super) struct Transaction {
    connection: Connection,
    open: bool,
}

impl Transaction {
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.execute(include_str!("sql/commit.sql")).await?;
        self.open = false;
        Ok(())
    }

    pub(super) async fn rollback(mut self) -> Result<(), sqlx::Error> {
        self.execute(include_str!("sql/rollback.sql")).await?;
        self.open = false;
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.connection.give_back(self.open);
    }
}

impl Deref for Transaction {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// What a statement answers, step by step.
type Step = Either<PgQueryResult, PgRow>;

impl<'c> Executor<'c> for &'c mut Connection {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let answer_max = self.answer_max;
        let health = &mut self.health;
        let steps = live(&mut self.live).fetch_many(query);
        // Nothing follows a step that did not come.
        let waited = stream::unfold(Some((steps, health)), move |state| async move {
            let (mut steps, health) = state?;
            match timeout(answer_max, steps.next()).await {
                Ok(step) => {
                    let step = step?.inspect_err(|error| health.read_only.note(error));
                    Some((step, Some((steps, health))))
                }
                Err(_) => {
                    health.lost = true;
                    Some((Err(no_answer(answer_max)), None))
                }
            }
        });
        waited.boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let answer = live(&mut self.live).fetch_optional(query);
        Box::pin(in_time(self.answer_max, &mut self.health, answer))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        let answer = live(&mut self.live).prepare_with(sql, parameters);
        Box::pin(in_time(self.answer_max, &mut self.health, answer))
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        let answer = live(&mut self.live).describe(sql);
        Box::pin(in_time(self.answer_max, &mut self.health, answer))
    }
}

impl<'p> Executor<'p> for &Pool {
    type Database = Postgres;

    /// Gathers all steps before the first is handed on: the connection is free for others while they are read.
    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        let gathered = async move {
            let mut connection = pool.acquire().await?;
            let steps: Vec<Step> = connection.fetch_many(query).try_collect().await?;
            Ok::<_, sqlx::Error>(stream::iter(steps).map(Ok))
        };
        stream::once(gathered).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        Box::pin(async move { pool.acquire().await?.fetch_optional(query).await })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        Box::pin(async move { pool.acquire().await?.prepare_with(sql, parameters).await })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        Box::pin(async move { pool.acquire().await?.describe(sql).await })
    }
}
