//! A child that is killed: the test's own program, started again with [`CHILD`] set to what it is to do. What it says is read
//! line by line.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

/// What a child is to do.
pub const CHILD: &str = "FIELDSEAL_TEST_CHILD";

/// Whatever a child, or the parent, comes upon.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Of a child, or of what a parent does with it.
pub type Result<T = ()> = std::result::Result<T, Failure>;

/// A child; it is killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    /// For what it doesn't say.
    pub child: Child,
    out: BufReader<ChildStdout>,
}

impl Process {
    /// `input` is [`Stdio::piped`] where the end of its input tells the child to stop.
    pub fn start(task: &str, input: Stdio) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.env(CHILD, task).stdin(input).stdout(Stdio::piped()).spawn()?;
        let out = BufReader::new(child.stdout.take().ok_or("its output is piped")?);
        Ok(Self { child, out })
    }

    /// A whole line, of a child that isn't to end before it.
    pub fn next_line(&mut self) -> Result<String> {
        self.line()?.ok_or_else(|| "the child said nothing and ended".into())
    }

    /// A whole line; what a kill cut off is none.
    pub fn line(&mut self) -> Result<Option<String>> {
        let mut line = String::new();
        self.out.read_line(&mut line)?;
        Ok(line.strip_suffix('\n').map(str::to_owned))
    }

    /// SIGKILL, and wait.
    pub fn kill(&mut self) -> Result {
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
