//! Byte fields in messages: one byte string of the exact length, for `#[serde(with =
//! "crate::bytes")]`.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};

pub(crate) fn serialize<S: Serializer>(bytes: &impl AsRef<[u8]>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_bytes(bytes.as_ref())
}

pub(crate) fn deserialize<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: for<'a> TryFrom<&'a [u8]>,
{
    from.deserialize_bytes(ExactBytes(PhantomData))
}

struct ExactBytes<T>(PhantomData<T>);

impl<T: for<'a> TryFrom<&'a [u8]>> Visitor<'_> for ExactBytes<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a byte string of the expected length")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<T, E> {
        T::try_from(bytes).map_err(|_| E::invalid_length(bytes.len(), &self))
    }
}
