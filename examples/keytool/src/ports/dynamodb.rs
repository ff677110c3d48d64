//! [`DynamoDbUrl`]: a table.

use std::fmt;

use aws_sdk_dynamodb::Client;

use super::Trouble;
use super::aws::{Location, behind, unmended};
use super::url::Query;

/// `table?region=..&endpoint=..`
#[derive(Clone, Debug)]
pub(crate) struct DynamoDbUrl {
    table: String,
    location: Location,
}

impl DynamoDbUrl {
    pub(super) fn parse(text: &str) -> Result<Self, Trouble> {
        let (table, mut query) = Query::split(text)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if !(3..=255).contains(&table.len()) || !table.chars().all(fits) {
            return Err(Trouble::usage("a DynamoDB table's name has 3 to 255 letters, digits, `-`, `_` and `.`"));
        }
        let location = Location::take(&mut query)?;
        query.end(&["region", "endpoint"])?;
        if !location.is_one_region() {
            return Err(Trouble::usage("a DynamoDB table is in one `region`"));
        }
        Ok(Self { table: table.to_owned(), location })
    }

    pub(super) fn table(&self) -> &str {
        &self.table
    }

    pub(super) async fn client(&self) -> Result<Client, Trouble> {
        let configs = self.location.configs().await?;
        configs.first().map(Client::new).ok_or_else(|| Trouble::usage("no region"))
    }

    /// Whether DynamoDB has a table of this name. Whose it is, and whether it is whole, the adapter tells.
    pub(super) async fn is_there(&self) -> Result<bool, Trouble> {
        match self.client().await?.describe_table().table_name(&self.table).send().await {
            Ok(_) => Ok(true),
            Err(e) => match e.as_service_error() {
                Some(e) if e.is_resource_not_found_exception() => Ok(false),
                Some(_) => Err(Trouble::usage(format!(
                    "DynamoDB refuses to describe the table {}: look at the credentials, the region, and the right to \
                     dynamodb:DescribeTable",
                    self.table
                ))),
                None => {
                    Err(unmended("DynamoDB", &e).unwrap_or_else(|| Trouble::unavailable("DynamoDB can't be reached")))
                }
            },
        }
    }
}

impl fmt::Display for DynamoDbUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.table, behind(&self.location.query()))
    }
}
