//! `keytool census`: which keys the tables name, kept, merged, and taken at its word by `--retire`.

use fieldseal::Error;

use super::app::{App, Customer, assert_tells_nobody, person, subject};
use super::*;

/// Table, purpose, how the key stands, version, values.
fn figures(census: &Value) -> Vec<(&str, &str, &str, Option<u64>, u64)> {
    let text = |version: &'static str| move |v: &'_ Value| v[version].as_str().unwrap().to_owned().leak() as &str;
    let versions = census["versions"].as_array().unwrap();
    versions
        .iter()
        .map(|v| {
            (text("table")(v), text("purpose")(v), text("key")(v), v["version"].as_u64(), v["values"].as_u64().unwrap())
        })
        .collect()
}

pub(super) async fn every_value_is_counted_by_how_its_key_stands() -> Result {
    let app = App::new(5).await?;
    app.run(&["reseal", "--table", "customer"]).done();
    let before = app.folder.everything().await?;
    let census = app.json(&["census"], 0);
    let expected = [
        ("customer", "billing", "current", Some(2), 3),
        ("customer", "default", "current", Some(2), 5),
        ("ticket", "default", "older", Some(1), 5),
    ];
    assert_eq!(figures(&census), expected);
    assert_eq!((&census["rows"], &census["empty"], &census["lost_keys"]), (&10.into(), &2.into(), &0.into()));
    let ran = app.run(&["census", "--batch", "1", "--workers", "3"]).done();
    assert!(ran.out.contains("5 values under an older key: `keytool reseal`"), "{ran:?}");
    assert!(ran.out.contains("10 rows counted, 2 cells empty."), "{ran:?}");
    assert_eq!(app.folder.everything().await?, before, "it reads");
    Ok(())
}

pub(super) async fn a_census_that_was_killed_goes_on_and_is_as_one_that_was_not() -> Result {
    let app = App::new(9).await?;
    let whole = app.json(&["census"], 0);
    let args = ["census", "--file", "kept.census", "--batch", "2", "--workers", "1"];
    app.kill_behind_the_first_page(&args, "kept.census", |text| text.contains("end "))?;
    assert_eq!(app.folder.mode("kept.census"), 0o600);
    let kept = fs::read(app.folder.path("kept.census"))?;
    let census = app.json(&args, 0);
    assert_eq!(census["versions"], whole["versions"]);
    assert_eq!((&census["rows"], &census["empty"]), (&whole["rows"], &whole["empty"]));
    assert_ne!(fs::read(app.folder.path("kept.census"))?, kept);

    // One that is complete is told again, as of its time.
    let again = app.run(&args).done();
    assert!(again.out.contains("It was complete before: to count anew, remove kept.census."), "{again:?}");
    assert_eq!(app.json(&args, 0)["started_at"], census["started_at"]);

    app.remap("clear = [\"plan\"]", "clear = []");
    app.run(&args).fails(2, "when it was mapped otherwise: begin a new census");
    app.remap("clear", "clear");
    app.run(&[&args[..], &["--shard", "1/2"]].concat()).fails(2, "in another number of shards");
    let text = fs::read_to_string(app.folder.path("kept.census"))?;
    for damaged in ["", &text[..text.len() / 2], &text.replacen("older", "newer", 1)] {
        fs::write(app.folder.path("kept.census"), damaged)?;
        app.run(&args).fails(2, "kept.census is no census, or not a whole one");
        assert_eq!(fs::read_to_string(app.folder.path("kept.census"))?, damaged);
    }
    Ok(())
}

pub(super) async fn the_parts_are_put_together() -> Result {
    let app = App::new(9).await?;
    let whole = app.json(&["census"], 0);
    for (part, file) in [("1/3", "a"), ("2/3", "b")] {
        app.run(&["census", "--shard", part, "--file", file]).done();
    }
    app.run(&["census", "--shard", "3/3", "--merge", "nothing"]).fails(4, "there is no census at nothing");
    app.run(&["census", "--shard", "3/3", "--retire", "1d", "--yes"]).fails(2, "was not counted to its end");
    let sum = app.json(&["census", "--shard", "3/3", "--file", "c", "--merge", "a", "--merge", "b"], 0);
    assert_eq!(sum["versions"], whole["versions"]);
    assert_eq!((&sum["rows"], &sum["empty"]), (&whole["rows"], &whole["empty"]));
    let ran = app.run(&["census", "--shard", "3/3", "--file", "c"]).done();
    assert!(ran.out.contains("It was complete before"), "{ran:?}");
    app.run(&["census", "--shard", "3/3", "--file", "c", "--merge", "a"]).fails(2, "counted the same shard");
    Ok(())
}

pub(super) async fn what_names_a_key_that_nobody_has_is_told() -> Result {
    let app = App::new(3).await?;
    app.folder.backup("backup.db").await?;
    let vault = app.folder.vault().await?;
    app.insert(&vault, 5).await?;
    drop(vault);
    app.json(&["census"], 0);
    app.folder.restore("backup.db")?;
    let census = app.json(&["census", "--troubles", "list.jsonl"], 8);
    assert_eq!(census["lost_keys"], 2, "of two purposes");
    assert_eq!(figures(&census).into_iter().filter(|figure| figure.2 == "not-held").map(|f| f.4).sum::<u64>(), 3);
    let list = fs::read_to_string(app.folder.path("list.jsonl"))?;
    assert_eq!(list.matches("names a key that nobody has").count(), 3);
    let ran = app.run(&["census"]).exits(8);
    assert!(ran.out.contains("2 keys nobody has, named by 3 values: docs/restore.md"), "{ran:?}");
    // What can be resealed is.
    let done = app.json(&["reseal"], 7);
    assert_eq!((reseal::sum(&done, "not_held"), reseal::sum(&done, "changed")), (3, 8));
    Ok(())
}

/// A row as it was before its value was resealed, put back.
async fn put_back(app: &App, old: &Customer) -> Result {
    sqlx::query("UPDATE customer SET email = ? WHERE id = ?").bind(&old.email).bind(old.id).execute(&app.pool).await?;
    Ok(())
}

pub(super) async fn versions_that_nothing_names_are_retired_when_it_is_confirmed() -> Result {
    let app = App::new(4).await?;
    let old: Customer =
        sqlx::query_as("SELECT * FROM customer WHERE id = ?").bind(person(1)).fetch_one(&app.pool).await?;
    let retire = ["census", "--retire", "5d"];
    let retired = app.json(&[&retire[..], &["--yes"]].concat(), 0);
    // Those of customers that are tenants' of acme too have a purpose there that nothing names.
    assert_eq!(retired["retired"]["versions"], 4, "acme's billing keys, and the default tenant's of even numbers");
    app.opens().await?;

    app.run(&["reseal"]).done();
    app.run(&["status"]).done();
    let before = app.folder.everything().await?;
    app.run(&retire).fails(3, "Destroy 8 key versions of 6 subjects?");
    app.run(&[&retire[..], &["--yes", "--table", "customer"]].concat()).fails(2, "leave --table out with --retire");
    for (grace, why) in [("5", "a duration is"), ("-1d", "unexpected argument")] {
        assert!(app.run(&["census", "--retire", grace]).exits(2).err.contains(why));
    }
    let dry = app.json(&[&retire[..], &["--dry-run", "--file", "new.census", "--troubles", "list"]].concat(), 0);
    assert_eq!((&dry["retired"]["versions"], &dry["retired"]["dry_run"]), (&8.into(), &true.into()));
    let ran = app.run(&[&retire[..], &["--dry-run"]].concat()).done();
    assert!(ran.out.contains("would be 8 key versions of 6 subjects. Nothing was changed."), "{ran:?}");
    let young = app.run(&["census", "--retire", "10d", "--yes"]).done();
    assert!(young.out.contains("nothing: no version is unnamed for long enough"), "{young:?}");
    let no = app.folder.run_on_a_terminal(&retire, "no\n").exits(3);
    assert!(no.out.contains("Type yes to go on:"), "{no:?}");
    assert_eq!(app.folder.everything().await?, before);

    let yes = app.folder.run_on_a_terminal(&retire, "yes\n").exits(0);
    assert!(yes.out.contains("8 key versions of 6 subjects"), "{yes:?}");
    app.opens().await?;
    let again = app.json(&[&retire[..], &["--yes"]].concat(), 0);
    assert_eq!(again["retired"]["versions"], 0);
    put_back(&app, &old).await?;
    let keys = app.folder.customers().await?.keys(&subject(1)).await?;
    assert!(matches!(
        keys.open(&old, Customer::EMAIL).map_err(Error::without_field),
        Err(Error::Authentication | Error::KeyNotHeld)
    ));
    let census = app.run(&["census"]).exits(8);
    assert!(census.out.contains("1 key nobody has"), "{census:?}");
    assert_tells_nobody(&census.out);
    Ok(())
}

pub(super) async fn a_census_that_could_not_read_all_retires_nothing() -> Result {
    let app = App::new(3).await?;
    app.run(&["status"]).done();
    let before = app.folder.everything().await?;
    // Mapped in the wrong form, no cell of it names anything.
    app.remap("form = \"text\"", "form = \"bytes\"");
    app.run(&["census", "--retire", "1d", "--yes"]).fails(2, "the census could not read all cells");
    assert_eq!(app.json(&["census"], 7)["failed"], 3);
    app.remap("form", "form");
    assert_eq!(app.folder.everything().await?, before);
    app.opens().await
}
