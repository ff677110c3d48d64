//! SoftHSM tokens in a directory, families of keys in them, and an administrator.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11 as Module};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use fieldseal::provider::{
    KeyMaterial, MasterKeyId, MasterKeyProvider, ProviderError, ProviderErrorKind, WrapContext, WrappedKey,
};
use fieldseal::store::Epoch;
use fieldseal_pkcs11::{Pin, Pkcs11, Pkcs11Options};
use fieldseal_testkit::provider::ProviderFixture;

use fleet_tests::service;

/// Whether SoftHSM is missing and may be.
pub(crate) fn skip() -> bool {
    let missing = service::skip("softhsm", &["softhsm2-util"]) || module().is_none();
    assert!(!missing || !service::required("softhsm"), "FIELDSEAL_REQUIRE names softhsm, but its module is not there");
    missing
}

pub(crate) fn module() -> Option<PathBuf> {
    let places = [
        "/usr/lib/softhsm",
        "/usr/lib64/softhsm",
        "/usr/lib/x86_64-linux-gnu/softhsm",
        "/usr/lib/aarch64-linux-gnu/softhsm",
        "/usr/local/lib/softhsm",
        "/opt/homebrew/lib/softhsm",
    ];
    places.iter().map(|place| Path::new(place).join("libsofthsm2.so")).find(|path| path.is_file())
}

/// Whether the process has its tokens.
pub(crate) fn is_made() -> bool {
    env::var_os(HOME).is_some()
}

/// Makes the tokens, and runs this program again with them. SoftHSM sees no token that is made later.
pub(crate) fn run_in_one() -> ExitCode {
    let home = tempfile::tempdir().unwrap();
    let (tokens, configuration) = (home.path().join("tokens"), home.path().join("softhsm2.conf"));
    fs::create_dir(&tokens).unwrap();
    let text = format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
    fs::write(&configuration, text).unwrap();
    for label in TOKENS {
        let mut make = Command::new(service::find("softhsm2-util").unwrap());
        make.args(["--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "0000"]);
        let made = make.env("SOFTHSM2_CONF", &configuration).stdout(Stdio::null()).status().unwrap();
        assert!(made.success(), "softhsm2-util made no token");
    }
    let mut again = Command::new(env::current_exe().unwrap());
    again.args(env::args_os().skip(1)).env("SOFTHSM2_CONF", &configuration).env(HOME, home.path());
    let ended = again.status().unwrap();
    ExitCode::from(u8::try_from(ended.code().unwrap_or(101)).unwrap_or(101))
}

/// Where a token's files are.
pub(crate) fn files_of(label: &str) -> PathBuf {
    let tokens = PathBuf::from(env::var_os(HOME).unwrap()).join("tokens");
    let is_it = |path: &PathBuf| {
        let object = fs::read(path.join("token.object")).unwrap();
        object.windows(label.len()).any(|part| part == label.as_bytes())
    };
    fs::read_dir(tokens).unwrap().map(|entry| entry.unwrap().path()).find(is_it).unwrap()
}

/// A handle on a token, for keys of a name that no other test has.
pub(crate) struct Family {
    pub(crate) provider: Pkcs11,
    pub(crate) name: String,
}

#[async_trait]
impl ProviderFixture for Family {
    fn provider(&self) -> &dyn MasterKeyProvider {
        &self.provider
    }

    async fn rotate(&self) {
        self.provider.add_key().await.unwrap();
    }
}

/// One with a key.
pub(crate) async fn family() -> Family {
    let family = empty_family().await;
    family.rotate().await;
    family
}

pub(crate) async fn empty_family() -> Family {
    let name = name();
    Family { provider: options(SHARED, &name).open().await.unwrap(), name }
}

/// A name that no other test has.
pub(crate) fn name() -> String {
    static FAMILIES: AtomicU32 = AtomicU32::new(0);
    format!("customers{}", FAMILIES.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn options(token: &str, key: &str) -> Pkcs11Options {
    Pkcs11Options::new(module().unwrap(), token, key, || Ok(Pin::new(PIN)))
}

/// Somebody else's sessions in the same process.
pub(crate) struct Admin {
    pub(crate) module: Module,
    pub(crate) slot: Slot,
}

impl Admin {
    /// A provider must be open, so that the module is initialized.
    pub(crate) fn of(label: &str) -> Self {
        let module = Module::new(module().unwrap()).unwrap();
        let _ = module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
        let is_it = |slot: &Slot| module.get_token_info(*slot).is_ok_and(|info| info.label() == label);
        let slot = module.get_slots_with_token().unwrap().into_iter().find(is_it).unwrap();
        Self { module, slot }
    }

    pub(crate) fn session(&self) -> Session {
        let session = self.module.open_rw_session(self.slot).unwrap();
        let _ = session.login(UserType::User, Some(&AuthPin::from(PIN)));
        session
    }

    /// A key with what is different about it.
    pub(crate) fn make_key(&self, label: &str, id: &[u8], different: &[Attribute]) -> ObjectHandle {
        let usual = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
            Attribute::ValueLen(32.into()),
            Attribute::Label(label.into()),
            Attribute::Id(id.to_vec()),
        ];
        let same = |a: &Attribute| different.iter().all(|b| a.attribute_type() != b.attribute_type());
        let template: Vec<_> = usual.iter().filter(|a| same(a)).chain(different).cloned().collect();
        self.session().generate_key(&Mechanism::AesKeyGen, &template).unwrap()
    }

    pub(crate) fn keys(&self, label: &str) -> Vec<ObjectHandle> {
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Label(label.into()),
        ];
        self.session().find_objects(&template).unwrap()
    }
}

pub(crate) fn key() -> (KeyMaterial, WrapContext) {
    let key = KeyMaterial::generate().unwrap();
    let context = WrapContext::vault_root(Epoch::FIRST, key.id());
    (key, context)
}

/// A key that is wrapped under the current master key.
pub(crate) async fn wrapped(provider: &dyn MasterKeyProvider) -> (WrappedKey, WrapContext) {
    let (key, context) = key();
    (provider.wrap_key(&key, &context).await.unwrap(), context)
}

/// The `CKA_ID` of a master key.
pub(crate) fn bytes_of(id: &MasterKeyId) -> [u8; 16] {
    u128::from_str_radix(id.as_str().strip_prefix("pkcs11:").unwrap(), 16).unwrap().to_be_bytes()
}

#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, ProviderError>, kind: ProviderErrorKind) -> ProviderError {
    let error = answer.expect_err("it is to be refused");
    assert_eq!(error.kind(), kind, "{error:?}");
    error
}

pub(crate) const PIN: &str = "7193-pin-of-the-test";
pub(crate) const SHARED: &str = "shared";
/// Every token; most tests share one. Two are twins.
const TOKENS: [&str; 9] = [SHARED, "wrong-pin", "new-pin", "logged-out", "no-pin", "gone", "busy", "twin", "twin"];
const HOME: &str = "FIELDSEAL_TEST_SOFTHSM";
