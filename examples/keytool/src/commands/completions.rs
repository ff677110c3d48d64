//! `completions`: a script that lets a shell complete the tool's commands and options.

use clap::CommandFactory as _;
use clap_complete::Shell;
use serde_json::json;

use crate::args::Args;
use crate::output::Report;

/// Prints a script with which a shell completes the tool's commands and options.
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    shell: Shell,
}

impl Completions {
    /// Needs no configuration.
    pub(crate) fn run(&self) -> Report {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Args::command(), "keytool", &mut script);
        let script = String::from_utf8_lossy(&script).into_owned();
        let json = json!({ "shell": self.shell.to_string(), "script": script });
        Report::new(script, json)
    }
}
