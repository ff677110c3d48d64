//! The page of the key tool's report.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "../examples/keytool/report/mod.rs"]
mod report;
#[path = "report/sample.rs"]
mod sample;

fn main() {
    for (n, d) in [
        ("realistic", sample::realistic()),
        ("empty", sample::empty()),
        ("single", sample::single()),
        ("huge", sample::huge()),
    ] {
        std::fs::write(format!("/tmp/c-try/{n}.html"), report::page(&d)).unwrap();
    }
}
