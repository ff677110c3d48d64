//! Runs a runbook in a folder: one script, as somebody would type it.

use std::fs;
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::book::{Step, fits};
use super::company::{Company, MAX_AGE};
use crate::folder::TOOL;

impl Company {
    /// Runs every block, in one shell that stops at the first command that fails, and compares what each prints.
    pub(crate) fn run(&self, steps: &[Step]) {
        let script: String = steps.iter().map(|step| format!("{}\n{SEPARATE}\n", step.commands)).collect();
        let (code, out, err) = self.shell(&script);
        let printed: Vec<&str> = out.split(SEPARATOR).collect();
        for (step, printed) in steps.iter().zip(&printed) {
            let Some(shown) = &step.output else { continue };
            assert!(fits(shown, printed), "{}\n-- is shown with\n{shown}\n-- and prints\n{printed}", step.commands);
        }
        let last = steps.get(printed.len() - 1).map_or("", |step| step.commands.as_str());
        assert!(code == Some(0), "it ended with {code:?}: {err}\nin {last}\n{}", printed.last().unwrap());
    }

    /// Runs one script; its exit code, and what it printed.
    pub(crate) fn shell(&self, script: &str) -> (Option<i32>, String, String) {
        let mut command = Command::new("sh");
        command.args(["-euc", script]).current_dir(self.folder()).stdin(Stdio::null());
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(self.commands()).chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(folders).unwrap());
        command.env("MAX_AGE", MAX_AGE.as_secs().to_string());
        command.env("KEYRING_PASSPHRASE", super::company::PASSPHRASE);
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    /// A folder with `keytool`, and an `sqlite3` where there is none: enough of one for `VACUUM INTO`.
    fn commands(&self) -> PathBuf {
        let folder = self.path(".bin");
        if !folder.exists() {
            fs::create_dir(&folder).unwrap();
            symlink(TOOL, folder.join("keytool")).unwrap();
            if !is_installed("sqlite3") {
                let file = folder.join("sqlite3");
                fs::write(&file, SQLITE3).unwrap();
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
                fs::set_permissions(&file, mode).unwrap();
            }
        }
        folder
    }
}

fn is_installed(command: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(command).exists())
}

const SEPARATOR: &str = "\n-- the next block --\n";
const SEPARATE: &str = "printf '\\n-- the next block --\\n'";

const SQLITE3: &str = "\
#!/usr/bin/env python3
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for row in connection.execute(sys.argv[2]):
    print(*row, sep='|')
";

/// What a runbook's run fails with.
async fn failure_of(steps: &[Step]) -> String {
    let company = Company::new().await.unwrap();
    let failure = catch_unwind(AssertUnwindSafe(|| company.run(steps))).expect_err("it fails");
    failure.downcast_ref::<String>().unwrap().clone()
}

pub(super) async fn a_command_that_fails_ends_the_runbook() {
    let step = |commands: &str| Step { commands: commands.to_owned(), output: None };
    let failure = failure_of(&[step("true"), step("false"), step("true")]).await;
    assert!(failure.contains("it ended with Some(1)"), "{failure}");
}

pub(super) async fn output_that_differs_from_the_page_is_told() {
    let step = Step { commands: "echo two".to_owned(), output: Some("one\n".to_owned()) };
    let failure = failure_of(&[step]).await;
    assert!(failure.contains("-- and prints\ntwo"), "{failure}");
}
