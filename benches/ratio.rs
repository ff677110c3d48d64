//! How many times the floor a record of 8 fields costs: ours and plain `aes-gcm` in turn, so that both meet the same machine.
//! `cargo bench --bench ratio`
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a benchmark prints times")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark fails by a panic")]

mod common;

use std::hint::black_box;
use std::time::{Duration, Instant};

use common::{AAD, Customer, CustomerPlain, LENGTHS, Raw, plain};
use fieldseal::Record as _;
use fieldseal_testkit::customer;

const RECORDS: u32 = 200;
const ROUNDS: usize = 400;

fn main() {
    let keys = fieldseal_testkit::keys(&customer(42i64));
    let mut raw = Raw::new();
    let values = LENGTHS.map(|n| "x".repeat(n));
    let row = Customer::seal(&plain(), &keys).unwrap();
    let sealed = values.each_ref().map(|value| raw.seal(value.as_bytes(), &[]));
    let sealed_aad = values.each_ref().map(|value| raw.seal(value.as_bytes(), &AAD));

    let mut times: [Vec<Duration>; 6] = Default::default();
    for _ in 0..ROUNDS {
        let plain: Vec<CustomerPlain> = (0..RECORDS).map(|_| plain()).collect();
        let mut plain = plain.into_iter();
        times[0].push(time(|| Customer::seal(&plain.next().unwrap(), &keys).unwrap()));
        times[1].push(time(|| values.each_ref().map(|value| raw.seal(value.as_bytes(), &[]))));
        times[2].push(time(|| values.each_ref().map(|value| raw.seal(value.as_bytes(), &AAD))));
        times[3].push(time(|| row.open(&keys).unwrap()));
        times[4].push(time(|| sealed.each_ref().map(|sealed| raw.open(sealed, &[]))));
        times[5].push(time(|| sealed_aad.each_ref().map(|sealed| raw.open(sealed, &AAD))));
    }
    times.iter_mut().for_each(|times| times.sort());
    println!("a record of 8 fields, microseconds (minimum, median of {ROUNDS} rounds of {RECORDS})");
    for (i, name) in ["seal", "open"].iter().enumerate() {
        let [ours, raw, raw_aad] = [0, 1, 2].map(|j| [0, ROUNDS / 2].map(|at| micros(times[3 * i + j][at])));
        println!("{name}: {:.2} {:.2}", ours[0], ours[1]);
        report("raw aes-gcm", ours, raw);
        report("raw aes-gcm with as much associated data", ours, raw_aad);
    }
}

fn report(floor: &str, ours: [f64; 2], raw: [f64; 2]) {
    println!("    {:.2} and {:.2} times {floor} ({:.2} {:.2})", ours[0] / raw[0], ours[1] / raw[1], raw[0], raw[1]);
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(RECORDS)
}

fn time<T>(mut work: impl FnMut() -> T) -> Duration {
    let start = Instant::now();
    for _ in 0..RECORDS {
        black_box(work());
    }
    start.elapsed()
}
