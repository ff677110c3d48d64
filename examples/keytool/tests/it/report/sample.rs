//! Data for the page: as a store of two years has it, and the corners.

use std::collections::BTreeMap;

use fieldseal::clock::Timestamp;

use super::page::{
    Ages, Census, EpochRow, EpochState, Erasures, MasterKeyEnd, Month, PurposeRow, ReportData, Scheme, TableRow,
    Waiting,
};

/// A store of two years with 180 000 customers, in the middle of a rotation.
pub(super) fn realistic() -> ReportData {
    let epoch = |number: u32, master_key: &str, state, opened_at: &str, slots, keys: [u64; 5]| EpochRow {
        number,
        master_key: master_key.to_owned(),
        state,
        opened_at: Some(at(opened_at)),
        slots,
        keys: Ages::from(keys),
    };
    let table = |table: &str, [current, older, newer, destroyed, not_held]: [u64; 5]| TableRow {
        table: table.to_owned(),
        current,
        older,
        newer,
        destroyed,
        not_held,
    };
    let purpose = |purpose: &str, [pending, current, superseded]: [u64; 3]| PurposeRow {
        purpose: purpose.to_owned(),
        pending,
        current,
        superseded,
    };
    ReportData {
        generated_at: at("2026-11-24T23:50:12.000Z"),
        tool: "keytool 0.1.0".to_owned(),
        provider: Scheme::of("keyring:master.keyring"),
        store: Scheme::of("sqlite:keys.db"),
        journal: Scheme::of("file:erasures.journal"),
        epochs: vec![
            epoch(1, "mk-2024-12-02-7f3a", EpochState::Retired, "2024-12-02T08:10:00.000Z", 0, [0; 5]),
            epoch(2, "mk-2025-06-02-b81c", EpochState::Live, "2025-06-02T08:12:00.000Z", 0, [0; 5]),
            epoch(
                3,
                "mk-2026-06-01-04de",
                EpochState::Live,
                "2026-06-01T08:05:00.000Z",
                12_480,
                [0, 0, 310, 9_644, 7_201],
            ),
            epoch(
                4,
                "mk-2026-11-02-c95e",
                EpochState::Current,
                "2026-11-02T08:20:00.000Z",
                171_932,
                [4_120, 61_874, 38_402, 96_015, 40_277],
            ),
        ],
        oldest_key: Some(at("2024-12-02T08:31:00.000Z")),
        purposes: vec![purpose("default", [212, 184_412, 18_306]), purpose("billing", [0, 51_870, 3_043])],
        census: Some(Census {
            made_at: at("2026-11-24T22:15:00.000Z"),
            tables: vec![
                table("customer", [702_318, 34_120, 0, 5_212, 0]),
                table("crm.contact", [318_077, 96_402, 0, 1_940, 0]),
                table("invoice", [1_284_305, 0, 0, 0, 0]),
                table("support_ticket", [48_213, 20_560, 0, 2_104, 0]),
            ],
        }),
        erasures: (0..14)
            .zip(DONE)
            .map(|(ago, done)| {
                let month = (0..ago).fold(Month::of(at("2026-11-24T00:00:00.000Z")), |month, _| month.before());
                let erasures = match ago {
                    0 => Erasures { done, pending: 0, scheduled: 64, cancelled: 9 },
                    1 => Erasures { done, pending: 0, scheduled: 12, cancelled: 17 },
                    _ => Erasures { done, pending: 0, scheduled: 0, cancelled: done / 9 },
                };
                (month, erasures)
            })
            .collect(),
        not_final: 303,
        waits: vec![
            Waiting { erasures: 41, epoch: 1, end: MasterKeyEnd::Scheduled { at: at("2026-12-20T04:00:00.000Z") } },
            Waiting { erasures: 187, epoch: 2, end: MasterKeyEnd::Lives },
            Waiting { erasures: 303, epoch: 3, end: MasterKeyEnd::Lives },
        ],
        due: 3,
        held: 2,
        damaged: 0,
    }
}

/// A store that was just made.
pub(super) fn empty() -> ReportData {
    ReportData {
        epochs: Vec::new(),
        oldest_key: None,
        purposes: Vec::new(),
        census: None,
        erasures: BTreeMap::new(),
        not_final: 0,
        waits: Vec::new(),
        due: 0,
        held: 0,
        ..realistic()
    }
}

/// One of everything.
pub(super) fn single() -> ReportData {
    let mut data = realistic();
    data.epochs = vec![EpochRow { slots: 1, keys: Ages::from([1, 0, 0, 0, 0]), ..data.epochs.remove(3) }];
    data.purposes = vec![PurposeRow { purpose: "default".to_owned(), pending: 0, current: 1, superseded: 0 }];
    let table = TableRow { table: "t".to_owned(), current: 1, older: 0, newer: 0, destroyed: 0, not_held: 0 };
    data.census = Some(Census { made_at: data.generated_at, tables: vec![table] });
    data.erasures = BTreeMap::from([(Month::of(data.generated_at), Erasures { done: 1, ..Erasures::default() })]);
    data.not_final = 1;
    data.waits = vec![Waiting { erasures: 1, epoch: 4, end: MasterKeyEnd::Lives }];
    (data.due, data.held, data.damaged) = (1, 1, 1);
    data
}

/// Numbers and names as great as they come.
pub(super) fn huge() -> ReportData {
    let mut data = realistic();
    for (epoch, slots) in data.epochs.iter_mut().zip([1, 999_999, 4_294_967_295, 9_876_543_210]) {
        epoch.number += 4_000_000_000;
        epoch.slots = slots;
        epoch.keys = Ages::from([slots, 1, slots / 7, 0, u64::MAX / 1000]);
        epoch.master_key = format!("arn:aws:kms:eu-central-1:123456789012:key/mrk-{}", "0123456789abcdef".repeat(4));
    }
    for row in &mut data.purposes {
        row.purpose.push_str(&"-and-whatever-else-the-law-calls-for".repeat(4));
        row.superseded = 1_000_000_000_000;
    }
    for row in data.census.iter_mut().flat_map(|census| &mut census.tables) {
        row.table.push_str(&"_with_a_name_that_does_not_end".repeat(5));
        row.current *= 1_000_000_007;
        row.not_held = 1;
    }
    for month in data.erasures.values_mut() {
        month.done = month.done * 999_999_999 + 1;
        month.cancelled = 1;
    }
    for waiting in &mut data.waits {
        waiting.erasures *= 1_000_000_007;
    }
    data.waits.push(Waiting { erasures: 1, epoch: 9, end: MasterKeyEnd::Unconfirmed });
    (data.not_final, data.due, data.held, data.damaged) = (u64::MAX, 999_999_999, 1_000_000_000, 1_000_000_000_000);
    data
}

/// A moment as it is written.
pub(super) fn at(moment: &str) -> Timestamp {
    moment.parse().unwrap()
}

/// Of the latest month, the one before, and so on.
const DONE: [u64; 14] = [38, 71, 54, 60, 49, 83, 57, 41, 66, 72, 35, 58, 44, 29];

/// With names that would be more than names.
pub(super) fn hostile() -> ReportData {
    let mut data = realistic();
    for text in texts(&mut data) {
        *text = HOSTILE.to_owned();
    }
    data
}

/// Every text that comes from outside. What is left of an address is a [`Scheme`].
fn texts(data: &mut ReportData) -> Vec<&mut String> {
    let tables = data.census.iter_mut().flat_map(|census| &mut census.tables);
    let mut texts = vec![&mut data.tool];
    texts.extend(data.epochs.iter_mut().map(|epoch| &mut epoch.master_key));
    texts.extend(data.purposes.iter_mut().map(|row| &mut row.purpose));
    texts.extend(tables.map(|table| &mut table.table));
    texts
}

pub(super) const HOSTILE: &str = "</title></style></span>'\"><img src=x onerror='a()'><script>a()</script>&amp;";
