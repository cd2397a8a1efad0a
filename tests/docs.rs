//! The pages under `docs/` say what the program says: metrics, settings, problems, links.

use std::path::{Path, PathBuf};

use clap::{Args, Command};
use mayfly::config::flags::SettingsFlags;
use mayfly::metrics::Metrics;

/// What stands above the table of metrics.
const METRICS_HEAD: &str = "\
# Metrics

<!-- Generated from src/metrics.rs by: UPDATE_DOCS=1 cargo test --test docs -->

`GET /metrics` on the admin port answers these in the text format of Prometheus. They count messages, not
calls, when their event is committed (with `--durability memory`, when it is decided), and never at a replay: after a restart the counters begin at 0 and the gauges at what
was recovered. No label ever holds a username, an id or a key: `route` is the pattern of a path
(`/chats/{username}`) or `other`, `method` is `GET`, `POST`, `HEAD` or `other`, `status_class` is `2xx`, `4xx` or `5xx`.
A histogram has the series `_bucket`, `_sum` and `_count`.

";

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_reference_of_metrics_is_the_one_the_code_makes() {
    let made = format!("{METRICS_HEAD}{}", Metrics::reference());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path("docs/METRICS.md"), &made).expect("docs/METRICS.md can be written");
    }
    assert!(
        read("docs/METRICS.md") == made,
        "docs/METRICS.md is not what src/metrics.rs says; make it anew by: UPDATE_DOCS=1 cargo test --test docs"
    );
}

#[test]
fn every_setting_is_in_the_operators_page_with_its_variable_and_default() {
    let page = read("docs/OPERATIONS.md");
    let flags = SettingsFlags::augment_args(Command::new("mayfly"));
    let mut missing = Vec::new();
    for setting in flags.get_arguments() {
        let Some(flag) = setting.get_long() else {
            continue;
        };
        let mut words = vec![format!("`--{flag}`")];
        words.extend(
            setting
                .get_env()
                .map(|name| format!("`{}`", name.to_string_lossy())),
        );
        let defaults = setting.get_default_values().iter();
        words.extend(defaults.map(|value| format!("`{}`", value.to_string_lossy())));
        let is_row = |line: &&str| line.starts_with('|') && words.iter().all(|w| line.contains(w));
        if page.lines().find(is_row).is_none() {
            missing.push(words.join(" "));
        }
    }
    assert!(
        missing.is_empty(),
        "docs/OPERATIONS.md has no row of the table with:\n{}",
        missing.join("\n")
    );
}

#[test]
fn every_problem_is_in_the_page_of_the_api_with_its_status() {
    let page = read("docs/API.md");
    let code = read("src/http/error.rs");
    let table = code
        .split("fn row(self)")
        .nth(1)
        .and_then(|rest| rest.split("impl Problem").next())
        .expect("src/http/error.rs has the table of problems");
    let parts: Vec<_> = table.split('"').collect();
    let is_slug = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    let mut slugs = 0;
    for pair in parts.chunks_exact(2).filter(|pair| is_slug(pair[1])) {
        let status = pair[0].rsplit('(').next().unwrap_or_default();
        let status = status.trim_matches(|c: char| !c.is_ascii_digit());
        let (slug, status) = (format!("`{}`", pair[1]), format!("| {status} |"));
        let is_row = |line: &&str| line.contains(&slug) && line.contains(&status);
        assert!(
            page.lines().any(|line| is_row(&line)),
            "docs/API.md has no row with {slug} and {status}"
        );
        slugs += 1;
    }
    assert!(slugs > 20, "only {slugs} problems were found in the code");
}

#[test]
fn every_link_between_pages_leads_to_a_file() {
    let mut pages = vec![path("README.md")];
    for folder in ["docs", "docs/adr"] {
        let entries = std::fs::read_dir(path(folder)).expect("a folder of pages");
        pages.extend(entries.map(|entry| entry.expect("an entry").path()));
    }
    let mut links = 0;
    for page in pages
        .iter()
        .filter(|page| page.extension().is_some_and(|e| e == "md"))
    {
        let text = std::fs::read_to_string(page).expect("a page");
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().unwrap_or_default();
            let file = link.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            let target = page.parent().expect("a folder").join(file);
            assert!(target.exists(), "{}: {link} leads nowhere", page.display());
            links += 1;
        }
    }
    assert!(links > 0, "no link was found");
}
