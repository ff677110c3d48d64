//! [`Report`] and [`Output`]: what a command found, as text or as one JSON document. A command returns it and never prints.
//!
//! Nothing else in the tool has standard output or standard error in its hands (a test reads the sources): what is printed
//! passes `printable`, whatever it was taken from.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write};

use serde_json::Value;

use crate::exit::{Exit, Failure};

/// What a command found or did.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) exit: Exit,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Report {
    /// All is done.
    pub(crate) fn new(text: impl Into<String>, json: Value) -> Self {
        Self { exit: Exit::Done, text: text.into(), json }
    }

    /// It ends so instead.
    pub(crate) fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// What would be done, and nothing was.
    pub(crate) fn dry_run(text: &str, mut json: Value) -> Self {
        if let Some(fields) = json.as_object_mut() {
            fields.insert("dry_run".to_owned(), Value::Bool(true));
        }
        Self::new(format!("{}\nNothing was changed.", text.trim_end()), json)
    }
}

/// Where reports and failures go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Prints a report to standard output: the only thing that is printed there.
    pub(crate) fn report(self, report: &Report) -> Exit {
        let text = match self.json {
            true => format!("{:#}\n", report.json),
            false => format!("{}\n", report.text.trim_end()),
        };
        match print(io::stdout().lock(), &text) {
            Ok(()) => report.exit,
            // Whoever reads has read enough, as `head` does.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => report.exit,
            Err(e) => {
                let what = "what was asked is done, but standard output can't be written";
                self.failure(&Failure::new(Exit::Unavailable, "output_unavailable", what).because(&e))
            }
        }
    }

    /// Prints a failure to standard error.
    pub(crate) fn failure(self, failure: &Failure) -> Exit {
        let text = match self.json {
            true => format!("{}\n", serde_json::json!({ "error": failure.json() })),
            false => format!("error: {failure}\n"),
        };
        // Where standard error can't be written either, the exit code says it.
        let _ = say(&text);
        failure.exit()
    }
}

/// Prints to standard error.
pub(crate) fn say(text: &str) -> io::Result<()> {
    print(io::stderr().lock(), text)
}

/// Whether somebody reads what is said there, and can answer.
pub(crate) fn somebody_is_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

fn print(mut to: impl Write, text: &str) -> io::Result<()> {
    to.write_all(printable(text).as_bytes())?;
    to.flush()
}

/// No control character but the end of a line reaches a terminal, whatever a person's data hold. `serde_json` escapes those of
/// ASCII; the others are written as JSON has them, so that a document stays one.
fn printable(text: &str) -> Cow<'_, str> {
    let is_control = |c: char| c.is_control() && c != '\n';
    if !text.contains(is_control) {
        return Cow::Borrowed(text);
    }
    let escaped = |c: char| if is_control(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    Cow::Owned(text.chars().map(escaped).collect())
}
