//! `keytool reveal`: what is held of a person, or of all, in the clear, and nowhere but where it was asked for.

use serde_json::json;

use super::app::{App, assert_tells_nobody, body, email, iban, kill_when, named, person};
use super::*;

/// Runs the tool for what it is to tell; on standard error it tells nobody.
#[track_caller]
fn revealed(app: &App, args: &[&str]) -> Value {
    let ran = app.folder.run(&[&["reveal"], args].concat()).exits(0);
    assert!(ran.err.is_empty());
    ran.json()
}

pub(super) async fn a_person_gets_what_is_held_of_them_and_of_nobody_else() -> Result {
    let app = App::new(4).await?;
    app.execute("UPDATE customer SET plan = 'gold' || char(27) || '[31m' || char(155) || '31m'").await?;
    let before = app.folder.everything().await?;
    let (three, id) = (named(3), person(3).to_string());
    let customer = json!({
        "table": "customer", "tenant": "default", "kind": "customer", "subject": id, "record": [id],
        "fields": { "email": email(3), "iban": iban(3) }, "clear": { "plan": "gold\u{1b}[31m\u{9b}31m" },
    });
    let ticket = json!({
        "table": "ticket", "tenant": "default", "kind": "customer", "subject": id, "record": ["3"], "fields": { "body": body(3) },
        "clear": {},
    });
    let document = revealed(&app, &[&three]);
    let told = [&document["tenant"], &document["kind"], &document["subject"]];
    assert_eq!(told, [&json!("default"), &json!("customer"), &json!(id)]);
    assert_eq!(document["rows"], json!([customer, ticket]));
    assert_eq!(revealed(&app, &[&three, "--json"])["rows"], document["rows"]);
    assert_eq!(revealed(&app, &[&three, "--table", "ticket"])["rows"], json!([ticket]));
    let ran = app.folder.run(&["reveal", &three]);
    assert!(!ran.out.contains(['\u{1b}', '\u{9b}']), "a terminal takes no orders from a value");

    let two = named(2);
    let fields = |document: &Value| -> Vec<Value> {
        document["rows"].as_array().unwrap().iter().map(|row| row["fields"].clone()).collect()
    };
    assert_eq!(fields(&revealed(&app, &[&two])), [json!({ "email": email(2), "iban": null })], "its ticket is acme's");
    assert_eq!(fields(&revealed(&app, &[&two, "--tenant", "acme"])), [json!({ "body": body(2) })]);
    for nobody in [named(99), two.replace('2', "7")] {
        assert_eq!(revealed(&app, &[&nobody])["rows"], json!([]));
    }
    let ran = app.folder.run_reading(&["reveal", "-"], &format!("{three}\n")).done();
    assert_eq!(ran.json()["rows"], document["rows"]);
    app.folder.run_reading(&["reveal", "-"], &format!("{three}\n{two}\n")).fails(2, "one subject");
    app.folder.run_reading(&["reveal", "-"], "").fails(2, "names no subject");
    app.run(&["reveal", "customer:ada"]).fails(2, "the subject ids of this table are UUIDs");
    for (wrong, why) in [
        (person(3).to_string(), "customer:17"),
        (format!("Customer:{}", person(3)), "a kind of subject"),
        (format!("employee:{}", person(3)), "it knows `customer`"),
    ] {
        app.run(&["reveal", &wrong]).fails(2, why);
    }
    assert_eq!(app.folder.everything().await?, before);
    Ok(())
}

pub(super) async fn into_a_file_it_goes_for_its_owner_alone_and_over_none() -> Result {
    let app = App::new(3).await?;
    let one = named(1);
    let args = ["reveal", &one, "--output", "one.json"];
    let ran = app.run(&args).done();
    assert!(ran.out.starts_with("2 rows in one.json."), "{ran:?}");
    assert_eq!(app.folder.mode("one.json"), 0o600);
    let kept = fs::read_to_string(app.folder.path("one.json"))?;
    assert_eq!(serde_json::from_str::<Value>(&kept)?["rows"].as_array().unwrap().len(), 2);
    app.run(&args).fails(3, "can't write one.json");
    assert_eq!(fs::read_to_string(app.folder.path("one.json"))?, kept);
    app.run(&["reveal", &one, "--output", "no/such/folder.json"]).fails(4, "can't write no/such/folder.json");

    for wrong in [&["reveal"][..], &["reveal", "--all"], &["reveal", &one, "--all", "--output", "x"]] {
        assert!(app.run(wrong).exits(2).err.contains("Usage: keytool"));
    }
    app.run(&["reveal", "--all", "--output", "x", "--tenant", "acme"]).exits(2);
    for wrong in [["--batch", "1"], ["--shard", "1/2"], ["--troubles", "t"], ["--workers", "1"], ["--pause", "1"]] {
        app.run(&[&["reveal", &one][..], &wrong].concat()).fails(2, "are for --all");
    }
    assert!(!app.folder.has("x") && !app.folder.has("t"));
    Ok(())
}

pub(super) async fn what_can_not_be_opened_is_named_with_the_reason() -> Result {
    let app = App::new(3).await?;
    let [one, three] = [1, 3].map(named);
    app.run(&["erase", &one, "--purpose", "billing", "--yes"]).done();
    let document = revealed(&app, &[&one]);
    assert_eq!(document["rows"][0]["fields"], json!({ "email": email(1) }));
    assert!(document["rows"][0]["unreadable"]["iban"].as_str().unwrap().contains("erased at"));
    app.run(&["erase", &three, "--yes"]).done();
    let ran = app.run(&["reveal", &three, "--output", "three.json", "--json"]).done().json();
    assert_eq!((&ran["rows"], &ran["unreadable"]), (&2.into(), &3.into()));
    // The erased are as they are to be: nothing of all is left undone.
    let all = app.json(&["reveal", "--all", "--output", "all.jsonl"], 0);
    assert_eq!((reseal::sum(&all, "erased"), reseal::sum(&all, "current")), (4, 4));
    Ok(())
}

pub(super) async fn all_that_was_killed_goes_on_and_is_as_if_it_had_not_been() -> Result {
    let app = App::new(9).await?;
    let all = ["reveal", "--all", "--batch", "2", "--workers", "1", "--output"];
    let ran = app.run(&[&all[..], &["whole.jsonl"]].concat()).done();
    assert!(ran.out.contains("revealed") && !ran.out.contains("changed"), "{ran:?}");
    let whole = fs::read_to_string(app.folder.path("whole.jsonl"))?;
    let lines: Vec<Value> = whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 18);
    assert!((1..=9).all(|id| whole.contains(&email(id)) && whole.contains(&body(id))));
    app.run(&[&all[..], &["whole.jsonl"]].concat()).fails(3, "can't write whole.jsonl");

    let args = [&all[..], &["killed.jsonl"]].concat();
    let paused = [&args[..], &["--pause", "600000"]].concat();
    kill_when(&app.folder, &paused, "killed.jsonl.checkpoint", |text| text.contains("after "))?;
    for file in ["whole.jsonl", "killed.jsonl", "killed.jsonl.checkpoint"] {
        assert_eq!(app.folder.mode(file), 0o600);
    }
    let begun = fs::read_to_string(app.folder.path("killed.jsonl"))?;
    assert_eq!(begun.lines().count(), 2);
    // As if the crash had come in the middle of the next page.
    fs::write(app.folder.path("killed.jsonl"), format!("{begun}{{\"table\""))?;
    let kept = fs::read_to_string(app.folder.path("killed.jsonl.checkpoint"))?;
    for damaged in ["", "{}", &kept.replace("after ", "behind ")] {
        fs::write(app.folder.path("killed.jsonl.checkpoint"), damaged)?;
        app.run(&args).fails(2, "killed.jsonl.checkpoint is no checkpoint: remove it and killed.jsonl");
    }
    fs::write(app.folder.path("killed.jsonl.checkpoint"), &kept)?;
    app.run(&[&args[..], &["--shard", "1/2"]].concat()).fails(2, "another shard");
    app.run(&args).done();
    assert_eq!(fs::read_to_string(app.folder.path("killed.jsonl"))?, whole);
    assert!(!app.folder.has("killed.jsonl.checkpoint"));

    fs::write(app.folder.path("killed.jsonl.checkpoint"), &kept)?;
    fs::write(app.folder.path("killed.jsonl"), &begun[..begun.len() / 2])?;
    app.run(&args).fails(8, "killed.jsonl is shorter than it was");
    assert_tells_nobody(&app.run(&["status"]).out);
    Ok(())
}
