//! The commands, one file a command or a tight family. Each is a struct of its arguments with `run`, which gives a
//! [`Report`](crate::output::Report) and prints nothing.

pub(crate) mod init;
