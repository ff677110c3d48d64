//! Revealing a person, and a table.

use fieldseal::jobs::{Adoption, Form, Revealed, TroubleKind, ValueType, adopt, reveal_subject, reveal_table};
use fieldseal::{SubjectId, TenantId};
use serde_json::{Value, json};

use super::*;

async fn revealed(shop: &Shop, subject: i64) -> Value {
    let tenant = TenantId::default_tenant();
    let text = reveal_subject(&shop.vault, &tenant, &customer(subject), &[(&map(), &shop.rows)]).await.unwrap();
    serde_json::from_str(text.expose()).unwrap()
}

#[tokio::test]
async fn a_person_gets_every_row_of_theirs_and_nobody_elses() {
    let shop = Shop::populated(9).await;
    let person = revealed(&shop, 1).await;
    let named = [&person["tenant"], &person["kind"], &person["subject"]];
    assert_eq!(named, [&json!("default"), &json!("customer"), &json!("1")]);
    let rows: Vec<_> = [3, 6, 9]
        .into_iter()
        .map(|row| {
            json!({
                "table": "customer", "tenant": "default", "kind": "customer", "subject": "1", "record": [row.to_string()],
                "fields": { "email": format!("{row}@example.com"), "iban": format!("DE{row}"), "note": null },
                "clear": { "plan": "free" },
            })
        })
        .collect();
    assert_eq!(person["rows"], Value::from(rows));
    assert_eq!(revealed(&shop, 17).await["rows"], json!([]));
    let other = TenantId::new("acme").unwrap();
    let text = reveal_subject(&shop.vault, &other, &customer(1), &[(&map(), &shop.rows)]).await.unwrap();
    assert!(!text.expose().contains("example.com"), "another tenant's person of the same name");
}

#[tokio::test]
async fn what_cannot_be_opened_is_named_with_the_reason() {
    let shop = Shop::populated(3).await;
    shop.erase(1, Some("billing")).await;
    let person = revealed(&shop, 1).await;
    assert_eq!(person["rows"][0]["fields"], json!({ "email": "1@example.com", "note": null }));
    assert!(person["rows"][0]["unreadable"]["iban"].as_str().unwrap().contains("erased at"));
    shop.erase(1, None).await;
    let person = revealed(&shop, 1).await;
    assert_eq!(person["rows"][0]["clear"], json!({ "plan": "free" }), "what is in the clear is held all the same");
    assert_eq!(person["rows"][0]["unreadable"].as_object().unwrap().len(), 2);
}

#[tokio::test]
async fn values_are_shown_as_what_they_are() {
    let types = [
        ("text", ValueType::Text, Cell::text("Ada"), json!("Ada")),
        ("bytes", ValueType::Bytes, Cell::bytes([0, 255]), json!("AP8=")),
        ("bool", ValueType::Bool, Cell::Bool(true), json!(true)),
        ("integer", ValueType::Integer, Cell::Integer(-17), json!(-17)),
        ("large", ValueType::Integer, Cell::Integer(i64::MAX), json!("9223372036854775807")),
        ("float", ValueType::Float, Cell::Real(1.5), json!(1.5)),
        ("date", ValueType::Date, Cell::text("1815-12-10"), json!("1815-12-10")),
        ("instant", ValueType::Instant, Cell::text("2026-11-24 20:33:02"), json!("2026-11-24T20:33:02.000000000Z")),
        ("local", ValueType::LocalDateTime, Cell::text("2026-11-24 20:33:02"), json!("2026-11-24T20:33:02.000000000")),
        ("time", ValueType::Time, Cell::text("20:33:02.5"), json!("20:33:02.500000000")),
        ("ip", ValueType::Ip, Cell::text("2001:DB8::1/128"), json!("2001:db8::1")),
        (
            "uuid",
            ValueType::Uuid,
            Cell::text("67E55044-10b1-426f-9247-bb680e5fe0c8"),
            json!("67e55044-10b1-426f-9247-bb680e5fe0c8"),
        ),
        ("decimal", ValueType::Decimal, Cell::text("12.50"), json!("12.50")),
        ("json", ValueType::Json, Cell::text("{\"a\": [1]}"), json!({ "a": [1] })),
    ];
    let mut map = TableMap::new("t", ["id"], "t", SubjectColumn::new("customer", IdColumn::integer("id")))
        .ids([IdColumn::integer("id")]);
    for (name, ty, ..) in &types {
        map = map.field(FieldMap::new(*name).of(*ty).from(format!("{name}_plain")));
    }
    map = map.field(FieldMap::new("place").form(Form::Text).from("place"));
    let rows = MemoryRows::new(map.table().columns);
    let mut cells = vec![Cell::Integer(1)];
    for (.., cell, _) in &types {
        cells.extend([Cell::Null, cell.clone()]);
    }
    cells.push(Cell::text("fs1.London"));
    rows.put(key(1), cells).unwrap();
    let shop = Shop::new().await;
    for step in [Adoption::Backfill, Adoption::Contract] {
        adopt(&shop.vault, &map, &rows, step, &small(), &mut ()).await.unwrap();
    }
    // By what they were sealed as: a map that says nothing of it shows the same.
    let subject = SubjectColumn::new("customer", IdColumn::integer("id"));
    let mut silent = TableMap::new("t", ["id"], "t", subject).ids([IdColumn::integer("id")]);
    for (name, ..) in &types {
        silent = silent.field(FieldMap::new(*name).from(format!("{name}_plain")));
    }
    let silent = silent.field(FieldMap::new("place").form(Form::Text).from("place"));
    for map in [&map, &silent] {
        let text =
            reveal_subject(&shop.vault, &TenantId::default_tenant(), &customer(1), &[(map, &rows)]).await.unwrap();
        let fields = &serde_json::from_str::<Value>(text.expose()).unwrap()["rows"][0]["fields"];
        for (name, .., shown) in &types {
            assert_eq!(&fields[name], shown, "{name}");
        }
        assert_eq!(fields["place"], json!("fs1.London"));
    }
}

#[tokio::test]
async fn a_person_is_whole_at_every_step_of_an_adoption() {
    let map = TableMap::new("t", ["id"], "t", SubjectColumn::new("customer", IdColumn::integer("id")))
        .ids([IdColumn::integer("id")])
        .field(FieldMap::new("email").from("email_plain"))
        .field(FieldMap::new("name").form(Form::Text).from("name"));
    let rows = MemoryRows::new(map.table().columns);
    rows.put(key(1), vec![Cell::Integer(1), Cell::Null, Cell::text("a@example.com"), Cell::text("Ada")]).unwrap();
    let shop = Shop::new().await;
    let whole = json!({ "email": "a@example.com", "name": "Ada" });
    for step in [None, Some(Adoption::Backfill), Some(Adoption::Verify), Some(Adoption::Contract)] {
        if let Some(step) = step {
            adopt(&shop.vault, &map, &rows, step, &small(), &mut ()).await.unwrap();
        }
        let text =
            reveal_subject(&shop.vault, &TenantId::default_tenant(), &customer(1), &[(&map, &rows)]).await.unwrap();
        assert_eq!(serde_json::from_str::<Value>(text.expose()).unwrap()["rows"][0]["fields"], whole, "after {step:?}");
    }
}

#[tokio::test]
async fn a_whole_table_comes_out_line_by_line_in_order() {
    let shop = Shop::populated(30).await;
    struct Lines(Vec<Value>);
    #[async_trait::async_trait]
    impl Observer<Vec<Revealed>> for Lines {
        async fn page(&mut self, _: &PageDone, lines: &Vec<Revealed>) -> Result<()> {
            self.0.extend(lines.iter().map(|line| serde_json::from_str::<Value>(line.expose()).unwrap()));
            Ok(())
        }
    }
    let mut lines = Lines(Vec::new());
    let tally = reveal_table(&shop.vault, &map(), &shop.rows, &small(), &mut lines).await.unwrap();
    assert_eq!((tally.rows, tally.current, tally.empty), (30, 60, 30));
    for (line, row) in lines.0.iter().zip(1..=30) {
        assert_eq!(line["fields"]["email"], json!(format!("{row}@example.com")));
    }
}

#[tokio::test]
async fn a_table_with_ids_of_another_type_has_nothing_of_the_person() {
    let shop = Shop::populated(3).await;
    let other = TableMap::new("guest", ["id"], "guest", SubjectColumn::new("customer", IdColumn::uuid("subject")));
    let other = other.ids([IdColumn::integer("id")]).field(FieldMap::new("email"));
    let tenant = TenantId::default_tenant();
    let reveal = async |subject: &str, maps: &[&TableMap]| {
        let tables: Vec<_> = maps.iter().map(|map| (*map, &shop.rows as &dyn fieldseal::rows::RowSource)).collect();
        reveal_subject(&shop.vault, &tenant, &customer(subject), &tables)
            .await
            .map(|text| text.expose().matches("@example.com").count())
    };
    assert_eq!(reveal("1", &[&other, &map()]).await.unwrap(), 3);
    assert_eq!(reveal("1", &[&map(), &other]).await.unwrap(), 3);
    assert_eq!(reveal("67e55044-10b1-426f-9247-bb680e5fe0c8", &[&map(), &other]).await.unwrap(), 0);
    // Of no table's type it is mistyped.
    for maps in [&[&map()][..], &[&map(), &other]] {
        assert!(matches!(reveal("ada", maps).await, Err(fieldseal::Error::InvalidInput(_))));
    }
}

/// One way to write an integer alone: `017` is another person than `17`, and no spelling of theirs.
#[tokio::test]
async fn an_id_that_is_spelled_otherwise_is_nobody_elses() {
    let shop = Shop::populated(9).await;
    let tenant = TenantId::default_tenant();
    let tables: [(&TableMap, &dyn fieldseal::rows::RowSource); 1] = [(&map(), &shop.rows)];
    for text in ["customer:01", "customer:+1", "customer: 1", "customer:1 ", "customer:1.0"] {
        let subject: SubjectId = text.parse().unwrap();
        let refused = reveal_subject(&shop.vault, &tenant, &subject, &tables).await;
        let Err(fieldseal::Error::InvalidInput(told)) = refused else { panic!("{text}") };
        assert!(told.contains("written as `17` and in no other way"), "{told}");
    }
    // Where ids are text, both are people.
    let subject = SubjectColumn::new("customer", IdColumn::text("subject"));
    let guests = TableMap::new("guest", ["id"], "customer", subject)
        .ids([IdColumn::integer("id")])
        .field(FieldMap::new("email"));
    let rows = MemoryRows::new(guests.table().columns);
    for (id, whose) in [(1, "17"), (2, "017")] {
        let keys = shop.customers.enroll(&customer(whose)).await.unwrap();
        let email = Cell::bytes(seal(&keys, "email", "default", id, &format!("{whose}@example.com")));
        rows.put(key(id), vec![Cell::text(whose), Cell::Integer(id), email]).unwrap();
    }
    for whose in ["17", "017"] {
        let subject: SubjectId = format!("customer:{whose}").parse().unwrap();
        let text = reveal_subject(&shop.vault, &tenant, &subject, &[(&guests, &rows)]).await.unwrap();
        let person: Value = serde_json::from_str(text.expose()).unwrap();
        let mails: Vec<_> = person["rows"].as_array().unwrap().iter().map(|row| &row["fields"]["email"]).collect();
        assert_eq!(mails, [&json!(format!("{whose}@example.com"))]);
    }
}

#[tokio::test]
async fn a_row_of_nobody_is_nobodys_answer_and_told_of() {
    let shop = Shop::populated(9).await;
    shop.disown(3).await; // it was subject 1's
    assert_eq!(revealed(&shop, 1).await["rows"].as_array().unwrap().len(), 2);
    let mut heard = Heard::default();
    let tally = reveal_table(&shop.vault, &map(), &shop.rows, &small(), &mut heard).await.unwrap();
    assert_eq!((tally.rows, tally.current, tally.failed), (9, 16, 1));
    assert!(matches!(heard.troubles.as_slice(), [Trouble { kind: TroubleKind::OfNobody, column: None, .. }]));
}

/// Sealed as bytes, so the map alone can say that they are a list.
#[tokio::test]
async fn a_list_is_shown_item_by_item() {
    let shop = Shop::new().await;
    let keys = shop.customers.enroll(&customer(1)).await.unwrap();
    fn sealed<T: fieldseal::Plaintext>(keys: &SubjectKeys, field: &str, value: T) -> Cell {
        Cell::bytes(keys.seal_value(&value.into(), &context(field, "default", 1)).unwrap().into_bytes())
    }
    let texts = vec![Some("Ada".to_owned()), None, Some(String::new())];
    let fields = [
        ("texts", sealed(&keys, "texts", texts), json!(["Ada", null, ""])),
        ("numbers", sealed(&keys, "numbers", vec![17i64, i64::MAX]), json!([17, "9223372036854775807"])),
        ("truths", sealed(&keys, "truths", vec![true, false]), json!([true, false])),
        ("bytes", sealed(&keys, "bytes", vec![vec![0u8, 255]]), json!(["AP8="])),
        ("empty", sealed(&keys, "empty", Vec::<String>::new()), json!([])),
        ("none", sealed(&keys, "none", None::<Vec<String>>), json!(null)),
    ];
    let of = |ty: ValueType| {
        let subject = SubjectColumn::new("customer", IdColumn::integer("id"));
        let map = TableMap::new("t", ["id"], "customer", subject).ids([IdColumn::integer("id")]);
        let map = fields.iter().fold(map, |map, (name, ..)| map.field(FieldMap::new(*name).of(ty)));
        map.field(FieldMap::new("no_list").of(ty))
    };
    let rows = MemoryRows::new(of(ValueType::List).table().columns);
    let mut cells = vec![Cell::Integer(1)];
    cells.extend(fields.iter().map(|(_, cell, _)| cell.clone()));
    cells.push(sealed(&keys, "no_list", vec![1u8, 2, 3]));
    rows.put(key(1), cells).unwrap();
    let shown = async |map: &TableMap| {
        let tenant = TenantId::default_tenant();
        let text = reveal_subject(&shop.vault, &tenant, &customer(1), &[(map, &rows)]).await.unwrap();
        serde_json::from_str::<Value>(text.expose()).unwrap()["rows"][0].clone()
    };
    let row = shown(&of(ValueType::List)).await;
    for (name, _, shown) in &fields {
        assert_eq!(&row["fields"][name], shown, "{name}");
    }
    assert!(row["unreadable"]["no_list"].is_string() && row["fields"]["no_list"].is_null());
    // A map that says nothing of it shows the bytes.
    let row = shown(&of(ValueType::Bytes)).await;
    assert_eq!(row["fields"]["no_list"], json!("AQID"));
    assert!(row["fields"]["texts"].is_string());
}

/// An access request about the wrong kind must not look like one about somebody of whom nothing is held.
#[tokio::test]
async fn a_person_of_another_kind_gets_nothing_of_a_table() {
    let world = World::in_memory().unwrap().purposes(["billing"]);
    let vault = world.builder().kinds(["employee"]).build().await.unwrap();
    let shop = Shop { customers: vault.default_tenant(), vault, ..Shop::populated(3).await };
    let tenant = TenantId::default_tenant();
    let employee = SubjectId::new("employee", &1).unwrap();
    let staff = TableMap::new("staff", ["id"], "staff", SubjectColumn::new("employee", IdColumn::integer("subject")));
    let staff = staff.ids([IdColumn::integer("id")]).field(FieldMap::new("email"));
    let no_rows = MemoryRows::new(staff.table().columns);
    let tables: [(&TableMap, &dyn fieldseal::rows::RowSource); 2] = [(&map(), &shop.rows), (&staff, &no_rows)];
    let text = reveal_subject(&shop.vault, &tenant, &employee, &tables).await.unwrap();
    assert!(text.expose().ends_with(r#""rows":[]}"#), "employee 1 is not customer 1");
    // No table is of employees; nobody declared guests.
    let refused = reveal_subject(&shop.vault, &tenant, &employee, &tables[..1]).await;
    assert!(matches!(refused, Err(fieldseal::Error::InvalidInput(_))));
    let guest = SubjectId::new("guest", &1).unwrap();
    let refused = reveal_subject(&shop.vault, &tenant, &guest, &tables).await;
    assert!(matches!(refused, Err(fieldseal::Error::InvalidInput(_))));
}

#[tokio::test]
async fn what_is_revealed_is_not_printed_by_accident() {
    let shop = Shop::populated(3).await;
    let tables: [(&TableMap, &dyn fieldseal::rows::RowSource); 1] = [(&map(), &shop.rows)];
    let revealed = reveal_subject(&shop.vault, &TenantId::default_tenant(), &customer(1), &tables).await.unwrap();
    assert!(revealed.expose().contains("1@example.com"));
    assert_eq!(format!("{revealed:?}"), "Revealed(..)");
}

static_assertions::assert_not_impl_any!(fieldseal::jobs::Revealed: Clone, std::fmt::Display, serde::Serialize);
