//! Settings: their order of precedence, and how a wrong one is told.

use std::fs;

use crate::{Run, directory};

/// The value and source of `workers` that `config check` prints.
fn workers(file: Option<&str>, variable: Option<&str>, flag: Option<&str>) -> (String, String) {
    let directory = directory();
    if let Some(file) = file {
        fs::write(directory.path().join("mayfly.toml"), file).expect("a file");
    }
    let mut run = Run::within(directory.path());
    if let Some(value) = variable {
        run = run.variable("MAYFLY_WORKERS", value);
    }
    let mut arguments = vec!["config", "check"];
    arguments.extend(flag);
    let output = run.of(&arguments).success();
    let line = output.lines().find(|line| line.starts_with("workers "));
    let mut cells = line
        .expect("a line")
        .split_whitespace()
        .skip(1)
        .map(String::from);
    (
        cells.next().expect("a value"),
        cells.next().expect("a source"),
    )
}

#[test]
fn a_flag_wins_over_a_variable_that_over_the_file_and_that_over_the_default() {
    let file = Some("workers = 3");
    for (file, variable, flag, value, source) in [
        (file, Some("5"), Some("--workers=7"), "7", "flag"),
        (file, None, Some("--workers=7"), "7", "flag"),
        (None, Some("5"), Some("--workers=7"), "7", "flag"),
        (file, Some("5"), None, "5", "variable"),
        (None, Some("5"), None, "5", "variable"),
        (file, None, None, "3", "file"),
        (Some(""), None, None, "", "default"),
        (None, None, None, "", "default"),
    ] {
        let (found, found_source) = workers(file, variable, flag);
        assert_eq!(found_source, source, "{file:?} {variable:?} {flag:?}");
        assert!(value.is_empty() || found == value, "{found} for {value}");
    }
}

#[test]
fn keys_of_the_file_are_written_with_either_dash_and_as_any_plain_type() {
    let directory = directory();
    let file =
        "data_dir = '/x'\ntext-bytes-max = \"1KiB\"\ninsecure_open = true\nlisten = '0.0.0.0:1'\n";
    fs::write(directory.path().join("other.toml"), file).expect("a file");
    let output = Run::within(directory.path())
        .variable("MAYFLY_CONFIG", "other.toml")
        .of(&["config", "check"])
        .success();
    for (name, value) in [
        ("data-dir", "/x"),
        ("text-bytes-max", "1KiB"),
        ("insecure-open", "true"),
        ("listen", "0.0.0.0:1"),
    ] {
        let found = output
            .lines()
            .any(|line| line.split_whitespace().eq([name, value, "file"]));
        assert!(found, "{name}: {output}");
    }
}

#[test]
fn a_wrong_file_stops_with_one_line_that_names_the_key_and_the_fix() {
    for (file, words) in [
        (
            "listn = 'x'",
            &["mayfly.toml", "unknown key listn", "did you mean listen?"][..],
        ),
        (
            "wrokers = 1",
            &["unknown key wrokers", "did you mean workers?"],
        ),
        ("flavour = 1", &["unknown key flavour", "serve --help"]),
        ("config = 'x'", &["unknown key config"]),
        ("[server]\nlisten = 'x'", &["unknown key server"]),
        ("workers = 0", &["workers", "1 to 64"]),
        ("workers = [1]", &["workers", "write one text"]),
        ("listen = 'here'", &["listen", "here", "127.0.0.1:8080"]),
        ("drain-timeout = 25", &["drain-timeout", "25s"]),
        (
            "durability = 'maybe'",
            &["durability", "committed or memory"],
        ),
        ("insecure_open = 'perhaps'", &["insecure_open", "perhaps"]),
        ("workers = 1\nlisten =", &["mayfly.toml line 2"]),
        (
            "workers = 1\nworkers = 2",
            &["mayfly.toml line 2", "workers"],
        ),
    ] {
        let directory = directory();
        fs::write(directory.path().join("mayfly.toml"), file).expect("a file");
        for command in [&["serve"][..], &["config", "check"]] {
            let line = Run::within(directory.path()).of(command).failure(2);
            for word in words {
                assert!(line.contains(word), "{file}: {line}");
            }
        }
    }
}

#[test]
fn a_key_of_the_file_is_checked_even_when_a_flag_wins_over_it() {
    let directory = directory();
    fs::write(directory.path().join("mayfly.toml"), "workers = 0").expect("a file");
    let run = Run::within(directory.path());
    let line = run.of(&["config", "check", "--workers=1"]).failure(2);
    assert!(line.contains("mayfly.toml: workers"), "{line}");
}

#[test]
fn a_named_file_that_is_not_there_is_an_error() {
    let directory = directory();
    let run = Run::within(directory.path());
    let line = run.of(&["serve", "--config", "absent.toml"]).failure(2);
    assert!(
        line.contains("absent.toml") && line.contains("--config"),
        "{line}"
    );
}

#[test]
fn a_wrong_flag_stops_with_one_line_that_names_it_and_the_fix() {
    let directory = directory();
    for (argument, words) in [
        ("--workers=many", &["--workers", "many", "1 to 64"][..]),
        ("--listen=8080", &["--listen", "127.0.0.1:8080"]),
        ("--durability=no", &["--durability", "committed or memory"]),
        ("--text-bytes-max=100", &["--text-bytes-max", "100B"]),
        (
            "--archive-retention=1h",
            &["--archive-retention", "1d", "forever"],
        ),
        ("--memory-limit=0%", &["--memory-limit", "1% to 100%"]),
        ("--log=mayfly=loud", &["--log", "info"]),
        ("--log=", &["--log"]),
        ("--lisen=x", &["--lisen", "--listen"]),
        ("--scylla=a:x", &["--scylla", "host:port"]),
        (
            "--scylla-replication=0",
            &["--scylla-replication", "1 to 9"],
        ),
        (
            "--scylla-scope=local",
            &["--scylla-scope", "--scylla-datacenter"],
        ),
        (
            "--scylla-user=me",
            &["--scylla-user", "--scylla-password-file"],
        ),
        (
            "--scylla-password-file=x",
            &["--scylla-password-file", "--scylla-user"],
        ),
        (
            "--listen=0.0.0.0:80",
            &["--listen", "read every mailbox", "--insecure-open"],
        ),
        (
            "--drain-timeout=1s",
            &["--drain-timeout", "--drain-announce"],
        ),
    ] {
        let line = Run::within(directory.path())
            .of(&["serve", argument])
            .failure(2);
        for word in words {
            assert!(line.contains(word), "{argument}: {line}");
        }
    }
}

#[test]
fn a_wrong_variable_stops_with_one_line_that_names_it() {
    let directory = directory();
    for (name, value, words) in [
        ("MAYFLY_WORKERS", "0", &["MAYFLY_WORKERS", "1 to 64"][..]),
        ("MAYFLY_INSECURE_OPEN", "perhaps", &["MAYFLY_INSECURE_OPEN"]),
        ("SCYLLA_URI", "here/There", &["SCYLLA_URI", "keyspace"]),
        (
            "MAYFLY_DURABILITY",
            "no",
            &["MAYFLY_DURABILITY", "committed or memory"],
        ),
        (
            "MAYFLY_WORKER",
            "1",
            &["MAYFLY_WORKER", "did you mean MAYFLY_WORKERS?"],
        ),
    ] {
        let run = Run::within(directory.path()).variable(name, value);
        let line = run.of(&["serve"]).failure(2);
        for word in words {
            assert!(line.contains(word), "{name}: {line}");
        }
    }
}

#[test]
fn variables_that_kubernetes_sets_for_a_service_of_this_name_are_let_pass() {
    let directory = directory();
    let run = Run::within(directory.path())
        .variable("MAYFLY_PORT", "tcp://10.0.0.1:8080")
        .variable("MAYFLY_SERVICE_HOST", "10.0.0.1");
    run.of(&["config", "check"]).success();
}

#[test]
fn the_open_flag_is_a_word_of_its_own_and_may_be_taken_back() {
    let directory = directory();
    let open = ["config", "check", "--listen=0.0.0.0:1", "--insecure-open"];
    Run::within(directory.path()).of(&open).success();
    let closed = [
        "config",
        "check",
        "--listen=0.0.0.0:1",
        "--insecure-open=false",
    ];
    let run = Run::within(directory.path()).variable("MAYFLY_INSECURE_OPEN", "true");
    run.of(&closed).failure(2);
}

#[test]
fn what_a_cluster_cannot_carry_stops_the_start_with_one_line() {
    let directory = directory();
    let run = Run::within(directory.path());
    let cluster = [
        "serve",
        "--redis=redis://127.0.0.1:1",
        "--scylla=127.0.0.1:1",
    ];
    for (setting, value) in [
        ("mailbox-bytes-max", "30MiB"),
        ("mailbox-messages-max", "100000"),
        ("text-bytes-max", "5MiB"),
        ("request-timeout", "31s"),
        ("durability", "memory"),
    ] {
        let flag = format!("--{setting}={value}");
        let mut arguments = cluster.to_vec();
        arguments.extend([flag.as_str(), "--body-bytes-max=16MiB"]);
        let line = run.of(&arguments).failure(2);
        assert!(line.contains(setting), "{flag}: {line}");
    }
}

#[test]
fn the_help_of_serve_shows_each_setting_with_its_default_and_variable() {
    let directory = directory();
    let help = Run::within(directory.path())
        .of(&["serve", "--help"])
        .success();
    let flags: Vec<&str> = help
        .lines()
        .filter_map(|line| line.trim().strip_prefix("--"))
        .filter_map(|line| line.split([' ', '=', '[']).next())
        .collect();
    assert!(flags.len() > 20, "{help}");
    for flag in flags {
        let variable = match flag {
            "scylla" => String::from("SCYLLA_URI"),
            "redis" => String::from("REDIS_URL"),
            _ => format!("MAYFLY_{}", flag.replace('-', "_").to_uppercase()),
        };
        // What a variable holds is shown, but for one that may hold a password.
        let is_shown = ["=", "]"].map(|end| help.contains(&format!("[env: {variable}{end}")));
        assert_ne!(is_shown, [false, false], "{variable}");
    }
    assert_eq!(
        help.matches("[env: ").count() - 1,
        help.matches("[default: ").count(),
        "{help}"
    );
}
