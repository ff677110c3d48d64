//! The census, and retiring key versions on its word.

use std::time::Duration;

use fieldseal::Error;
use fieldseal::jobs::{Census, KeyUse, census, reseal};
use fieldseal::vault::Shard;

use super::*;

async fn counted(shop: &Shop) -> Census {
    let mut counted = Census::begin(&shop.vault);
    census(&shop.vault, &map(), &shop.rows, &mut counted, &small(), &mut ()).await.unwrap();
    counted
}

/// Purpose, standing, version, cells, rows.
fn figures(census: &Census) -> Vec<(String, KeyUse, Option<u32>, u64, u64)> {
    census.versions().map(|v| (v.purpose, v.usage, v.version.map(|(_, version)| version), v.cells, v.rows)).collect()
}

async fn retire(shop: &Shop, census: &Census, grace: Duration) -> (u64, u64) {
    let unnamed = census.unnamed(&[&map()], grace).unwrap();
    let (mut from, mut versions, mut subjects) = (None, 0, 0);
    loop {
        let would = shop.vault.retire_versions_page(&unnamed.clone().only_count(), from.as_ref(), 3).await.unwrap();
        let page = shop.vault.retire_versions_page(&unnamed, from.as_ref(), 3).await.unwrap();
        assert_eq!((would.versions, would.subjects), (page.versions, page.subjects), "what would be is what is");
        assert!(page.failed.is_empty());
        versions += page.versions;
        subjects += page.subjects;
        from = page.next;
        if from.is_none() {
            return (versions, subjects);
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn every_key_that_is_named_is_counted_by_how_it_stands() {
    let shop = Shop::populated(30).await;
    shop.customers.rotate_now(&customer(1)).await.unwrap(); // rows 10, 20, 30
    shop.insert(31, 1).await;
    shop.customers.rotate(&customer(2)).await.unwrap(); // its time has not come
    shop.erase(3, Some("billing")).await; // rows 2, 12, 22
    shop.erase(4, None).await; // rows 3, 13, 23
    let lost = Shop::new().await.customers.enroll(&customer(5)).await.unwrap();
    let mut cells = shop.row(4).await.cells;
    cells[EMAIL] = Cell::bytes(seal(&lost, "email", "default", 4, "x"));
    cells[NOTE] = Cell::bytes(seal(&lost, "note", "default", 4, "x"));
    shop.rows.put(key(4), cells).unwrap();

    let census = counted(&shop).await;
    let named = |purpose: &str, usage, version, cells, rows| (purpose.to_owned(), usage, version, cells, rows);
    assert_eq!(
        figures(&census),
        [
            named("billing", KeyUse::Current, Some(1), 21, 21),
            named("billing", KeyUse::Current, Some(2), 1, 1),
            named("billing", KeyUse::Older, Some(1), 3, 3),
            named("billing", KeyUse::Destroyed, None, 6, 6),
            named("default", KeyUse::Current, Some(1), 23, 23),
            named("default", KeyUse::Current, Some(2), 1, 1),
            named("default", KeyUse::Older, Some(1), 3, 3),
            named("default", KeyUse::Destroyed, None, 3, 3),
            named("default", KeyUse::NotHeld, None, 2, 1),
        ]
    );
    assert_eq!(census.lost().map(|(_, rows)| rows).collect::<Vec<_>>(), [1]);
    let kept: Census = census.to_string().parse().unwrap();
    assert_eq!(kept, census);
}

#[tokio::test]
async fn a_census_goes_on_where_it_stopped_and_sums_up_its_parts() {
    let shop = Shop::populated(60).await;
    for subject in [1, 5, 9] {
        shop.customers.rotate_now(&customer(subject)).await.unwrap();
    }
    let whole = counted(&shop).await;

    struct StopAt(usize, String);
    #[async_trait::async_trait]
    impl Observer<Census> for StopAt {
        async fn page(&mut self, _: &PageDone, census: &Census) -> Result<()> {
            if self.0 == 0 {
                return Err(Error::Conflict);
            }
            self.0 -= 1;
            self.1 = census.to_string();
            Ok(())
        }
    }
    for stop in 1..9 {
        let mut stopped = Census::begin(&shop.vault);
        let mut observer = StopAt(stop, String::new());
        let answer = census(&shop.vault, &map(), &shop.rows, &mut stopped, &small(), &mut observer).await;
        assert!(answer.is_err());
        let mut kept: Census = observer.1.parse().unwrap();
        assert!(!kept.is_complete(&map()) && kept.unnamed(&[&map()], HOUR).is_err());
        census(&shop.vault, &map(), &shop.rows, &mut kept, &small(), &mut ()).await.unwrap();
        assert_eq!(figures(&kept), figures(&whole), "stopped after {stop} pages");
    }
    let mut sum = Census::begin(&shop.vault);
    for index in 0..3 {
        let options = small().shard(Shard::new(index, 3).unwrap());
        let mut part = Census::begin(&shop.vault);
        census(&shop.vault, &map(), &shop.rows, &mut part, &options, &mut ()).await.unwrap();
        assert!(!sum.is_complete(&map()));
        sum.merge(part.clone()).unwrap();
        assert!(sum.merge(part).is_err(), "nothing is counted twice");
    }
    assert!(sum.is_complete(&map()));
    assert_eq!(figures(&sum), figures(&whole));
}

#[tokio::test]
async fn half_a_census_is_none() {
    let shop = Shop::populated(9).await;
    shop.customers.rotate_now(&customer(1)).await.unwrap();
    let text = counted(&shop).await.to_string();
    for end in 0..text.len() {
        assert!(text[..end].parse::<Census>().is_err(), "the first {end} bytes");
    }
    assert!(text.replacen("version", "versiom", 1).parse::<Census>().is_err());
}

#[tokio::test]
async fn only_a_version_unnamed_and_long_ended_is_retired() {
    let shop = Shop::populated(30).await;
    for subject in 1..=10 {
        shop.customers.rotate_now(&customer(subject)).await.unwrap();
    }
    // Still named by every row.
    shop.clock.advance(2 * HOUR);
    assert_eq!(retire(&shop, &counted(&shop).await, HOUR).await, (0, 0));
    // Named by none, but it ended less than grace and `max_age` before the census.
    reseal(&shop.vault, &map(), &shop.rows, &small(), &mut ()).await.unwrap();
    let census = counted(&shop).await;
    assert_eq!(retire(&shop, &census, 2 * HOUR).await, (0, 0), "max_age counts, too");
    assert_eq!(retire(&shop, &census, HOUR).await, (20, 10));
    assert_eq!(retire(&shop, &census, HOUR).await, (0, 0));
    // What lives opens, and rotates on with numbers that were never used.
    for row in 1..=30 {
        assert_eq!(shop.email(row).await.unwrap(), format!("{row}@example.com"));
    }
    shop.customers.rotate_now(&customer(1)).await.unwrap();
    shop.insert(31, 1).await;
    let census = counted(&shop).await;
    let newest = census.versions().filter_map(|v| v.version).map(|(_, version)| version).max();
    assert_eq!(newest, Some(3));
}

#[tokio::test]
async fn versions_that_a_row_names_or_current_or_pending_stay() {
    let shop = Shop::populated(9).await;
    for _ in 0..3 {
        shop.customers.rotate_now(&customer(1)).await.unwrap(); // rows 3, 6 and 9, under version 1
        shop.insert(9, 1).await; // the last one's under version 4
    }
    shop.customers.rotate(&customer(2)).await.unwrap();
    shop.clock.advance(Duration::from_secs(60));
    shop.customers.keys(&customer(2)).await.unwrap();
    // Before the time of subject 2's new key: its old one is current.
    let early = counted(&shop).await;
    assert_eq!(retire(&shop, &early, Duration::ZERO).await, (0, 0), "no max_age passed");
    shop.clock.advance(2 * HOUR);
    assert_eq!(retire(&shop, &early, Duration::ZERO).await, (0, 0), "what counts is when the census began");
    let census = counted(&shop).await;
    assert_eq!(retire(&shop, &census, Duration::ZERO).await, (4, 1), "versions 2 and 3 of subject 1's two purposes");
    for row in 1..=9 {
        assert_eq!(shop.email(row).await.unwrap(), format!("{row}@example.com"));
    }
}

#[tokio::test]
async fn nothing_is_retired_while_a_cell_could_not_be_read() {
    let shop = Shop::populated(9).await;
    shop.customers.rotate_now(&customer(1)).await.unwrap();
    shop.clock.advance(HOUR);
    let sound = shop.row(5).await.cells;
    let mut cells = sound.clone();
    cells[NOTE] = Cell::bytes([0]);
    shop.rows.put(key(5), cells).unwrap();
    let unread = counted(&shop).await;
    assert_eq!((unread.tally().failed, unread.tally().rows), (1, 9));
    assert!(matches!(unread.unnamed(&[&map()], Duration::ZERO), Err(Error::InvalidInput(_))));
    // A map that reads the cells in another form sees no key at all.
    let iban = || FieldMap::new("iban").purpose("billing");
    let other =
        TableMap::new("customer", ["id"], "customer", SubjectColumn::new("customer", IdColumn::integer("subject")));
    let other = other.ids([IdColumn::integer("id")]).field(iban());
    let mut blind = Census::begin(&shop.vault);
    census(&shop.vault, &other, &shop.rows, &mut blind, &small(), &mut ()).await.unwrap();
    assert!(blind.versions().next().is_none() && blind.unnamed(&[&other], Duration::ZERO).is_err());
    shop.rows.put(key(5), sound).unwrap();
    assert!(counted(&shop).await.unnamed(&[&map()], Duration::ZERO).is_ok());
}

#[tokio::test]
async fn no_cell_is_counted_twice_by_another_map_or_another_division() {
    let shop = Shop::populated(9).await;
    let whole = counted(&shop).await;
    let mut again = whole.clone();
    let refused = async |census_so_far: &mut Census, map: &TableMap, options: &JobOptions| {
        let answer = census(&shop.vault, map, &shop.rows, census_so_far, options, &mut ()).await;
        assert!(matches!(answer, Err(Error::InvalidInput(_))), "{answer:?}");
    };
    refused(&mut again, &map().clear("subject"), &small()).await;
    let half = small().shard(Shard::new(0, 2).unwrap());
    refused(&mut again, &map(), &half).await;
    assert_eq!(again, whole);
    let mut first = Census::begin(&shop.vault);
    census(&shop.vault, &map(), &shop.rows, &mut first, &half, &mut ()).await.unwrap();
    assert!(first.merge(whole).is_err());
    // The other half may be counted by the same census.
    let half = small().shard(Shard::new(1, 2).unwrap());
    census(&shop.vault, &map(), &shop.rows, &mut first, &half, &mut ()).await.unwrap();
    assert_eq!(figures(&first), figures(&again));
    assert_eq!(first.tally(), again.tally());
}

#[tokio::test]
async fn a_full_purpose_has_room_again_and_the_receipt_knows_all_keys() {
    let shop = Shop::populated(3).await;
    let mut rotated = 1;
    while shop.customers.rotate_now(&customer(1)).await.is_ok() {
        rotated += 1;
        shop.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(rotated, 64);
    reseal(&shop.vault, &map(), &shop.rows, &small(), &mut ()).await.unwrap();
    shop.clock.advance(HOUR);
    assert_eq!(retire(&shop, &counted(&shop).await, Duration::ZERO).await, (126, 1));
    shop.customers.rotate_now(&customer(1)).await.unwrap();
    let receipt = shop.customers.erase(&customer(1), &ErasureRequest::new()).await.unwrap();
    assert!(receipt.purposes().iter().all(|purpose| purpose.key_ids.len() == 65));
}

#[tokio::test]
async fn what_names_a_retired_key_does_not_open_and_says_so() {
    let shop = Shop::populated(3).await;
    let old = shop.row(3).await;
    shop.customers.rotate_now(&customer(1)).await.unwrap();
    reseal(&shop.vault, &map(), &shop.rows, &small(), &mut ()).await.unwrap();
    shop.clock.advance(HOUR);
    assert_eq!(retire(&shop, &counted(&shop).await, Duration::ZERO).await, (2, 1));
    shop.rows.put(key(3), old.cells).unwrap(); // out of a backup of the application's table
    assert!(matches!(shop.email(3).await, Err(Error::Authentication)));
    let lost = counted(&shop).await;
    let not_held = lost.versions().filter(|v| v.usage == KeyUse::NotHeld).map(|v| v.cells).sum::<u64>();
    assert_eq!((not_held, lost.tally().not_held, lost.tally().failed, lost.lost().count()), (2, 2, 0, 2));
    let tally = reseal(&shop.vault, &map(), &shop.rows, &small(), &mut ()).await.unwrap();
    assert_eq!((tally.not_held, tally.failed), (2, 0));
    assert_eq!(shop.email(1).await.unwrap(), "1@example.com");
}

#[tokio::test]
async fn what_a_scheduled_person_names_is_not_retired() {
    let shop = Shop::populated(3).await;
    shop.customers.rotate_now(&customer(1)).await.unwrap();
    shop.clock.advance(HOUR);
    let at = fieldseal::clock::Clock::wall(&shop.clock).plus(HOUR);
    shop.customers.schedule_erasure(&customer(1), at).await.unwrap();
    let census = counted(&shop).await;
    assert_eq!(figures(&census).iter().map(|figure| figure.1).collect::<Vec<_>>(), [KeyUse::Destroyed; 2]);
    shop.customers.cancel_erasure(&customer(1)).await.unwrap();
    assert_eq!(retire(&shop, &census, Duration::ZERO).await, (0, 0));
    assert_eq!(shop.email(1).await.unwrap(), "1@example.com");
}

/// A guest's basket must not keep everybody's old keys.
#[tokio::test]
async fn a_row_of_nobody_keeps_the_keys_that_it_names_and_no_others() {
    let shop = Shop::populated(9).await; // of subjects 1 to 3
    shop.insert(10, 4).await;
    shop.disown(10).await;
    for subject in 1..=4 {
        shop.customers.rotate_now(&customer(subject)).await.unwrap();
    }
    reseal(&shop.vault, &map(), &shop.rows, &small(), &mut ()).await.unwrap();
    shop.clock.advance(2 * HOUR);

    let census = counted(&shop).await;
    assert_eq!((census.tally().of_nobody, census.tally().failed, census.tally().not_held), (2, 0, 0));
    let of_nobody: Vec<_> = figures(&census).into_iter().filter(|figure| figure.1 == KeyUse::OfNobody).collect();
    assert_eq!(of_nobody, ["billing", "default"].map(|purpose| (purpose.to_owned(), KeyUse::OfNobody, None, 1, 1)));
    assert_eq!(census.lost().count(), 0, "they are somebody's");
    assert_eq!(census.to_string().parse::<Census>().unwrap(), census);

    assert_eq!(retire(&shop, &census, Duration::ZERO).await, (6, 3), "but for those of subject 4");
    shop.set(10, SUBJECT, Cell::Integer(4)).await;
    assert_eq!(shop.email(10).await.unwrap(), "10@example.com");
}

#[tokio::test]
async fn a_row_of_nobody_whose_cells_cannot_be_read_may_name_any_key() {
    let shop = Shop::populated(3).await;
    shop.set(1, NOTE, Cell::bytes([0])).await;
    shop.disown(1).await;
    let unread = counted(&shop).await;
    assert_eq!((unread.tally().of_nobody, unread.tally().failed), (2, 1));
    let Err(Error::InvalidInput(told)) = unread.unnamed(&[&map()], Duration::ZERO) else { panic!() };
    assert!(told.contains("could not read all cells (1 failed)") && told.contains("troubles"), "{told}");
}
