//! [`VaultCollector`]: what a vault's ports and its cache have counted, for whatever registry the application has.

use std::fmt;

use fieldseal::Vault;
use fieldseal::guard::Circuit;
use fieldseal::measure::{Counters, Port};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

#[derive(Debug)]
pub(crate) struct VaultCollector {
    pub(crate) vault: Vault,
    pub(crate) counters: Counters,
    pub(crate) circuits: [(Port, Circuit); 3],
}

impl Collector for VaultCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (name, help) = ("fieldseal_port_call_duration_seconds", "How long calls of the vault's ports took");
        let mut durations = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for series in self.counters.snapshot() {
            let labels = [("port", series.port.name()), ("method", series.method), ("outcome", series.outcome)];
            let mut below = 0;
            let mut own = |up_to| up_to - std::mem::replace(&mut below, up_to);
            let buckets = series.cumulative().map(|(bound, up_to)| (bound.as_secs_f64(), own(up_to)));
            let mut buckets: Vec<_> = buckets.collect();
            buckets.push((f64::INFINITY, own(series.count())));
            let mut histogram = durations.encode_family(&labels)?;
            histogram.encode_histogram::<NoLabelSet>(series.sum.as_secs_f64(), series.count(), &buckets, None)?;
        }

        let (name, help) = ("fieldseal_circuit_open", "1 while a port is not asked because it is down");
        let mut circuits = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (port, circuit) in &self.circuits {
            circuits.encode_family(&[("port", port.name())])?.encode_gauge(&u64::from(circuit.is_open()))?;
        }

        let cache = self.vault.cache_stats();
        let (name, help) = ("fieldseal_cache_subjects", "Subjects whose keys are held in memory");
        encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&(cache.subjects as u64))?;
        for (name, help, value) in [
            ("fieldseal_cache_hits", "Subjects that were answered from memory", cache.hits),
            ("fieldseal_cache_loads", "Subjects that were read from the key store", cache.loads),
            ("fieldseal_cache_unwraps", "Data keys that were unwrapped", cache.unwraps),
            (
                "fieldseal_journal_passed_over",
                "Entries of the journal that nobody with the root entered",
                self.vault.passed_over().count,
            ),
        ] {
            let mut counter = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            counter.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }
}
