//! What a query reads: files that are held open, so that nobody can take them away from under it, and files in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::object_store::path::Path;
use datafusion::object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};
use futures::stream::{self, BoxStream, StreamExt};

/// Files by a name that each has for one query.
#[derive(Clone, Default)]
pub(crate) struct Held {
    /// Scans put files in while others read.
    files: Arc<RwLock<BTreeMap<String, Source>>>,
}

/// Where bytes are.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// In an open file of so many bytes.
    File(Arc<File>, u64),
    /// In memory.
    Memory(Bytes),
}

impl Source {
    /// How many bytes.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::File(_, bytes) => *bytes,
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// All of them.
    ///
    /// # Errors
    /// If they can't be read.
    pub(crate) fn read(&self) -> std::io::Result<Bytes> {
        self.slice(0..self.len())
    }

    fn slice(&self, range: Range<u64>) -> std::io::Result<Bytes> {
        let too_large = |_| std::io::Error::other("too large for memory");
        let start = usize::try_from(range.start).map_err(too_large)?;
        let end = usize::try_from(range.end).map_err(too_large)?;
        match self {
            Self::File(file, _) => {
                let mut bytes = vec![0; end - start];
                file.read_exact_at(&mut bytes, range.start)?;
                Ok(bytes.into())
            }
            Self::Memory(bytes) => Ok(bytes.slice(start..end)),
        }
    }
}

impl Held {
    /// Holds something under a name, and gives it back as a file of a table. What has that name already stays.
    pub(crate) fn hold(&self, name: &str, source: Source) -> PartitionedFile {
        let file = PartitionedFile::new(name, source.len());
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        files.entry(file.object_meta.location.to_string()).or_insert(source);
        file
    }

    /// How many files are held open.
    pub(crate) fn open_files(&self) -> u64 {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files.values().filter(|source| matches!(source, Source::File(..))).count() as u64
    }

    fn find(&self, location: &Path) -> Result<Source> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files.get(location.as_ref()).cloned().ok_or_else(|| Error::NotFound {
            path: location.to_string(),
            source: "it is not part of this query".into(),
        })
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Held").finish_non_exhaustive()
    }
}

impl fmt::Display for Held {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "history")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Held {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let source = self.find(location)?;
        let meta: ObjectMeta = PartitionedFile::new(location.to_string(), source.len()).object_meta;
        options.check_preconditions(&meta)?;
        let range = match &options.range {
            Some(range) => range.as_range(source.len()).map_err(|error| failed(location, error))?,
            None => 0..source.len(),
        };
        let bytes = source.slice(range.clone()).map_err(|error| failed(location, error))?;
        let payload = GetResultPayload::Stream(stream::once(async { Ok(bytes) }).boxed());
        Ok(GetResult { payload, meta, range, attributes: Attributes::default() })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let source = self.find(location)?;
        let slice = |range: &Range<u64>| {
            let is_within = range.start <= range.end && range.end <= source.len();
            let slice = if is_within {
                source.slice(range.clone())
            } else {
                Err(std::io::Error::other("beyond its end"))
            };
            slice.map_err(|error| failed(location, error))
        };
        ranges.iter().map(slice).collect()
    }

    async fn put_opts(&self, location: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(read_only(location))
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(read_only(location))
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        locations.map(|location| Err(read_only(&location?))).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::empty().boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Ok(ListResult { common_prefixes: Vec::new(), objects: Vec::new() })
    }

    async fn copy_opts(&self, from: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(read_only(from))
    }
}

fn read_only(location: &Path) -> Error {
    Error::NotSupported { source: format!("{location}: a history is only read").into() }
}

fn failed(location: &Path, error: impl std::error::Error) -> Error {
    Error::Generic { store: "history", source: format!("read {location}: {error}").into() }
}
