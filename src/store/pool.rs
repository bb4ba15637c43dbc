//! Connections to Postgres that are waited for only so long.
//!
//! A connection can be half open: the other end is gone, or something between is stuck, and nobody says so. A statement on
//! it would wait for ever, and so would the look that the pool takes at each connection that comes back, with its place in
//! the pool. Here every wait has an end; a connection that did not answer is thrown away, never used again.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    time::Duration,
};

use futures_util::{
    StreamExt as _, TryStreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    Describe, Either, Execute, Executor, PgPool, Postgres, SqlSafeStr, SqlStr,
    pool::PoolConnection,
    postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};

/// How long a connection that comes back to the pool may take to show that it still answers.
const RETURN_MAX: Duration = Duration::from_secs(5);

/// The pool of one process. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    inner: PgPool,
    answer_max: Duration,
}

impl Pool {
    /// A pool whose statements may take this long to answer, and this long again between two rows.
    pub(super) fn new(inner: PgPool, answer_max: Duration) -> Self {
        Self { inner, answer_max }
    }

    /// A connection, for several statements in a row.
    pub(super) async fn acquire(&self) -> Result<Connection, sqlx::Error> {
        let live = self.inner.acquire().await?;
        Ok(Connection { live: Some(live), answer_max: self.answer_max, lost: false })
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
    /// It did not answer in time.
    lost: bool,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("lost", &self.lost).finish_non_exhaustive()
    }
}

impl Connection {
    /// Gives the connection back to the pool, after a rollback where a transaction was left open.
    fn give_back(&mut self, open: bool) {
        let Some(mut live) = self.live.take() else { return };
        if self.lost {
            // Its place in the pool is free at once, and closing it waits for nobody.
            drop(live.detach());
            return;
        }
        // Outside of a runtime the pool is gone, too.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(tokio::time::timeout(RETURN_MAX, async move {
            if open && live.execute(include_str!("sql/rollback.sql")).await.is_err() {
                drop(live.detach());
                return;
            }
            // As the pool's own drop does: it asks the connection whether it still answers.
            live.return_to_pool().await;
        }));
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
    lost: &mut bool,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(answer_max, answer).await {
        Ok(answer) => answer,
        Err(_) => {
            *lost = true;
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
        let lost = &mut self.lost;
        let steps = live(&mut self.live).fetch_many(query);
        // Nothing follows a step that did not come.
        let waited = stream::unfold(Some((steps, lost)), move |state| async move {
            let (mut steps, lost) = state?;
            match tokio::time::timeout(answer_max, steps.next()).await {
                Ok(step) => Some((step?, Some((steps, lost)))),
                Err(_) => {
                    *lost = true;
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
        Box::pin(in_time(self.answer_max, &mut self.lost, answer))
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
        Box::pin(in_time(self.answer_max, &mut self.lost, answer))
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        let answer = live(&mut self.live).describe(sql);
        Box::pin(in_time(self.answer_max, &mut self.lost, answer))
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
