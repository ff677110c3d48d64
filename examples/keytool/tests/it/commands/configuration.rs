//! `keytool.toml`: what is wrong in it is named, with its line, and what to write.

use super::*;

const TABLE: &str = r#"
database = "sqlite:app.db"
[[table]]
name = "customer"
schema = "customer"
key = ["id"]
subject = { kind = "customer", column = "id", type = "uuid" }
ids = [{ column = "id", type = "uuid" }]
clear = ["plan"]
[[table.field]]
column = "email"
type = "text"
"#;

/// The configuration in which one text stands for another; an empty one adds it at the end.
fn changed(from: &str, to: &str) -> String {
    let whole = format!("{CONFIG}{TABLE}");
    if from.is_empty() {
        return format!("{whole}{to}");
    }
    assert!(whole.contains(from), "{from}");
    whole.replacen(from, to, 1)
}

pub(super) fn a_whole_configuration_is_read() {
    let folder = Folder::new();
    for (from, to) in [
        ("", ""),
        ("name = \"customer\"", "name = \"shop.customer\""),
        ("ids = [", "ids = [{ column = \"n\", type = \"integer\", zero = true }, "),
        ("[\"customer\"]", "[\"customer\", \"employee\"]"),
        ("key = [\"id\"]", "tenant = { column = \"tenant\" }\nkey = [\"tenant\", \"id\"]"),
        ("ids = [{ column = \"id\", type = \"uuid\" }]", "unbound = true"),
        ("ids = [{ column = \"id\", type = \"uuid\" }]", "ids = []\nunbound = true"),
        ("", "purpose = \"billing\"\nform = \"text\"\npad = 32\nfrom = \"email\"\nfield = \"mail\""),
        ("sqlite:app.db", "postgres://user@host/db"),
        ("purposes", "max_age = \"5m\"\npurposes"),
    ] {
        folder.configure(&changed(from, to));
        folder.run(&["status"]).done();
    }
    let times = ["date", "instant", "local_datetime", "time"];
    for kind in ["text", "bytes", "bool", "integer", "float", "uuid", "decimal", "json", "ip"].iter().chain(&times) {
        folder.configure(&changed("type = \"text\"", &format!("type = {kind:?}")));
        folder.run(&["status"]).done();
    }
}

pub(super) fn what_is_wrong_is_named_with_its_line_and_what_to_write() {
    let folder = Folder::new();
    let line = |text: &str, of: &str| text.lines().position(|line| line.contains(of)).unwrap() + 1;
    for (from, to, at, says) in [
        ("keyring:", "hunter2:", "hunter2:", "known are \"keyring:FILE\""),
        ("keyring:master.keyring", "master.keyring", "provider", "begins with its scheme"),
        ("keyring:master.keyring", "keyring:", "provider", "has no path"),
        ("\"keyring:master.keyring\"", "[]", "provider", "a provider is \"URL\""),
        ("\"keyring:master.keyring\"", "[\"keyring:a\", \"hunter2:b\"]", "provider", "known are \"keyring:FILE\""),
        ("\"keyring:master.keyring\"", "[[\"keyring:a\"]]", "provider", "a provider is \"URL\""),
        ("\"keyring:master.keyring\"", "{ provider = \"keyring:a\", pass = 1 }", "provider", "unknown field `pass`"),
        (
            "purposes",
            "previous = [{ provider = \"keyring:a\", previous = [\"keyring:b\"] }]\npurposes",
            "previous",
            "list them all",
        ),
        ("sqlite:keys", "mysql://app:hunter2@keys", "store", "known are \"sqlite:FILE\""),
        ("file:er", "http://app:hunter2@er", "journal", "known are \"file:FILE\""),
        ("sqlite:app.db", "mysql://app:hunter2@host/db", "database", "\"postgres://user@host/db\""),
        // sqlx would leave it out, and look at no certificate.
        ("sqlite:app.db", "postgres://app@db/app?ssl_mode=verify-full", "database", "known are `sslmode`"),
        ("sqlite:app.db", "postgres://app:5432?hunter2@host/db", "database", "known are `sslmode`"),
        ("purposes", "purpose", "purpose =", "unknown field `purpose`"),
        ("purposes", "max_age = \"5 minutes\"\npurposes", "max_age", "\"90s\", \"5m\""),
        ("purposes", "max_age = 5\npurposes", "max_age", "expected a string"),
        ("purposes", "passphrase = \"hunter2\"\npurposes", "passphrase", "{ env = \"NAME\" } or { file = \"PATH\" }"),
        ("purposes", "passphrase = { env = \"A\", file = \"hunter2\" }\npurposes", "passphrase", "{ env = "),
        ("purposes", "passphrase = { text = \"hunter2\" }\npurposes", "passphrase", "{ file = \"PATH\" }"),
        ("clear", "clean", "clean", "unknown field `clean`"),
        ("[\"customer\"]", "[\"Customer\"]", "kinds", "a-z, 0-9"),
        ("[\"customer\"]", "\"customer\"", "kinds", "expected a sequence"),
        ("kind = \"customer\"", "kind = \"a customer\"", "subject =", "a-z, 0-9"),
        ("kind = \"customer\", ", "", "subject =", "missing field `kind`"),
        ("ids = [{", "ids = [{ zero = true,", "[[table]]", "an integer among several"),
        (
            "ids = [",
            "ids = [{ column = \"n\", type = \"text\", zero = true }, ",
            "[[table]]",
            "an integer among several",
        ),
        (
            "ids = [",
            "ids = [{ column = \"m\", type = \"integer\", zero = true }, { column = \"n\", type = \"integer\", zero = true }, ",
            "[[table]]",
            "only one of the `ids` may be 0",
        ),
        ("name = \"customer\"", "name = \"a.b.c\"", "[[table]]", "\"schema.table\""),
        ("name = \"customer\"", "name = \"\"", "[[table]]", "\"schema.table\""),
        ("key = [\"id\"]", "key = []", "[[table]]", "`key = [\"id\"]`"),
        ("key = [\"id\"]", "key = [\"id\", \"id\"]", "[[table]]", "twice"),
        ("ids =", "unbound = true\nids =", "[[table]]", "leave one of the two out"),
        ("ids = [{ column = \"id\", type = \"uuid\" }]", "", "[[table]]", "`unbound = true`"),
        ("type = \"uuid\" }]", "type = \"guid\" }]", "ids =", "expected one of `integer`, `text`, `uuid`"),
        ("type = \"text\"", "type = \"string\"", "string", "unknown variant `string`"),
        ("type = \"text\"", "", "[[table.field]]", "missing field `type`"),
        ("", "pad = 1", "[[table.field]]", "2 to 65536"),
        ("", "pad = 65537", "[[table.field]]", "2 to 65536"),
        ("", "from = \"email\"", "[[table.field]]", "`form = \"text\"` alone"),
        ("type = \"text\"", "type = \"list\"\nfrom = \"tags\"", "[[table.field]]", "a list is never in the clear"),
        ("", "[[table.field]]\ncolumn = \"email\"\ntype = \"text\"", "[[table]]", "two fields have the column"),
        (
            "",
            "[[table.field]]\ncolumn = \"b\"\nfield = \"email\"\ntype = \"text\"",
            "[[table]]",
            "two fields are named",
        ),
        ("[\"plan\"]", "[\"email\"]", "[[table]]", "one of the two"),
        ("[\"plan\"]", "['a\"b']", "[[table]]", "without quotes"),
        ("[\"billing\"]", "\"billing\"", "purposes", "expected a sequence"),
        ("[\"billing\"]", "[\"billing\"", "database", "missing comma"),
    ] {
        let text = changed(from, to);
        folder.configure(&text);
        let ran = folder.run(&["status"]).fails(2, says);
        let place_of = format!("keytool.toml, line {} ", line(&text, at));
        assert!(ran.err.contains(&place_of), "{place_of:?} is not said: {ran:?}");
        assert!(!ran.err.contains("hunter2"), "a secret in the wrong place is told: {ran:?}");
    }
}

pub(super) fn a_line_of_a_list_is_not_told() {
    let folder = Folder::new();
    for list in [
        // A list in a list.
        r#"["keyring:a.keyring", "pkcs11:token=t;object=o?module-path=m&pin-value=hunter2"],"#,
        r#"["openbao:https://ada:hunter2@host/transit/key", "keyring:a.keyring"]"#,
        r#"["keyring:a.keyring", ["pkcs11:token=t;object=o?pin-value=hunter2"]],"#,
        r#"["pkcs11:token=t;object=o?pin-value=hunter2" "keyring:a.keyring"],"#,
        // And one that is alone on its line.
        r#""openbao:https://ada:hunter2@host/transit/key","#,
    ] {
        folder.configure(&format!("previous = [\n  \"keyring:b.keyring\",\n  {list}\n]\n{CONFIG}"));
        let ran = folder.run(&["status"]).fails(2, "keytool.toml, line ");
        assert!(!ran.err.contains("hunter2"), "a secret is told: {ran:?}");
        let json = folder.run(&["status", "--json"]).exits(2);
        assert!(!json.err.contains("hunter2"), "a secret is told: {json:?}");
    }
}

pub(super) fn what_only_the_whole_tells_is_named_by_its_names() {
    let folder = Folder::new();
    let twice = TABLE.replacen("database = \"sqlite:app.db\"", "", 1);
    for (text, says) in [
        (changed("", &twice), "two [[table]]s with `name = \"customer\"`"),
        (changed("", "purpose = \"marketing\""), "table \"customer\", column \"email\": its `purpose = \"marketing\"`"),
        (
            changed("kind = \"customer\"", "kind = \"employee\""),
            "table \"customer\": its subjects' `kind = \"employee\"`",
        ),
        (changed("kinds = [\"customer\"]", ""), "`kinds = [\"customer\"]`"),
        (changed("kinds = [\"customer\"]", "kinds = []"), "`kinds = [\"customer\"]`"),
        (changed("database = \"sqlite:app.db\"", ""), "no `database`"),
        (changed("[[table.field]]\ncolumn = \"email\"\ntype = \"text\"", ""), "write a [[table.field]] for each"),
    ] {
        folder.configure(&text);
        folder.run(&["status"]).fails(2, says);
    }
}

pub(super) fn a_max_age_that_the_key_store_does_not_have_is_refused() {
    let folder = Folder::new();
    folder.configure(&format!("max_age = \"10m\"\n{CONFIG}"));
    folder.run(&["status"]).fails(2, "ask for at most that");
    assert_eq!(folder.run(&["status", "--json"]).exits(2).error()["kind"], "max_age_too_long");
    folder.configure(&format!("max_age = \"90d\"\n{CONFIG}"));
    folder.run(&["status"]).fails(2, "between 1 second and 1 day");
}
