//! Reading the answers of ScyllaDB: rows of known columns, and the answers to compare-and-sets.

use scylla::deserialize::row::DeserializeRow;
use scylla::response::query_result::QueryResult;
use scylla::value::{CqlValue, Row};

use super::error::CqlError;

/// The rows of an answer.
///
/// # Errors
/// [`CqlError::Unreadable`].
pub(super) fn all<R>(table: &'static str, result: QueryResult) -> Result<Vec<R>, CqlError>
where
    R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
{
    let result = result.into_rows_result();
    let result = result.map_err(CqlError::unreadable(table))?;
    let rows = result.rows::<R>().map_err(CqlError::unreadable(table))?;
    rows.collect::<Result<_, _>>()
        .map_err(CqlError::unreadable(table))
}

/// The first row of an answer, if there is one.
///
/// # Errors
/// [`CqlError::Unreadable`].
pub(super) fn first<R>(table: &'static str, result: QueryResult) -> Result<Option<R>, CqlError>
where
    R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
{
    all(table, result).map(|rows| rows.into_iter().next())
}

/// Whether a compare-and-set was applied. Its answer has other columns for each outcome and server,
/// so the one that tells is looked up by its name.
///
/// # Errors
/// [`CqlError::Unreadable`].
pub fn is_applied(table: &'static str, result: QueryResult) -> Result<bool, CqlError> {
    let unreadable = |what: &str| CqlError::Unreadable {
        table,
        what: String::from(what),
    };
    let result = result.into_rows_result();
    let result = result.map_err(CqlError::unreadable(table))?;
    let names = result.column_specs();
    let column = names.iter().position(|column| column.name() == "[applied]");
    let column = column.ok_or_else(|| unreadable("a compare-and-set has no answer"))?;
    let row = result.first_row::<Row>();
    let mut row = row.map_err(CqlError::unreadable(table))?;
    match row.columns.swap_remove(column) {
        Some(CqlValue::Boolean(is_applied)) => Ok(is_applied),
        _ => Err(unreadable("a compare-and-set is neither applied nor not")),
    }
}
