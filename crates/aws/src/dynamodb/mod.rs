//! What the key store and the journal in DynamoDB have in common: a table of one shape, and the calls that are made to it.
//!
//! `failure` sorts what goes wrong, `date` is DynamoDB's clock.
//!
//! Everything that is read is read consistently, and everything that is written is written by a transaction: also a single
//! item, because a transaction has a token by which DynamoDB knows it again. So the SDK's own second attempt, after a first
//! that landed unheard, is told that it landed, not that the item has changed.
//!
//! DynamoDB writes the items of a transaction one after the other. Whoever reads some of them, however consistently, may see
//! one as it is after and the next as it was before; only `Table::get_as_one` doesn't.

mod date;
mod failure;
mod item;
mod journal;
mod store;

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::operation::describe_table::DescribeTableError;
use aws_sdk_dynamodb::operation::transact_get_items::TransactGetItemsError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, ConditionCheck, ContinuousBackupsDescription, Get, KeySchemaElement, KeyType,
    KeysAndAttributes, Put, ScalarAttributeType, TableDescription, TableStatus, TransactGetItem, TransactWriteItem,
    Update,
};

use fieldseal::clock::Timestamp;
use fieldseal::thread;
use rand::TryRng as _;
use rand::rngs::SysRng;

pub use journal::DynamoDbJournal;
pub use store::{DynamoDbLayout, DynamoDbStore};

pub(crate) use crate::failure::{Failure, Kind};
use date::ReadsDate;
pub(crate) use item::{Condition, Item, PK, SK, binary, bytes_of, key, number, number_of, text, text_of};

/// A table, and the client that the application made.
#[derive(Clone)]
pub(crate) struct Table {
    client: Client,
    name: String,
}

/// What became of a transaction that didn't land.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Nothing was written: some conditions don't hold. One answer an item of the transaction.
    Conditions(Vec<Answer>),
    /// Anything else.
    Failed(Failure),
}

/// What DynamoDB says of one item of a transaction that it refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Its condition holds.
    Holds,
    /// Its condition doesn't hold.
    Fails,
    /// Another transaction is under way on it, or it is throttled: its condition was not looked at.
    Busy,
}

/// The items of one partition between two sort keys, in their order.
#[derive(Debug)]
pub(crate) struct Query<'a> {
    pub(crate) partition: &'a str,
    /// The first sort key.
    pub(crate) from: &'a [u8],
    /// The last sort key.
    pub(crate) to: &'a [u8],
    /// Goes on behind this one.
    pub(crate) after: Option<Vec<u8>>,
    /// Which of the items that are read are sent.
    pub(crate) filter: Option<Condition>,
    /// How many are read at most. DynamoDB reads 1 MB at most.
    pub(crate) limit: Option<usize>,
}

/// Items, and behind which sort key the query goes on; none where it is at its end.
#[derive(Debug)]
pub(crate) struct Items {
    pub(crate) items: Vec<Item>,
    pub(crate) last: Option<Vec<u8>>,
}

impl Table {
    pub(crate) fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Makes the table where there is none, and waits until it can be used.
    pub(crate) async fn create(&self) -> Result<(), Failure> {
        let attribute = |name: &str, ty| AttributeDefinition::builder().attribute_name(name).attribute_type(ty).build();
        let schema = |name: &str, ty| KeySchemaElement::builder().attribute_name(name).key_type(ty).build();
        let made = self
            .client
            .create_table()
            .table_name(&self.name)
            .billing_mode(BillingMode::PayPerRequest)
            .deletion_protection_enabled(true)
            .attribute_definitions(attribute(PK, ScalarAttributeType::S).expect(COMPLETE))
            .attribute_definitions(attribute(SK, ScalarAttributeType::B).expect(COMPLETE))
            .key_schema(schema(PK, KeyType::Hash).expect(COMPLETE))
            .key_schema(schema(SK, KeyType::Range).expect(COMPLETE))
            .send()
            .await;
        match made {
            Ok(_) => {}
            Err(e) if matches!(e.as_service_error(), Some(CreateTableError::ResourceInUseException(_))) => {}
            Err(e) => return Err(failure::of("CreateTable", &e)),
        }
        for _ in 0..ACTIVE_POLLS {
            match self.try_describe().await {
                Ok(Some(table)) if table.table_status() == Some(&TableStatus::Creating) => {}
                Ok(_) => return self.check().await,
                // A table is not seen everywhere at once.
                Err(e) if matches!(e.as_service_error(), Some(DescribeTableError::ResourceNotFoundException(_))) => {}
                Err(e) => return Err(failure::of("DescribeTable", &e)),
            }
            sleep(ACTIVE_PAUSE).await;
        }
        Err(Failure::said("CreateTable", Kind::Unavailable, "the table is still being made"))
    }

    /// Holds the table against what [`create`](Self::create) makes.
    pub(crate) async fn check(&self) -> Result<(), Failure> {
        let table = self.describe().await?;
        let refused = |hint| Err(Failure::said("DescribeTable", Kind::Misconfigured, hint));
        let is = |name: &str, key: &KeyType, ty: &ScalarAttributeType| {
            table.key_schema().iter().any(|e| e.attribute_name() == name && e.key_type() == key)
                && table.attribute_definitions().iter().any(|a| a.attribute_name() == name && a.attribute_type() == ty)
        };
        let shape = is(PK, &KeyType::Hash, &ScalarAttributeType::S) && is(SK, &KeyType::Range, &ScalarAttributeType::B);
        if !shape || table.key_schema().len() != 2 {
            return refused("the table has other keys: let `create_table` make one");
        }
        // Version 2017 of global tables lists no replicas here.
        if !table.replicas().is_empty() || table.global_table_version().is_some_and(|version| version < "2019") {
            return refused(
                "the table has replicas in other regions, which are behind, or take no transactions: use one without",
            );
        }
        match table.table_status() {
            Some(TableStatus::Active | TableStatus::Updating) | None => Ok(()),
            Some(TableStatus::Creating) => {
                Err(Failure::said("DescribeTable", Kind::Unavailable, "the table is still being made"))
            }
            Some(_) => refused("the table is being deleted, is archived, or can't be decrypted"),
        }
    }

    /// What DynamoDB says of the table.
    pub(crate) async fn describe(&self) -> Result<TableDescription, Failure> {
        let table = self.try_describe().await.map_err(|e| failure::of("DescribeTable", &e))?;
        table.ok_or_else(|| Failure::said("DescribeTable", Kind::Unavailable, NO_SENSE))
    }

    async fn try_describe(&self) -> Result<Option<TableDescription>, SdkError<DescribeTableError>> {
        Ok(self.client.describe_table().table_name(&self.name).send().await?.table)
    }

    /// What DynamoDB says of the table's backups.
    pub(crate) async fn backups(&self) -> Result<Option<ContinuousBackupsDescription>, Failure> {
        let answer = self.client.describe_continuous_backups().table_name(&self.name).send().await;
        Ok(answer.map_err(|e| failure::of("DescribeContinuousBackups", &e))?.continuous_backups_description)
    }

    /// Reads an item.
    pub(crate) async fn get(&self, key: Item) -> Result<Option<Item>, Failure> {
        let call = self.client.get_item().table_name(&self.name).set_key(Some(key)).consistent_read(true);
        Ok(call.send().await.map_err(|e| failure::of("GetItem", &e))?.item)
    }

    /// The moment by DynamoDB's clock, in whole seconds: the date of its answer to a read of this key. What it reads is not
    /// looked at.
    pub(crate) async fn clock(&self, key: Item) -> Result<Timestamp, Failure> {
        let date = ReadsDate::default();
        let call = self.client.get_item().table_name(&self.name).set_key(Some(key)).customize();
        call.interceptor(date.clone()).send().await.map_err(|e| failure::of("GetItem", &e))?;
        date.read().ok_or_else(|| Failure::said("GetItem", Kind::Unavailable, NO_DATE))
    }

    /// Reads at most [`Table::BATCH`] items of different keys, in no order. Those that aren't there are left out.
    pub(crate) async fn get_all(&self, keys: Vec<Item>) -> Result<Vec<Item>, Failure> {
        let (mut found, mut left, mut idle) = (Vec::with_capacity(keys.len()), keys, 0);
        while !left.is_empty() {
            let asked = left.len();
            let keys = KeysAndAttributes::builder().set_keys(Some(left)).consistent_read(true).build().expect(COMPLETE);
            let call = self.client.batch_get_item().request_items(&self.name, keys);
            let answer = call.send().await.map_err(|e| failure::of("BatchGetItem", &e))?;
            found.extend(answer.responses.into_iter().flatten().flat_map(|(_, items)| items));
            // An answer is cut off at 16 MB, and where the table is throttled.
            left = answer.unprocessed_keys.into_iter().flatten().flat_map(|(_, keys)| keys.keys).collect();
            idle += u32::from(left.len() >= asked);
            if idle == ATTEMPTS {
                return Err(Failure::said("BatchGetItem", Kind::Throttled, failure::THROTTLED));
            }
            if !left.is_empty() {
                pause(idle).await;
            }
        }
        Ok(found)
    }

    /// Reads items of different keys as they are at one moment, with no transaction half-way on any of them: one that is under
    /// way makes DynamoDB refuse, and then it is tried again, a few times. One answer a key, in the order asked.
    pub(crate) async fn get_as_one(&self, keys: Vec<Item>) -> Result<Vec<Option<Item>>, Failure> {
        let asked = keys.len();
        let get = |key| Get::builder().table_name(&self.name).set_key(Some(key)).build().expect(COMPLETE);
        let gets: Vec<_> = keys.into_iter().map(|key| TransactGetItem::builder().get(get(key)).build()).collect();
        let mut attempt = 1;
        loop {
            let error = match self.client.transact_get_items().set_transact_items(Some(gets.clone())).send().await {
                Ok(answer) => {
                    let items: Vec<_> = answer.responses.into_iter().flatten().map(|r| r.item).collect();
                    let odd = || Failure::said("TransactGetItems", Kind::Unavailable, NO_SENSE);
                    return if items.len() == asked { Ok(items) } else { Err(odd()) };
                }
                Err(error) => error,
            };
            let Some(TransactGetItemsError::TransactionCanceledException(canceled)) = error.as_service_error() else {
                return Err(failure::of("TransactGetItems", &error));
            };
            let codes: Vec<_> = canceled.cancellation_reasons().iter().map(|r| r.code().unwrap_or(NO_REASON)).collect();
            if let Some(code) = codes.iter().find(|code| ![NO_REASON, CONFLICT].contains(code)) {
                return Err(failure::coded("TransactGetItems", code));
            }
            if attempt == ATTEMPTS || !codes.contains(&CONFLICT) {
                return Err(failure::of("TransactGetItems", &error));
            }
            pause(attempt).await;
            attempt += 1;
        }
    }

    /// The most keys of [`get_all`](Self::get_all).
    pub(crate) const BATCH: usize = 100;

    /// Reads a part of a partition.
    pub(crate) async fn query(&self, query: Query<'_>) -> Result<Items, Failure> {
        let mut call = self
            .client
            .query()
            .table_name(&self.name)
            .consistent_read(true)
            .key_condition_expression("#pk = :pk AND #sk BETWEEN :from AND :to")
            .expression_attribute_names("#pk", PK)
            .expression_attribute_names("#sk", SK)
            .expression_attribute_values(":pk", text_of(query.partition))
            .expression_attribute_values(":from", bytes_of(query.from))
            .expression_attribute_values(":to", bytes_of(query.to))
            .set_limit(query.limit.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX)))
            .set_exclusive_start_key(query.after.map(|after| key(query.partition, &after)));
        if let Some(filter) = query.filter {
            call = call.filter_expression(filter.expression);
            for name in filter.names {
                call = call.expression_attribute_names(format!("#{name}"), name);
            }
            for (name, value) in filter.values {
                call = call.expression_attribute_values(name, value);
            }
        }
        let answer = call.send().await.map_err(|e| failure::of("Query", &e))?;
        let odd = || Failure::said("Query", Kind::Unavailable, NO_SENSE);
        let last = answer.last_evaluated_key.map(|mut key| binary(&mut key, SK).ok().flatten().ok_or_else(odd));
        Ok(Items { items: answer.items.unwrap_or_default(), last: last.transpose()? })
    }

    /// Reads a partition between two sort keys as a whole.
    pub(crate) async fn query_all(&self, partition: &str, from: &[u8], to: &[u8]) -> Result<Vec<Item>, Failure> {
        let (mut items, mut after) = (Vec::new(), None);
        loop {
            let part = self.query(Query { partition, from, to, after, filter: None, limit: None }).await?;
            items.extend(part.items);
            match part.last {
                Some(last) => after = Some(last),
                None => return Ok(items),
            }
        }
    }

    /// Writes all of it, if all conditions hold; else nothing. Another transaction that is under way on one of the items
    /// makes DynamoDB refuse this one, whatever its conditions: then it is tried again, a few times.
    pub(crate) async fn write(&self, items: Vec<TransactWriteItem>) -> Result<(), Refused> {
        let mut attempt = 1;
        loop {
            let call = self.client.transact_write_items().set_transact_items(Some(items.clone()));
            let Err(error) = call.send().await else { return Ok(()) };
            let failed = |error| Refused::Failed(failure::of("TransactWriteItems", error));
            let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) = error.as_service_error() else {
                return Err(failed(&error));
            };
            let codes: Vec<_> = canceled.cancellation_reasons().iter().map(|r| r.code().unwrap_or(NO_REASON)).collect();
            if codes.len() == items.len() && codes.contains(&CONDITION) {
                let answer = |code| match code {
                    CONDITION => Answer::Fails,
                    NO_REASON => Answer::Holds,
                    _ => Answer::Busy,
                };
                return Err(Refused::Conditions(codes.into_iter().map(answer).collect()));
            }
            if let Some(code) = codes.iter().find(|code| ![NO_REASON, CONDITION, CONFLICT].contains(code)) {
                return Err(Refused::Failed(failure::coded("TransactWriteItems", code)));
            }
            if attempt == ATTEMPTS || !codes.contains(&CONFLICT) {
                return Err(failed(&error));
            }
            pause(attempt).await;
            attempt += 1;
        }
    }

    /// A part of a transaction: an item in the place of what is there.
    pub(crate) fn put(&self, item: Item, condition: &Condition) -> TransactWriteItem {
        let (names, values) = (condition.names(), condition.values());
        let put =
            Put::builder().table_name(&self.name).set_item(Some(item)).condition_expression(&condition.expression);
        let put = put.set_expression_attribute_names(names).set_expression_attribute_values(values);
        TransactWriteItem::builder().put(put.build().expect(COMPLETE)).build()
    }

    /// A part of a transaction: an item must be there.
    pub(crate) fn must_be(&self, key: Item) -> TransactWriteItem {
        self.must(key, &Condition::new("attribute_exists(#pk)", &[PK]))
    }

    /// A part of a transaction: an item must be so.
    pub(crate) fn must(&self, key: Item, condition: &Condition) -> TransactWriteItem {
        let (names, values) = (condition.names(), condition.values());
        let check = ConditionCheck::builder().table_name(&self.name).set_key(Some(key));
        let check = check.condition_expression(&condition.expression).set_expression_attribute_names(names);
        let check = check.set_expression_attribute_values(values).build().expect(COMPLETE);
        TransactWriteItem::builder().condition_check(check).build()
    }

    /// A part of a transaction: attributes of an item are set to values that the condition names too.
    pub(crate) fn set(&self, key: Item, set: &str, condition: &Condition) -> TransactWriteItem {
        let (names, values) = (condition.names(), condition.values());
        let update = Update::builder().table_name(&self.name).set_key(Some(key)).update_expression(set);
        let update = update.condition_expression(&condition.expression).set_expression_attribute_names(names);
        let update = update.set_expression_attribute_values(values).build().expect(COMPLETE);
        TransactWriteItem::builder().update(update).build()
    }
}

/// 5 ms, then twice that, up to 640 ms: of it a random part, so that those who got in each other's way don't do so again.
pub(crate) async fn pause(attempt: u32) {
    let longest = 5_u64 << attempt.saturating_sub(1).min(7);
    let mut random = [0];
    // Without random bytes the pause is the shortest.
    let _ = SysRng.try_fill_bytes(&mut random);
    sleep(Duration::from_millis(longest / 2 + longest * u64::from(random[0]) / 512)).await;
}

/// On a thread of our own: the runtime is the application's. Where there is none to be had, there is no pause.
async fn sleep(pause: Duration) {
    let _ = thread::run(move || std::thread::sleep(pause)).await;
}

/// Of a transaction that others are in the way of, and of a batch of which nothing is processed.
pub(crate) const ATTEMPTS: u32 = 8;
const ACTIVE_POLLS: u32 = 600;
const ACTIVE_PAUSE: Duration = Duration::from_millis(500);

const NO_SENSE: &str = "DynamoDB's answer makes no sense";
const NO_DATE: &str = "the answer has no date, which is DynamoDB's clock: is it taken away in between?";
const COMPLETE: &str = "what is required is set";

/// Why a transaction was cancelled, item by item.
const NO_REASON: &str = "None";
const CONDITION: &str = "ConditionalCheckFailed";
const CONFLICT: &str = "TransactionConflict";
