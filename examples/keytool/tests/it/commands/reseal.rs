//! `keytool reseal`: every value moves to its subject's current key, however the work is divided, stopped and begun again.

use super::app::{App, assert_tells_nobody};
use super::*;

/// What the tables of a document come to, all together.
pub(crate) fn sum(document: &Value, number: &str) -> u64 {
    document["tables"].as_array().unwrap().iter().map(|table| table[number].as_u64().unwrap()).sum()
}

pub(super) async fn values_move_to_the_current_key_and_open_as_before() -> Result {
    let app = App::new(7).await?;
    let done = app.json(&["reseal"], 0);
    let numbers = |table: &Value| {
        ["rows", "rows_changed", "changed", "current", "empty", "failed"].map(|name| table[name].as_u64().unwrap())
    };
    assert_eq!((&done["tables"][0]["table"], numbers(&done["tables"][0])), (&"customer".into(), [7, 7, 11, 0, 3, 0]));
    assert_eq!((&done["tables"][1]["table"], numbers(&done["tables"][1])), (&"ticket".into(), [7, 7, 7, 0, 0, 0]));
    assert_eq!(done["troubles"], serde_json::json!([]));
    app.opens().await?;
    let before = app.folder.everything().await?;
    let again = app.json(&["reseal"], 0);
    assert_eq!((sum(&again, "changed"), sum(&again, "current")), (0, 18));
    assert_eq!(app.folder.everything().await?, before, "what is under the current key is left");
    let text = app.run(&["reseal"]).done().out;
    assert!(text.contains("resealed") && text.contains("customer") && !text.contains("To be looked at"), "{text}");
    Ok(())
}

pub(super) async fn it_is_done_with_the_tables_that_are_named() -> Result {
    let app = App::new(3).await?;
    let done = app.json(&["reseal", "--table", "ticket"], 0);
    assert_eq!((done["tables"].as_array().unwrap().len(), sum(&done, "changed")), (1, 3));
    let done = app.json(&["reseal", "--table", "ticket", "--table", "customer", "--table", "ticket"], 0);
    assert_eq!((done["tables"].as_array().unwrap().len(), sum(&done, "changed")), (2, 5));
    app.run(&["reseal", "--table", "nobody"]).fails(2, "maps no table \"nobody\"");
    app.folder.configure(CONFIG);
    app.run(&["reseal"]).fails(2, "maps no table: write a [[table]]");
    app.opens().await
}

pub(super) async fn however_the_work_is_divided_it_comes_to_the_same() -> Result {
    for (batch, workers) in [("1", "1"), ("1", "64"), ("3", "4"), ("10000", "2")] {
        let app = App::new(9).await?;
        let done = app.json(&["reseal", "--batch", batch, "--workers", workers], 0);
        assert_eq!((sum(&done, "rows"), sum(&done, "changed"), sum(&done, "empty")), (18, 23, 4));
        app.opens().await?;
    }
    let app = App::new(9).await?;
    let (mut rows, mut changed) = (0, 0);
    for part in ["1/3", "2/3", "3/3"] {
        let done = app.json(&["reseal", "--shard", part, "--batch", "2"], 0);
        rows += sum(&done, "rows");
        changed += sum(&done, "changed");
    }
    assert_eq!((rows, changed), (18, 23));
    app.opens().await?;
    for wrong in [["--shard", "0/3"], ["--shard", "4/3"], ["--shard", "3"], ["--batch", "0"], ["--workers", "65"]] {
        app.run(&[&["reseal"][..], &wrong].concat()).fails(2, wrong[0]);
    }
    Ok(())
}

pub(super) async fn a_dry_run_counts_and_changes_nothing() -> Result {
    let app = App::new(5).await?;
    app.execute("UPDATE ticket SET body = 'nonsense' WHERE id = 5").await?;
    app.run(&["status"]).done();
    let before = app.folder.everything().await?;
    let dry = ["reseal", "--dry-run", "--troubles", "list.jsonl", "--checkpoint", "place.json"];
    let ran = app.run(&dry).done();
    assert!(ran.out.contains("Would reseal 12 values") && ran.out.ends_with("Nothing was changed.\n"), "{ran:?}");
    assert_eq!(app.json(&dry, 0), serde_json::json!({ "values": 12, "dry_run": true }));
    assert_eq!(app.folder.everything().await?, before);
    Ok(())
}

pub(super) async fn what_was_killed_goes_on_from_its_checkpoint() -> Result {
    let app = App::new(9).await?;
    let args = ["reseal", "--batch", "2", "--workers", "1", "--checkpoint", "place.json"];
    app.kill_behind_the_first_page(&args, "place.json", |text| text.contains("reseal"))?;
    assert_eq!(app.folder.mode("place.json"), 0o600);
    let left = app.json(&["reseal", "--dry-run"], 0)["values"].as_u64().unwrap();
    assert!(0 < left && left < 23, "{left} are left");
    let done = app.json(&args, 0);
    assert_eq!((sum(&done, "rows"), sum(&done, "changed"), sum(&done, "current")), (18, 23, 0), "nothing twice");
    assert!(!app.folder.has("place.json") && !app.folder.has("place.json.new"));
    app.opens().await
}

pub(super) async fn a_checkpoint_of_other_work_or_half_a_one_is_refused() -> Result {
    let app = App::new(5).await?;
    let args = ["reseal", "--batch", "1", "--workers", "1", "--checkpoint", "place.json", "--troubles", "list.jsonl"];
    app.kill_behind_the_first_page(&args, "place.json", |text| text.contains("reseal"))?;
    let kept = fs::read_to_string(app.folder.path("place.json"))?;
    fs::remove_file(app.folder.path("list.jsonl")).ok();
    let before = app.folder.everything().await?;
    let refused = |says: &str| {
        app.run(&args).fails(2, says);
        assert_eq!(app.folder.files().iter().filter(|name| name.starts_with("list")).count(), 0, "{says}");
    };
    app.remap("clear = [\"plan\"]", "clear = []");
    refused("is of another table, or of this one mapped otherwise");
    app.remap("clear", "clear");
    app.run(&[&args[..], &["--shard", "1/2"]].concat()).fails(2, "is of another shard of the table");
    assert_eq!(app.folder.everything().await?, before);
    for damaged in [
        String::new(),
        "{}".to_owned(),
        kept[..kept.len() / 2].to_owned(),
        kept.replace("keytool job 1", "keytool job 2"),
        kept.replace("after ", "behind "),
    ] {
        fs::write(app.folder.path("place.json"), &damaged)?;
        refused("place.json is no checkpoint of a job on tables");
        assert_eq!(fs::read_to_string(app.folder.path("place.json"))?, damaged);
    }
    fs::write(app.folder.path("place.json"), kept.replace("\"reseal\"", "\"adopt verify\""))?;
    refused("is the checkpoint of another job");
    fs::write(app.folder.path("place.json"), kept)?;
    assert_eq!(sum(&app.json(&args, 0), "changed"), 13);
    app.opens().await
}

pub(super) async fn what_needs_a_look_is_counted_and_listed_by_its_rows_keys() -> Result {
    let app = App::new(5).await?;
    app.execute("UPDATE customer SET email = x'00' WHERE rowid = 2; UPDATE ticket SET body = 'nonsense' WHERE id > 3")
        .await?;
    let done = app.json(&["reseal", "--troubles", "list.jsonl", "--batch", "2"], 7);
    assert_eq!((sum(&done, "failed"), sum(&done, "changed")), (3, 10), "they hold nothing up");
    let what = "not an envelope, or not of a value that this type can hold";
    let told = serde_json::json!([
        { "table": "customer", "column": "email", "what": what, "count": 1 },
        { "table": "ticket", "column": "body", "what": what, "count": 2 },
    ]);
    assert_eq!(done["troubles"], told);
    assert_eq!(app.folder.mode("list.jsonl"), 0o600);
    let list = fs::read_to_string(app.folder.path("list.jsonl"))?;
    let lines: Vec<Value> = list.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = |table: &str, key: Value, column: &str| serde_json::json!({ "table": table, "key": [key], "column": column, "what": what });
    let key = app::person(2).simple().to_string();
    let expected =
        [line("customer", key.into(), "email"), line("ticket", 4.into(), "body"), line("ticket", 5.into(), "body")];
    assert_eq!(lines, expected);
    let before = app.folder.everything().await?;
    app.run(&["reseal", "--troubles", "list.jsonl"]).fails(3, "can't write list.jsonl");
    assert_eq!(app.folder.everything().await?, before, "a list is never replaced");

    let ran = app.run(&["reseal"]).exits(7);
    assert!(ran.err.is_empty() && ran.out.contains("customer.email, 1 cell: not an envelope"), "{ran:?}");
    assert!(ran.out.contains("ticket.body, 2 cells") && ran.out.contains("`--troubles FILE` lists them"), "{ran:?}");
    assert_tells_nobody(&ran.out);
    Ok(())
}

pub(super) async fn a_list_is_gone_on_with_where_its_job_is() -> Result {
    let app = App::new(4).await?;
    app.execute("UPDATE ticket SET body = 'nonsense'").await?;
    let args = ["reseal", "--table", "ticket", "--batch", "1", "--workers", "1"];
    let args = [&args[..], &["--troubles", "list.jsonl", "--checkpoint", "place.json"]].concat();
    app.kill_behind_the_first_page(&args, "place.json", |text| text.contains("reseal"))?;
    // As if the crash had come in the middle of a line.
    let begun = fs::read_to_string(app.folder.path("list.jsonl"))?;
    fs::write(app.folder.path("list.jsonl"), format!("{begun}{{\"table\""))?;
    assert_eq!(sum(&app.json(&args, 7), "failed"), 4);
    let list = fs::read_to_string(app.folder.path("list.jsonl"))?;
    let lines: Vec<Value> = list.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let keys: Vec<_> = lines.iter().map(|line| line["key"][0].as_i64().unwrap()).collect();
    assert_eq!((keys, list.lines().count()), (vec![1, 2, 3, 4], 5));
    Ok(())
}
