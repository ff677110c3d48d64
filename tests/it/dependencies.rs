//! What a feature compiles: a backend's dependencies come with its own features, and with no others. The default build has
//! none of them, and no runtime.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

use std::collections::BTreeSet;
use std::process::Command;

/// A package, and the features that bring it.
const BACKENDS: &[(&str, &[&str])] = &[
    ("aws-sdk-dynamodb", &["store-dynamodb"]),
    ("aws-sdk-kms", &["provider-aws-kms"]),
    ("cryptoki", &["provider-pkcs11"]),
    ("reqwest", &["provider-openbao"]),
    ("sqlx", &["rows-postgres", "rows-sqlite", "sqlx", "sqlx-postgres", "store-postgres", "store-sqlite"]),
    ("sqlx-postgres", &["rows-postgres", "sqlx-postgres", "store-postgres"]),
    ("sqlx-sqlite", &["rows-sqlite", "store-sqlite"]),
    ("tokio", &["provider-aws-kms", "provider-openbao", "store-dynamodb"]), // what their clients need
];

/// What `cargo` says; it asks nobody else.
fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).args(["--offline", "--locked"]).output().unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The packages that a build with one feature compiles; with none, the default build.
fn packages(feature: Option<&str>) -> BTreeSet<String> {
    let mut arguments = vec!["tree", "--package=fieldseal", "--edges=normal", "--prefix=none"];
    if let Some(feature) = feature {
        arguments.extend(["--no-default-features", "--features", feature]);
    }
    let tree = cargo(&arguments);
    tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

fn features() -> Vec<String> {
    let metadata: serde_json::Value =
        serde_json::from_str(&cargo(&["metadata", "--format-version=1", "--no-deps"])).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let own = packages.iter().find(|package| package["name"] == "fieldseal").unwrap();
    own["features"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn a_backend_is_compiled_with_its_features_alone() {
    let features = features();
    for named in BACKENDS.iter().flat_map(|(_, features)| *features) {
        assert!(features.iter().any(|feature| feature == named), "{named} is no feature");
    }
    for feature in features.iter().map(|feature| Some(feature.as_str())).chain([None]) {
        let compiled = packages(feature);
        assert!(compiled.contains("aes-gcm"), "{feature:?}: {compiled:?}");
        for (package, brought_by) in BACKENDS {
            let is_brought = feature.is_some_and(|feature| brought_by.contains(&feature));
            assert_eq!(compiled.contains(*package), is_brought, "{package} with {}", feature.unwrap_or("nothing said"));
        }
    }
}
