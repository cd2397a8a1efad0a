//! Query strings: few known parameters, each at most once, anything else refused by name.

use super::error::{Kind, Problem};

/// The value of the one parameter that the endpoint knows, if given.
///
/// # Errors
/// [`Problem`] for an unknown or repeated parameter or a query that is no form.
pub fn only(query: &str, known: &str) -> Result<Option<String>, Problem> {
    if query.is_empty() {
        return Ok(None);
    }
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).map_err(|error| {
        Problem::new(
            Kind::BadQuery,
            format!("the query is not name=value pairs: {error}"),
        )
    })?;
    let mut value = None;
    for (name, given) in pairs {
        if name != known {
            let name: String = name.chars().take(64).collect();
            let detail = format!("parameter {name:?} is not known here; the only one is `{known}`");
            return Err(Problem::new(Kind::BadQuery, detail).in_field(known));
        }
        if value.replace(given).is_some() {
            let detail = format!("parameter `{known}` is given twice; give it once");
            return Err(Problem::new(Kind::BadQuery, detail).in_field(known));
        }
    }
    Ok(value)
}

/// `?limit=`: 1 to `limit_max`; absent is `usize::MAX`.
///
/// # Errors
/// [`Problem`] when it is no such number.
pub fn limit(query: &str, limit_max: usize) -> Result<usize, Problem> {
    let Some(text) = only(query, "limit")? else {
        return Ok(usize::MAX);
    };
    let limit = text
        .parse()
        .ok()
        .filter(|limit| (1..=limit_max).contains(limit) && is_digits(&text));
    limit.ok_or_else(|| {
        let detail = format!("`limit` must be a whole number from 1 to {limit_max}");
        Problem::new(Kind::BadQuery, detail).in_field("limit")
    })
}

/// `?lenient=1` or `?lenient=0`; absent is false.
///
/// # Errors
/// [`Problem`] for another value.
pub fn lenient(query: &str) -> Result<bool, Problem> {
    match only(query, "lenient")?.as_deref() {
        None | Some("0" | "false") => Ok(false),
        Some("" | "1" | "true") => Ok(true),
        Some(_) => {
            let detail = "`lenient` must be 1 or 0";
            Err(Problem::new(Kind::BadQuery, detail).in_field("lenient"))
        }
    }
}

/// For endpoints without parameters.
///
/// # Errors
/// [`Problem`] when there is one.
pub fn none(query: &str) -> Result<(), Problem> {
    if query.is_empty() {
        return Ok(());
    }
    Err(Problem::new(
        Kind::BadQuery,
        "this resource takes no query; leave out everything from the ?",
    ))
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_whole_number_within_its_bounds() {
        for (query, expected) in [
            ("", usize::MAX),
            ("limit=1", 1),
            ("limit=10", 10),
            ("limit=%31", 1),
        ] {
            assert_eq!(limit(query, 10).ok(), Some(expected), "{query}");
        }
        for query in [
            "limit=0",
            "limit=11",
            "limit=-1",
            "limit=+1",
            "limit=1.0",
            "limit=",
            "limit",
            "limit=a",
            "limit=1&limit=1",
            "limits=1",
            "limit=99999999999999999999999",
            "a=1",
            "&&x",
        ] {
            assert_eq!(
                limit(query, 10).map_err(|problem| problem.kind),
                Err(Kind::BadQuery),
                "{query}"
            );
        }
    }
}
