//! The operator's tool: looks after the keys of a vault. `docs/keytool.md` is the manual.
//!
//! `cargo install --path examples/keytool`, then `keytool --help`.
//!
//! `args` is the command line, `config` is `keytool.toml`, `open` opens what it names, by URL (`ports`), `masters` are its
//! providers together, `database` and `tables` the application's tables, `commands` has a file a command, `bulk` is what the
//! jobs on tables share (with `checkpoints` and `troubles`), `scratch` is where a restore is rehearsed, `report` is the page of
//! `keytool report`; `exit`, `output`, `progress` and `confirm` are how it speaks. Uses what the library makes public, and
//! nothing else.

mod args;
mod bulk;
mod checkpoints;
mod commands;
mod config;
mod confirm;
mod database;
mod exit;
mod files;
mod masters;
mod open;
mod output;
mod ports;
mod progress;
mod report;
mod scratch;
mod survey;
mod tables;
mod text;
mod troubles;

use std::panic;
use std::process::{self, ExitCode};

use clap::Parser as _;

use crate::args::{Args, Command};
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::open::Tool;
use crate::output::{Output, Report};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    ExitCode::from(run().await.code())
}

async fn run() -> Exit {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(e) => return not_parsed(&e),
    };
    let output = Output::new(args.json);
    panic::set_hook(Box::new(move |info| stop(output, info)));
    match answer(args, output).await {
        Ok(report) => output.report(&report),
        Err(failure) => output.failure(&failure),
    }
}

async fn answer(args: Args, output: Output) -> Result<Report, Failure> {
    let file = args.config;
    let tool = || Ok::<_, Failure>(Tool { config: Config::load(&file)?, output });
    match args.command {
        Command::Init(init) => {
            init.write_config(&file)?;
            init.run(&tool()?).await
        }
        Command::Status(status) => status.run(&tool()?).await,
        Command::Doctor(doctor) => doctor.run(&tool()?).await,
        Command::Rehearse(rehearse) => rehearse.run(&tool()?).await,
        Command::RotateSubject(rotate) => rotate.run(&tool()?).await,
        Command::AdvanceEpoch(advance) => advance.run(&tool()?).await,
        Command::Rewrap(rewrap) => rewrap.run(&tool()?).await,
        Command::RetireEpoch(retire) => retire.run(&tool()?).await,
        Command::Reseal(reseal) => reseal.run(&tool()?).await,
        Command::Adopt(adopt) => adopt.run(&tool()?).await,
        Command::Census(census) => census.run(&tool()?).await,
        Command::Reveal(reveal) => reveal.run(&tool()?).await,
        Command::Erase(erase) => erase.run(&tool()?).await,
        Command::Schedule(schedule) => schedule.run(&tool()?).await,
        Command::Cancel(cancel) => cancel.run(&tool()?).await,
        Command::Hold(hold) => hold.run(&tool()?).await,
        Command::Release(release) => release.run(&tool()?).await,
        Command::Sweep(sweep) => sweep.run(&tool()?).await,
        Command::Receipt(receipt) => receipt.run(&tool()?).await,
        Command::Journal(journal) => journal.run(&tool()?).await,
        Command::Report(report) => report.run(&tool()?).await,
        Command::Completions(completions) => Ok(completions.run()),
        Command::Man(man) => man.run(),
    }
}

/// A panic ends the process as any other bug, on whatever thread it is. Its message may hold what it was about: not told.
fn stop(output: Output, info: &panic::PanicHookInfo<'_>) {
    let place = info.location().map_or_else(|| "somewhere".to_owned(), ToString::to_string);
    let what = format!("a bug, please report it: a panic at {place}. Every command can be run again");
    let exit = output.failure(&Failure::new(Exit::Unforeseen, "bug", what));
    process::exit(exit.code().into());
}

/// Help and version, or what is wrong with the arguments.
fn not_parsed(e: &clap::Error) -> Exit {
    let wrong = e.use_stderr();
    if wrong && std::env::args_os().any(|arg| arg == "--json") {
        let text = e.to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        return Output::new(true).failure(&Failure::usage(text.trim_end()));
    }
    // Where it can't be printed, the exit code says it.
    if wrong {
        let _ = output::say(&e.render().to_string()); // it repeats the arguments
        return Exit::Usage;
    }
    let _ = e.print();
    Exit::Done
}
