//! Group commit: what several callers write at once goes to the disk in one transaction, with one wait for
//! the disk. Each is answered when its own content is as safe as it asked for.
//!
//! Whoever gets the database first writes what all have queued until then; who comes meanwhile queues, and
//! the next of them writes for those.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use volward_ports::PortResult;

use super::rows::Trouble;

/// How safe a write is when its call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Safety {
    /// It survives the daemon's death, and the node's once anything later is [`Safety::OnDisk`].
    InOrder,
    /// It survives the node's death.
    OnDisk,
}

type Work = dyn Fn(&Connection) -> Result<(), Trouble> + Send;

/// What one caller writes. It may run more than once: where another one's fails, the transaction is rolled
/// back, and each has one of its own.
struct Job {
    safety: Safety,
    run: Box<Work>,
    broken: Box<dyn Fn(Trouble) + Send>,
}

/// The database, and what waits to be written.
pub(super) struct Group {
    connection: Mutex<Connection>,
    queue: Mutex<Vec<Job>>,
}

impl Group {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection: Mutex::new(connection),
            queue: Mutex::default(),
        }
    }

    /// The database, for reading.
    pub(super) fn connection(&self) -> MutexGuard<'_, Connection> {
        unpoisoned(&self.connection)
    }

    /// Writes; `what` says what, for an error.
    pub(super) fn write<T: Send + 'static>(
        &self,
        safety: Safety,
        what: &str,
        work: impl Fn(&Connection) -> Result<T, Trouble> + Send + 'static,
    ) -> PortResult<T> {
        let answer: Arc<Mutex<Option<Result<T, Trouble>>>> = Arc::default();
        let (done, broken) = (Arc::clone(&answer), Arc::clone(&answer));
        let run = move |connection: &Connection| {
            let value = work(connection)?;
            *unpoisoned(&done) = Some(Ok(value));
            Ok(())
        };
        unpoisoned(&self.queue).push(Job {
            safety,
            run: Box::new(run),
            broken: Box::new(move |trouble| *unpoisoned(&broken) = Some(Err(trouble))),
        });
        let mut connection = self.connection();
        if unpoisoned(&answer).is_none() {
            let jobs = std::mem::take(&mut *unpoisoned(&self.queue));
            write_all(&mut connection, &jobs);
        }
        drop(connection);
        // Whoever had it in his group panicked.
        let lost = Err(Trouble::Lost);
        let answer = unpoisoned(&answer).take().unwrap_or(lost);
        answer.map_err(|trouble| trouble.port(what))
    }
}

/// Why a transaction was not committed.
enum Failure {
    /// A job failed; nothing was committed.
    Job(Trouble),
    /// Nobody knows what is on the disk: nothing is written twice.
    Commit(rusqlite::Error),
}

fn write_all(connection: &mut Connection, jobs: &[Job]) {
    match transaction(connection, jobs) {
        Ok(()) => {}
        Err(Failure::Job(trouble)) => match jobs {
            [one] => (one.broken)(trouble),
            several => {
                for job in several.chunks(1) {
                    write_all(connection, job);
                }
            }
        },
        Err(Failure::Commit(error)) => {
            for job in jobs {
                (job.broken)(Trouble::Commit(error.to_string()));
            }
        }
    }
}

fn transaction(connection: &mut Connection, jobs: &[Job]) -> Result<(), Failure> {
    let failed = |error: rusqlite::Error| Failure::Job(error.into());
    let safety = jobs.iter().map(|job| job.safety).max();
    let synchronous = match safety {
        Some(Safety::OnDisk) => "FULL",
        Some(Safety::InOrder) | None => "NORMAL",
    };
    connection
        .pragma_update(None, "synchronous", synchronous)
        .map_err(failed)?;
    let transaction = connection.transaction().map_err(failed)?;
    for job in jobs {
        (job.run)(&transaction).map_err(Failure::Job)?;
    }
    transaction.commit().map_err(Failure::Commit)
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    fn group() -> (tempfile::TempDir, Arc<Group>) {
        let dir = tempfile::tempdir().unwrap();
        let connection = Connection::open(dir.path().join("x.db")).unwrap();
        connection
            .execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY)")
            .unwrap();
        (dir, Arc::new(Group::new(connection)))
    }

    fn insert(group: &Group, n: i64) -> PortResult<usize> {
        group.write(Safety::OnDisk, "writing", move |c| {
            Ok(c.execute("INSERT INTO t VALUES (?1)", [n])?)
        })
    }

    fn numbers(group: &Group) -> Vec<i64> {
        let connection = group.connection();
        let mut statement = connection.prepare("SELECT n FROM t ORDER BY n").unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    /// Eight who come while the database is taken, of whom one fails.
    #[test]
    fn i30_what_waits_is_written_together_and_who_fails_fails_alone() {
        let (_dir, group) = group();
        let transactions = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&transactions);
        group
            .connection()
            .commit_hook(Some(move || {
                counted.fetch_add(1, Ordering::SeqCst);
                false
            }))
            .unwrap();
        insert(&group, 1).unwrap();
        let taken = group.connection();
        let threads: Vec<_> = [1, 2, 3, 4, 5, 6, 7, 8]
            .map(|n| {
                let group = Arc::clone(&group);
                thread::spawn(move || insert(&group, n))
            })
            .into();
        let end = Instant::now() + Duration::from_secs(20);
        while unpoisoned(&group.queue).len() < 8 {
            assert!(Instant::now() < end, "all have queued");
            thread::sleep(Duration::from_millis(1));
        }
        let before = transactions.load(Ordering::SeqCst);
        drop(taken);
        let ends: Vec<bool> = threads
            .into_iter()
            .map(|t| t.join().unwrap().is_ok())
            .collect();
        assert_eq!(ends, [false, true, true, true, true, true, true, true]);
        assert_eq!(numbers(&group), [1, 2, 3, 4, 5, 6, 7, 8]);
        // Each alone, after the one that failed; all together where none does.
        assert_eq!(transactions.load(Ordering::SeqCst) - before, 7);
        let taken = group.connection();
        let threads: Vec<_> = [11, 12, 13, 14]
            .map(|n| {
                let group = Arc::clone(&group);
                thread::spawn(move || insert(&group, n))
            })
            .into();
        while unpoisoned(&group.queue).len() < 4 {
            assert!(Instant::now() < end, "all have queued");
            thread::sleep(Duration::from_millis(1));
        }
        let before = transactions.load(Ordering::SeqCst);
        drop(taken);
        assert!(threads.into_iter().all(|t| t.join().unwrap().is_ok()));
        assert_eq!(transactions.load(Ordering::SeqCst) - before, 1);
    }

    #[test]
    fn i30_where_the_commit_fails_nobody_is_told_that_it_is_written() {
        let (_dir, group) = group();
        group.connection().commit_hook(Some(|| true)).unwrap();
        let error = insert(&group, 1).unwrap_err().to_string();
        assert!(error.contains("writing"), "{error}");
        group
            .connection()
            .commit_hook(None::<fn() -> bool>)
            .unwrap();
        assert!(numbers(&group).is_empty());
        insert(&group, 1).unwrap();
    }
}
