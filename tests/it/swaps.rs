//! A value is of one tenant, subject, purpose, schema, field and record: moved to any other, it doesn't open. With keys that a
//! vault made, by its own derivation of who is who.

use fieldseal::id::Purpose;
use fieldseal::vault::VaultBuilder;
use fieldseal::{Error, FieldContext, SubjectId, SubjectKeys, Suite, TenantId};
use fieldseal_testkit::world::World;

use crate::common::Result;

/// What a value is bound to: a bit for each of two.
#[derive(Clone, Copy)]
struct Place(u16);

const OWNER: u16 = 0b111;
const PURPOSE: u16 = 1 << 3;
const VERSION: u16 = 1 << 7;
const PLACES: u16 = 1 << 9;

impl Place {
    fn bit(self, at: u16) -> usize {
        usize::from(self.0 >> at & 1)
    }

    /// Which of the eight owners.
    fn owner(self) -> usize {
        usize::from(self.0 & OWNER)
    }

    fn tenant(self) -> TenantId {
        TenantId::new(["acme", "acme2"][self.bit(0)]).unwrap()
    }

    fn subject(self) -> SubjectId {
        SubjectId::new(["customer", "employee"][self.bit(1)], ["17", "18"][self.bit(2)]).unwrap()
    }

    fn context(self) -> FieldContext<'static> {
        FieldContext::new(["person", "patient"][self.bit(4)], ["name", "email"][self.bit(5)], ["17", "18"][self.bit(6)])
            .unwrap()
            .purpose([Purpose::DEFAULT, "billing"][self.bit(3)])
    }

    /// By version and suite.
    fn sealing(self) -> usize {
        usize::from(self.0 >> 7)
    }
}

/// The keys of every owner, as a process of its own reads them now.
async fn keys_of_all(builder: VaultBuilder<fieldseal::vault::Ready>) -> Result<Vec<SubjectKeys>> {
    let vault = builder.kinds(["customer", "employee"]).build().await?;
    let mut all = Vec::new();
    for owner in (0..=OWNER).map(Place) {
        all.push(vault.tenant(&owner.tenant()).enroll(&owner.subject()).await?);
    }
    Ok(all)
}

#[tokio::test]
async fn no_value_opens_where_one_or_two_things_differ() -> Result {
    let world = World::in_memory()?.purposes(["billing"]);
    let builder = |suite| world.builder().suite(suite);
    // By version, then by suite.
    let mut sealers = Vec::new();
    for version in [1, 2] {
        if version == 2 {
            let vault = world.builder().kinds(["employee"]).build().await?;
            for owner in (0..=OWNER).map(Place) {
                vault.tenant(&owner.tenant()).rotate_now(&owner.subject()).await?;
            }
        }
        for suite in [Suite::Xaes256Gcm, Suite::XChaCha20Poly1305] {
            sealers.push((version, suite, keys_of_all(builder(suite)).await?));
        }
    }
    sealers.sort_by_key(|(version, suite, _)| (*suite == Suite::XChaCha20Poly1305, *version));
    // Read anew: what they don't hold is nobody's.
    let vault = world.builder().kinds(["employee"]).build().await?;
    let mut readers = Vec::new();
    for owner in (0..=OWNER).map(Place) {
        let tenant = vault.tenant(&owner.tenant());
        readers.push(tenant.refresh(&tenant.keys(&owner.subject()).await?).await?);
    }

    let seal = |place: Place| sealers[place.sealing()].2[place.owner()].seal_bytes(b"secret", &place.context());
    let sealed = (0..PLACES).map(|place| seal(Place(place))).collect::<Result<Vec<_>>>()?;
    let open = |place: Place, envelope: &[u8]| match readers[place.owner()].open_bytes(envelope, &place.context()) {
        Ok(_) => "opened",
        Err(Error::Authentication) => "authentication",
        Err(Error::WrongPurpose) => "wrong purpose",
        Err(e) => panic!("{e:?}"),
    };
    for from in 0..PLACES {
        for differs in (0..PLACES).filter(|differs| differs.count_ones() <= 2) {
            let to = from ^ differs;
            let (sealed, there) = (&sealed[usize::from(from)], &sealed[usize::from(to)]);
            let moved = [&there[..1], &sealed[1..]].concat();
            let expected = match differs {
                0 | VERSION => "opened", // a place is of no version
                _ if differs & OWNER != 0 => "authentication",
                _ if differs & PURPOSE != 0 => "wrong purpose",
                _ => "authentication",
            };
            assert_eq!(open(Place(to), &moved), expected, "{from:09b} {to:09b}");
            // Nor if it names the key under which values are sealed there.
            let relabeled = [&there[..25], &sealed[25..]].concat();
            let expected = if differs == 0 { "opened" } else { "authentication" };
            assert_eq!(open(Place(to), &relabeled), expected, "{from:09b} {to:09b}");
        }
    }
    Ok(())
}
