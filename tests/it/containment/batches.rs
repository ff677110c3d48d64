//! A batch answers by item: one bad id, one person at a limit, one row fails itself alone.

use fieldseal::jobs::{Adoption, FieldMap, IdColumn, JobOptions, SubjectColumn, TableMap, adopt};
use fieldseal::rows::{Cell, MemoryRows, RowKey};

use super::*;

tests![
    one_person_at_the_limit_of_purposes_fails_no_page
    one_person_at_the_limit_of_purposes_fails_no_adoption
    one_row_of_nobody_fails_no_page
];

/// Ada has keys for as many purposes as there may be; a vault that declares one more.
async fn at_the_limit(on: &Ground) -> Result<(World, Vault)> {
    let world = World::on(on).await?;
    let many: Vec<_> = (1..16).map(|n| format!("purpose-{n}")).collect();
    let full = world.builder().purposes(&many).build().await?;
    full.default_tenant().enroll(&customer(1i64)).await?;
    let vault = world.builder().purposes(["support"]).build().await?;
    Ok((world, vault))
}

async fn one_person_at_the_limit_of_purposes_fails_no_page(on: &Ground) -> Result {
    let (_world, vault) = at_the_limit(on).await?;
    let all = [1i64, 2, 3].map(customer);
    let page = vault.default_tenant().enroll_all(&all).await?;
    assert!(page.get(&all[1]).is_ok() && page.get(&all[2]).is_ok());
    Ok(())
}

async fn one_person_at_the_limit_of_purposes_fails_no_adoption(on: &Ground) -> Result {
    let (_world, vault) = at_the_limit(on).await?;
    let subject = SubjectColumn::new("customer", IdColumn::integer("id"));
    let field = FieldMap::new("email").from("email_plain").purpose("support");
    let map = TableMap::new("person", ["id"], "person", subject).ids([IdColumn::integer("id")]).field(field);
    let rows = MemoryRows::new(map.table().columns);
    for id in 1..=6i64 {
        let cells = vec![Cell::Integer(id), Cell::Null, Cell::text(format!("{id}@example.com"))];
        rows.put(RowKey::new(vec![Cell::Integer(id)]), cells).unwrap();
    }
    let options = JobOptions::new().batch(2);
    let tally = adopt(&vault, &map, &rows, Adoption::Backfill, &options, &mut ()).await?;
    assert_eq!((tally.rows, tally.changed, tally.failed), (6, 5, 1));
    Ok(())
}

async fn one_row_of_nobody_fails_no_page(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer(1i64)).await?;
    let rows = [Row(1), Row(0)];
    let page = customers.keys_of(&rows).await?;
    assert!(page.get(&rows[0]).is_ok() && page.get(&rows[1]).is_err());
    Ok(())
}

/// A row that names a customer by a number; 0 names nobody.
struct Row(i64);

impl fieldseal::HasSubject for Row {
    fn subject(&self) -> Result<fieldseal::SubjectId> {
        fieldseal::SubjectId::new("customer", &self.0)
    }
}
