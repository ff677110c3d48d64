//! PINs: asked for when somebody has to log in, and never tried again once they were wrong.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use fieldseal::Retry;
use fieldseal::provider::{MasterKeyProvider as _, ProviderError, ProviderErrorKind as Kind};
use fieldseal_pkcs11::{Pin, Pkcs11, Pkcs11Options};
use futures_util::future::join_all;

use crate::world::{Admin, PIN, module, name, options, refused};

/// A PIN that may change, and how often it was asked for.
#[derive(Clone)]
struct Asked {
    pin: Arc<Mutex<String>>,
    times: Arc<AtomicUsize>,
}

impl Asked {
    fn new(pin: &str) -> Self {
        Self { pin: Arc::new(Mutex::new(pin.to_owned())), times: Arc::default() }
    }

    fn options(&self, token: &str) -> Pkcs11Options {
        let asked = self.clone();
        let pin = move || {
            asked.times.fetch_add(1, Ordering::SeqCst);
            Ok(Pin::new(asked.pin.lock().unwrap().as_str()))
        };
        Pkcs11Options::new(module().unwrap(), token, name(), pin)
    }

    fn times(&self) -> usize {
        self.times.load(Ordering::SeqCst)
    }
}

/// Twenty calls at once, each of which needs a login.
async fn all_are_denied(provider: &Pkcs11) {
    for answer in join_all((0..20).map(|_| provider.current())).await {
        let refusal = refused(answer, Kind::Denied);
        assert_eq!(refusal.retry(), Retry::Never);
    }
}

pub(crate) async fn a_wrong_pin_is_denied() {
    let asked = Asked::new("wrong");
    refused(asked.options("wrong-pin").open().await.map(drop), Kind::Denied);
    assert_eq!(asked.times(), 1);
    let info = Admin::of("wrong-pin").module.get_token_info(Admin::of("wrong-pin").slot).unwrap();
    assert!(info.user_pin_count_low() && !info.user_pin_locked());
    // The right one works, and is not held against the wrong one.
    options("wrong-pin", &name()).open().await.unwrap();
}

pub(crate) async fn a_pin_that_became_wrong_is_tried_once() {
    let asked = Asked::new(PIN);
    let provider = asked.options("new-pin").open().await.unwrap();
    provider.add_key().await.unwrap();
    assert_eq!(asked.times(), 1);
    *asked.pin.lock().unwrap() = "wrong".to_owned();
    Admin::of("new-pin").session().logout().unwrap();
    all_are_denied(&provider).await;
    *asked.pin.lock().unwrap() = PIN.to_owned();
    all_are_denied(&provider).await;
    assert_eq!(asked.times(), 2, "the wrong PIN was tried more than once");
    asked.options("new-pin").open().await.unwrap();
}

pub(crate) async fn who_is_logged_out_logs_in_again() {
    let asked = Asked::new(PIN);
    let provider = asked.options("logged-out").open().await.unwrap();
    provider.add_key().await.unwrap();
    let current = provider.current().await.unwrap();
    for time in 2..5 {
        Admin::of("logged-out").session().logout().unwrap();
        for answer in join_all((0..20).map(|_| provider.current())).await {
            assert_eq!(answer.unwrap(), current);
        }
        assert_eq!(asked.times(), time, "one login is the process's");
    }
    Admin::of("logged-out").session().logout().unwrap();
    provider.add_key().await.unwrap();
}

pub(crate) async fn what_keeps_the_pin_away_is_passed_on() {
    let no_pin = || Err(ProviderError::new(Kind::Unavailable).with_hint("the vault of PINs is shut"));
    let opened = Pkcs11Options::new(module().unwrap(), "no-pin", name(), no_pin).open().await;
    let refusal = refused(opened.map(drop), Kind::Unavailable);
    assert!(refusal.to_string().contains("the vault of PINs is shut"));
    // That was no wrong PIN.
    options("no-pin", &name()).open().await.unwrap();
}

pub(crate) async fn nothing_says_the_pin() {
    let secret = "a-secret-pin";
    let options = || Pkcs11Options::new(module().unwrap(), "no-such-token", name(), move || Ok(Pin::new(secret)));
    let mut said = vec![format!("{:?} {:?}", Pin::new(secret), options())];
    let asked = Asked::new(secret);
    // Another token than that of other tests, where it is not the process's first wrong PIN.
    let refusals = [options().open().await, asked.options("wrong-pin").open().await];
    for refusal in refusals.into_iter().filter_map(Result::err) {
        said.push(format!("{refusal} {refusal:?}"));
        let mut source = refusal.source();
        while let Some(e) = source {
            said.push(format!("{e} {e:?}"));
            source = e.source();
        }
    }
    assert!(said.iter().all(|text| !text.contains(secret)), "{said:?}");
}
