//! A store whose items are damaged past it.

use async_trait::async_trait;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use fieldseal::error::{PortError, PortErrorKind};
use fieldseal::layer::{Attempt, Call, Layer};
use fieldseal::store::SlotId;
use fieldseal_aws::DynamoDbStore;
use fieldseal_testkit::damage::{Damage, Part};
use fleet_tests::microburst::Upstream;
use futures_util::future::BoxFuture;

use super::{FreshTable, PARTITIONS, store};

/// The store, and a way into its table.
#[derive(Debug)]
pub(super) struct Damageable<P> {
    inner: P,
    fresh: FreshTable,
}

impl Damageable<DynamoDbStore> {
    pub(super) async fn new(aws: &Upstream) -> Self {
        let fresh = FreshTable::new(aws);
        Self { inner: store(&fresh).await, fresh }
    }

    async fn item(&self, id: &SlotId) -> Item {
        for n in 0..PARTITIONS {
            let call = self.fresh.client().get_item().table_name(&self.fresh.name).consistent_read(true);
            let call = call.key("pk", AttributeValue::S(format!("slots-{n}")));
            let found = call.key("sk", AttributeValue::B(Blob::new(id.to_bytes()))).send().await.unwrap();
            if let Some(item) = found.item {
                return item;
            }
        }
        panic!("it is not there");
    }

    async fn put(&self, item: Item) {
        let call = self.fresh.client().put_item().table_name(&self.fresh.name);
        call.set_item(Some(item)).send().await.unwrap();
    }
}

impl<P: Sync> Layer for Damageable<P> {
    async fn around<'a, T, K>(
        &'a self,
        _: Call<'a>,
        work: impl Fn(Attempt) -> BoxFuture<'a, Result<T, PortError<K>>> + Send + Sync + 'a,
    ) -> Result<T, PortError<K>>
    where
        T: Send + 'a,
        K: PortErrorKind,
    {
        work(Attempt::First).await
    }
}

fieldseal::layered! { Damageable: store }

#[async_trait]
impl Damage for Damageable<DynamoDbStore> {
    fn parts(&self) -> &'static [Part] {
        use Part::{Column, Gone};
        &[
            Column("state"),
            Column("epoch"),
            Column("due"),
            Column("rev"),
            Column("id"),
            Gone("state"),
            Gone("epoch"),
            Gone("due"),
            Gone("rev"),
            Gone("slot"),
        ]
    }

    async fn change(&self, id: &SlotId, part: Part, bit: usize) {
        let mut item = self.item(id).await;
        match part {
            Part::Gone(name) => drop(item.remove(name).unwrap()),
            Part::Bytes => flip(&mut item, "slot", bit),
            Part::Column(name) => flip(&mut item, name, bit),
        }
        self.put(item).await;
    }

    async fn rename(&self, id: &SlotId, to: &[u8]) {
        let mut item = self.item(id).await;
        let call = self.fresh.client().delete_item().table_name(&self.fresh.name);
        call.key("pk", item["pk"].clone()).key("sk", item["sk"].clone()).send().await.unwrap();
        item.insert("sk".into(), AttributeValue::B(Blob::new(to)));
        self.put(item).await;
    }
}

fn flip(item: &mut Item, name: &str, bit: usize) {
    let flipped = match item.get(name) {
        Some(AttributeValue::B(bytes)) => {
            let mut bytes = bytes.as_ref().to_vec();
            let at = bit / 8 % bytes.len();
            bytes[at] ^= 1 << (bit % 8);
            AttributeValue::B(Blob::new(bytes))
        }
        Some(AttributeValue::N(number)) => AttributeValue::N((number.parse::<u64>().unwrap() ^ (1 << bit)).to_string()),
        Some(other) => panic!("{name} is {other:?}"),
        None => AttributeValue::B(Blob::new([1 << (bit % 8)])),
    };
    item.insert(name.into(), flipped);
}

type Item = std::collections::HashMap<String, AttributeValue>;
