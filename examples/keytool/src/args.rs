//! [`Args`]: the command line. A command is a struct in a file of `commands/`, a variant here, and a line in `main.rs`.

use std::path::PathBuf;

use crate::commands;
use crate::exit::EXIT_CODES;

/// Looks after the keys of a fieldseal vault: rotates, erases, retires, and says what is so.
///
/// The manual is docs/keytool.md.
#[derive(Debug, clap::Parser)]
#[command(name = "keytool", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// The configuration; paths in it are relative to its folder.
    #[arg(long, global = true, value_name = "FILE", default_value = "keytool.toml")]
    pub(crate) config: PathBuf,
    /// One JSON document on standard output, errors as JSON on standard error.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Init(commands::init::Init),
    Status(commands::status::Status),
    Doctor(commands::doctor::Doctor),
    Rehearse(commands::rehearse::Rehearse),
    RotateSubject(commands::rotate::RotateSubject),
    AdvanceEpoch(commands::epoch::AdvanceEpoch),
    Rewrap(commands::rewrap::Rewrap),
    RetireEpoch(commands::epoch::RetireEpoch),
    Reseal(commands::reseal::Reseal),
    #[command(subcommand)]
    Adopt(commands::adopt::Adopt),
    Census(commands::census::Census),
    Reveal(commands::reveal::Reveal),
    Erase(commands::erase::Erase),
    Schedule(commands::schedule::Schedule),
    Cancel(commands::schedule::Cancel),
    Hold(commands::hold::Hold),
    Release(commands::hold::Release),
    Sweep(commands::sweep::Sweep),
    #[command(subcommand)]
    Receipt(commands::receipt::Receipt),
    #[command(subcommand)]
    Journal(commands::journal::Journal),
    Report(commands::report::Report),
    Completions(commands::completions::Completions),
    Man(commands::man::Man),
}
