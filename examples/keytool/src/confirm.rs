//! [`Destructive`]: what a command is told before it destroys, and the question that it asks.

use std::io::{self, BufRead as _};

use crate::exit::{Exit, Failure};
use crate::output;

/// Options of commands that destroy keys, or what reads them.
#[derive(Debug, clap::Args)]
pub(crate) struct Destructive {
    /// Don't ask: for scripts.
    #[arg(long)]
    yes: bool,
    /// Say what would happen, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl Destructive {
    /// Asks on a terminal; refuses where nobody can answer.
    pub(crate) fn confirm(&self, question: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !output::somebody_is_there() {
            let what = format!("{question} Nobody can be asked here: add --yes, or --dry-run to see what would happen");
            return Err(Failure::new(Exit::Refused, "not_confirmed", what));
        }
        let mut answer = String::new();
        let asked = output::say(&format!("{question} Type yes to go on: "))
            .and_then(|()| io::stdin().lock().read_line(&mut answer));
        match asked {
            Ok(_) if answer.trim() == "yes" => Ok(()),
            _ => Err(Failure::new(Exit::Refused, "not_confirmed", "not confirmed: nothing was changed")),
        }
    }
}
