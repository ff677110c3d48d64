//! [`KeyArn`]: the name of a key at KMS, taken apart; and the master key id that stands for it in a key store.

use fieldseal::error::ProviderError;
use fieldseal::provider::MasterKeyId;

/// `arn:PARTITION:kms:REGION:ACCOUNT:key/KEY`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyArn {
    partition: String,
    region: String,
    account: String,
    key: String,
}

impl KeyArn {
    /// None if it is anything else: another service's, an alias.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (partition, region, account, resource) = parts(text)?;
        let key = resource.strip_prefix("key/")?;
        let plain = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        let region_fits = plain(region) || region == EVERY_REGION;
        if !region_fits || ![partition, account, key].into_iter().all(plain) {
            return None;
        }
        let [partition, region, account, key] = [partition, region, account, key].map(str::to_owned);
        Some(Self { partition, region, account, key })
    }

    /// What a master key id names; none if it is not one that [`id`](Self::id) gives.
    pub(super) fn of(id: &MasterKeyId) -> Option<Self> {
        let arn = Self::parse(id.as_str())?;
        if (arn.region == EVERY_REGION) == arn.is_multi_region() { Some(arn) } else { None }
    }

    /// Its master key id: the ARN, and for a multi-Region key the ARN with `*` as region, because it is one key under one name
    /// whichever region answers. Were the region part of it, one key would have several names, and whoever retires one of
    /// them would destroy the others.
    pub(super) fn id(&self) -> Result<MasterKeyId, ProviderError> {
        let region = if self.is_multi_region() { EVERY_REGION } else { &self.region };
        MasterKeyId::new(self.in_region(region))
            .map_err(|_| ProviderError::corrupt("KMS answered an ARN that is too long"))
    }

    /// The ARN of the same key in a region.
    pub(super) fn in_region(&self, region: &str) -> String {
        let Self { partition, account, key, .. } = self;
        format!("arn:{partition}:kms:{region}:{account}:key/{key}")
    }

    pub(super) fn region(&self) -> &str {
        &self.region
    }

    /// KMS gives `mrk-` to these and to no others.
    pub(super) fn is_multi_region(&self) -> bool {
        self.key.starts_with("mrk-")
    }

    /// Whether it is in the same account.
    pub(super) fn is_neighbor_of(&self, other: &Self) -> bool {
        self.partition == other.partition && self.account == other.account
    }
}

/// What the application calls the master key by: a key id or an alias, or the ARN of one.
#[derive(Clone)]
pub(super) struct Name(String);

impl Name {
    /// Checks it for a client of this region.
    pub(super) fn new(text: String, region: &str) -> Result<Self, ProviderError> {
        if text.is_empty() || text.len() > 2048 || !text.chars().all(|c| c.is_ascii_graphic()) {
            return Err(ProviderError::misconfigured(
                "a KMS key is named by its id, its ARN, `alias/..` or an alias's ARN",
            ));
        }
        if text.starts_with("arn:") && parts(&text).is_none_or(|(_, its, ..)| its != region) {
            return Err(ProviderError::misconfigured("the key's ARN is not of KMS in the region of the client"));
        }
        Ok(Self(text))
    }

    /// The name in a region. An alias is each region's own.
    pub(super) fn in_region(&self, region: &str) -> String {
        match parts(&self.0) {
            Some((partition, _, account, resource)) => format!("arn:{partition}:kms:{region}:{account}:{resource}"),
            None => self.0.clone(),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Partition, region, account and resource of a KMS ARN.
fn parts(arn: &str) -> Option<(&str, &str, &str, &str)> {
    let mut parts = arn.splitn(6, ':');
    let (scheme, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
    let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
    if scheme == "arn" && service == "kms" { Some((partition, region, account, resource)) } else { None }
}

/// As in IAM policies for multi-Region keys.
const EVERY_REGION: &str = "*";

#[cfg(test)]
mod tests {
    use super::*;

    const SINGLE: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    const MULTI: &str = "arn:aws:kms:eu-central-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab";

    #[test]
    fn a_key_of_one_region_is_known_by_its_arn() {
        let arn = KeyArn::parse(SINGLE).unwrap();
        assert_eq!(arn.id().unwrap().as_str(), SINGLE);
        assert_eq!(KeyArn::of(&arn.id().unwrap()).unwrap(), arn);
        assert_eq!(arn.region(), "eu-central-1");
    }

    #[test]
    fn a_multi_region_key_has_one_name_whichever_region_answers() {
        let ids = ["eu-central-1", "eu-west-1"]
            .map(|region| KeyArn::parse(&MULTI.replace("eu-central-1", region)).unwrap().id().unwrap());
        let [one, two] = ids;
        assert_eq!(one, two);
        assert_eq!(one.as_str(), MULTI.replace("eu-central-1", "*"));
        assert_eq!(KeyArn::of(&one).unwrap().in_region("eu-central-1"), MULTI);
    }

    #[test]
    fn what_is_not_written_as_an_id_is_none() {
        let not = [
            MULTI.to_owned(), // names one region
            SINGLE.replace("eu-central-1", "*"),
            SINGLE.replace("key/", "alias/"),
            SINGLE.replace(":kms:", ":s3:"),
            SINGLE.replace("111122223333", ""),
            format!("{SINGLE}/x"),
            format!("{SINGLE}:x"),
            "1234abcd-12ab-34cd-56ef-1234567890ab".to_owned(),
            "alias/fieldseal".to_owned(),
            "arn:aws:kms".to_owned(),
        ];
        for text in not {
            assert!(KeyArn::of(&MasterKeyId::new(&text).unwrap()).is_none(), "{text}");
        }
    }

    #[test]
    fn names_move_to_another_region_with_their_arn() {
        let moved = |text: &str| Name::new(text.to_owned(), "eu-central-1").unwrap().in_region("eu-west-1");
        assert_eq!(moved(MULTI), MULTI.replace("central", "west"));
        let alias = "arn:aws:kms:eu-central-1:111122223333:alias/fieldseal";
        assert_eq!(moved(alias), alias.replace("central", "west"));
        assert_eq!(moved("alias/fieldseal"), "alias/fieldseal");
        for (text, region) in
            [("", "eu-central-1"), ("a b", "eu-central-1"), (MULTI, "eu-west-1"), ("arn:aws:s3:::x", "")]
        {
            assert!(Name::new(text.to_owned(), region).is_err(), "{text}");
        }
    }
}
