//! What works, and what it means.

use std::time::Duration;

use tracing::Level;

use super::super::flag::Variable;
use super::super::flags::FLAGS;
use super::super::{Env, Invocation, Output, parse};
use super::{invoke, run};
use crate::settings::{BindAddress, LogEncoder, LogSettings, Persistence, Pod, Settings};
use crate::version::VERSION;

/// What VSO's chart passes without any values set.
const CHART: &[&str] = &[
    "--health-probe-bind-address=:8081",
    "--metrics-bind-address=127.0.0.1:8080",
    "--leader-elect",
    "--global-vault-auth-options=allow-default-globals",
    "--backoff-initial-interval=5s",
    "--backoff-max-interval=60s",
    "--backoff-max-elapsed-time=0s",
    "--backoff-multiplier=1.50",
    "--backoff-randomization-factor=0.50",
    "--zap-log-level=info",
    "--zap-time-encoding=rfc3339",
    "--zap-stacktrace-level=panic",
];

#[test]
fn the_charts_arguments_are_the_defaults() {
    let chart = run(CHART, &[("KUBERNETES_CLUSTER_DOMAIN", "cluster.local")]);
    let metrics = BindAddress::parse("127.0.0.1:8080").expect("an address");
    assert_eq!(chart, Settings { metrics, ..Settings::default() });
}

#[test]
fn everything_the_chart_can_pass() {
    let more = [
        "--client-cache-persistence-model=direct-encrypted",
        "--client-cache-size=500",
        "--client-cache-num-locks=0",
        "--max-concurrent-reconciles=7",
        "--global-transformation-options=exclude-raw",
        "--kube-client-qps=12.5",
        "--kube-client-burst=25",
        "--ca-cert-dirs=/etc/vault-ca, /etc/ssl/certs",
        "--min-refresh-after=5s",
    ];
    let settings = run(&[CHART, &more[..]].concat(), &[("OPERATOR_POD_NAME", "pod"), ("OPERATOR_POD_UID", "u-1")]);
    assert_eq!((settings.session_limit, settings.max_concurrent_reconciles), (500, 7));
    assert_eq!(settings.persistence, Persistence::Encrypted);
    assert!(settings.global.exclude_raw && settings.global.allow_default_globals);
    assert_eq!((settings.kube.qps, settings.kube.burst), (12.5, 25));
    assert_eq!(settings.ca_cert_dirs, ["/etc/vault-ca", "/etc/ssl/certs"].map(std::path::PathBuf::from));
    assert_eq!(settings.min_refresh_after, Duration::from_secs(5));
    assert_eq!(settings.pod, Pod { name: Some("pod".to_owned()), uid: Some("u-1".to_owned()) });
}

#[test]
fn the_defaults_in_the_help_are_the_defaults() {
    for flag in FLAGS {
        let mut settings = Settings::default();
        assert_eq!((flag.apply)(&mut settings, flag.default), Ok(()), "{}", flag.name);
        assert_eq!(settings, Settings::default(), "{}", flag.name);
    }
}

#[test]
fn one_dash_or_two_and_values_with_or_without_equals() {
    for args in [
        &["--zap-log-level=debug", "--leader-elect=false", "--backoff-max-interval", "1m30s"][..],
        &["-zap-log-level", "debug", "-leader-elect=f", "-backoff-max-interval=1m30s"],
        &["run", "--zap-log-level", "debug", "-leader-elect=0", "-backoff-max-interval", "1m30s"],
        &["-zap-log-level=debug", "run", "-leader-elect=False", "-backoff-max-interval", "1m30s"],
    ] {
        let settings = run(args, &[]);
        assert_eq!(settings.log.level, Level::DEBUG, "{args:?}");
        assert_eq!(settings.backoff.max, Duration::from_secs(90), "{args:?}");
        assert!(!settings.leader_elect, "{args:?}");
    }
    assert!(run(&["-leader-elect"], &[]).leader_elect);
    assert_eq!(run(&["-kube-client-qps", "-1"], &[]).kube.qps, -1.0);
}

#[test]
fn the_last_of_a_repeated_flag_counts() {
    assert_eq!(run(&["--kube-client-burst=1", "-kube-client-burst", "2"], &[]).kube.burst, 2);
}

#[test]
fn a_variable_wins_over_its_flag() {
    let every = [
        ("VSO_MAX_CONCURRENT_RECONCILES", "max-concurrent-reconciles", "3", "4"),
        ("VSO_CLIENT_CACHE_SIZE", "client-cache-size", "3", "4"),
        (
            "VSO_CLIENT_CACHE_PERSISTENCE_MODEL",
            "client-cache-persistence-model",
            "direct-encrypted",
            "direct-unencrypted",
        ),
        ("VSO_GLOBAL_TRANSFORMATION_OPTIONS", "global-transformation-options", "", "exclude-raw"),
        ("VSO_GLOBAL_VAULT_AUTH_OPTIONS", "global-vault-auth-options", "", "allow-default-globals"),
        ("VSO_BACKOFF_INITIAL_INTERVAL", "backoff-initial-interval", "3s", "4s"),
        ("VSO_BACKOFF_MAX_INTERVAL", "backoff-max-interval", "3s", "4s"),
        ("VSO_BACKOFF_MAX_ELAPSED_TIME", "backoff-max-elapsed-time", "3s", "4s"),
        ("VSO_BACKOFF_RANDOMIZATION_FACTOR", "backoff-randomization-factor", "0.3", "0.4"),
        ("VSO_BACKOFF_MULTIPLIER", "backoff-multiplier", "3", "4"),
        ("VSO_KUBE_CLIENT_QPS", "kube-client-qps", "3", "4"),
        ("VSO_KUBE_CLIENT_BURST", "kube-client-burst", "3", "4"),
    ];
    for (variable, flag, low, high) in every {
        let arg = |value: &str| format!("--{flag}={value}");
        let (with_low, with_high) = (run(&[&arg(low)], &[]), run(&[&arg(high)], &[]));
        assert_ne!(with_low, with_high, "{flag}");
        assert_eq!(run(&[&arg(low)], &[(variable, high)]), with_high, "{variable}");
        assert_eq!(run(&[&arg(low)], &[(variable, "")]), with_low, "{variable} is empty");
        if flag.starts_with("backoff") {
            assert_eq!(run(&[&arg(low)], &[(variable, "0")]), with_low, "{variable} is zero");
        }
    }
    let tested = every.map(|(variable, ..)| variable);
    let accepted_only = ["VSO_CLIENT_CACHE_NUM_LOCKS"];
    for flag in FLAGS {
        if let Variable::Wins(name) | Variable::WinsUnlessZero(name) = flag.variable {
            assert!(tested.contains(&name) || accepted_only.contains(&name), "{name} is not tested");
        }
    }
}

#[test]
fn an_empty_flag_turns_the_default_globals_off() {
    for args in [["--global-vault-auth-options="], ["-global-vault-auth-options="]] {
        assert!(!run(&args, &[]).global.allow_default_globals);
    }
    assert!(!run(&["--global-vault-auth-options", ""], &[]).global.allow_default_globals);
}

#[test]
fn addresses_and_namespaces() {
    let off = run(&["--metrics-bind-address=0", "--health-probe-bind-address="], &[]);
    assert_eq!((off.metrics, off.health), (None, None));
    let two = run(&["--watch-namespaces", "b, a,b,"], &[]).watch_namespaces;
    assert_eq!(two.into_iter().collect::<Vec<_>>(), ["a", "b"]);
    assert!(run(&["--watch-namespaces="], &[]).watch_namespaces.is_empty());
    assert_eq!(run(&[], &[("OPERATOR_NAMESPACE", "vso")]).operator_namespace, "vso");
}

#[test]
fn log_levels_of_zap() {
    for (text, level) in [
        ("error", Level::ERROR),
        ("panic", Level::ERROR),
        ("INFO", Level::INFO),
        ("debug", Level::DEBUG),
        ("5", Level::DEBUG),
        ("6", Level::TRACE),
    ] {
        assert_eq!(run(&["--zap-log-level", text], &[]).log.level, level);
    }
}

#[test]
fn development_mode_is_a_default_for_the_log() {
    let devel = &[("VSO_LOGGER_DEVELOPMENT_MODE", "yes")][..];
    assert_eq!(run(&[], devel).log, LogSettings::DEVELOPMENT);
    assert_eq!(run(&["--zap-devel"], &[]).log, LogSettings::DEVELOPMENT);
    assert_eq!(run(&["--zap-devel=false"], devel).log, LogSettings::PRODUCTION);
    let json = run(&["--zap-encoder=json", "--zap-devel"], &[]).log;
    assert_eq!(json, LogSettings { encoder: LogEncoder::Json, ..LogSettings::DEVELOPMENT });
}

#[test]
fn commands() {
    assert_eq!(invoke(&["crds"], &[]).ok(), Some(Invocation::Crds { dir: None, external_secrets: false }));
    for args in [&["crds", "--dir=x"][..], &["crds", "-dir", "x"]] {
        assert_eq!(invoke(args, &[]).ok(), Some(Invocation::Crds { dir: Some("x".into()), external_secrets: false }));
    }
    for (args, variable, expected) in [
        (&["--version"][..], "", Output::Text),
        (&["-version", "-output", "yaml"], "", Output::Yaml),
        (&["--version", "--output=yaml"], "json", Output::Json),
        (&["version"], "json", Output::Json),
        (&["version", "--output", "json"], "", Output::Json),
    ] {
        let invocation = invoke(args, &[("VSO_OUTPUT_FORMAT", variable)]).ok();
        assert_eq!(invocation, Some(Invocation::Version(expected)), "{args:?}");
    }
    let wrong = invoke(&["--version", "--output=xml"], &[]).expect_err("no such format");
    assert_eq!((wrong.to_string().as_str(), wrong.exit_code()), ("--output should be either 'yaml' or 'json'", 1));
    assert!(matches!(invoke(&["--version=false"], &[]), Ok(Invocation::Run(_))));
}

#[test]
fn hooks() {
    let variable = &[("VSO_UPGRADE_CRDS_TIMEOUT", "2m")][..];
    for args in [&["/scripts/upgrade-crds"][..], &["upgrade-crds"], &["vault-secrets-operator", "upgrade-crds"]] {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let env = |variables: &[(&str, &str)]| Env {
            variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            mounted_namespace: None,
        };
        let timeout = |invocation| match invocation {
            Ok(Invocation::UpgradeCrds { timeout, .. }) => timeout,
            other => panic!("{args:?}: {other:?}"),
        };
        assert_eq!(timeout(parse(&args, &env(&[]))), Duration::from_secs(30));
        assert_eq!(timeout(parse(&args, &env(variable))), Duration::from_secs(120));
    }
    for args in [
        &["--uninstall", "--pre-delete-hook-timeout-seconds=120"][..],
        &["uninstall", "--pre-delete-hook-timeout-seconds", "120"],
    ] {
        let Ok(Invocation::Uninstall { timeout, .. }) = invoke(args, &[]) else { panic!("{args:?}") };
        assert_eq!(timeout, Duration::from_secs(120));
    }
    assert!(matches!(invoke(&["--uninstall=false"], &[]), Ok(Invocation::Run(_))));
}

#[test]
fn the_settings_are_shown_with_their_sources() {
    let variables = &[("VSO_BACKOFF_MAX_INTERVAL", "90s"), ("VSO_BACKOFF_INITIAL_INTERVAL", "0s")];
    let args = ["config", "--backoff-max-interval=10s", "--backoff-initial-interval=7s"];
    let Ok(Invocation::Print(table)) = invoke(&args, variables) else { panic!("no table") };
    let line = |name: &str| {
        let line = table.lines().find(|line| line.starts_with(name)).expect(name);
        line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("--backoff-max-interval"), "90s variable VSO_BACKOFF_MAX_INTERVAL");
    assert_eq!(line("--backoff-initial-interval"), "7s flag", "a zero in the variable counts as not set");
    assert_eq!(line("--backoff-multiplier"), "1.5 default");
    assert_eq!(line("--kubeconfig"), "(none) default");
}

#[test]
fn help_shows_flags_variables_and_defaults() {
    for args in [&["--help"][..], &["-help"], &["-h"], &["run", "--help"]] {
        let Ok(Invocation::Print(help)) = invoke(args, &[]) else { panic!("{args:?} is no help") };
        for flag in FLAGS {
            assert!(help.contains(&format!("--{}", flag.name)), "{}", flag.name);
            assert!(help.contains(flag.variable.name().unwrap_or_default()), "{}", flag.name);
        }
        assert!(help.contains("[env: VSO_BACKOFF_MAX_INTERVAL] [default: 60s]"), "{help}");
    }
}

#[test]
fn the_version_for_people_and_for_machines() {
    let json: serde_json::Value = serde_json::from_str(&Output::Json.render(&VERSION)).expect("it is JSON");
    assert_eq!(json["gitVersion"], env!("CARGO_PKG_VERSION"));
    assert!(Output::Yaml.render(&VERSION).lines().any(|line| line.starts_with("gitVersion: ")));
    assert!(Output::Text.render(&VERSION).starts_with(env!("CARGO_PKG_VERSION")));
}
