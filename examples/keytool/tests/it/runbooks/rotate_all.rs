//! `keytool rotate-subject --all`: everybody, once, at a pace; and what it refuses.

use serde_json::Value;

use super::Result;
use super::company::{Company, versions};

fn json(company: &Company, command: &str) -> Value {
    let (code, out, said) = company.shell(command);
    assert_eq!(code, Some(0), "{command}: {said}");
    serde_json::from_str(&out).unwrap()
}

pub(super) async fn with_the_moment_of_the_first_try_nobody_is_rotated_twice() -> Result {
    let company = Company::new().await?;
    let told = json(&company, "keytool --json rotate-subject --all --dry-run");
    assert_eq!((told["rotated"].as_u64(), told["dry_run"].as_bool()), (Some(19), Some(true)));
    let first = json(&company, "keytool --json rotate-subject --all --now --yes --batch 5 --pause 1");
    assert_eq!(first["rotated"], 19);
    let moment = first["made_before"].as_str().unwrap();
    let again = json(&company, &format!("keytool --json rotate-subject --all --now --yes --made-before {moment}"));
    assert_eq!(again["rotated"], 0);
    let vault = company.vault(company.keyring("master.keyring").await?).await?;
    assert_eq!((versions(&vault, 1).await?, versions(&vault, 7).await?), (vec![1, 2, 3], vec![1, 2]));
    Ok(())
}

pub(super) async fn it_asks_before_it_seals_at_once_and_tells_whose_keys_stay() -> Result {
    let company = Company::new().await?;
    let (code, _, said) = company.shell("keytool rotate-subject --all --now");
    assert!(code == Some(3) && said.contains("19 subjects"), "{code:?} {said}");
    let (code, out, _) =
        company.shell("keytool schedule customer:8 --in 14d --yes > schedule; keytool rotate-subject --all");
    assert!(code == Some(0) && out.starts_with("18 subjects have new data keys"), "{code:?} {out}");
    assert!(out.contains("1 subject keeps its keys"), "{out}");
    let none = json(&company, "keytool --json rotate-subject --all --tenant nobody");
    assert_eq!(none["rotated"], 0);
    Ok(())
}

pub(super) async fn everybody_or_one_is_said() -> Result {
    let company = Company::new().await?;
    for wrong in [
        "",
        "customer:17 --all",
        "customer:17 --made-before 2026-12-01T09:00:00Z",
        "--all --made-before yesterday",
        "customer:17 --batch 5",
    ] {
        let (code, ..) = company.shell(&format!("keytool rotate-subject {wrong}"));
        assert_eq!(code, Some(2), "{wrong}");
    }
    Ok(())
}
