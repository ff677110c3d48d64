//! [`Progress`]: how far a long command is. A bar on a terminal, a line of JSON a second with `--json`, else nothing; always
//! on standard error.

use std::time::Duration;

use fieldseal::clock::{Clock as _, SystemClock};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{self, Output};

/// How far a command is.
pub(crate) struct Progress {
    bar: ProgressBar,
    lines: Option<Lines>,
}

struct Lines {
    what: &'static str,
    clock: SystemClock,
    told: Duration,
}

impl Progress {
    /// Of `total` things, if that is known.
    pub(crate) fn new(output: Output, what: &'static str, total: Option<u64>) -> Self {
        let target = if output.is_json() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(total, target);
        let template = match total {
            Some(_) => "{msg} [{bar:30}] {human_pos}/{human_len} ({percent} %), {per_sec}, ready in {eta}",
            None => "{spinner} {msg} {human_pos}, {per_sec}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what);
        let lines = output.is_json().then(|| Lines { what, clock: SystemClock::new(), told: Duration::ZERO });
        Self { bar, lines }
    }

    /// So many more are done.
    pub(crate) fn advance(&mut self, by: u64) {
        self.bar.inc(by);
        let Some(lines) = &mut self.lines else { return };
        let now = lines.clock.monotonic();
        if now.saturating_sub(lines.told) < Duration::from_secs(1) {
            return;
        }
        lines.told = now;
        let line = serde_json::json!({ "progress": {
            "what": lines.what,
            "done": self.bar.position(),
            "total": self.bar.length(),
            "seconds": now.as_secs(),
        }});
        // Nobody waits for it.
        let _ = output::say(&format!("{line}\n"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
