//! Patterns for paths and names.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// A set of patterns, compiled once. Two sets are equal if their patterns are.
#[derive(Clone, Debug)]
pub struct Globs {
    patterns: Vec<String>,
    set: GlobSet,
}

impl Globs {
    /// Compiles patterns in which `*` and `?` stay inside a folder and `**` crosses folders.
    ///
    /// # Errors
    /// The first pattern that is malformed.
    pub fn new(patterns: &[String]) -> Result<Self, globset::Error> {
        let mut builder = GlobSetBuilder::new();
        for pattern in patterns {
            builder.add(GlobBuilder::new(pattern).literal_separator(true).build()?);
        }
        Ok(Self { patterns: patterns.to_vec(), set: builder.build()? })
    }

    /// The patterns as they were written.
    #[must_use]
    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }

    /// Whether any pattern fits.
    #[must_use]
    pub fn matches(&self, text: impl AsRef<std::path::Path>) -> bool {
        self.set.is_match(text)
    }
}

impl PartialEq for Globs {
    fn eq(&self, other: &Self) -> bool {
        self.patterns == other.patterns
    }
}

impl Eq for Globs {}
