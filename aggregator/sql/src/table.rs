//! A table of the history, as DataFusion scans it: files up to the sink's cursor, and the rest.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::arrow::array::{BooleanArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{
    Column, DFSchema, DataFusionError, ScalarValue, exec_err, project_schema,
};
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::files::{self, Files, LeftOut};
use crate::limits::open_files_max;
use crate::schema::key_column;
use crate::spots::{self, Spot};
use crate::store::{Held, Source};

/// Where everything that a query holds is found.
pub(crate) const STORE: &str = "history://query/";

/// A table.
#[derive(Debug)]
pub(crate) struct HistoryTable {
    /// Its name.
    pub(crate) name: String,
    /// The folder of the history.
    pub(crate) history: PathBuf,
    /// Columns, those of paths among them.
    pub(crate) schema: TableSchema,
    /// Where files end, by shard. `None` if all rows of files count.
    pub(crate) cursors: Option<Arc<BTreeMap<u16, u64>>>,
    /// Rows that are in no file yet.
    pub(crate) rest: Vec<(Spot, Source)>,
    /// What is read.
    pub(crate) held: Held,
    /// What is left out: told once all is done.
    pub(crate) left_out: Arc<Mutex<Vec<LeftOut>>>,
}

#[async_trait]
impl TableProvider for HistoryTable {
    fn schema(&self) -> SchemaRef {
        self.schema.table_schema().clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let pushed = |filter: &&Expr| match self.is_of_paths(filter) {
            true => TableProviderFilterPushDown::Exact,
            // By figures of files, which are not exact.
            false => TableProviderFilterPushDown::Inexact,
        };
        Ok(filters.iter().map(pushed).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let files = self.files(state, filters).await?;
        if files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(project_schema(&self.schema(), projection)?)));
        }
        let groups = FileGroup::new(files).split_files(state.config().target_partitions());
        let source = Arc::new(ParquetSource::new(self.schema.clone()));
        let scan = FileScanConfigBuilder::new(ObjectStoreUrl::parse(STORE)?, source)
            .with_file_groups(groups)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        let options = state.default_table_options().parquet;
        ParquetFormat::default().with_options(options).create_physical_plan(state, scan).await
    }
}

impl HistoryTable {
    fn keys(&self) -> Vec<&str> {
        self.schema.table_partition_cols().iter().map(|key| key.name().as_str()).collect()
    }

    /// Whether a filter is about nothing but what paths say.
    fn is_of_paths(&self, filter: &Expr) -> bool {
        let columns = filter.column_refs();
        let keys = self.keys();
        !columns.is_empty()
            && columns.iter().all(|it| keys.contains(&it.name.as_str()))
            && !filter.is_volatile()
    }

    /// Files that may have rows which pass, each open and checked.
    async fn files(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<PartitionedFile>> {
        let listed = spots::of(&self.history, &self.name);
        let listed =
            listed.map_err(|error| io_error(&format!("list table={}", self.name), &error))?;
        let listed: Vec<Spot> =
            listed.into_iter().filter(|spot| self.values(spot).is_some()).collect();
        let filters: Vec<&Expr> = filters.iter().filter(|it| self.is_of_paths(it)).collect();
        let rest: Vec<Spot> = self.rest.iter().map(|(spot, _)| spot.clone()).collect();
        let (read, of_rest) =
            (self.passing(state, &filters, &listed)?, self.passing(state, &filters, &rest)?);
        let mut files = Vec::new();
        for ((spot, source), (at, _)) in
            self.rest.iter().zip((0..).zip(of_rest)).filter(|(_, (_, passes))| *passes)
        {
            let name = format!("rest/{at}/{}", spot.folder);
            files.push(self.hold(spot, &name, source.clone()));
        }
        let spots = listed.into_iter().zip(read).filter(|(_, passes)| *passes);
        let read = spots.map(|(spot, _)| self.read(spot));
        let mut read = stream::iter(read).buffered(state.config().target_partitions());
        while let Some((spot, found)) = read.try_next().await? {
            for file in found.checked {
                files.push(self.hold(
                    &spot,
                    &format!("{}/{}", spot.folder, file.name),
                    file.source,
                ));
            }
            self.left_out.lock().unwrap_or_else(PoisonError::into_inner).extend(found.left_out);
            let (open, most) = (self.held.open_files(), open_files_max());
            if open > most {
                return exec_err!(
                    "the query needs more than {most} open files (ulimit -Hn); say of which days it is: WHERE dt = '2026-11-28'"
                );
            }
        }
        Ok(files)
    }

    /// Of each folder, whether its path passes.
    fn passing(&self, state: &dyn Session, filters: &[&Expr], spots: &[Spot]) -> Result<Vec<bool>> {
        let mut passing = vec![true; spots.len()];
        if filters.is_empty() || spots.is_empty() {
            return Ok(passing);
        }
        let keys = self.schema.table_partition_cols();
        let values: Vec<Vec<ScalarValue>> =
            spots.iter().map(|spot| self.values(spot).unwrap_or_default()).collect();
        let column =
            |at: usize| ScalarValue::iter_to_array(values.iter().map(|values| values[at].clone()));
        let columns = (0..keys.len()).map(column).collect::<Result<Vec<_>>>()?;
        let fields: Vec<_> = keys.iter().cloned().collect();
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(schema.clone(), columns)?;
        let schema = DFSchema::try_from(schema)?;
        for filter in filters {
            let filter = unqualified(filter)?;
            let passes = state.create_physical_expr(filter, &schema)?.evaluate(&batch)?;
            let passes = passes.into_array(batch.num_rows())?;
            let Some(passes) = passes.as_any().downcast_ref::<BooleanArray>() else {
                return exec_err!("a condition is true or false");
            };
            passing
                .iter_mut()
                .zip(passes)
                .for_each(|(passing, passes)| *passing &= passes == Some(true));
        }
        Ok(passing)
    }

    async fn read(&self, spot: Spot) -> Result<(Spot, Files)> {
        let history = self.history.clone();
        // A shard of which nothing was told has none of the log's entries in files.
        let cursor = self.cursors.as_ref().map(|cursors| {
            spot.shard().and_then(|shard| cursors.get(&shard).copied()).unwrap_or(0)
        });
        let read = tokio::task::spawn_blocking(move || {
            let found = files::read(&history, &spot, cursor);
            found.map(|found| (spot.clone(), found)).map_err(|error| io_error(&spot.folder, &error))
        });
        read.await.map_err(|error| DataFusionError::External(error.into()))?
    }

    fn hold(&self, spot: &Spot, name: &str, source: Source) -> PartitionedFile {
        let values = self.values(spot).unwrap_or_default();
        self.held.hold(name, source).with_partition_values(values)
    }

    /// What the path of a folder says, in the order of the columns. `None` if it does not say all of it.
    fn values(&self, spot: &Spot) -> Option<Vec<ScalarValue>> {
        let value = |key: &str| {
            let text = spot.value(key)?.to_owned();
            let kind: DataType = key_column(key).data_type().clone();
            ScalarValue::try_from_string(text, &kind).ok()
        };
        self.keys().into_iter().map(value).collect()
    }
}

/// A condition whose columns are those of no table in particular.
fn unqualified(filter: &Expr) -> Result<Expr> {
    let bare = filter.clone().transform(|expr| match expr {
        Expr::Column(column) => {
            Ok(Transformed::yes(Expr::Column(Column::new_unqualified(column.name))))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(bare.data)
}

fn io_error(what: &str, error: &std::io::Error) -> DataFusionError {
    DataFusionError::Execution(format!("cannot read {what}: {error}"))
}
