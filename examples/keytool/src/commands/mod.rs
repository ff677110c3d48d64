//! The commands, one file a command or a tight family. Each is a struct of its arguments with `run`, which gives a
//! [`Report`](crate::output::Report) and prints nothing.

pub(crate) mod adopt;
pub(crate) mod census;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod epoch;
pub(crate) mod erase;
pub(crate) mod hold;
pub(crate) mod init;
pub(crate) mod journal;
pub(crate) mod man;
pub(crate) mod receipt;
pub(crate) mod rehearse;
pub(crate) mod report;
pub(crate) mod reseal;
pub(crate) mod reveal;
pub(crate) mod rewrap;
pub(crate) mod rotate;
mod rotate_all;
pub(crate) mod schedule;
pub(crate) mod status;
mod subject;
pub(crate) mod sweep;
