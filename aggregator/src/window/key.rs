//! What figures are added up by.

use std::fmt;

use headwater_protocol::codec::{DecodeError, Reader};

use super::partial::{decode_texts, encode_texts};

/// The dimension that stands for the device itself; its value is the device's id.
pub const DEVICE: &str = "device";

/// The dimension that stands for a combination itself; its value is the combination's labels, separated by
/// commas. No configured combination is of it.
pub const COMBINATION: &str = "combination";

/// Names of the labels to add up by, in the order in which they were configured: `["site"]`,
/// `["customer", "product_version"]`, `["device"]`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Combination(Vec<String>);

impl Combination {
    /// A combination of labels.
    #[must_use]
    pub fn new(labels: Vec<String>) -> Self {
        Self(labels)
    }

    /// The combination that keeps each device apart.
    #[must_use]
    pub fn device() -> Self {
        Self(vec![DEVICE.to_owned()])
    }

    /// The combination whose keys are the combinations: what is known of averages themselves.
    #[must_use]
    pub fn of_combinations() -> Self {
        Self(vec![COMBINATION.to_owned()])
    }

    /// What is averaged by where these lists of labels are configured.
    #[must_use]
    pub fn kept(configured: &[Vec<String>]) -> Vec<Self> {
        let configured = configured.iter().cloned().map(Self::new);
        configured.chain([Self::of_combinations()]).collect()
    }

    /// Whether each of its keys is one device.
    #[must_use]
    pub fn is_device(&self) -> bool {
        self.0 == [DEVICE]
    }

    /// The names.
    #[must_use]
    pub fn labels(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Combination {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.join(","))
    }
}

/// One key of a combination.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Key {
    /// The values of the combination's labels, in its order. Empty text: the device has no such label.
    Of(Vec<String>),
    /// Everything beyond the most keys that a combination may have, so that totals stay right.
    Other,
}

impl Key {
    /// The values, each `other` where there were too many keys.
    #[must_use]
    pub fn value(&self, index: usize) -> &str {
        match self {
            Self::Of(values) => values.get(index).map_or("", String::as_str),
            Self::Other => "other",
        }
    }

    /// Appends the bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Of(values) => {
                out.push(0);
                encode_texts(values, out);
            }
            Self::Other => out.push(1),
        }
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// For every malformed input.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8("key kind")? {
            0 => Ok(Self::Of(decode_texts(reader)?)),
            1 => Ok(Self::Other),
            kind => {
                let (what, value) = ("key kind", u64::from(kind));
                Err(DecodeError::Value { what, value, expected: "0 or 1" })
            }
        }
    }
}
