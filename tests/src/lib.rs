//! Headwater tests.
