//! An application that seals its customers with the tool's keys: this program, started again, in the environment that the tool
//! is run in.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use fieldseal::{Record, Sealed, Vault};
use fleet_tests::harness::soak;
use fleet_tests::process::CHILD;

use crate::ports::{JournalUrl, ProviderUrl, StoreUrl};

/// How many customers it has: an emulator takes long for each.
pub(crate) fn customers() -> i64 {
    if soak() { 59 } else { 12 }
}

#[derive(Record)]
#[record(schema = "customer")]
struct Customer {
    #[record(id, subject = "customer")]
    id: i64,
    email: Sealed<String>,
}

/// The command that runs it, with the URLs of its provider, store and journal. What it seals is kept in the folder, and opened
/// by the next run.
pub(crate) fn command(folder: &Path, ports: [&str; 3]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(CHILD, TASK).arg(folder).args(ports);
    command
}

pub(crate) fn is_asked_for() -> bool {
    std::env::var(CHILD).is_ok_and(|task| task == TASK)
}

pub(crate) fn run() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match runtime.block_on(seal(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}: {e:?}");
            ExitCode::FAILURE
        }
    }
}

async fn seal(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [folder, provider, store, journal] = arguments else { return Err("a folder, and three URLs".into()) };
    let folder = Path::new(folder);
    let provider = provider.parse::<ProviderUrl>()?.open(folder, None).await?.port();
    let store = store.parse::<StoreUrl>()?.open(folder).await?;
    let journal = journal.parse::<JournalUrl>()?.open(folder).await?;
    let vault =
        Vault::builder(provider, store).record::<Customer>().journal(journal).purposes(["billing"]).build().await?;
    let everybody = (1..=customers()).map(|id| Customer::subject_of(&id)).collect::<Result<Vec<_>, _>>()?;
    let page = vault.default_tenant().enroll_all(&everybody).await?;

    let file = folder.join("sealed");
    let before = fs::read_to_string(&file).unwrap_or_default();
    let mut sealed = String::new();
    for id in 1..=customers() {
        let email = format!("{id}@example.com");
        let keys = page.get(&Customer::subject_of(&id)?)?;
        let row = Customer::seal(&CustomerPlain { id, email: email.clone().into() }, keys)?;
        sealed.push_str(&format!("{}\n", row.email));
        if let Some(text) = before.lines().nth(usize::try_from(id - 1)?) {
            let opened = Customer { id, email: text.parse()? }.open(keys)?;
            assert_eq!(*opened.email.expose(), email);
        }
    }
    fs::write(file, sealed)?;
    Ok(())
}

const TASK: &str = "application";
