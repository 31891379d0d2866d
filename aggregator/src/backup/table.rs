//! A table as rows of bytes: what a copy of a database is made of.
//!
//! A database that is open is never copied as a file: its pages change while they are read. What one read transaction shows
//! is a state that was committed, whatever is written meanwhile.

use redb::{
    Key, ReadTransaction, ReadableTable, TableDefinition, TableError, TableHandle, Value,
    WriteTransaction,
};

/// A table that is in a backup, whatever it holds.
pub(crate) trait CopiedTable {
    /// Its name in its database.
    fn name(&self) -> &str;

    /// Hands every row over, in order of keys, until `take` says that it wants no more. None, if the table is not there.
    fn read(
        &self,
        from: &ReadTransaction,
        take: &mut dyn FnMut(&[u8], &[u8]) -> Wanted,
    ) -> Result<(), redb::Error>;

    /// Writes rows, making the table if it is not there.
    fn write(
        &self,
        to: &WriteTransaction,
        rows: &mut dyn Iterator<Item = (&[u8], &[u8])>,
    ) -> Result<(), redb::Error>;
}

/// Whether more rows are wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wanted {
    More,
    Nothing,
}

impl<K: Key + 'static, V: Value + 'static> CopiedTable for TableDefinition<'static, K, V> {
    fn name(&self) -> &str {
        TableHandle::name(self)
    }

    fn read(
        &self,
        from: &ReadTransaction,
        take: &mut dyn FnMut(&[u8], &[u8]) -> Wanted,
    ) -> Result<(), redb::Error> {
        let table = match from.open_table(*self) {
            Ok(table) => table,
            // A build before did not have it.
            Err(TableError::TableDoesNotExist(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for row in table.iter()? {
            let (key, value) = row?;
            let (key, value) = (key.value(), value.value());
            if take(K::as_bytes(&key).as_ref(), V::as_bytes(&value).as_ref()) == Wanted::Nothing {
                break;
            }
        }
        Ok(())
    }

    fn write(
        &self,
        to: &WriteTransaction,
        rows: &mut dyn Iterator<Item = (&[u8], &[u8])>,
    ) -> Result<(), redb::Error> {
        let mut table = to.open_table(*self)?;
        for (key, value) in rows {
            let fits =
                |width: Option<usize>, bytes: &[u8]| width.is_none_or(|it| it == bytes.len());
            if !fits(K::fixed_width(), key) || !fits(V::fixed_width(), value) {
                let name = TableHandle::name(self);
                return Err(redb::Error::Corrupted(format!("a row of {name} has another size")));
            }
            table.insert(K::from_bytes(key), V::from_bytes(value))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use redb::{Database, ReadableDatabase};

    use super::*;

    const ENTRIES: TableDefinition<'_, (u16, u64), &[u8]> = TableDefinition::new("entries");
    const RANGES: TableDefinition<'_, (&str, u16), (u64, [u8; 32])> =
        TableDefinition::new("ranges");

    #[test]
    fn a_copy_holds_the_rows_of_the_moment_whatever_is_written_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let database = |name: &str| Database::create(folder.path().join(name)).unwrap();
        let (source, target) = (database("source"), database("target"));
        let put = |offset: u64| {
            let transaction = source.begin_write().unwrap();
            let body = vec![7; usize::try_from(offset).unwrap()];
            transaction.open_table(ENTRIES).unwrap().insert((1, offset), body.as_slice()).unwrap();
            let row = (offset, [9; 32]);
            transaction.open_table(RANGES).unwrap().insert(("history", 1), row).unwrap();
            transaction.commit().unwrap();
        };
        (0..5).for_each(put);
        let moment = source.begin_read().unwrap();
        (5..9).for_each(put);
        let to = target.begin_write().unwrap();
        for table in [&ENTRIES as &dyn CopiedTable, &RANGES] {
            let mut rows = Vec::new();
            let take = &mut |key: &[u8], value: &[u8]| {
                rows.push((key.to_vec(), value.to_vec()));
                Wanted::More
            };
            table.read(&moment, take).unwrap();
            let mut rows = rows.iter().map(|(key, value)| (key.as_slice(), value.as_slice()));
            table.write(&to, &mut rows).unwrap();
        }
        to.commit().unwrap();
        let copy = target.begin_read().unwrap();
        let entries = copy.open_table(ENTRIES).unwrap();
        let entries = entries.iter().unwrap().map(|row| row.unwrap().1.value().len());
        assert_eq!(entries.collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        let row = copy.open_table(RANGES).unwrap().get(("history", 1)).unwrap().unwrap().value();
        assert_eq!(row, (4, [9; 32]));
        let wrong = [(&b"short"[..], &b""[..])];
        let to = target.begin_write().unwrap();
        ENTRIES.write(&to, &mut wrong.into_iter()).unwrap_err();
    }
}
