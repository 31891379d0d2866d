//! A moment as it stands in JSON: RFC 3339 in UTC.

use jiff::Timestamp;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Microseconds since 1970 UTC; in JSON `2026-11-21T12:04:31.123456Z`.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Moment(pub i64);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match Timestamp::from_microsecond(self.0) {
            Ok(time) => serializer.collect_str(&format_args!("{time:.6}")),
            // A device may claim a year that no calendar holds.
            Err(_) => serializer.serialize_i64(self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Micros(i64),
        }
        match Written::deserialize(deserializer)? {
            Written::Text(text) => {
                let time: Timestamp = text.parse().map_err(D::Error::custom)?;
                Ok(Self(time.as_microsecond()))
            }
            Written::Micros(micros) => Ok(Self(micros)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_reads_back_even_if_no_calendar_holds_it() {
        for micros in [0, 1_795_262_671_123_456, -1, i64::MAX, i64::MIN] {
            let text = serde_json::to_string(&Moment(micros)).unwrap();
            assert_eq!(serde_json::from_str::<Moment>(&text).unwrap(), Moment(micros), "{text}");
        }
        let text = serde_json::to_string(&Moment(1_795_262_671_123_456)).unwrap();
        assert_eq!(text, "\"2026-11-21T12:04:31.123456Z\"");
    }
}
