//! The application's database on its bad days: not there, not as mapped, locked, read-only, unreachable, full. Each is told
//! with its code, and leaves nothing half done.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::app::{App, assert_tells_nobody};
use super::*;
use crate::folder::TOOL;

pub(super) async fn what_is_not_as_mapped_is_named() -> Result {
    let app = App::new(2).await?;
    let commands = [&["reseal"][..], &["reseal", "--dry-run"], &["census"], &["reveal", "--all", "--output", "x"]];
    for (from, to, says) in [
        ("name = \"customer\"", "name = \"customers\"", "there is no table \"customers\""),
        ("name = \"customer\"", "name = \"other.customer\"", "unknown database 'other'"),
        ("column = \"email\"", "column = \"mail\"", "\"mail\""),
        ("key = [\"id\"]", "key = [\"number\"]", "\"number\""),
        ("clear = [\"plan\"]", "clear = [\"plans\"]", "\"plans\""),
        ("{ column = \"tenant\" }", "{ column = \"tenants\" }", "\"tenants\""),
    ] {
        app.remap(from, to);
        for args in commands {
            app.run(args).fails(2, says);
        }
        assert!(!app.folder.has("x"));
    }
    app.opens().await
}

pub(super) async fn a_map_that_does_not_fit_changes_nothing() -> Result {
    let app = App::new(4).await?;
    app.run(&["status"]).done();
    for (from, to) in [
        ("schema = \"customer\"", "schema = \"client\""),
        ("column = \"email\"", "column = \"email\"\nfield = \"mail\""),
        ("ids = [{ column = \"id\", type = \"uuid\" }]", "unbound = true"),
    ] {
        app.remap(from, to);
        let before = app.folder.everything().await?;
        let ran = app.run(&["reseal", "--table", "customer"]).exits(7);
        assert!(ran.out.contains("customer.email, 4 cells: the envelope does not open here"), "{ran:?}");
        if !to.contains("mail") {
            assert_eq!(app.folder.everything().await?, before);
        }
    }
    app.opens().await
}

pub(super) async fn what_is_no_database_is_left_as_it_is() -> Result {
    let app = App::new(1).await?;
    for (to, code, says) in [
        ("sqlite:none.db", 4, "there is no database at"),
        ("sqlite:letter.db", 8, "no SQLite database, or a damaged one"),
        ("sqlite:.", 2, "the application's database: it can't be opened"),
    ] {
        app.remap("sqlite:app.db", to);
        fs::write(app.folder.path("letter.db"), "This is a letter, and no table at all. ".repeat(100))?;
        for args in
            [&["reseal"][..], &["census"], &["reveal", "customer:nobody"], &["reveal", "--all", "--output", "x"]]
        {
            app.run(args).fails(code, says);
        }
        assert!(!app.folder.has("none.db") && !app.folder.has("x"));
        assert!(fs::read_to_string(app.folder.path("letter.db"))?.starts_with("This is a letter"));
    }
    app.folder.configure(CONFIG);
    app.run(&["census"]).fails(2, "maps no table");
    Ok(())
}

pub(super) async fn a_database_with_a_long_writer_is_told_to_be_busy() -> Result {
    let app = App::new(2).await?;
    let mut other = SqliteConnectOptions::new().filename(app.folder.path("app.db")).connect().await?;
    let turn = other.begin_with("BEGIN IMMEDIATE").await?;
    app.run(&["reseal", "--troubles", "list.jsonl"]).fails(6, "another writer holds the SQLite database for long");
    assert!(!app.folder.has("list.jsonl"), "the next try finds nothing in its way");
    app.json(&["census"], 0);
    turn.rollback().await?;
    app.json(&["reseal", "--troubles", "list.jsonl"], 0);
    app.opens().await
}

/// As somebody to whom modes apply: root may write everywhere.
fn run_unprivileged(folder: &Folder, args: &[&str]) -> Result<Ran> {
    if !is_root()? {
        return Ok(folder.run(args));
    }
    if !folder.has("keytool") {
        fs::copy(TOOL, folder.path("keytool"))?;
    }
    for name in folder.files().iter().map(String::as_str).chain([".", "data/app.db"]) {
        chown(folder.path(name), Some(NOBODY), Some(NOBODY))?;
    }
    let mut command = Command::new(folder.path("keytool"));
    command.args(args).current_dir(&folder.dir).stdin(Stdio::null()).uid(NOBODY).gid(NOBODY);
    Ok(Ran::of(&mut command))
}

/// Who owns what we make is who we are.
fn is_root() -> Result<bool> {
    Ok(fs::metadata(tempfile::tempdir()?.path())?.uid() == 0)
}

const NOBODY: u32 = 65_534;

pub(super) async fn a_database_that_may_only_be_read_is_told_so() -> Result {
    let app = App::new(2).await?;
    app.pool.close().await;
    fs::create_dir(app.folder.path("data"))?;
    fs::rename(app.folder.path("app.db"), app.folder.path("data/app.db"))?;
    app.remap("sqlite:app.db", "sqlite:data/app.db");
    let before = fs::read(app.folder.path("data/app.db"))?;
    let mode = |path: &str, mode| fs::set_permissions(app.folder.path(path), fs::Permissions::from_mode(mode));
    for (file, folder) in [(0o444, 0o755), (0o644, 0o555)] {
        mode("data/app.db", file)?;
        mode("data", folder)?;
        let ran = run_unprivileged(&app.folder, &["reseal"])?.fails(2, "SQLite database can't be");
        assert_tells_nobody(&ran.err);
        run_unprivileged(&app.folder, &["census"])?.done();
        assert_eq!(fs::read(app.folder.path("data/app.db"))?, before);
        mode("data", 0o755)?;
    }
    Ok(())
}

pub(super) async fn a_server_that_is_not_there_is_told_without_its_url() -> Result {
    let app = App::new(1).await?;
    for (url, code, says) in [
        ("postgres://app:hunter2@%2Fno%2Fsuch%2Ffolder/shop", 6, "nobody answers there"),
        ("postgres://app:hunter2@127.0.0.1:1/shop", 6, "nobody answers there"),
        ("postgres://app:hunter2@host:seventeen/shop", 2, "its URL is not one"),
        ("postgres://app:hunter2@host/shop?sslmode=hunter2", 2, "its URL is not one"),
    ] {
        app.remap("sqlite:app.db", url);
        for args in [&["reseal"][..], &["census", "--json"], &["reveal", "customer:nobody"], &["adopt", "verify"]] {
            let ran = app.run(args);
            assert!(!ran.err.contains("hunter2") && !ran.err.contains("app:"), "{ran:?}");
            if !args.contains(&"adopt") {
                assert!(ran.code == code && ran.err.contains(says) && ran.out.is_empty(), "{ran:?}");
            }
        }
    }
    Ok(())
}

/// So many tickets more that can't be read: what is told of them is longer than the database.
async fn with_nonsense(tickets: u32) -> Result<App> {
    let app = App::new(2).await?;
    let many = format!(
        "WITH RECURSIVE n(id) AS (VALUES (10) UNION ALL SELECT id + 1 FROM n WHERE id < {tickets})
         INSERT INTO ticket SELECT n.id, 'default', t.customer, 'x' FROM n, ticket t WHERE t.id = 1"
    );
    app.execute(&many).await?;
    app.run(&["status"]).done();
    Ok(app)
}

pub(super) async fn where_a_list_has_no_room_the_job_stops_and_goes_on_later() -> Result {
    let app = with_nonsense(6000).await?;
    let args = ["reseal", "--workers", "1", "--checkpoint", "place.json", "--troubles", "list.jsonl"];
    let ran = app.folder.run_on_a_full_disk(700, &args).fails(6, "can't write list.jsonl");
    assert_tells_nobody(&ran.err);
    app.opens_but_nonsense().await?;
    let done = app.json(&args, 7);
    assert_eq!((reseal::sum(&done, "failed"), reseal::sum(&done, "rows")), (5991, 5995));
    app.opens_but_nonsense().await
}

pub(super) async fn where_what_is_revealed_has_no_room_it_goes_on_later() -> Result {
    let app = with_nonsense(6000).await?;
    let args = ["reveal", "--all", "--workers", "1", "--output"];
    app.run(&[&args[..], &["whole.jsonl"]].concat()).exits(7);
    let ran = app.folder.run_on_a_full_disk(700, &[&args[..], &["full.jsonl"]].concat());
    assert_tells_nobody(&ran.fails(6, "can't write full.jsonl").err);
    app.run(&[&args[..], &["full.jsonl"]].concat()).exits(7);
    assert_eq!(fs::read(app.folder.path("full.jsonl"))?, fs::read(app.folder.path("whole.jsonl"))?);
    Ok(())
}

pub(super) async fn a_checkpoint_or_census_without_room_leaves_nothing() -> Result {
    let app = App::new(2).await?;
    app.run(&["status"]).done();
    let before = app.folder.everything().await?;
    for args in [
        &["census", "--file", "kept.census"][..],
        &["report"],
        &["reveal", "--all", "--output", "all.jsonl"],
        &["reveal", "customer:00000000-0000-4000-8000-000000000001", "--output", "one.json"],
    ] {
        let ran = app.folder.run_on_a_full_disk(0, args).exits(6);
        assert!(ran.out.is_empty() && ran.err.starts_with("error: can't write "), "{ran:?}");
        assert_eq!(app.folder.everything().await?, before, "{args:?}");
    }
    Ok(())
}
