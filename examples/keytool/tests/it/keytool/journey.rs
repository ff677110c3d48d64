//! The life of a key store by the tool alone: made, used, rotated, moved to a new master key, erased from, retired, reported.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Trial};
use serde_json::Value;
use tokio::runtime::Builder;

use crate::dynamodb;
use crate::grounds::{BESIDE, Ground, MODULE, SECRET, TOKEN, bao};
use crate::place::{Place, Ran, example};
use crate::postgres::{self, Server};
use crate::service;

pub(super) fn run() -> ExitCode {
    // With the examples' TLS built in, reqwest makes no client before it has cryptography.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let moto = || service::skip("kms", &["moto_server"]) || service::skip("dynamodb", &["moto_server"]);
    let ministack = || service::skip("kms", &["ministack"]) || service::skip("dynamodb", &["ministack"]);
    let trials = vec![
        trial("on_postgresql", postgres::skip(), || async {
            let Some(server) = Server::start().await else { return };
            journey(Ground::postgres(&server).await).await;
        }),
        trial("the_quickstart_loses_nothing_of_a_store_that_it_is_told", postgres::skip(), || async {
            let Some(server) = Server::start().await else { return };
            quickstart_loses_nothing(&Ground::postgres(&server).await);
        }),
        trial("on_dynamodb_and_kms_of_moto", moto(), || async {
            let moto = dynamodb::moto(); // one question at a time: its transactions aren't isolated
            journey(Ground::moto(&moto).await).await;
        }),
        trial("on_dynamodb_and_kms_of_ministack", ministack(), || async {
            let ministack = service::ministack();
            journey(Ground::aws(&ministack, "ministack").await).await;
        }),
        trial("on_openbao", service::skip("openbao", &["bao"]), || async {
            let bao = bao();
            journey(Ground::openbao(&bao).await).await;
        }),
        trial("on_a_token_of_softhsm", softhsm(), || async {
            let folder = tempfile::tempdir().unwrap();
            journey(Ground::softhsm(folder.path())).await;
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn softhsm() -> bool {
    let is_there = Path::new(MODULE).exists();
    assert!(is_there || !service::required("softhsm"), "FIELDSEAL_REQUIRE names softhsm, but there is no {MODULE}");
    !is_there || service::skip("softhsm", &["softhsm2-util"])
}

fn trial<F: Future<Output = ()>>(name: &str, skip: bool, test: impl FnOnce() -> F + Send + 'static) -> Trial {
    Trial::test(name, move || {
        Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
        Ok(())
    })
    .with_ignored_flag(skip)
}

/// What belongs to a store that is named is kept where nothing empties it, and a store whose journal is elsewhere gets no new
/// one.
fn quickstart_loses_nothing(ground: &Ground) {
    let emptied = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/quickstart");
    fs::create_dir_all(&emptied).unwrap();
    let kept = emptied.join("kept.journal");
    fs::write(&kept, "erasures").unwrap();
    let quickstart = |args: &[&str]| Ran::of(Command::new(example("quickstart")).args(args));
    for url in [["--provider", &ground.provider], ["--store", &ground.store], ["--journal", &ground.journal]] {
        quickstart(&url).fails(2, "--folder <FOLDER>");
        let within = emptied.join("shop");
        let ran = quickstart(&[&url[..], &["--folder", within.to_str().unwrap()]].concat());
        ran.fails(2, "which a run without arguments empties");
    }
    assert_eq!(fs::read_to_string(&kept).unwrap(), "erasures");
    fs::remove_file(&kept).unwrap();

    let [here, elsewhere] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let with_store = |folder: &Path| quickstart(&["--store", &ground.store, "--folder", folder.to_str().unwrap()]);
    with_store(here.path()).done();
    let ran = with_store(elsewhere.path()).exits(1);
    assert!(ran.err.contains("the key store is there, and its master key is not"), "{ran:?}");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    with_store(here.path()).done();
}

/// The tool in a place, on a ground.
struct Journey {
    place: Place,
    ground: Ground,
}

async fn journey(ground: Ground) {
    let mut on = Journey { place: Place { folder: tempfile::tempdir().unwrap() }, ground };
    if on.ground.provider.starts_with("pkcs11:") {
        symlink(MODULE, on.place.path(BESIDE)).unwrap();
    }
    on.begins().await;
    on.is_lived_in();
    let receipt = on.erases("4");
    on.advances().await;
    on.retires(&receipt);
    on.is_looked_at();
    on.is_not_made_anew();
}

impl Journey {
    fn run(&self, args: &[&str]) -> Ran {
        let ran =
            Ran::of(self.place.command().args(args).envs(self.ground.env.iter().map(|(name, value)| (name, value))));
        for secret in [SECRET, TOKEN] {
            assert!(!ran.out.contains(secret) && !ran.err.contains(secret), "a secret is told: {ran:?}");
        }
        ran
    }

    /// `init` makes what it can, says who makes what it can't, and touches nothing that is there.
    async fn begins(&mut self) {
        self.place.configure(&self.ground.config());
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

    /// The other example seals its customers with the same keys.
    fn is_lived_in(&self) {
        let Ground { provider, store, journal, env, .. } = &self.ground;
        for time in ["the first", "the second"] {
            let mut quickstart = Command::new(example("quickstart"));
            quickstart.arg("--folder").arg(self.place.folder.path());
            quickstart.args(["--provider", provider, "--store", store, "--journal", journal]);
            let ran = Ran::of(quickstart.envs(env.iter().map(|(name, value)| (name, value)))).done();
            assert!(ran.out.contains("59 customers, each with keys of their own"), "{time} time: {ran:?}");
        }
        let status = self.status();
        assert_eq!((&status["subjects"]["live"], &status["epochs"][0]["subjects"]), (&59.into(), &59.into()));
        self.run(&["rotate-subject", "4"]).done();
        self.run(&["hold", "5"]).done();
        self.run(&["erase", "5", "--yes"]).fails(3, "hold");
        self.run(&["schedule", "6", "--in", "14d", "--yes"]).done();
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
                self.place.configure(&self.ground.config());
                self.run(&["advance-epoch"]).done()
            }
        };
        self.run(&["retire-epoch", "1", "--yes"]).fails(3, "still under this epoch");
        let moved = self.run(&["rewrap", "--json"]).exits(0).json();
        assert_eq!(moved["moved"], 58, "the erased one has no key to move");
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
        assert_eq!(status["subjects"]["live"], 57);
        assert_eq!(status["subjects"]["scheduled"], 1);
        self.run(&["sweep", "--yes"]).exits(0);
        self.run(&["journal", "verify"]).exits(0);
        self.run(&["journal", "replay", "--yes"]).exits(0);
        self.run(&["report", "--output", "report.html"]).exits(0);
        let report = fs::read_to_string(self.place.path("report.html")).unwrap();
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
        self.place.configure(&self.ground.config().replace(&format!("{journal:?}"), &format!("{elsewhere:?}")));
        self.run(&["status"]).fails(4, "there is no journal at");
        self.run(&["init"]).fails(5, "put it back");
        self.run(&["status"]).exits(4);
        self.place.configure(&self.ground.config());
        self.status();
    }

    fn status(&self) -> Value {
        self.run(&["status", "--json"]).exits(0).json() // where it takes long, it says how far it is
    }
}
