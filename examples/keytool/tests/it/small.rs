//! A tool without some backends.

use fleet_tests::harness::{Blocking, Trial};
use fleet_tests::tests;

use crate::folder::{ADA, CONFIG, Folder};

pub(crate) fn trials() -> Vec<Trial> {
    tests![Blocking::new() => a_small_tool_works_on_files a_small_tool_says_which_build_knows_a_url]
}

fn a_small_tool_works_on_files() {
    let folder = Folder::new();
    folder.run(&["status"]).done();
    folder.run(&["erase", ADA, "--even-if-unknown", "--yes"]).done();
}

fn a_small_tool_says_which_build_knows_a_url() {
    let folder = Folder::new();
    let database = |url: &str| format!("{CONFIG}\ndatabase = \"{url}\"");
    let port = |from: &str, url: &str| CONFIG.replace(from, url);
    for (feature, is_built, config) in [
        ("aws", cfg!(feature = "aws"), port("keyring:master.keyring", "awskms:alias/a")),
        ("aws", cfg!(feature = "aws"), port("sqlite:keys.db", "dynamodb:keys")),
        ("openbao", cfg!(feature = "openbao"), port("keyring:master.keyring", "openbao:https://bao:8200/transit/key")),
        ("pkcs11", cfg!(feature = "pkcs11"), port("keyring:master.keyring", "pkcs11:token=t;object=o?module-path=m")),
        ("postgres", cfg!(feature = "postgres"), port("file:erasures.journal", "postgres://host/db")),
        ("postgres", cfg!(feature = "postgres"), database("postgres://host/db")),
    ] {
        folder.configure(&config);
        let ran = folder.run(&["status"]);
        let says = format!("this build has no `{feature}`: build with `--features {feature}`");
        assert_eq!(ran.err.contains(&says), !is_built, "{ran:?}");
        assert!(is_built || ran.code == 2, "{ran:?}");
    }
}
