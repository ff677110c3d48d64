//! `man`: the tool's pages for the program `man`.

use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use clap_mangen::Man as Page;
use serde_json::json;

use crate::args::Args;
use crate::exit::Failure;
use crate::output::Report;

/// Prints the tool's manual page, or writes those of all commands.
#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// Where to write a page for the tool and one for each command; those that are there are replaced.
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

impl Man {
    /// Needs no configuration.
    pub(crate) fn run(&self) -> Result<Report, Failure> {
        match &self.output {
            None => Ok(print()),
            Some(folder) => write(folder),
        }
    }
}

fn print() -> Report {
    let page = Page::new(Args::command().disable_help_subcommand(true));
    let mut text = Vec::new();
    // Into memory: nothing that could fail.
    let _ = page.render(&mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    let json = json!({ "page": text });
    Report::new(text, json)
}

fn write(folder: &Path) -> Result<Report, Failure> {
    clap_mangen::generate_to(Args::command(), folder)
        .map_err(|e| Failure::of_file("write the manual pages into", folder, &e))?;
    let text = format!("The manual pages are in {0}: `man {0}/keytool.1`.", folder.display());
    Ok(Report::new(text, json!({ "folder": folder.display().to_string() })))
}
