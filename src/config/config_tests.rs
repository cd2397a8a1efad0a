//! What settings default to, and what they demand of each other.

use super::*;

fn refused(arguments: &[&str]) -> String {
    let error = Settings::from_arguments(arguments.iter().copied()).expect_err("refused");
    error.to_string()
}

#[test]
fn without_arguments_every_setting_has_its_documented_default() {
    let settings = Settings::from_arguments([]).expect("defaults");
    assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.admin_listen.to_string(), "127.0.0.1:9090");
    assert_eq!(settings.durability, Durability::Committed);
    assert_eq!(settings.drain_announce, Duration::from_secs(3));
    assert_eq!(settings.drain_timeout, Duration::from_secs(25));
    assert_eq!(settings.request_timeout, Duration::from_secs(5));
    assert_eq!(
        settings.archive_retention,
        Some(Duration::from_secs(90 * 86_400))
    );
    assert_eq!(settings.idempotency_keys_max, 4_000_000);
    assert!(settings.workers >= 1 && settings.workers <= 64);
    assert!(!settings.insecure_open);
}

#[test]
fn the_default_limits_are_those_of_the_domain() {
    let settings = Settings::from_arguments([]).expect("defaults");
    assert_eq!(settings.limits, Limits::default());
}

#[test]
fn an_address_that_others_reach_needs_the_open_flag() {
    for address in [
        "0.0.0.0:8080",
        "[::]:8080",
        "192.168.1.7:80",
        "[::ffff:10.0.0.1]:80",
    ] {
        let reason = refused(&["--listen", address]);
        assert!(reason.contains("read every mailbox"), "{reason}");
        assert!(reason.contains("--insecure-open"), "{reason}");
        assert!(Settings::from_arguments(["--listen", address, "--insecure-open"]).is_ok());
    }
    for address in [
        "127.0.0.1:0",
        "127.8.9.1:80",
        "[::1]:80",
        "[::ffff:127.0.0.1]:80",
    ] {
        assert!(
            Settings::from_arguments(["--listen", address]).is_ok(),
            "{address}"
        );
    }
    assert!(Settings::from_arguments(["--admin-listen", "0.0.0.0:9090"]).is_ok());
}

#[test]
fn limits_that_contradict_each_other_are_refused_at_the_edge() {
    for (good, bad, named) in [
        (
            "--text-bytes-max=1MiB",
            "--text-bytes-max=1048577B",
            "--text-bytes-max",
        ),
        (
            "--body-bytes-max=64KiB",
            "--body-bytes-max=65535B",
            "--body-bytes-max",
        ),
        (
            "--mailbox-bytes-max=64KiB",
            "--mailbox-bytes-max=65535B",
            "--mailbox-bytes-max",
        ),
        ("--timeout-max=60s", "--timeout-max=59s", "--timeout-max"),
        (
            "--drain-timeout=3s",
            "--drain-timeout=2999ms",
            "--drain-timeout",
        ),
        (
            "--memory-limit=16MiB",
            "--memory-limit=16777215B",
            "--memory-limit",
        ),
        ("--workers=64", "--workers=65", "--workers"),
        ("--workers=1", "--workers=0", "--workers"),
        (
            "--username-chars-max=1000",
            "--username-chars-max=1001",
            "--username-chars-max",
        ),
        (
            "--archive-retention=1d",
            "--archive-retention=23h",
            "--archive-retention",
        ),
        (
            "--timeout-default=1s",
            "--timeout-default=1500ms",
            "--timeout-default",
        ),
    ] {
        assert!(Settings::from_arguments([good]).is_ok(), "{good}");
        assert!(refused(&[bad]).contains(named), "{bad}");
    }
}

#[test]
fn retention_may_be_for_ever() {
    let settings = Settings::from_arguments(["--archive-retention=forever"]).expect("settings");
    assert_eq!(settings.archive_retention, None);
}

#[test]
fn mistyped_variables_are_refused_and_those_of_kubernetes_are_not() {
    let check = |name: &str| file::check_variables([String::from(name)]);
    for name in [
        "MAYFLY_LISTEN",
        "MAYFLY_URL",
        "MAYFLY_PORT",
        "MAYFLY_SERVICE_HOST",
        "PATH",
        "MAYFLY_PORT_80_TCP",
        "MAYFLY_COLOUR_OF_THE_WINGS",
    ] {
        assert!(check(name).is_ok(), "{name}");
    }
    let reason = check("MAYFLY_DATADIR").expect_err("mistyped").to_string();
    assert_eq!(
        reason,
        "unknown variable MAYFLY_DATADIR; did you mean MAYFLY_DATA_DIR?"
    );
}
