//! What is asked of AWS: the client's configuration, and [`KmsUrl`].
//!
//! Credentials are looked for where the AWS tools look (environment, profile, role): no URL has them. An emulator wants
//! some, too: set `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` to anything.

use std::fmt;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_http_client::tls::Provider as Tls;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;

use super::url::{Query, encoded, is_address};
use super::{Kind, Trouble};

/// Where a service is asked.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// None: the one of the environment.
    regions: Vec<String>,
    endpoint: Option<String>,
}

impl Place {
    pub(super) fn take(query: &mut Query) -> Result<Self, Trouble> {
        let (regions, endpoint) = (query.take_all("region"), query.take("endpoint")?);
        let is_name = |region: &String| {
            !region.is_empty() && region.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
        };
        if !regions.iter().all(is_name) {
            return Err(Trouble::usage("a `region` is one of AWS's: eu-central-1"));
        }
        if endpoint.as_ref().is_some_and(|endpoint| !is_address(endpoint)) {
            return Err(Trouble::usage("an `endpoint` is http://HOST:PORT or https://HOST"));
        }
        Ok(Self { regions, endpoint })
    }

    pub(super) fn is_one_region(&self) -> bool {
        self.regions.len() < 2
    }

    /// A configuration for each region, the first one first.
    pub(super) async fn configs(&self) -> Vec<SdkConfig> {
        if self.regions.is_empty() {
            return vec![self.config(None).await];
        }
        let mut configs = Vec::with_capacity(self.regions.len());
        for region in &self.regions {
            configs.push(self.config(Some(region)).await);
        }
        configs
    }

    async fn config(&self, region: Option<&str>) -> SdkConfig {
        let http = aws_smithy_http_client::Builder::new();
        // A call that fails is made again by the guard, which knows which ones may be. A region that is silent leaves time for
        // the next.
        let regions = u32::try_from(self.regions.len()).unwrap_or(u32::MAX);
        let limits = TimeoutConfig::builder().operation_timeout(super::ATTEMPT / regions.saturating_add(1)).build();
        let mut config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http.tls_provider(Tls::Rustls(CryptoMode::Ring)).build_https())
            .retry_config(RetryConfig::disabled())
            .timeout_config(limits);
        if let Some(region) = region {
            config = config.region(Region::new(region.to_owned()));
        }
        if let Some(endpoint) = &self.endpoint {
            config = config.endpoint_url(endpoint);
        }
        config.load().await
    }

    /// `region=..&endpoint=..`, where something is said.
    pub(super) fn query(&self) -> Vec<String> {
        let regions = self.regions.iter().map(|region| format!("region={region}"));
        regions.chain(self.endpoint.iter().map(|endpoint| format!("endpoint={}", encoded_address(endpoint)))).collect()
    }
}

/// `?`, and what follows; nothing if nothing does.
pub(super) fn behind(parts: &[String]) -> String {
    if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
}

fn encoded_address(address: &str) -> String {
    address
        .split('/')
        .map(|part| part.split(':').map(encoded).collect::<Vec<_>>().join(":"))
        .collect::<Vec<_>>()
        .join("/")
}

/// `alias/fieldseal?region=eu-central-1&region=eu-west-1`
#[cfg(feature = "provider-aws-kms")]
#[derive(Clone, Debug)]
pub(crate) struct KmsUrl {
    key: String,
    place: Place,
    waiting_days: Option<u8>,
}

#[cfg(feature = "provider-aws-kms")]
impl KmsUrl {
    pub(super) fn parse(text: &str) -> Result<Self, Trouble> {
        let (key, mut query) = Query::split(text)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || "/_-:".contains(c);
        if key.is_empty() || key.len() > 2048 || !key.chars().all(fits) {
            return Err(Trouble::usage("a KMS key is named by its id, its ARN, or its alias: awskms:alias/fieldseal"));
        }
        let place = Place::take(&mut query)?;
        let waiting_days = match query.take("waiting-days")?.map(|days| days.parse()) {
            None => None,
            Some(Ok(days)) if (7..=30).contains(&days) => Some(days),
            Some(_) => return Err(Trouble::usage("`waiting-days` is 7 to 30")),
        };
        query.end(&["region", "endpoint", "waiting-days"])?;
        Ok(Self { key: key.to_owned(), place, waiting_days })
    }

    pub(super) async fn open(&self) -> Result<fieldseal::provider::AwsKms, Trouble> {
        use aws_sdk_kms::Client;

        let mut configs = self.place.configs().await.into_iter();
        let Some(first) = configs.next() else { return Err(Trouble::usage("no region")) };
        let mut kms = fieldseal::provider::AwsKms::new(Client::new(&first), self.key.as_str())?;
        for config in configs {
            kms = kms.region(Client::new(&config))?;
        }
        match self.waiting_days {
            Some(days) => Ok(kms.waiting_days(days)?),
            None => Ok(kms),
        }
    }

    /// That KMS has a key of this name: to the adapter it is one with a name that is wrong.
    pub(super) async fn is_named(&self) -> Result<(), Trouble> {
        let configs = self.place.configs().await;
        let Some(first) = configs.first() else { return Err(Trouble::usage("no region")) };
        match aws_sdk_kms::Client::new(first).describe_key().key_id(&self.key).send().await {
            Err(e) if e.as_service_error().is_some_and(|e| e.is_not_found_exception()) => Err(self.missing()),
            // What else is wrong, the adapter tells.
            _ => Ok(()),
        }
    }

    /// The key is the operator's to make.
    pub(super) fn missing(&self) -> Trouble {
        let what = format!(
            "KMS has no key {}: make one there. `aws kms create-key` gives its id, and `aws kms create-alias --alias-name \
             alias/NAME --target-key-id ID` names it",
            self.key
        );
        Trouble::new(Kind::Operators, what)
    }
}

#[cfg(feature = "provider-aws-kms")]
impl fmt::Display for KmsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.waiting_days.map(|days| format!("waiting-days={days}"));
        let query: Vec<_> = self.place.query().into_iter().chain(days).collect();
        write!(f, "{}{}", self.key, behind(&query))
    }
}

/// How a new master key becomes the current one.
#[cfg(feature = "provider-aws-kms")]
pub(super) const NEXT_KEY: &str = "a new master key is made at KMS: `aws kms create-key`, then point the alias at it with \
                                   `aws kms update-alias --alias-name alias/NAME --target-key-id ID`";
