//! Key stores, journals and master keys elsewhere: PostgreSQL, DynamoDB, AWS KMS (on two emulators, each of which is right where
//! the other is not), OpenBao, a SoftHSM token. On each the life of a key store by the tool alone: made, used, rotated, moved to
//! a new master key, erased from, retired, reported.

mod grounds;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use fleet_tests::harness::{Alone, Trial};
use fleet_tests::postgres::Databases;
use fleet_tests::service;
use serde_json::Value;

use self::grounds::{BESIDE, Ground, MODULE, SECRET, TOKEN, bao};
use crate::application::{self, customers};
use crate::folder::{Folder, Ran};
use crate::postgres::on_server;

pub(crate) fn trials(databases: &Databases) -> Vec<Trial> {
    // With TLS built in, reqwest makes no client before it has cryptography.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let needs = |components: &[&str], program| components.iter().any(|component| service::skip(component, &[program]));
    vec![
        on_server(databases, "journey::on_postgresql", async |server| journey(Ground::postgres(server).await).await),
        trial("on_dynamodb_and_kms_of_moto", needs(&["kms", "dynamodb"], "moto_server"), async || {
            let moto = service::moto_in_turn();
            journey(Ground::moto(&moto).await).await;
        }),
        trial("on_dynamodb_and_kms_of_ministack", needs(&["kms", "dynamodb"], "ministack"), async || {
            let ministack = service::ministack();
            journey(Ground::aws(&ministack, "ministack").await).await;
        }),
        trial("on_openbao", needs(&["openbao"], "bao"), async || {
            let bao = bao();
            journey(Ground::openbao(&bao).await).await;
        }),
        trial("on_a_token_of_softhsm", softhsm(), async || {
            let folder = tempfile::tempdir().unwrap();
            journey(Ground::softhsm(folder.path())).await;
        }),
    ]
}

fn trial(name: &str, is_ignored: bool, test: impl AsyncFnOnce() + Send + 'static) -> Trial {
    Alone::new().ignored(is_ignored).trial(format!("journey::{name}"), test)
}

fn softhsm() -> bool {
    let is_there = Path::new(MODULE).exists();
    assert!(is_there || !service::required("softhsm"), "FIELDSEAL_REQUIRE names softhsm, but there is no {MODULE}");
    !is_there || service::skip("softhsm", &["softhsm2-util"])
}

/// The tool in a folder, on a ground.
struct Journey {
    folder: Folder,
    ground: Ground,
}

async fn journey(ground: Ground) {
    let mut on = Journey { folder: Folder { dir: tempfile::tempdir().unwrap() }, ground };
    if on.ground.provider.starts_with("pkcs11:") {
        symlink(MODULE, on.folder.path(BESIDE)).unwrap();
    }
    on.begins().await;
    on.is_lived_in();
    let receipt = on.erases("customer:4");
    on.advances().await;
    on.retires(&receipt);
    on.is_looked_at();
    on.is_not_made_anew();
}

impl Journey {
    fn run(&self, args: &[&str]) -> Ran {
        let ran =
            Ran::of(self.folder.command().args(args).envs(self.ground.env.iter().map(|(name, value)| (name, value))));
        for secret in [SECRET, TOKEN] {
            assert!(!ran.out.contains(secret) && !ran.err.contains(secret), "a secret is told: {ran:?}");
        }
        ran
    }

    /// `init` makes what it can, says who makes what it can't, and touches nothing that is there.
    async fn begins(&mut self) {
        self.folder.configure(&self.ground.config());
        self.run(&["status"]).exits(4);
        if let Some(missing) = self.ground.missing {
            self.run(&["init"]).fails(4, missing);
            self.ground.next_key().await;
        }
        let dry = self.run(&["init", "--dry-run", "--json"]).done().json();
        let made = self.run(&["init", "--json"]).done().json();
        assert_eq!(made["made"], dry["made"]);
        let parts: Vec<_> = self.ground.makes.into_iter().chain(["journal", "store", "vault"]).collect();
        assert_eq!(made["made"], Value::from(parts));
        self.run(&["init"]).fails(3, "there already");
    }

    /// An application seals its customers with the same keys.
    fn is_lived_in(&self) {
        let Ground { provider, store, journal, env, .. } = &self.ground;
        for _ in ["the first time", "with all made"] {
            let mut application = application::command(self.folder.dir.path(), [provider, store, journal]);
            Ran::of(application.envs(env.iter().map(|(name, value)| (name, value)))).done();
        }
        let status = self.status();
        assert_eq!(
            (&status["subjects"]["live"], &status["epochs"][0]["subjects"]),
            (&customers().into(), &customers().into())
        );
        self.run(&["rotate-subject", "customer:4"]).done();
        self.run(&["hold", "customer:5"]).done();
        self.run(&["erase", "customer:5", "--yes"]).fails(3, "hold");
        self.run(&["schedule", "customer:6", "--in", "14d", "--yes"]).done();
    }

    /// Erased, and not final before the master key is gone.
    fn erases(&self, subject: &str) -> String {
        let file = format!("{subject}.json");
        self.run(&["erase", subject, "--yes", "--receipt", &file]).done();
        let verified = self.run(&["receipt", "verify", &file, "--json"]).exits(7).json();
        assert_eq!(verified["receipts"][0]["status"], "erased");
        file
    }

    async fn advances(&mut self) {
        let ran = self.run(&["advance-epoch"]).fails(3, "a new one is needed first");
        let by_tool = self.ground.makes.is_some();
        let how = if by_tool { "--add-key makes one" } else { "a new master key is made" };
        assert!(ran.err.contains(how), "{ran:?}");
        match by_tool {
            true => self.run(&["advance-epoch", "--add-key"]).done(),
            false => {
                self.run(&["advance-epoch", "--add-key"]).fails(3, "--add-key can't");
                self.ground.next_key().await;
                self.folder.configure(&self.ground.config());
                self.run(&["advance-epoch"]).done()
            }
        };
        self.run(&["retire-epoch", "1", "--yes"]).fails(3, "still under this epoch");
        let moved = self.run(&["rewrap", "--json"]).exits(0).json();
        assert_eq!(moved["moved"], customers() - 1, "the erased one has no key to move");
    }

    /// The master key ends, as far as its provider ends it; and the receipt doesn't wait for it, or says until when.
    fn retires(&self, receipt: &str) {
        let Some(end) = self.ground.end else { return };
        let retired = self.run(&["retire-epoch", "1", "--yes", "--json"]).done().json();
        assert_eq!(retired["end"], end, "{retired}");
        assert_eq!(self.run(&["retire-epoch", "1", "--json"]).done().json(), retired, "asked again it tells the same");
        // Nothing is final within `max_age`, which other processes may use keys for. What else it waits for is what counts
        // here.
        let verified = self.run(&["receipt", "verify", receipt, "--json"]).exits(7).json();
        let answer = &verified["receipts"][0];
        assert_eq!(answer["status"], "erased");
        match retired["at"].as_str() {
            // Until then it can be called back; the day is said.
            Some(at) => assert!(answer["details"][0].as_str().unwrap().contains(at.get(..10).unwrap()), "{answer}"),
            None => assert_eq!(answer["details"], serde_json::json!([]), "for no master key"),
        }
    }

    fn is_looked_at(&self) {
        let status = self.status();
        assert_eq!(status["epochs"][0]["end"], self.ground.end.unwrap_or("lives").replace('_', " "));
        assert_eq!(status["subjects"]["live"], customers() - 2);
        assert_eq!(status["subjects"]["scheduled"], 1);
        self.run(&["sweep", "--yes"]).exits(0);
        self.run(&["journal", "verify"]).exits(0);
        self.run(&["journal", "replay", "--yes"]).exits(0);
        self.run(&["report", "--output", "report.html"]).exits(0);
        let report = fs::read_to_string(self.folder.path("report.html")).unwrap();
        let scheme = |url: &str| url.split_once(':').unwrap().0.to_owned();
        for url in [&self.ground.provider, &self.ground.store, &self.ground.journal] {
            assert!(report.contains(&scheme(url)), "{url}");
        }
        assert!(!report.contains("127.0.0.1"), "where things are is in no report");
    }

    /// A journal that is not there beside a key store was lost, wherever it is.
    fn is_not_made_anew(&self) {
        let Ground { journal, .. } = &self.ground;
        let elsewhere = match journal.split_once("-journal") {
            Some((before, after)) => format!("{before}-journal-2{after}"),
            None if journal.starts_with("file:") => "file:other.journal".to_owned(),
            None => format!("{journal}?schema=other"),
        };
        self.folder.configure(&self.ground.config().replace(&format!("{journal:?}"), &format!("{elsewhere:?}")));
        self.run(&["status"]).fails(4, "there is no journal at");
        self.run(&["init"]).fails(5, "put it back");
        self.run(&["status"]).exits(4);
        self.folder.configure(&self.ground.config());
        self.status();
    }

    fn status(&self) -> Value {
        self.run(&["status", "--json"]).exits(0).json() // where it takes long, it says how far it is
    }
}
