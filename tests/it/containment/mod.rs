//! One bad slot, future, panic, clock or backup stops and endangers nothing else, and is named.

mod abandoned;
mod batches;
mod clocks;
mod damage;
mod examination;
mod items;
mod panics;
mod restores;
mod shelf;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use fieldseal::clock::{Clock as _, Timestamp};
use fieldseal::error::StoreErrorKind;
use fieldseal::jobs::{FieldMap, IdColumn, SubjectColumn, TableMap};
use fieldseal::rows::{Cell, MemoryRows, RowKey};
use fieldseal::store::{Epoch, Expected, KeyStore as _, Loaded, SlotId, StoredSlot};
use fieldseal::vault::{Enrollment, ErasureRequest, Rotation};
use fieldseal::{Error, FieldContext, Tenant, Vault};
use fieldseal_testkit::clock::ManualClock;
use fieldseal_testkit::customer;
use fieldseal_testkit::world::{Ground, MAX_AGE, World, is_drawn, rewrap_all};

use super::common::{DAY, HOUR, Result, acme, context, epoch, is_erased, open, opens, seal};
use super::operations::{Operation, Scene};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Moves whoever was enrolled in the epoch that an operation is to retire.
async fn leave_old_epochs(operation: Operation, scene: &Scene) -> Result {
    if operation == Operation::RetireEpoch {
        rewrap_all(&scene.vault, 100).await?;
    }
    Ok(())
}

/// A table of customers, each with an e-mail address.
fn table() -> TableMap {
    TableMap::new("customer", ["id"], "customer", SubjectColumn::new("customer", IdColumn::integer("id")))
        .ids([IdColumn::integer("id")])
        .field(FieldMap::new("email"))
}

/// The customers 1 to `count` in it, each sealed under a key that is not the newest.
async fn rows_to_reseal(customers: &Tenant, count: i64) -> Result<MemoryRows> {
    let rows = MemoryRows::new(table().table().columns);
    for id in 1..=count {
        let keys = customers.enroll(&customer(id)).await?;
        let sealed = keys.seal_bytes(b"ada@example.com", &FieldContext::new("customer", "email", &id)?)?;
        rows.put(RowKey::new(vec![Cell::Integer(id)]), vec![Cell::Integer(id), Cell::bytes(sealed)])?;
        customers.rotate_now(&customer(id)).await?;
    }
    Ok(rows)
}

fn whole() -> ErasureRequest {
    ErasureRequest::new()
}

/// A call that is polled by hand, and only where it was woken: as an executor does.
struct Polled<'a, T> {
    call: Pin<Box<dyn Future<Output = T> + Send + 'a>>,
    woken: Arc<Woken>,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl<'a, T> Polled<'a, T> {
    fn new(call: impl Future<Output = T> + Send + 'a) -> Self {
        Self { call: Box::pin(call), woken: Arc::new(Woken(AtomicBool::new(true))) }
    }

    /// One poll. Whoever keeps the call and polls it no more has abandoned it.
    fn poll(&mut self) -> Option<T> {
        self.woken.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(self.woken.clone());
        match self.call.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }

    /// One poll, once it was woken.
    fn poll_when_woken(&mut self) -> Option<T> {
        while !self.woken.0.load(Ordering::SeqCst) {
            std::thread::yield_now(); // a thread is at work
        }
        self.poll()
    }

    /// What it answers while nobody else is polled; none if it waits for somebody. Ports in memory answer at once, and time
    /// passes meanwhile, by the world's clock: a wait that is bounded ends by that one.
    fn ends(&mut self, world: &World) -> Option<T> {
        for _ in 0..TURNS {
            if self.woken.0.load(Ordering::SeqCst)
                && let Some(answer) = self.poll()
            {
                return Some(answer);
            }
            world.clock.advance(TURN);
        }
        None
    }
}

/// What a call answers while nobody else is polled.
fn ends<'a, T>(world: &World, call: impl Future<Output = T> + Send + 'a) -> Option<T> {
    Polled::new(call).ends(world)
}

const TURNS: u32 = 5000;
const TURN: Duration = Duration::from_millis(10);

/// The slot with one bit of a byte changed.
fn flipped(slot: &StoredSlot, byte: usize) -> StoredSlot {
    let mut bytes = slot.as_bytes().to_vec();
    bytes[byte] ^= 1;
    StoredSlot::from_bytes(slot.id().clone(), bytes).unwrap()
}

/// Puts a slot over whatever stands in its place: by hand, or by a disk.
async fn put_back(world: &World, slot: &StoredSlot) -> Result {
    let expected = match world.store.load(std::slice::from_ref(slot.id())).await?.remove(0) {
        Loaded::Absent => Expected::Absent,
        Loaded::Slot(now) => Expected::Revision(now.revision()),
        Loaded::Damaged(token) => Expected::Damaged(token),
    };
    Ok(world.store.put(slot, expected).await?)
}

/// Damages the end of the one subject's slot that there is; gives the good one.
async fn damage_the_one(world: &World) -> Result<StoredSlot> {
    let good = world.subjects().await?.remove(0);
    put_back(world, &flipped(&good, good.as_bytes().len() - 1)).await?;
    Ok(good)
}

fn is_corrupt<T>(answer: &Result<T>) -> bool {
    matches!(answer, Err(Error::Store(e)) if e.kind() == StoreErrorKind::Corrupt)
}
