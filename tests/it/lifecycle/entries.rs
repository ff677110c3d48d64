//! What of a journal a vault can't take in: entries that a query keeps back, and those of a later version. Whom they are about
//! is left alone; nobody else is stopped.

use std::sync::atomic::{AtomicBool, Ordering};

use fieldseal::error::{JournalError, JournalErrorKind, StoreErrorKind};
use fieldseal::journal::{EntryAt, ErasureJournal, Head, JournalId};
use fieldseal::store::Tag;
use fieldseal::vault::{Enrollment, Rotation, Unnamed};

use super::*;

tests![
    an_entry_that_a_query_keeps_back_is_noticed_by_the_next
    an_entry_that_a_query_keeps_back_is_noticed_by_the_slot
    an_entry_that_a_query_keeps_back_is_noticed_by_a_check
    an_entry_about_the_key_store_that_is_kept_back_stops_everybody
    what_a_later_version_enters_and_may_be_skipped_is
    a_subject_of_whom_a_later_version_has_entered_something_is_left_to_it
    a_tenant_of_which_a_later_version_has_entered_something_is_left_to_it
    a_key_store_of_which_a_later_version_has_entered_something_is_left_to_it
    a_slot_that_a_later_version_has_written_is_left_to_it
    a_query_that_is_damaged_is_noticed_by_whom_it_is_about_alone
    what_waits_is_not_dropped_while_somebody_may_be_at_it
    what_waits_is_not_dropped_while_the_slot_is_damaged
    whom_a_waiting_entry_is_about_is_not_taken_on_the_journals_word
    a_new_line_in_a_tenant_that_is_not_clear_stops_nobody
    nothing_becomes_of_a_slot_that_is_not_clear
    a_subject_that_an_erased_tenant_can_not_bury_stops_nobody
    a_tenant_is_not_erased_past_a_hold_that_a_slot_names
    a_tenant_is_not_erased_past_a_hold_that_was_applied
    a_journal_that_lacks_what_the_key_store_itself_names_is_refused
    nothing_is_final_in_a_tenant_that_is_not_clear
    an_old_process_goes_on_beside_a_later_one
    a_rolling_upgrade_destroys_nothing_and_keeps_everybody_else_going
];

/// A journal that does what whoever keeps it may: keeps entries back from queries by subject, tenant or store, gives damaged
/// ones, answers that another entry stands in a place, or becomes another journal.
#[derive(Debug)]
struct Hiding {
    journal: Mutex<Arc<dyn ErasureJournal>>,
    hidden: Mutex<Vec<u64>>,
    damaged: Mutex<Option<Tag>>,
    lie: Mutex<Option<(u64, JournalEntry)>>,
}

impl Hiding {
    fn hide(&self, positions: impl Into<Vec<u64>>) {
        *self.hidden.lock().unwrap() = positions.into();
    }

    fn damage(&self, tag: Option<Tag>) {
        *self.damaged.lock().unwrap() = tag;
    }

    /// Has the entry at a position read as another.
    fn lie(&self, lie: Option<(u64, JournalEntry)>) {
        *self.lie.lock().unwrap() = lie;
    }

    fn become_another(&self, journal: Arc<dyn ErasureJournal>) {
        *self.journal.lock().unwrap() = journal;
    }

    fn journal(&self) -> Arc<dyn ErasureJournal> {
        self.journal.lock().unwrap().clone()
    }
}

type JournalResult<T> = std::result::Result<T, JournalError>;

#[async_trait::async_trait]
impl ErasureJournal for Hiding {
    async fn id(&self) -> JournalResult<JournalId> {
        self.journal().id().await
    }

    async fn head(&self) -> JournalResult<Head> {
        self.journal().head().await
    }

    async fn append(&self, entry: &JournalEntry, expected: &Head) -> JournalResult<Head> {
        self.journal().append(entry, expected).await
    }

    async fn read(&self, from: u64, limit: usize) -> JournalResult<Vec<JournalEntry>> {
        let mut entries = self.journal().read(from, limit).await?;
        let lie = self.lie.lock().unwrap().clone();
        if let (Some((position, lie)), [entry]) = (lie, entries.as_mut_slice())
            && from + 1 == position
        {
            *entry = lie;
        }
        Ok(entries)
    }

    async fn read_of(&self, tenant: Option<&TenantId>, tag: Option<&Tag>, up_to: &Head) -> JournalResult<Vec<EntryAt>> {
        if tag.is_some() && tag == self.damaged.lock().unwrap().as_ref() {
            return Err(JournalError::corrupt("an entry"));
        }
        let mut entries = self.journal().read_of(tenant, tag, up_to).await?;
        let hidden = self.hidden.lock().unwrap().clone();
        entries.retain(|at| !hidden.contains(&(at.before.position() + 1)));
        Ok(entries)
    }
}

/// A world whose journal can keep entries back.
async fn hiding(on: &Ground) -> Result<(World, Arc<Hiding>)> {
    let world = world_on(on).await?;
    let hiding = Arc::new(Hiding {
        journal: Mutex::new(world.journal.clone()),
        hidden: Mutex::default(),
        damaged: Mutex::default(),
        lie: Mutex::default(),
    });
    Ok((world.with_journal(hiding.clone()), hiding))
}

/// The positions of the entries about a subject.
async fn positions(world: &World, tag: Tag) -> Result<Vec<u64>> {
    let entries = world.entries().await?;
    Ok((1..).zip(&entries).filter(|(_, entry)| entry.tag() == Some(&tag)).map(|(position, _)| position).collect())
}

fn is_corrupt<T: std::fmt::Debug>(answer: &Result<T>) -> bool {
    matches!(answer, Err(Error::Journal(e)) if e.kind() == JournalErrorKind::Corrupt)
}

fn is_newer<T: std::fmt::Debug>(answer: &Result<T>) -> bool {
    match answer {
        Err(Error::Journal(e)) => e.kind() == JournalErrorKind::NewerSchema,
        Err(Error::Store(e)) => e.kind() == StoreErrorKind::NewerSchema,
        _ => false,
    }
}

async fn an_entry_that_a_query_keeps_back_is_noticed_by_the_next(on: &Ground) -> Result {
    let (world, hiding) = hiding(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("cy")).await?;
    for subject in ["ada", "ben"] {
        customers.enroll(&customer(subject)).await?;
        customers.hold(&customer(subject)).await?;
    }
    customers.release(&customer("ada")).await?;
    customers.hold(&customer("ada")).await?;
    let of_ada = positions(&world, customers.tag(&customer("ada")).await?).await?;
    assert_eq!(of_ada.len(), 3);
    for hidden in [vec![of_ada[0]], vec![of_ada[1]], vec![of_ada[0], of_ada[1]]] {
        hiding.hide(hidden);
        assert!(is_corrupt(&customers.erase(&customer("ada"), &whole()).await));
        assert!(is_corrupt(&customers.release(&customer("ada")).await));
        // Somebody else is erased, and one who is held is not.
        customers.erase(&customer("cy"), &whole().even_if_unknown()).await?;
        assert!(matches!(customers.erase(&customer("ben"), &whole()).await, Err(Error::SubjectHeld)));
    }
    hiding.hide([]);
    assert!(matches!(customers.erase(&customer("ada"), &whole()).await, Err(Error::SubjectHeld)));
    Ok(())
}

async fn an_entry_that_a_query_keeps_back_is_noticed_by_the_slot(on: &Ground) -> Result {
    let (world, hiding) = hiding(on).await?;
    let vault = world.vault().await?;
    let customers = vault.default_tenant();
    for subject in ["ada", "ben"] {
        customers.enroll(&customer(subject)).await?;
    }
    customers.hold(&customer("ada")).await?;
    let of_ada = positions(&world, customers.tag(&customer("ada")).await?).await?;
    for hidden in [of_ada.clone(), vec![of_ada[of_ada.len() - 1]]] {
        hiding.hide(hidden);
        assert!(is_corrupt(&customers.erase(&customer("ada"), &whole()).await), "the slot was written after the hold");
        customers.hold(&customer("ben")).await?;
        customers.release(&customer("ben")).await?;
    }
    // Of a tenant: its slot names the creation of its root.
    let id = customers.id();
    let of_tenant = (1..).zip(world.entries().await?);
    let of_tenant = of_tenant.filter(|(_, entry)| entry.tenant() == Some(id) && entry.tag().is_none());
    hiding.hide(of_tenant.map(|(position, _)| position).collect::<Vec<_>>());
    assert!(is_corrupt(&customers.erase(&customer("ben"), &whole()).await));
    assert!(is_corrupt(&vault.erase_tenant(id, &whole()).await));
    vault.tenant(&acme()).enroll(&customer("ada")).await?;
    hiding.hide([]);
    assert!(matches!(customers.erase(&customer("ada"), &whole()).await, Err(Error::SubjectHeld)));
    customers.erase(&customer("ben"), &whole()).await?;
    Ok(())
}

/// The slot may be older than the entry: a crash came between. But who checks reads all entries.
async fn an_entry_that_a_query_keeps_back_is_noticed_by_a_check(on: &Ground) -> Result {
    let (world, hiding) = hiding(on).await?;
    let vault = world.vault().await?;
    let customers = vault.default_tenant();
    let envelope = seal(&customers.enroll(&customer("ada")).await?)?;
    customers.enroll(&customer("ben")).await?;
    let ada = customers.tag(&customer("ada")).await?;
    let lines = ["billing", "default"].map(|name| fieldseal::journal::ErasedLine::new(Purpose::new(name).unwrap(), 1));
    let intended = JournalEvent::ErasureIntended { whole: true, known: true, lines: lines.to_vec() };
    let entry = JournalEntry::of_subject(world.clock.wall(), customers.id().clone(), ada, intended);
    let position = world.scribe().enter(&entry).await?;
    hiding.hide([position]);
    let held = customers.keys(&customer("ada")).await?;
    world.pass_max_age();
    assert!(is_corrupt(&customers.keys(&customer("ada")).await), "nothing of her opens while that isn't known");
    assert!(open(&held, &envelope).is_err());
    customers.keys(&customer("ben")).await?;
    customers.erase(&customer("ben"), &whole()).await?;
    let swept = vault.erase_due().await?;
    let [(about, e)] = swept.failed.as_slice() else { panic!("{:?}", swept.failed) };
    assert_eq!(*about, SlotId::Subject(customers.id().clone(), ada));
    assert!(matches!(e, Error::Journal(e) if e.kind() == JournalErrorKind::Corrupt));
    // It waits, in a process that starts now, too; and is found when the entry is there again.
    let vault = world.vault().await?;
    assert!(is_corrupt(&vault.default_tenant().keys(&customer("ada")).await));
    hiding.hide([]);
    assert!(vault.erase_due().await?.failed.is_empty());
    assert!(is_erased(&vault.default_tenant().keys(&customer("ada")).await), "what was intended is done");
    Ok(())
}

async fn an_entry_about_the_key_store_that_is_kept_back_stops_everybody(on: &Ground) -> Result {
    let (world, hiding) = hiding(on).await?;
    let vault = world.vault().await?;
    vault.default_tenant().enroll(&customer("ada")).await?;
    hiding.hide([2]);
    assert!(is_corrupt(&vault.default_tenant().erase(&customer("ada"), &whole()).await), "which epochs there are");
    world.provider.add_key().await?;
    assert!(is_corrupt(&all_moved(vault.advance_epoch().await)));
    hiding.hide([]);
    vault.advance_epoch().await?;
    vault.default_tenant().erase(&customer("ada"), &whole()).await?;
    Ok(())
}

/// What a later version enters, in its order: an event that may be skipped, one that may not, and an entry of its own form.
fn of_later_versions() -> [JournalEvent; 3] {
    [
        JournalEvent::Unknown { number: 200, bytes: vec![1, 2, 3] },
        JournalEvent::Unknown { number: 40, bytes: vec![1, 2, 3] },
        JournalEvent::LaterVersion { version: 2, bytes: vec![9, 1, 2, 3] },
    ]
}

async fn what_a_later_version_enters_and_may_be_skipped_is(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let customers = vault.default_tenant();
    customers.enroll(&customer("ada")).await?;
    customers.hold(&customer("ada")).await?;
    let (id, tag, at) = (customers.id().clone(), customers.tag(&customer("ada")).await?, world.clock.wall());
    let [skipped, ..] = of_later_versions();
    for entry in [
        JournalEntry::of_subject(at, id.clone(), tag, skipped.clone()),
        JournalEntry::of_tenant(at, id, skipped.clone()),
        JournalEntry::store_wide(at, skipped),
    ] {
        world.scribe().enter(&entry).await?;
    }
    for vault in [vault, world.vault().await?] {
        let customers = vault.default_tenant();
        assert!(matches!(customers.erase(&customer("ada"), &whole()).await, Err(Error::SubjectHeld)));
        customers.release(&customer("ada")).await?;
        customers.hold(&customer("ada")).await?;
        world.pass_max_age();
        customers.keys(&customer("ada")).await?;
        assert!(vault.erase_due().await?.failed.is_empty());
        let audit = vault.audit_journal(|_| ()).await?;
        assert_eq!((audit.passed_over.count, audit.unclear), (0, vec![]));
    }
    Ok(())
}

async fn a_subject_of_whom_a_later_version_has_entered_something_is_left_to_it(on: &Ground) -> Result {
    for event in of_later_versions().into_iter().skip(1) {
        let world = world_on(on).await?;
        let vault = world.vault().await?;
        let customers = vault.default_tenant();
        for subject in ["ada", "ben"] {
            customers.enroll(&customer(subject)).await?;
        }
        let (id, tag) = (customers.id().clone(), customers.tag(&customer("ada")).await?);
        world.scribe().enter(&JournalEntry::of_subject(world.clock.wall(), id.clone(), tag, event)).await?;
        let about = SlotId::Subject(id, tag);
        world.pass_max_age();
        for vault in [vault, world.vault().await?, world.builder().replay().await?.0] {
            let customers = vault.default_tenant();
            assert!(is_newer(&customers.keys(&customer("ada")).await));
            assert!(is_newer(&customers.enroll(&customer("ada")).await));
            assert!(is_newer(&customers.erase(&customer("ada"), &whole()).await));
            assert!(is_newer(&customers.hold(&customer("ada")).await));
            assert!(is_newer(&customers.release(&customer("ada")).await));
            assert!(is_newer(&customers.schedule_erasure(&customer("ada"), world.later(MAX_AGE)).await));
            assert!(is_newer(&customers.rotate(&customer("ada")).await.map(drop)), "nothing becomes of her slot");
            let page = customers.keys_of(&["ada", "ben"].map(customer)).await?;
            assert!(is_newer(&page.get(&customer("ada")).map(drop)) && page.get(&customer("ben")).is_ok());
            customers.hold(&customer("ben")).await?;
            customers.release(&customer("ben")).await?;
            let failed = vault.erase_due().await?.failed;
            let [(failed, e)] = failed.as_slice() else { panic!("{failed:?}") };
            assert!(*failed == about && matches!(e, Error::Journal(_)), "{e:?}");
            let audit = vault.audit_journal(|_| ()).await?;
            assert_eq!(audit.unclear, [(about.clone(), JournalErrorKind::NewerSchema)]);
            let records = vault.erasures().await?;
            let of_ada = records.iter().find(|record| record.tag == Some(tag)).unwrap();
            assert!(of_ada.unclear == Some(JournalErrorKind::NewerSchema) && of_ada.status.is_none());
        }
        assert_eq!(world.builder().replay().await?.1.unclear, 1);
    }
    Ok(())
}

async fn a_tenant_of_which_a_later_version_has_entered_something_is_left_to_it(on: &Ground) -> Result {
    for event in of_later_versions().into_iter().skip(1) {
        let world = world_on(on).await?;
        let vault = world.vault().await?;
        for tenant in [vault.default_tenant(), vault.tenant(&acme())] {
            tenant.enroll(&customer("ada")).await?;
            tenant.hold(&customer("ada")).await?;
        }
        world.scribe().enter(&JournalEntry::of_tenant(world.clock.wall(), acme(), event)).await?;
        world.pass_max_age();
        for vault in [vault, world.vault().await?, world.builder().replay().await?.0] {
            let theirs = vault.tenant(&acme());
            assert!(is_newer(&theirs.keys(&customer("ada")).await));
            assert!(is_newer(&theirs.enroll(&customer("ben")).await));
            assert!(is_newer(&theirs.release(&customer("ada")).await));
            assert!(is_newer(&vault.erase_tenant(&acme(), &whole()).await));
            let customers = vault.default_tenant();
            customers.keys(&customer("ada")).await?;
            customers.enroll(&customer("ben")).await?;
            assert!(matches!(customers.erase(&customer("ada"), &whole()).await, Err(Error::SubjectHeld)));
            assert!(!vault.erase_due().await?.failed.is_empty());
        }
        // Nor is it moved to another epoch; the others are.
        let vault = world.vault().await?;
        world.provider.add_key().await?;
        assert!(is_newer(&all_moved(vault.advance_epoch().await)), "told of when all others have moved");
        assert_eq!(vault.current_epoch().await?, epoch(2));
        assert!(!seal(&vault.default_tenant().enroll(&customer("cy")).await?)?.is_empty());
    }
    Ok(())
}

async fn a_key_store_of_which_a_later_version_has_entered_something_is_left_to_it(on: &Ground) -> Result {
    for event in of_later_versions().into_iter().skip(1) {
        let world = world_on(on).await?;
        let customers = world.tenant().await?;
        customers.enroll(&customer("ada")).await?;
        world.scribe().enter(&JournalEntry::store_wide(world.clock.wall(), event)).await?;
        world.pass_max_age();
        assert!(is_newer(&customers.keys(&customer("ada")).await));
        assert!(is_newer(&customers.erase(&customer("ada"), &whole()).await));
        assert!(is_newer(&world.vault().await.map(drop)));
        assert!(is_newer(&world.builder().replay().await.map(drop)));
    }
    Ok(())
}

async fn a_slot_that_a_later_version_has_written_is_left_to_it(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let customers = vault.default_tenant();
    for subject in ["ada", "ben"] {
        customers.enroll(&customer(subject)).await?;
        customers.hold(&customer(subject)).await?;
    }
    write_later(&world, customers.tag(&customer("ada")).await?).await?;
    world.pass_max_age();
    for vault in [vault, world.vault().await?, world.builder().replay().await?.0] {
        let customers = vault.default_tenant();
        assert!(is_newer(&customers.keys(&customer("ada")).await));
        assert!(is_newer(&customers.enroll(&customer("ada")).await));
        assert!(is_newer(&customers.erase(&customer("ada"), &whole()).await));
        assert!(is_newer(&customers.rotate(&customer("ada")).await.map(drop)));
        customers.keys(&customer("ben")).await?;
        customers.release(&customer("ben")).await?;
        customers.hold(&customer("ben")).await?;
    }
    Ok(())
}

/// The slot becomes a later version's.
async fn write_later(world: &World, tag: Tag) -> Result {
    let slots = world.subjects().await?;
    let slot = slots.iter().find(|slot| matches!(slot.id(), SlotId::Subject(_, of) if *of == tag)).unwrap();
    let later = world.scribe().of_later_version(slot).await?;
    Ok(world.store.put(&later, Expected::Revision(slot.revision())).await?)
}

async fn a_query_that_is_damaged_is_noticed_by_whom_it_is_about_alone(on: &Ground) -> Result {
    let (world, hiding) = hiding(on).await?;
    let vault = world.vault().await?;
    let customers = vault.default_tenant();
    for subject in ["ada", "ben"] {
        customers.enroll(&customer(subject)).await?;
        customers.hold(&customer(subject)).await?;
    }
    let ada = customers.tag(&customer("ada")).await?;
    hiding.damage(Some(ada));
    world.pass_max_age();
    for vault in [&vault, &world.vault().await?] {
        let customers = vault.default_tenant();
        assert!(is_corrupt(&customers.keys(&customer("ada")).await));
        customers.keys(&customer("ben")).await?;
        customers.release(&customer("ben")).await?;
        customers.hold(&customer("ben")).await?;
        let failed = vault.erase_due().await?.failed;
        let [(about, e)] = failed.as_slice() else { panic!("{failed:?}") };
        assert_eq!(*about, SlotId::Subject(customers.id().clone(), ada));
        assert!(is_corrupt::<()>(&Err(e.clone())));
    }
    hiding.damage(None);
    assert!(vault.erase_due().await?.failed.is_empty());
    vault.default_tenant().keys(&customer("ada")).await?;
    Ok(())
}

/// What a process leaves that dies behind the intent of an erasure.
async fn intend(world: &World, customers: &Tenant, tag: Tag, whole: bool) -> Result<u64> {
    let lines = ["billing", "default"].map(|name| fieldseal::journal::ErasedLine::new(Purpose::new(name).unwrap(), 1));
    let intended = JournalEvent::ErasureIntended { whole, known: true, lines: lines.to_vec() };
    let entry = JournalEntry::of_subject(world.clock.wall(), customers.id().clone(), tag, intended);
    world.scribe().enter(&entry).await
}

async fn what_waits_is_not_dropped_while_somebody_may_be_at_it(on: &Ground) -> Result {
    let (world, hiding) = hiding(on).await?;
    let (one, other) = (world.tenant().await?, world.tenant().await?);
    one.enroll(&customer("ada")).await?;
    one.enroll(&customer("ben")).await?;
    let position = intend(&world, &one, one.tag(&customer("ada")).await?, true).await?;
    hiding.hide([position]);
    world.clock.advance(MAX_AGE / 2 + millis(1));
    assert!(is_corrupt(&one.keys(&customer("ada")).await), "it waits");
    // Another process is answered with all there is. For it whoever intends it may still be at it, but crashed.
    hiding.hide([]);
    other.keys(&customer("ben")).await?;
    assert!(is_erased(&world.tenant().await?.keys(&customer("ada")).await), "whoever starts next finishes it");
    Ok(())
}

async fn what_waits_is_not_dropped_while_the_slot_is_damaged(on: &Ground) -> Result {
    let (world, hiding) = hiding(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    // Of each purpose, and not of the whole subject: for that the slot needn't be read.
    let position = intend(&world, &customers, customers.tag(&customer("ada")).await?, false).await?;
    hiding.hide([position]);
    world.vault().await?; // for which it waits
    hiding.hide([]);
    let slot = world.subjects().await?.remove(0);
    let mut bytes = slot.as_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let damaged = StoredSlot::from_bytes(slot.id().clone(), bytes).unwrap();
    world.store.put(&damaged, Expected::Revision(slot.revision())).await?;
    assert!(world.vault().await?.erase_due().await?.receipts.is_empty());
    world.store.put(&slot, Expected::Revision(damaged.revision())).await?; // somebody put it back
    assert!(is_erased(&world.tenant().await?.keys(&customer("ada")).await), "what was intended is done");
    Ok(())
}

async fn whom_a_waiting_entry_is_about_is_not_taken_on_the_journals_word(on: &Ground) -> Result {
    let (world, hiding) = hiding(on).await?;
    let vault = world.vault().await?;
    let customers = vault.default_tenant();
    for subject in ["ada", "ben"] {
        customers.enroll(&customer(subject)).await?;
    }
    let (id, ada) = (customers.id().clone(), customers.tag(&customer("ada")).await?);
    let [_, unknown, _] = of_later_versions();
    let position =
        world.scribe().enter(&JournalEntry::of_subject(world.clock.wall(), id.clone(), ada, unknown)).await?;
    customers.hold(&customer("ben")).await?;
    let of_ben = world.entries().await?.pop().unwrap();
    world.pass_max_age();
    assert!(is_newer(&customers.keys(&customer("ada")).await));

    hiding.lie(Some((position, of_ben)));
    let about_ada = SlotId::Subject(id, ada);
    let failed = vault.erase_due().await?.failed;
    assert!(matches!(failed.as_slice(), [(about, _)] if *about == about_ada), "this process knows: {failed:?}");
    assert!(is_newer(&customers.keys(&customer("ada")).await));
    let misled = world.vault().await?;
    assert!(!misled.erase_due().await?.failed.is_empty(), "something waits, whomever it is about");
    hiding.lie(None);
    for vault in [misled, world.vault().await?] {
        let failed = vault.erase_due().await?.failed;
        assert!(matches!(failed.as_slice(), [(about, _)] if *about == about_ada), "{failed:?}");
        assert!(is_newer(&vault.default_tenant().keys(&customer("ada")).await));
        vault.default_tenant().keys(&customer("ben")).await?;
    }
    Ok(())
}

async fn a_new_line_in_a_tenant_that_is_not_clear_stops_nobody(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let (theirs, customers) = (vault.tenant(&acme()), vault.default_tenant());
    for tenant in [&theirs, &customers] {
        tenant.enroll(&customer("ada")).await?;
    }
    let (ada, at) = (theirs.tag(&customer("ada")).await?, world.clock.wall());
    let [_, unknown, _] = of_later_versions();
    world.scribe().enter(&JournalEntry::of_tenant(at, acme(), unknown)).await?;
    world.pass_max_age();
    assert!(is_newer(&theirs.keys(&customer("ada")).await));
    let new_line = JournalEvent::Reenrolled { purpose: Purpose::new("billing")?, line: 2 };
    world.scribe().enter(&JournalEntry::of_subject(at, acme(), ada, new_line)).await?;
    world.pass_max_age();
    customers.keys(&customer("ada")).await?; // before one that starts has looked at it all
    for vault in [vault, world.vault().await?] {
        vault.default_tenant().keys(&customer("ada")).await?;
        assert!(is_newer(&vault.tenant(&acme()).keys(&customer("ada")).await));
    }
    Ok(())
}

async fn nothing_becomes_of_a_slot_that_is_not_clear(on: &Ground) -> Result {
    for of_tenant in [true, false] {
        let world = world_on(on).await?;
        let vault = world.vault().await?;
        let (theirs, customers) = (vault.tenant(&acme()), vault.default_tenant());
        customers.enroll(&customer("ben")).await?;
        let due = Enrollment::new().retain_until(world.later(MAX_AGE));
        theirs.enroll_with(&customer("ada"), &due).await?;
        theirs.rotate_now(&customer("ada")).await?;
        let (ada, [_, unknown, _], at) = (theirs.tag(&customer("ada")).await?, of_later_versions(), world.clock.wall());
        let entry = match of_tenant {
            true => JournalEntry::of_tenant(at, acme(), unknown),
            false => JournalEntry::of_subject(at, acme(), ada, unknown),
        };
        world.scribe().enter(&entry).await?;
        world.pass_max_age();
        customers.keys(&customer("ben")).await?;
        let slot_of_ada = async || -> Result<Option<StoredSlot>> {
            Ok(world.subjects().await?.into_iter().find(|slot| slot.id().tenant() == Some(&acme())))
        };
        let before = slot_of_ada().await?;
        let soon = Enrollment::new().retain_until(world.later(MAX_AGE));
        assert!(is_newer(&theirs.enroll_with(&customer("ada"), &soon).await));
        assert!(is_newer(&theirs.rotate(&customer("ada")).await));
        assert!(is_newer(&theirs.rotate_now(&customer("ada")).await));
        assert!(!vault.erase_due().await?.failed.is_empty(), "she is due");
        let unnamed = Unnamed::new(world.clock.wall(), Duration::ZERO, []);
        let page = vault.retire_versions_page(&unnamed, None, 100).await?;
        assert!(matches!(page.failed.as_slice(), [(SlotId::Subject(tenant, _), _)] if *tenant == acme()));
        let rotation = Rotation::of_keys_before(world.later(MAX_AGE));
        let page = vault.rotate_page(&rotation, None, 100).await?;
        assert!(matches!(page.failed.as_slice(), [(SlotId::Subject(tenant, _), _)] if *tenant == acme()));
        world.provider.add_key().await?;
        let advanced = all_moved(vault.advance_epoch().await);
        assert_eq!(is_newer(&advanced), of_tenant, "{advanced:?}");
        let page = vault.rewrap_page(None, 100).await?;
        assert!(page.failed.iter().any(|(id, _)| matches!(id, SlotId::Subject(tenant, _) if *tenant == acme())));
        assert_eq!(slot_of_ada().await?, before);
    }
    Ok(())
}

async fn a_subject_that_an_erased_tenant_can_not_bury_stops_nobody(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let (theirs, customers) = (vault.tenant(&acme()), vault.default_tenant());
    customers.enroll(&customer("ada")).await?;
    for subject in ["ada", "ben", "cy"] {
        theirs.enroll(&customer(subject)).await?;
    }
    let about_ada = SlotId::Subject(acme(), theirs.tag(&customer("ada")).await?);
    let slot = world.subjects().await?.into_iter().find(|slot| *slot.id() == about_ada).unwrap();
    let intended = JournalEvent::TenantErasureIntended { known: true };
    world.scribe().enter(&JournalEntry::of_tenant(world.clock.wall(), acme(), intended)).await?;
    write_later(&world, theirs.tag(&customer("ada")).await?).await?;

    let is_done = async || -> Result<bool> {
        Ok(world.events().await?.iter().any(|event| matches!(event, JournalEvent::TenantErasureDone { .. })))
    };
    for vault in [world.vault().await?, world.builder().replay().await?.0] {
        vault.default_tenant().keys(&customer("ada")).await?;
        assert!(matches!(vault.tenant(&acme()).keys(&customer("ben")).await, Err(Error::TenantErased { .. })));
        let failed = vault.erase_due().await?.failed;
        assert!(matches!(failed.as_slice(), [(about, _)] if *about == about_ada), "{failed:?}");
        assert!(is_newer(&vault.erase_tenant(&acme(), &whole()).await), "it did not come to its end");
        let living = world.subjects().await?.into_iter().filter(|slot| slot.id().tenant() == Some(&acme()));
        assert_eq!(living.filter(|slot| slot.epoch().is_some()).count(), 1, "the others are buried");
        assert!(!is_done().await?);
    }
    // Whoever wrote it takes it back.
    let later = world.subjects().await?.into_iter().find(|slot| *slot.id() == about_ada).unwrap();
    world.store.put(&slot, Expected::Revision(later.revision())).await?;
    assert!(world.vault().await?.erase_due().await?.failed.is_empty());
    assert!(is_done().await?);
    assert!(world.subjects().await?.iter().filter(|slot| slot.epoch().is_some()).count() == 1, "the other tenant's");
    Ok(())
}

/// The journal as it was before its last entry.
async fn without_last(world: &World) -> Result<Arc<MemoryJournal>> {
    let (entries, journal) = (world.entries().await?, MemoryJournal::with_id(world.journal.id().await?));
    for entry in entries.iter().rev().skip(1).rev() {
        journal.append(entry, &journal.head().await?).await?;
    }
    Ok(Arc::new(journal))
}

fn intends_tenant(event: &JournalEvent) -> bool {
    matches!(event, JournalEvent::TenantErasureIntended { .. })
}

async fn a_tenant_is_not_erased_past_a_hold_that_a_slot_names(on: &Ground) -> Result {
    let (world, hiding) = hiding(on).await?;
    let theirs = world.vault().await?.tenant(&acme());
    theirs.enroll(&customer("ada")).await?;
    let vault = world.vault().await?; // which has seen no more applied
    theirs.hold(&customer("ada")).await?;
    let whole_journal = hiding.journal();
    hiding.become_another(without_last(&world).await?);
    assert!(matches!(vault.erase_tenant(&acme(), &whole()).await, Err(Error::JournalTruncated)));
    let customers = vault.default_tenant();
    customers.enroll(&customer("ben")).await?;
    customers.hold(&customer("ben")).await?;
    let refused = vault.erase_tenant(&acme(), &whole()).await;
    assert!(is_corrupt(&refused), "another entry in its place is not it: {refused:?}");
    assert!(!world.events().await?.iter().any(intends_tenant));

    hiding.become_another(whole_journal);
    assert!(matches!(vault.erase_tenant(&acme(), &whole()).await, Err(Error::SubjectHeld)));
    theirs.release(&customer("ada")).await?;
    vault.erase_tenant(&acme(), &whole()).await?;
    Ok(())
}

/// Of somebody whose slot a restore lost.
async fn a_tenant_is_not_erased_past_a_hold_that_was_applied(on: &Ground) -> Result {
    let (world, hiding) = hiding(on).await?;
    let theirs = world.vault().await?.tenant(&acme());
    theirs.enroll(&customer("ben")).await?;
    let backup = world.store.backup().await?;
    theirs.enroll(&customer("ada")).await?;
    theirs.hold(&customer("ada")).await?;
    drop(theirs);
    world.store.restore(backup);
    assert_eq!(world.events().await?.last(), Some(&JournalEvent::Held));
    let shorter = without_last(&world).await?;
    let vault = world.builder().replay().await?.0;
    let whole_journal = hiding.journal();
    hiding.become_another(shorter);
    assert!(matches!(vault.erase_tenant(&acme(), &whole()).await, Err(Error::JournalTruncated)));
    assert!(!world.events().await?.iter().any(intends_tenant));
    hiding.become_another(whole_journal);
    assert!(matches!(vault.erase_tenant(&acme(), &whole()).await, Err(Error::SubjectHeld)));
    Ok(())
}

async fn a_journal_that_lacks_what_the_key_store_itself_names_is_refused(on: &Ground) -> Result {
    let (world, hiding) = hiding(on).await?;
    let vault = world.vault().await?;
    vault.default_tenant().enroll(&customer("ada")).await?;
    world.vault().await?; // which sees that much applied
    vault.set_max_age(2 * MAX_AGE).await?;
    let whole_journal = hiding.journal();
    let shorter = without_last(&world).await?;
    hiding.become_another(shorter.clone());
    assert!(matches!(world.vault().await, Err(Error::JournalTruncated)), "one that starts");
    world.pass_max_age();
    let checked = vault.default_tenant().keys(&customer("ada")).await;
    assert!(matches!(checked, Err(Error::JournalTruncated)), "and one that runs");
    // Another entry in its place is not it.
    let ada = vault.default_tenant().tag(&customer("ada")).await;
    assert!(matches!(ada, Err(Error::JournalTruncated)));
    let raised = JournalEvent::RootStored { key_id: fieldseal::envelope::KeyId::from_bytes([7; 24]) };
    world.scribe().enter(&JournalEntry::of_tenant(world.clock.wall(), acme(), raised)).await?;
    assert!(is_corrupt(&world.vault().await));
    assert!(is_corrupt(&vault.default_tenant().keys(&customer("ada")).await));
    hiding.become_another(whole_journal);
    world.vault().await?;
    vault.default_tenant().keys(&customer("ada")).await?;
    Ok(())
}

async fn nothing_is_final_in_a_tenant_that_is_not_clear(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    for tenant in [vault.default_tenant(), vault.tenant(&acme())] {
        tenant.enroll(&customer("ada")).await?;
        tenant.erase(&customer("ada"), &whole()).await?;
    }
    let [_, unknown, _] = of_later_versions();
    world.scribe().enter(&JournalEntry::of_tenant(world.clock.wall(), acme(), unknown)).await?;
    let records = vault.erasures().await?;
    let said: Vec<_> = records.iter().map(|record| (record.unclear, record.status.is_some())).collect();
    assert_eq!(said, [(Some(JournalErrorKind::NewerSchema), false), (None, true)], "acme's, and the other");
    Ok(())
}

/// Processes of both versions work on the same key store and journal for as long as the upgrade takes. The later one is played
/// by what it would write.
async fn a_rolling_upgrade_destroys_nothing_and_keeps_everybody_else_going(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let old = world.vault().await?;
    let (customers, theirs) = (old.default_tenant(), old.tenant(&acme()));
    let due = Enrollment::new().retain_until(world.later(MAX_AGE));
    let mut sealed = Vec::new();
    // Each is due while the upgrade goes on.
    for subject in ["event", "entry", "slot"] {
        sealed.push(seal(&customers.enroll_with(&customer(subject), &due).await?)?);
    }
    theirs.enroll_with(&customer("ada"), &due).await?;
    let elses = seal(&customers.enroll(&customer("else")).await?)?;
    customers.enroll_with(&customer("due"), &due).await?;

    let (id, at, [skipped, event, entry]) = (customers.id().clone(), world.clock.wall(), of_later_versions());
    let tag = async |subject: &str| customers.tag(&customer(subject)).await;
    let (of_event, of_entry, of_slot) = (tag("event").await?, tag("entry").await?, tag("slot").await?);
    let slot_of = async |tag: Tag| -> Result<StoredSlot> {
        let is = |slot: &StoredSlot| matches!(slot.id(), SlotId::Subject(_, of) if *of == tag);
        Ok(world.subjects().await?.into_iter().find(is).unwrap())
    };
    let before_the_upgrade = slot_of(of_slot).await?;
    for entry in [
        JournalEntry::of_subject(at, id.clone(), of_event, event.clone()),
        JournalEntry::of_subject(at, id.clone(), of_entry, entry),
        JournalEntry::of_subject(at, id.clone(), of_slot, skipped.clone()),
        JournalEntry::of_tenant(at, acme(), event),
        JournalEntry::store_wide(at, skipped),
    ] {
        world.scribe().enter(&entry).await?;
    }
    write_later(&world, of_slot).await?;
    let upgraded = async || -> Result<Vec<StoredSlot>> {
        let ada = world.subjects().await?.into_iter().find(|slot| slot.id().tenant() == Some(&acme()));
        Ok([slot_of(of_event).await?, slot_of(of_entry).await?, slot_of(of_slot).await?]
            .into_iter()
            .chain(ada)
            .collect())
    };
    let before = upgraded().await?;
    assert_eq!(before.len(), 4);

    for round in 0..3 {
        world.clock.advance(DAY);
        // Processes of the old version run, start, and one of them replays.
        let started = world.vault().await?;
        let replayed = world.builder().replay().await?.0;
        replayed.resume_retention().await?;
        for vault in [&old, &started, &replayed] {
            let customers = vault.default_tenant();
            assert!(open(&customers.keys(&customer("else")).await?, &elses)?, "round {round}");
            customers.hold(&customer("else")).await?;
            customers.release(&customer("else")).await?;
            customers.rotate(&customer("else")).await?;
            customers.enroll(&customer("somebody new")).await?;
            for subject in ["event", "entry", "slot"] {
                assert!(is_newer(&customers.keys(&customer(subject)).await), "{subject} in round {round}");
                assert!(is_newer(&customers.erase(&customer(subject), &whole()).await));
            }
            assert!(is_newer(&vault.tenant(&acme()).keys(&customer("ada")).await));
            assert!(is_newer(&vault.erase_tenant(&acme(), &whole()).await));
            let swept = vault.erase_due().await?;
            let mut failed: Vec<_> = swept.failed.iter().map(|(about, _)| about.clone()).collect();
            failed.sort();
            let subjects = before.iter().map(|slot| slot.id().clone());
            let mut named: Vec<_> = subjects.chain([SlotId::Tenant(acme())]).collect();
            named.sort();
            assert_eq!(failed, named, "round {round}: whom it can't take in");
            assert!(swept.failed.iter().all(|(_, e)| is_newer::<()>(&Err(e.clone()))), "{:?}", swept.failed);
            rewrap_all_that_can_be(vault).await?;
            assert_eq!(upgraded().await?, before, "round {round}: it destroys nothing, and changes nothing");
        }
        advance_beside(&world, &old).await?;
    }
    assert!(is_erased(&customers.keys(&customer("due")).await), "it was due, and everybody can take it in");

    // The later version writes the slot as before again: it is in the hands of the old one, with all that it had.
    let later = slot_of(of_slot).await?;
    world.store.put(&before_the_upgrade, Expected::Revision(later.revision())).await?;
    customers.hold(&customer("slot")).await?; // it is due
    for customers in [world.tenant().await?, customers] {
        assert!(open(&customers.keys(&customer("slot")).await?, &sealed[2])?);
    }
    let swept = old.erase_due().await?;
    assert_eq!((swept.held, swept.failed.len()), (1, 4), "{:?}", swept.failed);
    assert_eq!([slot_of(of_event).await?, slot_of(of_entry).await?][..], before[..2]);
    // Nor does the old one end an epoch that they are in.
    assert!(matches!(old.retire_epoch(epoch(1)).await, Err(Error::EpochInUse { slots: 4, unverified: 0 })));
    Ok(())
}

/// Opens the next epoch beside a tenant that can't be taken in: that is told when all others have moved.
async fn advance_beside(world: &World, vault: &Vault) -> Result {
    world.provider.add_key().await?;
    assert!(is_newer(&all_moved(vault.advance_epoch().await)));
    Ok(())
}

/// Moves what can be moved to the current epoch.
async fn rewrap_all_that_can_be(vault: &Vault) -> Result {
    let mut next = None;
    loop {
        let page = vault.rewrap_page(next.as_ref(), 3).await?;
        assert!(page.failed.iter().all(|(_, e)| is_newer::<()>(&Err(e.clone()))), "{:?}", page.failed);
        next = page.next;
        if next.is_none() {
            return Ok(());
        }
    }
}

/// A rolling upgrade: for as long as it takes, processes of both versions work on the same key store.
async fn an_old_process_goes_on_beside_a_later_one(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let customers = vault.default_tenant();
    let subjects = ["ada", "ben", "cy", "dan", "eve"];
    let mut sealed = Vec::new();
    for subject in subjects {
        sealed.push(seal(&customers.enroll(&customer(subject)).await?)?);
    }
    let id = customers.id().clone();
    let enter = async |subject: &str, event: JournalEvent| -> Result<u64> {
        let tag = customers.tag(&customer(subject)).await?;
        world.scribe().enter(&JournalEntry::of_subject(world.clock.wall(), id.clone(), tag, event)).await
    };
    let [skipped, unknown, newer] = of_later_versions();
    enter("ada", skipped).await?;
    enter("ben", unknown).await?;
    enter("cy", newer.clone()).await?;
    write_later(&world, customers.tag(&customer("cy")).await?).await?;
    for round in 0..3 {
        world.pass_max_age();
        for (subject, sealed) in subjects.iter().zip(&sealed) {
            let keys = customers.keys(&customer(*subject)).await;
            match *subject {
                "ben" | "cy" => assert!(is_newer(&keys), "{subject} in round {round}: {keys:?}"),
                _ => assert!(open(&keys?, sealed)?, "{subject} in round {round}"),
            }
        }
        customers.hold(&customer("dan")).await?;
        enter("cy", newer.clone()).await?;
        customers.release(&customer("dan")).await?;
        assert_eq!(vault.erase_due().await?.failed.len(), 2, "ben and cy, in round {round}");
    }
    // What waits doesn't hold `applied` up: a process that starts now moves it, and the next one has nothing to move.
    customers.hold(&customer("dan")).await?;
    for moves in [true, false] {
        let moved = Arc::new(AtomicBool::new(false));
        let seen = moved.clone();
        let tap = Tap::new(move |call| {
            seen.fetch_or(call.slot == Some(&SlotId::Vault), Ordering::SeqCst);
            Act::Go
        });
        let started = world.tapped(&tap).build().await?.default_tenant();
        assert_eq!(moved.load(Ordering::SeqCst), moves);
        assert!(is_newer(&started.keys(&customer("ben")).await));
        started.keys(&customer("ada")).await?;
    }
    customers.erase(&customer("eve"), &whole()).await?;
    assert!(is_erased(&world.tenant().await?.keys(&customer("eve")).await));
    Ok(())
}
