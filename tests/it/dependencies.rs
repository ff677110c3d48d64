//! What a package of the workspace compiles with one feature, or with none: a backend comes with the adapter that needs it, and
//! with no other. The library by itself has none, and no runtime.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

/// What is compiled, and the packages that bring it: with this feature, or (`*`) always.
const BACKENDS: &[(&str, &[(&str, &str)])] = &[
    ("aws-sdk-dynamodb", &[("fieldseal-aws", "dynamodb")]),
    ("aws-sdk-kms", &[("fieldseal-aws", "kms")]),
    ("cryptoki", &[("fieldseal-pkcs11", "*")]),
    ("reqwest", &[("fieldseal-openbao", "*")]),
    ("sqlx", &[("fieldseal", "sqlx"), ("fieldseal", "sqlx-postgres"), ("fieldseal-sqlx", "*")]),
    ("sqlx-postgres", &[("fieldseal", "sqlx-postgres"), ("fieldseal-sqlx", "postgres")]),
    ("sqlx-sqlite", &[("fieldseal-sqlx", "sqlite")]),
    // What their clients need.
    ("tokio", &[("fieldseal-aws", "dynamodb"), ("fieldseal-aws", "kms"), ("fieldseal-openbao", "*")]),
];

/// What `cargo` says; it asks nobody else.
fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).args(["--offline", "--locked"]).output().unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a build of this package compiles; with no feature named, the default build.
fn compiled(package: &str, feature: Option<&str>) -> BTreeSet<String> {
    let package = format!("--package={package}");
    let mut arguments = vec!["tree", &*package, "--edges=normal", "--prefix=none"];
    if let Some(feature) = feature {
        arguments.extend(["--no-default-features", "--features", feature]);
    }
    let tree = cargo(&arguments);
    tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// The published packages but the derive's, each with its features.
fn packages() -> Vec<(String, Vec<String>)> {
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--format-version=1", "--no-deps"])).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let libraries = packages.filter(|package| {
        let is_published = package["publish"].is_null();
        let is_library = |target: &Value| target["kind"][0] == "lib";
        is_published && package["targets"].as_array().unwrap().iter().any(is_library)
    });
    let features = |package: &Value| package["features"].as_object().unwrap().keys().cloned().collect();
    libraries.map(|package| (package["name"].as_str().unwrap().to_owned(), features(package))).collect()
}

#[test]
fn a_backend_is_compiled_with_its_features_alone() {
    let packages = packages();
    for (package, feature) in BACKENDS.iter().flat_map(|(_, brought_by)| *brought_by) {
        let is_there = |(name, features): &(String, Vec<String>)| {
            name == package && (*feature == "*" || features.iter().any(|own| own == feature))
        };
        assert!(packages.iter().any(is_there), "{package} has no feature {feature}");
    }
    for (package, features) in &packages {
        for feature in features.iter().map(|feature| Some(feature.as_str())).chain([None]) {
            let compiled = compiled(package, feature);
            assert!(compiled.contains("aes-gcm"), "{package} with {feature:?}: {compiled:?}");
            for (backend, brought_by) in BACKENDS {
                let brings = |(by, with): &(&str, &str)| by == package && (*with == "*" || feature == Some(with));
                let is_brought = brought_by.iter().any(brings);
                let with = feature.unwrap_or("nothing said");
                assert_eq!(compiled.contains(*backend), is_brought, "{backend} in {package} with {with}");
            }
        }
    }
}
