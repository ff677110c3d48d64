//! `--check`: a client that uses the service, reads the metrics as Prometheus would, and looks whether they are right.

use std::collections::BTreeMap;

use reqwest::{Client, StatusCode};

const EMAIL: &str = "ada@example.com";
const PEOPLE: u64 = 5;
/// Such as is found nowhere else on the page.
const FIRST_ID: u64 = 81_549_300_720_000_000;

/// A sample: its name with its labels, and its value.
type Samples = BTreeMap<String, f64>;

pub(crate) async fn check(address: &str) -> Result<(), Box<dyn std::error::Error>> {
    let http = Client::builder().no_proxy().build()?;
    for id in FIRST_ID..FIRST_ID + PEOPLE {
        let url = format!("{address}/emails/{id}");
        http.put(&url).body(EMAIL).send().await?.error_for_status()?;
        assert_eq!(http.get(&url).send().await?.error_for_status()?.text().await?, EMAIL);
    }
    assert_eq!(http.get(format!("{address}/emails/1")).send().await?.status(), StatusCode::NOT_FOUND);

    let answer = http.get(format!("{address}/metrics")).send().await?.error_for_status()?;
    let text = answer.text().await?;
    if let Some(file) = std::env::args().skip_while(|arg| arg != "--write").nth(1) {
        std::fs::write(file, &text)?;
    }
    assert!(!text.contains(EMAIL) && !text.contains(&FIRST_ID.to_string()), "a metric names a person");
    let samples = parse(&text)?;
    check_histograms(&samples);
    let of = |sample: &str| samples.get(sample).copied().unwrap_or_default();
    let count = |port, method, outcome| {
        let labels = format!("port=\"{port}\",method=\"{method}\",outcome=\"{outcome}\"");
        of(&format!("fieldseal_port_call_duration_seconds_count{{{labels}}}"))
    };
    assert!(count("store", "load", "ok") >= 1.0 && count("journal", "head", "ok") >= 1.0);
    assert!(count("provider", "wrap_key", "ok") + count("provider", "unwrap_key", "ok") >= 1.0);
    for port in ["provider", "store", "journal"] {
        assert_eq!(samples.get(&format!("fieldseal_circuit_open{{port=\"{port}\"}}")), Some(&0.0));
    }
    assert!(of("fieldseal_cache_hits_total") >= PEOPLE as f64 && of("fieldseal_cache_subjects") >= PEOPLE as f64);
    assert_eq!(samples.get("fieldseal_journal_passed_over_total"), Some(&0.0));
    println!("{} samples, as they must be", samples.len());
    Ok(())
}

/// Every line is a comment or a sample, and no sample stands there twice.
fn parse(text: &str) -> Result<Samples, Box<dyn std::error::Error>> {
    let mut samples = Samples::new();
    for line in text.lines().filter(|line| !line.starts_with("# ")) {
        let (sample, value) = line.rsplit_once(' ').ok_or("a line without a value")?;
        assert!(samples.insert(sample.to_owned(), value.parse()?).is_none(), "{sample} stands there twice");
    }
    Ok(samples)
}

/// Each bucket holds what the one below it does, and the last one everything.
fn check_histograms(samples: &Samples) {
    let mut histograms: BTreeMap<(&str, &str), Vec<(f64, f64)>> = BTreeMap::new();
    for (sample, value) in samples {
        let Some((name, labels)) = sample.split_once("_bucket{le=\"") else { continue };
        let (bound, labels) = labels.split_once("\",").expect("a bucket has other labels too");
        let bound = bound.parse().expect("a bound is a number, or +Inf");
        histograms.entry((name, labels)).or_default().push((bound, *value));
    }
    assert!(histograms.len() > 5);
    for ((name, labels), mut buckets) in histograms {
        buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        assert!(buckets.is_sorted_by_key(|(_, count)| *count), "{labels}");
        let count = samples.get(&format!("{name}_count{{{labels}"));
        assert_eq!(buckets.last().copied(), count.map(|count| (f64::INFINITY, *count)), "{labels}");
    }
}
