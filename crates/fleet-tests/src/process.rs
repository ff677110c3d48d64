//! A child that is killed: the test's own program, started again with [`CHILD`] set to what it is to do. What it says is read
//! line by line.
#![allow(dead_code, reason = "a test uses what it needs of this")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

/// What a child is to do.
pub(crate) const CHILD: &str = "FIELDSEAL_TEST_CHILD";

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A child; it is killed when it is dropped.
pub(crate) struct Process {
    pub(crate) child: Child,
    out: BufReader<ChildStdout>,
}

impl Process {
    /// `input` is [`Stdio::piped`] where the end of its input tells the child to stop.
    pub(crate) fn start(task: &str, input: Stdio) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.env(CHILD, task).stdin(input).stdout(Stdio::piped()).spawn()?;
        let out = BufReader::new(child.stdout.take().ok_or("its output is piped")?);
        Ok(Self { child, out })
    }

    pub(crate) fn next_line(&mut self) -> Result<String> {
        self.line()?.ok_or_else(|| "the child said nothing and ended".into())
    }

    /// A whole line; what a kill cut off is none.
    pub(crate) fn line(&mut self) -> Result<Option<String>> {
        let mut line = String::new();
        self.out.read_line(&mut line)?;
        Ok(line.strip_suffix('\n').map(str::to_owned))
    }

    /// SIGKILL, and wait.
    pub(crate) fn kill(&mut self) -> Result {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
