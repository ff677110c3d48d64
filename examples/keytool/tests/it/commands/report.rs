//! `keytool report`: the page, written from what is so, and nobody on it.

use fieldseal::clock::{Clock as _, SystemClock};

use super::app::{App, assert_tells_nobody, named, subject};
use super::*;

pub(super) async fn the_page_tells_what_is_so_and_names_nobody() -> Result {
    let app = App::new(5).await?;
    let now = || SystemClock::new().wall().to_string();
    let begun = now();
    app.run(&["erase", &named(4), "--yes"]).done();
    app.run(&["schedule", &named(2), "--in", "14d", "--yes"]).done();
    app.run(&["cancel", &named(2)]).done();
    app.run(&["schedule", &named(3), "--in", "60d", "--yes"]).done();
    let ran = app.run(&["report"]).done();
    assert_eq!(ran.out, "Written: report.html\n");
    assert_eq!(app.folder.mode("report.html"), 0o600);
    let page = fs::read_to_string(app.folder.path("report.html"))?;
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("No census was made"), "{page}");
    // In the month in which it was asked for, not in that in which it is due; the next one may have begun meanwhile.
    let months = page.split("scope=\"row\" data-name=\"Month\"><span>").skip(1);
    let months: Vec<_> = months.filter_map(|row| Some(row.split_once('<')?.0)).collect();
    let asked = [begun, now()];
    let is_asked = |month: &&str| asked.iter().any(|now| now.starts_with(&format!("{month}-")));
    assert!(!months.is_empty() && months.iter().all(is_asked), "{months:?}");
    for (state, count) in [("Done", 1), ("Pending", 0), ("Scheduled", 1), ("Cancelled", 1)] {
        assert!(page.contains(&format!("data-name=\"{state}\"><span>{count}</span>")), "{state}");
    }
    for scheme in ["keyring", "sqlite", "file"] {
        assert!(page.contains(scheme), "{scheme}");
    }

    app.run(&["reseal", "--table", "ticket"]).exits(0);
    app.run(&["census", "--file", "kept.census"]).exits(0);
    assert_eq!(app.json(&["report", "--census", "kept.census", "--output", "more.html"], 0)["file"], "more.html");
    let page = fs::read_to_string(app.folder.path("more.html"))?;
    assert!(!page.contains("No census was made") && page.contains("customer") && page.contains("ticket"));
    let tag = app.folder.customers().await?.tag(&subject(1)).await?;
    let hex: String = tag.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = app.folder.dir.path().display().to_string();
    let census = fs::read_to_string(app.folder.path("kept.census"))?;
    let keys = census.lines().filter_map(|line| line.strip_prefix("key ")?.split(' ').next());
    let keys: Vec<_> = keys.map(str::to_owned).collect();
    assert!(!keys.is_empty());
    for secret in keys.into_iter().chain([hex, folder, "master.keyring".into(), "keys.db".into(), "app.db".into()]) {
        assert!(!page.contains(&secret), "{secret} is on the page");
    }
    assert_tells_nobody(&page);

    fs::write(app.folder.path("report.html"), "an old one")?;
    app.run(&["report"]).done();
    assert!(fs::read_to_string(app.folder.path("report.html"))?.starts_with("<!DOCTYPE html>"), "it is replaced");
    Ok(())
}

pub(super) async fn a_census_that_is_not_whole_is_not_reported() -> Result {
    let app = App::new(5).await?;
    app.run(&["report", "--census", "kept.census"]).fails(4, "there is no census at kept.census");
    fs::write(app.folder.path("kept.census"), "no census")?;
    app.run(&["report", "--census", "kept.census"]).fails(2, "kept.census is no census");
    app.run(&["census", "--shard", "1/2", "--file", "half.census"]).exits(0);
    app.run(&["report", "--census", "half.census"]).fails(2, "\"customer\" was not counted to its end");
    assert!(!app.folder.has("report.html"));
    app.run(&["census", "--shard", "2/2", "--file", "whole.census", "--merge", "half.census"]).exits(0);
    app.run(&["report", "--census", "whole.census"]).done();
    app.run(&["report", "--output", "no/such/folder.html"]).fails(4, "can't write no/such/folder.html");
    // Of some tables alone it may be: the page names them.
    app.run(&["census", "--table", "ticket", "--file", "ticket.census"]).exits(0);
    app.run(&["report", "--census", "ticket.census"]).done();
    Ok(())
}
