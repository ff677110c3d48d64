//! A server that is killed while a process puts: what the process was told has landed is there.

use std::process::Stdio;
use std::time::Duration;

use fieldseal::TenantId;
use fieldseal::store::{Expected, KeyStore as _, Loaded, SlotId, Tag};
use fieldseal_sqlx::PostgresStore;
use fieldseal_testkit::slot::SampleSlot;
use fleet_tests::harness::Completion;
use fleet_tests::postgres::{Server, Which};
use fleet_tests::process::Process;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::made;
use crate::postgres::pool;

/// Each of a few writers replaces its own slot again and again, and says so each time that it was confirmed.
pub(super) async fn nothing_that_was_confirmed_is_lost(which: Which) -> Completion {
    let Some(mut server) = Server::start_with(which, &["max_wal_size=32MB"]).await else {
        return Completion::ignored_with("PostgreSQL is not installed");
    };
    let database = server.database().await;
    made(&pool(database.clone()).await).await;
    let task = format!("postgres {} {}", server.dir().display(), database.get_database().unwrap());
    for round in 0..3_u64 {
        let mut child = Process::start(&format!("{task} {round}"), Stdio::null()).unwrap();
        let mut confirmed = [None; WRITERS];
        let mut lines = 0;
        while let Some(line) = child.line().unwrap() {
            let (writer, content) = line.split_once(' ').unwrap();
            confirmed[writer.parse::<usize>().unwrap()] = Some(content.parse::<u64>().unwrap());
            lines += 1;
            if lines == 40 + round * 25 {
                server.kill();
            }
        }
        assert!(lines >= 40, "the child ended early");
        server.restart().await;
        let store = PostgresStore::new(pool(database.clone()).await).await.unwrap();
        for (writer, confirmed) in (0..).zip(confirmed) {
            let Some(confirmed) = confirmed else { continue };
            let found = store.load(&[slot(round, writer, 0).id().clone()]).await.unwrap().remove(0);
            // The next one may have landed too, before its writer was told.
            let is_there = |content| found == Loaded::Slot(slot(round, writer, content));
            assert!(is_there(confirmed) || is_there(confirmed + 1), "what was confirmed to writer {writer} is lost");
        }
    }
    Completion::Completed
}

#[expect(clippy::print_stdout, reason = "what the parent reads")]
pub(crate) async fn child(task: &str) {
    let mut words = task.split(' ');
    let mut word = || words.next().unwrap();
    let (socket, database, round) = (word(), word(), word().parse::<u64>().unwrap());
    let options =
        PgConnectOptions::new_without_pgpass().socket(socket).port(5432).username("postgres").database(database);
    {
        // A put that gets a connection of the killed server's fails, and doesn't wait for another.
        let pool = PgPoolOptions::new().acquire_timeout(Duration::from_secs(10)).test_before_acquire(false);
        let pool = pool.connect_with(options).await.unwrap();
        let store = PostgresStore::new(pool).await.unwrap();
        let writers = (0..WRITERS as u8).map(async |writer| {
            let mut expected = Expected::Absent;
            for content in 0.. {
                let next = slot(round, writer, content);
                if store.put(&next, expected).await.is_err() {
                    return;
                }
                println!("{writer} {content}");
                expected = Expected::Revision(next.revision());
            }
        });
        futures_util::future::join_all(writers).await;
    }
}

fn slot(round: u64, writer: u8, content: u64) -> fieldseal::store::StoredSlot {
    let tag = Tag::from_bytes([writer; 16]);
    let tenant = TenantId::new(format!("round {round}")).unwrap();
    SampleSlot::new(SlotId::Subject(tenant, tag)).len(3000).content(content).build()
}

const WRITERS: usize = 4;
