//! What is asked of AWS: the client's configuration, what is told where AWS is not reached and never will be, and [`KmsUrl`].
//!
//! Credentials are looked for where the AWS tools look (environment, profile, role): no URL has them. An emulator wants
//! some, too: set `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` to anything.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_http_client::tls::Provider as Tls;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;

use super::tls::Flaw;
use super::url::{Query, encoded, is_address};
use super::{Kind, Trouble};

/// Where a service is asked.
#[derive(Clone, Debug)]
pub(super) struct Location {
    /// None: the one of the environment.
    regions: Vec<String>,
    endpoint: Option<String>,
}

impl Location {
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
    pub(super) async fn configs(&self) -> Result<Vec<SdkConfig>, Trouble> {
        if self.regions.is_empty() {
            let config = self.config(None).await;
            if config.region().is_none() {
                return Err(Trouble::usage(
                    "no region for AWS: name it in the URL, `region=eu-central-1`, or set AWS_REGION",
                ));
            }
            return Ok(vec![config]);
        }
        let mut configs = Vec::with_capacity(self.regions.len());
        for region in &self.regions {
            configs.push(self.config(Some(region)).await);
        }
        Ok(configs)
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

/// What is wrong with a call that was not answered, where waiting mends nothing: there are no credentials, or TLS doesn't come
/// about. The SDK's own error is not told: it may quote the request.
pub(super) fn unmended(service: &str, e: &(dyn Error + 'static)) -> Option<Trouble> {
    if let Some(flaw) = Flaw::of(e) {
        return Some(Trouble::usage(format!("{service}: {}", because_of(flaw))));
    }
    let mut next = Some(e);
    while let Some(e) = next {
        match e.downcast_ref() {
            Some(CredentialsError::CredentialsNotLoaded(_)) => {
                return Some(Trouble::usage(format!(
                    "no credentials for {service}: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give \
                     this machine a role"
                )));
            }
            Some(CredentialsError::InvalidConfiguration(_)) => {
                return Some(Trouble::usage(format!(
                    "the credentials for {service} can't be used: look at the profile that AWS_PROFILE names, and at ~/.aws"
                )));
            }
            _ => next = e.source(),
        }
    }
    None
}

/// What is to be done about TLS that doesn't come about.
fn because_of(flaw: Flaw) -> &'static str {
    match flaw {
        Flaw::Untrusted => {
            "nobody who is trusted here has signed its certificate: is `endpoint` the right one? A file with an authority's (PEM) \
             is named in SSL_CERT_FILE"
        }
        Flaw::OtherHost => "its certificate is another host's: name it in `endpoint` as the certificate does",
        Flaw::Outdated => {
            "its certificate is past its time, or not valid yet: set the clock here, or look at `endpoint`"
        }
        Flaw::NoCertificate => "its certificate is not one of a server: look at `endpoint`",
        Flaw::NoTls => "what answers speaks no TLS: look at `endpoint`, and write http:// where it is an emulator",
        Flaw::Refused => "it refuses TLS as this tool has it (1.2 and 1.3, without a certificate of its own)",
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
#[derive(Clone, Debug)]
pub(crate) struct KmsUrl {
    key: String,
    location: Location,
    waiting_days: Option<u8>,
}

impl KmsUrl {
    pub(super) fn parse(text: &str) -> Result<Self, Trouble> {
        let (key, mut query) = Query::split(text)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || "/_-:".contains(c);
        if key.is_empty() || key.len() > 2048 || !key.chars().all(fits) {
            return Err(Trouble::usage("a KMS key is named by its id, its ARN, or its alias: awskms:alias/fieldseal"));
        }
        let location = Location::take(&mut query)?;
        let waiting_days = match query.take("waiting-days")?.map(|days| days.parse()) {
            None => None,
            Some(Ok(days)) if (7..=30).contains(&days) => Some(days),
            Some(_) => return Err(Trouble::usage("`waiting-days` is 7 to 30")),
        };
        query.end(&["region", "endpoint", "waiting-days"])?;
        Ok(Self { key: key.to_owned(), location, waiting_days })
    }

    pub(super) async fn open(&self) -> Result<fieldseal_aws::AwsKms, Trouble> {
        use aws_sdk_kms::Client;

        let mut configs = self.location.configs().await?.into_iter();
        let Some(first) = configs.next() else { return Err(Trouble::usage("no region")) };
        // To the adapter it is a KMS that doesn't answer.
        self.is_known(&first).await?;
        let mut kms = fieldseal_aws::AwsKms::new(Client::new(&first), self.key.as_str())?;
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
        let configs = self.location.configs().await?;
        let Some(first) = configs.first() else { return Err(Trouble::usage("no region")) };
        if self.is_known(first).await? { Ok(()) } else { Err(self.missing()) }
    }

    /// Whether KMS has a key of this name, as far as it says so: what else is wrong, the adapter tells.
    async fn is_known(&self, config: &SdkConfig) -> Result<bool, Trouble> {
        // Boxed: the SDK's futures are deep, and a command's has this one within others.
        let describe = Box::pin(aws_sdk_kms::Client::new(config).describe_key().key_id(&self.key).send());
        match tokio::time::timeout(PATIENCE, describe).await {
            Ok(Err(e)) => match e.as_service_error() {
                Some(e) => Ok(!e.is_not_found_exception()),
                None => unmended("KMS", &e).map_or(Ok(true), Err),
            },
            Ok(Ok(_)) | Err(_) => Ok(true),
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

impl fmt::Display for KmsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.waiting_days.map(|days| format!("waiting-days={days}"));
        let query: Vec<_> = self.location.query().into_iter().chain(days).collect();
        write!(f, "{}{}", self.key, behind(&query))
    }
}

/// How long it is waited for before the adapter asks, which waits for longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a new master key becomes the current one.
pub(super) const NEXT_KEY: &str = "a new master key is made at KMS: `aws kms create-key`, then point the alias at it with \
                                   `aws kms update-alias --alias-name alias/NAME --target-key-id ID`";
