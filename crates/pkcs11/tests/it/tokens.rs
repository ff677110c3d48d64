//! Tokens that are busy, gone, or not the one that was meant; and other processes.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use fieldseal::Retry;
use fieldseal::provider::{MasterKeyProvider as _, ProviderErrorKind as Kind};
use fieldseal_pkcs11::{Pin, Pkcs11Options};
use futures_util::FutureExt as _;
use futures_util::future::join_all;

use crate::world::{Admin, PIN, SHARED, empty_family, family, files_of, key, name, options, refused, wrapped};
use fleet_tests::process::{CHILD, Process};

/// In a process of its own, whose threads can be counted.
pub(crate) async fn many_calls_share_few_sessions() {
    let mut child = Process::start("busy", Stdio::null()).unwrap();
    assert_eq!(child.next_line().unwrap(), "done");
    for sessions in [0, 65] {
        refused(options("busy", "k").sessions(sessions).open().await.map(drop), Kind::Misconfigured);
    }
}

#[expect(clippy::print_stdout, reason = "what it says is read by the test")]
async fn busy() {
    let provider = options("busy", &name()).sessions(4).open().await.unwrap();
    provider.add_key().await.unwrap();
    // A thread gives itself its name, when it gets to run.
    threads_are(4).await;
    join_all((0..64).map(|_| async {
        let (key, context) = key();
        let wrapped = provider.wrap_key(&key, &context).await.unwrap();
        assert_eq!(provider.unwrap_key(&wrapped, &context).await.unwrap().expose(), key.expose());
        assert_eq!(threads(), 4);
    }))
    .await;
    // They end with the last handle.
    drop(provider.clone());
    provider.current().await.unwrap();
    drop(provider);
    threads_are(0).await;
    println!("done");
}

async fn threads_are(count: usize) {
    for _ in 0..1000 {
        if threads() == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("there are {} threads, not {count}", threads());
}

/// How many threads wait for the token.
fn threads() -> usize {
    let names =
        fs::read_dir("/proc/self/task").unwrap().map(|task| fs::read_to_string(task.unwrap().path().join("comm")));
    names.filter(|name| name.as_ref().is_ok_and(|name| name.trim_end() == "fieldseal-hsm")).count()
}

pub(crate) async fn a_token_that_is_gone_is_unavailable() {
    let provider = options("gone", &name()).open().await.unwrap();
    let id = provider.add_key().await.unwrap();
    provider.add_key().await.unwrap();
    let (wrapped, context) = wrapped(&provider).await;
    fs::remove_dir_all(files_of("gone")).unwrap();
    // Whatever it says, it does not say that a key was destroyed.
    for _ in 0..8 {
        let (key, other) = key();
        for refusal in [
            provider.destruction(&id).await.map(drop),
            provider.unwrap_key(&wrapped, &context).await.map(drop),
            provider.wrap_key(&key, &other).await.map(drop),
            provider.destroy_key(&id).await.map(drop),
        ] {
            let refusal = refusal.unwrap_err();
            assert!(matches!(refusal.kind(), Kind::Unavailable | Kind::UnknownKey), "{refusal:?}");
        }
    }
}

pub(crate) async fn a_token_is_found_by_its_label_and_serial_number() {
    let refusal = refused(options("nobody's", "k").open().await.map(drop), Kind::Unavailable);
    assert_eq!(refusal.retry(), Retry::Later);
    refused(options("twin", "k").open().await.map(drop), Kind::Misconfigured);
    let admin = Admin::of("twin");
    let serial = admin.module.get_token_info(admin.slot).unwrap().serial_number().to_owned();
    let one = options("twin", "k").serial(&serial).open().await.unwrap();
    one.add_key().await.unwrap();
    assert_eq!(admin.keys("k-1").len(), 1);
    refused(options("twin", "k").serial("0").open().await.map(drop), Kind::Unavailable);
}

pub(crate) async fn what_is_no_module_is_refused() {
    for module in ["/no/such/module.so", "/etc/hostname", "/"] {
        let opened = Pkcs11Options::new(module, SHARED, "k", || Ok(Pin::new(PIN))).open().await;
        let refusal = refused(opened.map(drop), Kind::Misconfigured);
        assert!(refusal.to_string().contains("module"));
    }
}

pub(crate) async fn what_another_process_does_counts_at_once() {
    let family = family().await;
    let old = family.provider.current().await.unwrap();
    let (wrapped, context) = wrapped(&family.provider).await;
    let mut child = Process::start(&family.name, Stdio::null()).unwrap();
    let new = child.next_line().unwrap();
    assert_eq!(child.next_line().unwrap(), "done");
    assert_eq!(family.provider.current().await.unwrap().as_str(), new);
    refused(family.provider.unwrap_key(&wrapped, &context).await, Kind::KeyDestroyed);
    assert!(family.provider.destruction(&old).await.unwrap().is_some());
}

/// What a child does.
pub(crate) async fn child() {
    match std::env::var(CHILD).unwrap().as_str() {
        "busy" => busy().await,
        name => change(name).await,
    }
}

/// Makes a new key of this name, and destroys the one before.
#[expect(clippy::print_stdout, reason = "what it says is read by the test")]
async fn change(name: &str) {
    let provider = options(SHARED, name).open().await.unwrap();
    let old = provider.current().await.unwrap();
    println!("{}", provider.add_key().await.unwrap());
    provider.destroy_key(&old).await.unwrap();
    println!("done");
}

pub(crate) async fn a_call_that_is_dropped_runs_to_its_end() {
    let family = empty_family().await;
    assert!(Box::pin(family.provider.add_key()).as_mut().now_or_never().is_none());
    for _ in 0..1000 {
        match family.provider.current().await {
            Ok(_) => return,
            Err(e) => assert_eq!(e.kind(), Kind::UnknownKey),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the key was not made");
}
