//! [`Page`]: metrics in the text format that Prometheus reads, version 0.0.4.

use std::fmt::{Display, Write as _};

use fieldseal::guard::Circuit;
use fieldseal::measure::{Port, Series};
use fieldseal::vault::CacheStats;

#[derive(Default)]
pub(crate) struct Page(String);

impl Page {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A histogram a port, method and outcome.
    pub(crate) fn durations(&mut self, measured: &[Series]) {
        let name = "fieldseal_port_call_duration_seconds";
        self.head(name, "histogram", "How long calls of a key store, a master key provider or a journal took.");
        for series in measured {
            let labels = [("port", series.port.name()), ("method", series.method), ("outcome", series.outcome)];
            let bucket = format!("{name}_bucket");
            for (bound, count) in series.cumulative() {
                let bound = bound.as_secs_f64().to_string();
                self.line(&bucket, &[&labels[..], &[("le", &bound)]].concat(), count);
            }
            self.line(&bucket, &[&labels[..], &[("le", "+Inf")]].concat(), series.count());
            self.line(&format!("{name}_sum"), &labels, series.sum.as_secs_f64());
            self.line(&format!("{name}_count"), &labels, series.count());
        }
    }

    pub(crate) fn circuits(&mut self, circuits: &[(Port, Circuit)]) {
        let name = "fieldseal_circuit_open";
        self.head(name, "gauge", "1 while a port is not asked because it is down.");
        for (port, circuit) in circuits {
            self.line(name, &[("port", port.name())], u8::from(circuit.is_open()));
        }
    }

    pub(crate) fn cache(&mut self, stats: &CacheStats) {
        for (name, kind, help, value) in [
            ("fieldseal_cache_subjects", "gauge", "Subjects whose keys are held in memory.", stats.subjects as u64),
            ("fieldseal_cache_hits_total", "counter", "Subjects that were answered from memory.", stats.hits),
            ("fieldseal_cache_loads_total", "counter", "Subjects that were read from the key store.", stats.loads),
            ("fieldseal_cache_unwraps_total", "counter", "Data keys that were unwrapped.", stats.unwraps),
        ] {
            self.head(name, kind, help);
            self.line(name, &[], value);
        }
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<_> = labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
        match labels.as_slice() {
            [] => self.write(format_args!("{name} {value}\n")),
            labels => self.write(format_args!("{name}{{{}}} {value}\n", labels.join(","))),
        }
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("a string takes what is written");
    }
}

/// As the format wants the value of a label. Ours need none of it; whoever adds one of theirs might.
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}
