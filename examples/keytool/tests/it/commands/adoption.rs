//! `keytool adopt`: a table whose columns are in the clear, taken step by step, stopped and begun again, and what is wrong
//! with it told.

use chrono::NaiveDate;
use fieldseal::{Record, Sealed};
use sqlx::types::Text;
use sqlx::{AssertSqlSafe, FromRow, SqlitePool};

use super::app::{database, kill_when};
use super::reseal::sum;
use super::*;

/// As the application has it once its columns are sealed.
#[derive(Debug, Record, FromRow)]
#[record(schema = "person")]
struct Person {
    #[record(id, subject = "customer")]
    id: i64,
    #[record(pad = 32)]
    #[sqlx(rename = "email_sealed")]
    email: Option<Sealed<String>>,
    name: Text<Sealed<String>>,
    #[record(purpose = "billing")]
    #[sqlx(rename = "born_sealed")]
    born: Option<Sealed<NaiveDate>>,
}

const PEOPLE: &str = r#"
database = "sqlite:people.db"
[[table]]
name = "person"
schema = "person"
key = ["id"]
subject = { kind = "customer", column = "id", type = "integer" }
ids = [{ column = "id", type = "integer" }]

[[table.field]]
column = "email_sealed"
field = "email"
type = "text"
pad = 32
from = "email"

[[table.field]]
column = "name"
form = "text"
type = "text"
from = "name"

[[table.field]]
column = "born_sealed"
field = "born"
purpose = "billing"
type = "date"
from = "born"
"#;

/// People 1 to 9 in the clear: 26 values, because the last has no e-mail address.
async fn people() -> Result<(Folder, SqlitePool)> {
    let folder = Folder::new();
    folder.configure(&format!("{CONFIG}{PEOPLE}"));
    let pool = database(&folder.path("people.db")).await?;
    execute(&pool, "CREATE TABLE person (id INTEGER PRIMARY KEY, email TEXT, name TEXT NOT NULL, born TEXT)").await?;
    let people = "WITH RECURSIVE n(id) AS (VALUES (1) UNION ALL SELECT id + 1 FROM n WHERE id < 9)
        INSERT INTO person SELECT id, id || '@example.com', 'fs1.Ada ' || id, '1815-12-10' FROM n;
        UPDATE person SET email = NULL WHERE id = 9";
    execute(&pool, people).await?;
    Ok((folder, pool))
}

async fn execute(pool: &SqlitePool, sql: &str) -> Result {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await?;
    Ok(())
}

async fn in_clear(pool: &SqlitePool) -> Result<i64> {
    Ok(sqlx::query_scalar("SELECT count(email) + count(born) FROM person").fetch_one(pool).await?)
}

/// Nothing that a run says names anybody.
#[track_caller]
fn run(folder: &Folder, args: &[&str]) -> Ran {
    let ran = folder.run(&[&["adopt"], args].concat());
    for secret in ["@example.com", "Ada", "1815"] {
        assert!(!ran.out.contains(secret) && !ran.err.contains(secret), "{ran:?}");
    }
    ran
}

#[track_caller]
fn json(folder: &Folder, args: &[&str], code: i32) -> Value {
    run(folder, &[args, &["--json"]].concat()).exits(code).json()
}

pub(super) async fn a_table_is_adopted_in_four_repeatable_steps() -> Result {
    let (folder, pool) = people().await?;
    run(&folder, &["backfill"]).fails(2, "\"email_sealed\"");
    let added = json(&folder, &["expand"], 0);
    let column = |name: &str| serde_json::json!({ "table": "person", "column": name });
    assert_eq!(added["columns"], serde_json::json!([column("email_sealed"), column("born_sealed")]));
    assert_eq!(json(&folder, &["expand"], 0)["columns"], serde_json::json!([]));

    let looked = json(&folder, &["verify"], 8);
    assert_eq!((sum(&looked, "failed"), sum(&looked, "current")), (26, 0));
    let early = json(&folder, &["contract", "--yes"], 7);
    assert_eq!((sum(&early, "failed"), in_clear(&pool).await?), (26, 17), "nothing goes that isn't sealed");
    let done = json(&folder, &["backfill"], 0);
    assert_eq!((sum(&done, "changed"), sum(&done, "empty"), sum(&done, "failed")), (26, 1, 0));
    assert_eq!(sum(&json(&folder, &["backfill"], 0), "changed"), 0);
    // The application writes meanwhile.
    execute(&pool, "UPDATE person SET email = 'new@example.com' WHERE id = 2").await?;
    let ran = run(&folder, &["verify"]).exits(8);
    assert!(ran.out.contains("person.email_sealed, 1 cell: is another value than the plaintext beside it"), "{ran:?}");
    assert_eq!(sum(&json(&folder, &["backfill"], 0), "changed"), 1);
    run(&folder, &["verify"]).done();

    run(&folder, &["contract"]).fails(3, "Make every plaintext NULL that is sealed beside it?");
    assert_eq!(in_clear(&pool).await?, 17);
    let ran = run(&folder, &["contract", "--yes"]).exits(0);
    assert!(ran.out.contains("docs/jobs.md, \"What stays\""), "{ran:?}");
    assert_eq!(in_clear(&pool).await?, 0);
    assert_eq!(sum(&json(&folder, &["contract", "--yes"], 0), "changed"), 0);
    run(&folder, &["verify"]).done();

    let customers = folder.customers().await?;
    for row in sqlx::query_as::<_, Person>("SELECT * FROM person").fetch_all(&pool).await? {
        let opened = row.open(&customers.keys(&row).await?)?;
        let email = (row.id != 9).then(|| if row.id == 2 { "new".to_owned() } else { row.id.to_string() });
        assert_eq!(opened.email.map(|email| email.expose().clone()), email.map(|name| format!("{name}@example.com")));
        assert_eq!(*opened.name.expose(), format!("fs1.Ada {}", row.id), "text that only looks like an envelope");
        assert_eq!(opened.born.unwrap().expose().to_string(), "1815-12-10");
    }
    // The way back.
    folder.run(&["reveal", "--all", "--output", "people.jsonl"]).exits(0);
    let back = fs::read_to_string(folder.path("people.jsonl"))?;
    assert_eq!((back.matches("@example.com").count(), back.matches("1815-12-10").count()), (8, 9));
    Ok(())
}

pub(super) async fn a_dry_run_of_a_step_changes_nothing() -> Result {
    let (folder, _pool) = people().await?;
    folder.run(&["status"]).done();
    let before = folder.everything().await?;
    let dry = json(&folder, &["expand", "--dry-run"], 0);
    assert_eq!((dry["columns"].as_array().unwrap().len(), &dry["dry_run"]), (2, &true.into()));
    assert_eq!(folder.everything().await?, before);
    run(&folder, &["expand"]).done();
    let before = folder.everything().await?;
    let files = ["--troubles", "list.jsonl", "--checkpoint", "place.json", "--dry-run"];
    assert_eq!(json(&folder, &[&["backfill"][..], &files].concat(), 0)["values"], 26);
    assert_eq!(folder.everything().await?, before, "nobody is enrolled either");
    run(&folder, &["backfill"]).done();
    let before = folder.everything().await?;
    let dry = json(&folder, &[&["contract"][..], &files].concat(), 0);
    assert_eq!((&dry["sealed"], &dry["left"]), (&26.into(), &0.into()));
    let ran = run(&folder, &["contract", "--dry-run"]).done();
    assert!(ran.out.contains("26 values are sealed") && ran.out.ends_with("Nothing was changed.\n"), "{ran:?}");
    assert_eq!(folder.everything().await?, before);
    Ok(())
}

pub(super) async fn a_step_that_was_killed_goes_on_from_its_checkpoint() -> Result {
    let (folder, pool) = people().await?;
    run(&folder, &["expand"]).done();
    let how = ["--batch", "2", "--workers", "1", "--checkpoint", "place.json"];
    for (step, more, changed) in [("backfill", &[][..], 26), ("contract", &["--yes"], 17)] {
        let args = [&["adopt", step][..], &how, more].concat();
        kill_when(&folder, &[&args[..], &["--pause", "600000"]].concat(), "place.json", |text| text.contains(step))?;
        run(&folder, &[&["verify"][..], &how].concat()).fails(2, "is the checkpoint of another job");
        let done = json(&folder, &args[1..], 0);
        assert_eq!((sum(&done, "rows"), sum(&done, "changed")), (9, changed), "{step}: nothing twice");
        assert!(!folder.has("place.json"));
    }
    assert_eq!(in_clear(&pool).await?, 0);
    Ok(())
}

pub(super) async fn the_plaintext_of_the_erased_is_told_and_left_to_be_deleted() -> Result {
    let (folder, pool) = people().await?;
    run(&folder, &["expand"]).done();
    folder.run(&["erase", "customer:3", "--even-if-unknown", "--yes"]).done();
    let done = json(&folder, &["backfill", "--troubles", "list.jsonl"], 7);
    assert_eq!((sum(&done, "changed"), sum(&done, "failed")), (23, 3));
    let list = fs::read_to_string(folder.path("list.jsonl"))?;
    assert_eq!((list.lines().count(), list.matches("\"key\":[3]").count()), (3, 3));
    assert!(!list.contains("@example.com") && !list.contains("Ada"), "{list}");
    let ran = run(&folder, &["verify"]).exits(8);
    assert!(ran.out.contains("was erased: delete it"), "{ran:?}");
    run(&folder, &["contract", "--yes"]).exits(7);
    assert_eq!(in_clear(&pool).await?, 2);
    execute(&pool, "DELETE FROM person WHERE id = 3").await?;
    run(&folder, &["verify"]).done();
    Ok(())
}

pub(super) async fn a_value_of_another_type_stays_and_is_told() -> Result {
    let (folder, pool) = people().await?;
    execute(&pool, "UPDATE person SET born = '10.12.1815' WHERE id = 4").await?;
    run(&folder, &["expand"]).done();
    let ran = run(&folder, &["backfill"]).exits(7);
    assert!(ran.out.contains("person.born_sealed, 1 cell: the plaintext is not a date"), "{ran:?}");
    run(&folder, &["contract", "--yes"]).exits(7);
    let born: String = sqlx::query_scalar("SELECT born FROM person WHERE born NOT NULL").fetch_one(&pool).await?;
    assert_eq!(born, "10.12.1815");
    Ok(())
}

pub(super) async fn a_wrong_configuration_is_named_before_anything_is_done() -> Result {
    let (folder, _pool) = people().await?;
    let before = folder.everything().await?.1;
    let config = format!("{CONFIG}{PEOPLE}");
    for (from, to, says) in [
        ("from = \"email\"", "from = \"mail\"", "has no column \"mail\""),
        ("key = [\"id\"]", "key = [\"number\"]", "has no column \"number\""),
        ("name = \"person\"", "name = \"persons\"", "there is no table \"persons\""),
    ] {
        assert!(config.contains(from));
        folder.configure(&config.replacen(from, to, 1));
        for args in [&["expand"][..], &["expand", "--dry-run"]] {
            run(&folder, args).fails(2, says);
        }
    }
    let without = config.replace("from = ", "# ");
    folder.configure(&without);
    for args in [&["expand"][..], &["backfill"], &["verify"], &["contract", "--yes"]] {
        run(&folder, args).fails(2, "no field of these tables has a `from`");
        run(&folder, &[args, &["--table", "person"]].concat())
            .fails(2, "no field of the table \"person\" has a `from`");
        run(&folder, &[args, &["--table", "nobody"]].concat()).fails(2, "maps no table \"nobody\"");
    }
    folder.configure(&config);
    assert_eq!(folder.everything().await?.1, before);
    // A sealed column that is there already is not to be added where it was mistyped.
    folder.configure(&config.replace("from = \"email\"", ""));
    run(&folder, &["expand"]).fails(2, "has no column \"email_sealed\", and it is none to be added");
    Ok(())
}
