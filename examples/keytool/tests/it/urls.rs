//! The tool's URLs: which are taken, and that no error and no `Display` tells what may be a secret.

use fleet_tests::harness::{Blocking, Trial};
use fleet_tests::tests;
use proptest::prelude::*;

use crate::ports::{self, JournalUrl, ProviderUrl, StoreUrl};

pub(crate) fn trials() -> Vec<Trial> {
    #[allow(unused_mut, reason = "a build without backends has no more")]
    let mut trials = tests![Blocking::new() =>
        a_scheme_whose_feature_this_build_lacks_names_the_feature
        an_unknown_scheme_is_answered_with_the_known_ones
        files_are_named_as_they_are
        nothing_panics_and_no_error_repeats_what_was_written
    ];
    #[cfg(feature = "aws")]
    trials.extend(tests![Blocking::new() => a_kms_key_is_named_with_its_regions a_table_is_in_one_region]);
    #[cfg(feature = "openbao")]
    trials.extend(tests![Blocking::new() => a_transit_key_is_named_without_a_token]);
    #[cfg(feature = "pkcs11")]
    trials.extend(tests![Blocking::new() => a_key_of_a_token_is_named_without_a_pin]);
    #[cfg(feature = "postgres")]
    trials.extend(tests![Blocking::new() =>
        a_database_is_shown_without_user_and_password
        a_password_is_in_nothing_that_is_shown
    ]);
    trials
}

/// A URL as it is shown, or what is said instead.
fn provider(text: &str) -> Result<String, String> {
    text.parse::<ProviderUrl>().map(|url| url.to_string()).map_err(|e| told(&e))
}

fn store(text: &str) -> Result<String, String> {
    text.parse::<StoreUrl>().map(|url| url.to_string()).map_err(|e| told(&e))
}

fn journal(text: &str) -> Result<String, String> {
    text.parse::<JournalUrl>().map(|url| url.to_string()).map_err(|e| told(&e))
}

/// The whole chain, and the `Debug` that a panic would have.
fn told(e: &ports::Trouble) -> String {
    let source = std::error::Error::source(e).map(ToString::to_string);
    format!("{e}: {source:?}: {e:?}")
}

/// Each scheme, the feature that it needs, and whether this build has it.
fn schemes() -> Vec<(&'static str, &'static str, bool, Result<String, String>)> {
    let pg = "postgres://ada@host/db";
    let hsm = "pkcs11:token=t;object=o?module-path=/lib/hsm.so";
    let bao = "openbao:https://bao:8200/transit/key";
    vec![
        ("awskms:alias/a", "aws", cfg!(feature = "aws"), provider("awskms:alias/a")),
        (bao, "openbao", cfg!(feature = "openbao"), provider(bao)),
        (hsm, "pkcs11", cfg!(feature = "pkcs11"), provider(hsm)),
        (pg, "postgres", cfg!(feature = "postgres"), store(pg)),
        (pg, "postgres", cfg!(feature = "postgres"), journal(pg)),
        ("postgresql://h/db", "postgres", cfg!(feature = "postgres"), store("postgresql://h/db")),
        ("dynamodb:keys", "aws", cfg!(feature = "aws"), store("dynamodb:keys")),
        ("dynamodb:keys", "aws", cfg!(feature = "aws"), journal("dynamodb:keys")),
    ]
}

/// Run with few features and with all: what is expected changes with them.
fn a_scheme_whose_feature_this_build_lacks_names_the_feature() {
    for (url, feature, is_built, parsed) in schemes() {
        let says = format!("this build has no `{feature}`: build with `--features {feature}`");
        match parsed {
            Ok(_) => assert!(is_built, "{url}"),
            Err(e) => assert!(!is_built && e.contains(&says), "{url}: {e}"),
        }
    }
}

fn an_unknown_scheme_is_answered_with_the_known_ones() {
    for (answer, known) in [
        (provider("vault:hunter2"), ["\"keyring:FILE\"", "\"awskms:KEY?region=REGION\""]),
        (provider("hunter2"), ["begins with its scheme", "\"openbao:https://HOST:8200/transit/KEY\""]),
        (provider(""), ["begins with its scheme", "\"pkcs11:token=LABEL;object=LABEL?module-path=FILE\""]),
        (store("mysql://ada:hunter2@host/db"), ["\"sqlite:FILE\"", "\"postgres://USER@HOST/DATABASE\""]),
        (journal("sqlite:hunter2"), ["\"file:FILE\"", "\"dynamodb:TABLE?region=REGION\""]),
    ] {
        let e = answer.unwrap_err();
        assert!(known.iter().all(|known| e.contains(known)) && !e.contains("hunter2"), "{e}");
    }
}

fn files_are_named_as_they_are() {
    assert_eq!(provider("keyring:a b?c#d%2Fe").unwrap(), "keyring:a b?c#d%2Fe");
    assert_eq!(store("sqlite:/var/keys.db").unwrap(), "sqlite:/var/keys.db");
    assert_eq!(journal("file:C:/x").unwrap(), "file:C:/x");
    for none in [provider("keyring:"), store("sqlite:"), journal("file:")] {
        assert!(none.unwrap_err().contains("has no path"));
    }
}

#[cfg(feature = "aws")]
fn a_kms_key_is_named_with_its_regions() {
    for url in [
        "awskms:alias/fieldseal?region=eu-central-1&region=eu-west-1&endpoint=http://127.0.0.1:5000&waiting-days=7",
        "awskms:arn:aws:kms:eu-central-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab",
        "awskms:1234abcd-12ab-34cd-56ef-1234567890ab?region=eu-central-1",
    ] {
        assert_eq!(provider(url).unwrap(), url);
    }
    for (wrong, says) in [
        ("awskms:", "its id, its ARN, or its alias"),
        ("awskms:a b", "its id, its ARN, or its alias"),
        ("awskms:alias/a?regoin=eu", "known are `region`, `endpoint`, `waiting-days`"),
        ("awskms:alias/a?secret=hunter2", "known are `region`"),
        ("awskms:alias/a?region=", "a `region` is one of AWS's"),
        ("awskms:alias/a?endpoint=http://ada:hunter2@host", "an `endpoint` is"),
        ("awskms:alias/a?endpoint=http://a&endpoint=http://b", "`endpoint` stands there twice"),
        ("awskms:alias/a?waiting-days=6", "7 to 30"),
        ("awskms:alias/a?waiting-days=", "`waiting-days` has no value"),
        ("awskms:alias/a#hunter2", "%23"),
        ("awskms:alias/a?region=%zz", "two hexadecimal digits"),
        ("awskms:alias/a?region=%ff", "UTF-8"),
    ] {
        let e = provider(wrong).unwrap_err();
        assert!(e.contains(says) && !e.contains("hunter2"), "{wrong}: {e}");
    }
}

#[cfg(feature = "openbao")]
fn a_transit_key_is_named_without_a_token() {
    for url in [
        "openbao:https://bao.internal:8200/transit/customers-1",
        "openbao:http://127.0.0.1:8200/teams/a/transit/customers-1?namespace=shop&token-file=%2Frun%2Ftoken",
        "openbao:http://[::1]:8200/transit/k",
    ] {
        assert_eq!(provider(url).unwrap(), url);
    }
    for wrong in [
        "openbao:bao:8200/transit/k",
        "openbao:https://bao:8200/k",
        "openbao:https://bao:8200",
        "openbao:https://ada:hunter2@bao:8200/transit/k",
        "openbao:https://bao:8200/transit/",
        "openbao:https:///transit/k",
        "openbao:https://bao:8200/transit/k?token=hunter2",
        "openbao:ftp://bao/transit/k",
    ] {
        let e = provider(wrong).unwrap_err();
        assert!(e.contains("token-file") && !e.contains("hunter2"), "{wrong}: {e}");
    }
}

#[cfg(feature = "pkcs11")]
fn a_key_of_a_token_is_named_without_a_pin() {
    let url = "pkcs11:token=my%20hsm;serial=01;object=customers?module-path=/usr/lib/hsm.so&pin-source=file:/run/pin";
    assert_eq!(provider(url).unwrap(), url);
    assert!(provider("pkcs11:object=o;token=t?pin-source=pin&module-path=m").unwrap().ends_with("pin-source=file:pin"));
    for (wrong, says) in [
        ("pkcs11:token=t;object=o?module-path=m&pin-value=hunter2", "PKCS11_PIN"),
        ("pkcs11:token=t;object=o", "module-path=FILE"),
        ("pkcs11:token=t?module-path=m", "object=NAME"),
        ("pkcs11:token=t;token=u;object=o?module-path=m", "object=NAME"),
        ("pkcs11:token=t;object=o;pin-value=hunter2?module-path=m", "object=NAME"),
        ("pkcs11:token=t;object=o?module-path=m&pin=hunter2", "known are `module-path`, `pin-source`"),
    ] {
        let e = provider(wrong).unwrap_err();
        assert!(e.contains(says) && !e.contains("hunter2"), "{wrong}: {e}");
    }
}

#[cfg(feature = "aws")]
fn a_table_is_in_one_region() {
    let url = "dynamodb:fieldseal-keys?region=eu-central-1&endpoint=http://127.0.0.1:8000";
    assert_eq!((store(url).unwrap(), journal(url).unwrap()), (url.to_owned(), url.to_owned()));
    for (wrong, says) in [
        ("dynamodb:", "3 to 255"),
        ("dynamodb:a/b/c", "3 to 255"),
        ("dynamodb:keys?region=eu-west-1&region=eu-west-2", "in one `region`"),
        ("dynamodb:keys?key=hunter2", "known are `region`, `endpoint`"),
    ] {
        let e = store(wrong).unwrap_err();
        assert!(e.contains(says) && !e.contains("hunter2"), "{wrong}: {e}");
    }
}

#[cfg(feature = "postgres")]
fn a_database_is_shown_without_user_and_password() {
    for (url, shown) in [
        ("postgres://host/db", "postgres://host/db"),
        (
            "postgresql://ada:hunter2@host:5433/db?schema=my%20keys&notify=on",
            "postgres://host:5433/db?schema=my%20keys",
        ),
        ("postgres://ada:hun%2Fter2@%2Frun%2Fpg/db?sslmode=disable&scrub=full", "postgres://%2Frun%2Fpg/db"),
        ("postgres://ada:hunter@2@host/db", "postgres://host/db"),
        ("postgres://host/db?password=hunter2&user=ada&options[search_path]=x", "postgres://host/db"),
        ("postgres://host/db?sslmode=verify-full&sslrootcert=hunter.pem", "postgres://host/db"),
    ] {
        assert_eq!(store(url).unwrap(), shown);
        let debug = format!("{:?}", url.parse::<StoreUrl>().unwrap());
        assert!(!debug.contains("hunter") && !debug.contains("ada"), "{debug}");
    }
    for (wrong, says) in [
        ("postgres:host/db", "postgres://user@host/database"),
        // A password that was not encoded, in each way in which it can end up elsewhere.
        ("postgres://ada:hun/ter2@host/db", "written as %2F"),
        ("postgres://ada:5432/hunter2@host/db", "written as %2F"),
        ("postgres://ada:5432?hunter2@host/db", "known are `schema`, `notify`, `scrub`, `sslmode`"),
        ("postgres://ada:5432#hunter2@host/db", "%23"),
        ("postgres://host/db?schema=a&schema=hunter2", "`schema` stands there twice"),
        ("postgres://host/db?notify=hunter2", "`notify` is `on` or `off`"),
        ("postgres://host/db?scrub=hunter2", "`scrub` is `full`"),
        ("postgres://host/db?sslmode=hunter2", "postgres://user@host/database"),
        ("postgres://host:hunter2/db", "postgres://user@host/database"),
        ("postgres://host/db?shcema=hunter2", "known are `schema`"),
        // Nobody would look at the certificate.
        ("postgres://host/db?sslrootcert=hunter2", "without `sslmode=verify-full`"),
        ("postgres://host/db?ssl-ca=hunter2&sslmode=require", "without `sslmode=verify-full`"),
    ] {
        let e = store(wrong).unwrap_err();
        assert!(e.contains(says) && !e.contains("hunter2") && !e.contains("ter2"), "{wrong}: {e}");
    }
    let e = journal("postgres://host/db?notify=on").unwrap_err();
    assert!(e.contains("known are `schema`, `sslmode`"), "notices are the key store's: {e}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever stands behind a scheme: an answer, and in no error a part of it of some length.
    fn nothing_panics_and_no_error_repeats_what_was_written(
        scheme in prop::sample::select(&["keyring", "awskms", "openbao", "pkcs11", "sqlite", "postgres", "dynamodb", "file", "x"]),
        before in "[a-z:/@?&=;#%0-9.]{0,12}",
        secret in "[A-Z]{8}",
        after in "(\\PC|[?&=;#%@/]){0,12}",
    ) {
        for text in [format!("{scheme}:{before}{secret}{after}"), format!("{scheme}://u:{before}{secret}{after}@host/db")] {
            for e in [provider(&text), store(&text), journal(&text)].into_iter().filter_map(Result::err) {
                prop_assert!(!e.contains(&secret), "{} for {}", e, text);
            }
        }
    }

    /// A password in its place is in nothing that is shown, whatever its characters, encoded or not.
    #[cfg(feature = "postgres")]
    fn a_password_is_in_nothing_that_is_shown(secret in "[A-Z]{6}", before in "[a-z@:/?#&=%0-9]{0,6}", after in "[a-z@:/?#&=0-9]{0,6}") {
        for answer in [
            store(&format!("postgres://ada:{before}{secret}{after}@host/db")),
            journal(&format!("postgres://ada:{before}{secret}{after}@host/db?schema=x")),
            store(&format!("postgres://host/db?password={before}{secret}{after}")),
        ] {
            let (Ok(told) | Err(told)) = answer;
            prop_assert!(!told.contains(&secret), "{}", told);
        }
    }
}
