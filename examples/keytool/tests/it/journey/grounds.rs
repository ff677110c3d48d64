//! [`Ground`]: what `keytool.toml` names, on servers of the test's own, and how its master key is followed by another.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use serde_json::{Value, json};

use fleet_tests::postgres::{Server, url};
use fleet_tests::service::{Service, find};

/// Where everything is.
pub(crate) struct Ground {
    pub(crate) provider: String,
    pub(crate) store: String,
    pub(crate) journal: String,
    /// What the tool needs beside the URLs.
    pub(crate) env: Vec<(&'static str, String)>,
    /// How far a master key's destruction goes; none where an emulator doesn't do it.
    pub(crate) end: Option<&'static str>,
    /// What `init` makes of master keys.
    pub(crate) makes: Option<&'static str>,
    /// What is said of a master key that isn't there.
    pub(crate) missing: Option<&'static str>,
    operator: Operator,
}

/// Who makes master keys, if not the tool.
enum Operator {
    Tool,
    Kms { client: aws_sdk_kms::Client },
    OpenBao { url: String, keys: u32 },
}

impl Ground {
    /// PostgreSQL for both, with the master key in a file.
    pub(crate) async fn postgres(server: &Server) -> Self {
        let [store, journal] = [server.database().await, server.database().await].map(|of| url("postgres", &of));
        Self {
            provider: "keyring:master.keyring".to_owned(),
            store: format!("{store}?schema=shop%20keys&notify=on&application_name=keytool"),
            journal,
            env: Vec::new(),
            end: Some("destroyed_here"),
            makes: Some("keyring"),
            missing: None,
            operator: Operator::Tool,
        }
    }

    /// DynamoDB and KMS of an emulator.
    pub(crate) async fn aws(emulator: &Service, name: &str) -> Self {
        let at = format!("region=eu-central-1&endpoint={}", emulator.url());
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("eu-central-1"))
            .endpoint_url(emulator.url())
            .http_client(aws_smithy_http_client::Builder::new().build_http());
        let credentials = aws_sdk_kms::config::Credentials::new("AKIAEXAMPLE", SECRET, None, None, "test");
        let client = aws_sdk_kms::config::Builder::from(&config.build()).credentials_provider(credentials);
        Self {
            provider: format!("awskms:{ALIAS}?{at}&waiting-days=7"),
            store: format!("dynamodb:{name}-keys?{at}"),
            journal: format!("dynamodb:{name}-journal?{at}"),
            env: vec![("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE".into()), ("AWS_SECRET_ACCESS_KEY", SECRET.into())],
            end: Some("scheduled"),
            makes: None,
            missing: Some("aws kms create-key"),
            operator: Operator::Kms { client: aws_sdk_kms::Client::from_conf(client.build()) },
        }
    }

    /// moto, which knows a key that is to be destroyed by its id and not by its ARN.
    pub(crate) async fn moto(moto: &Service) -> Self {
        Self { end: None, ..Self::aws(moto, "moto").await }
    }

    /// Files, and a transit engine.
    pub(crate) async fn openbao(server: &Service) -> Self {
        let operator = Operator::OpenBao { url: server.url(), keys: 0 };
        answers(server).await;
        operator.ask("sys/mounts/transit", json!({ "type": "transit" })).await;
        Self {
            provider: format!("openbao:{}/transit/customers-1", server.url()),
            store: "sqlite:keys.db".to_owned(),
            journal: "file:erasures.journal".to_owned(),
            env: PROXY
                .into_iter()
                .chain([("BAO_TOKEN", TOKEN)])
                .map(|(name, value)| (name, value.to_owned()))
                .collect(),
            end: Some("destroyed_here"),
            makes: None,
            missing: Some("bao write -f transit/keys/customers-1"),
            operator,
        }
    }

    /// A token of SoftHSM's in a folder, and files.
    pub(crate) fn softhsm(folder: &Path) -> Self {
        let (config, tokens) = (folder.join("softhsm2.conf"), folder.join("tokens"));
        fs::create_dir(&tokens).unwrap();
        let text =
            format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
        fs::write(&config, text).unwrap();
        let mut init = Command::new(find("softhsm2-util").unwrap());
        init.args(["--init-token", "--free", "--label", "field seal", "--pin", TOKEN, "--so-pin", "0000"]);
        let output = init.env("SOFTHSM2_CONF", &config).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        Self {
            provider: format!("pkcs11:token=field%20seal;object=customers?module-path={BESIDE}"),
            store: "sqlite:keys.db".to_owned(),
            journal: "file:erasures.journal".to_owned(),
            env: vec![("SOFTHSM2_CONF", config.display().to_string()), ("PKCS11_PIN", TOKEN.to_owned())],
            end: Some("destroyed_here"),
            makes: Some("master key"),
            missing: None,
            operator: Operator::Tool,
        }
    }

    /// The operator makes a master key and the current one, as the tool's messages say.
    pub(crate) async fn next_key(&mut self) {
        match &mut self.operator {
            Operator::Tool => {}
            Operator::Kms { client } => {
                let key = client.create_key().send().await.unwrap().key_metadata.unwrap().key_id;
                let moved = client.update_alias().alias_name(ALIAS).target_key_id(&key).send().await;
                if moved.is_err() {
                    client.create_alias().alias_name(ALIAS).target_key_id(&key).send().await.unwrap();
                }
            }
            Operator::OpenBao { keys, .. } => {
                *keys += 1;
                let name = format!("customers-{keys}");
                self.operator.ask(&format!("transit/keys/{name}"), json!({})).await;
                let (engine, _) = self.provider.rsplit_once('/').unwrap();
                self.provider = format!("{engine}/{name}");
            }
        }
    }

    pub(crate) fn config(&self) -> String {
        let Self { provider, store, journal, .. } = self;
        format!(
            "provider = {provider:?}\nstore = {store:?}\njournal = {journal:?}\nkinds = [\"customer\"]\npurposes = [\"billing\"]\n"
        )
    }
}

impl Operator {
    async fn ask(&self, path: &str, body: Value) {
        let Self::OpenBao { url, .. } = self else { return };
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = http.post(format!("{url}/v1/{path}")).header("x-vault-token", TOKEN).json(&body);
        assert!(request.send().await.unwrap().status().is_success(), "{path}");
    }
}

/// A development server of OpenBao, with everything in memory.
pub(crate) fn bao() -> Service {
    Service::start("bao", |command, port, _| {
        command.args(["server", "-dev", "-dev-no-store-token", &format!("-dev-root-token-id={TOKEN}")]);
        command.arg(format!("-dev-listen-address=127.0.0.1:{port}"));
    })
}

/// Until OpenBao answers: it listens before that.
async fn answers(bao: &Service) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let health = format!("{}/v1/sys/health", bao.url());
    for _ in 0..600 {
        if http.get(&health).send().await.is_ok_and(|answer| answer.status().is_success()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the server is not up: {}", bao.log());
}

pub(crate) const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// The same, in the configuration's folder.
pub(crate) const BESIDE: &str = "hsm.so";
/// A proxy that nobody runs: nothing without TLS may go by it.
const PROXY: [(&str, &str); 3] = [("HTTP_PROXY", "http://127.0.0.1:1"), ("NO_PROXY", ""), ("no_proxy", "")];
const ALIAS: &str = "alias/fieldseal";
pub(crate) const SECRET: &str = "the-secret-access-key";
pub(crate) const TOKEN: &str = "the-token-of-a-test";
