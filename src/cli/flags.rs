//! The table of flags.

use std::path::PathBuf;
use std::time::Duration;

use super::flag::Flag;
use super::flag::Variable::{None as NoVariable, Switch, Wins, WinsUnlessZero};
use super::values::{
    boolean, directory_list, duration, level, namespace_list, number, number_where, one_of, positive, single_option,
};
use crate::settings::{BindAddress, LogEncoder, LogSettings, Persistence};

const COUNT: &str = "a whole number, 0 or more";

pub(super) const FLAGS: &[Flag] = &[
    Flag {
        name: "metrics-bind-address",
        value: "ADDRESS",
        default: ":8080",
        variable: NoVariable,
        help: "Where metrics are served; empty or 0: nowhere",
        apply: |s, v| BindAddress::parse(v).map(|address| s.metrics = address),
    },
    Flag {
        name: "metrics-secure",
        value: "",
        default: "false",
        variable: NoVariable,
        help: "Serve metrics over HTTPS, to clients with a bearer token whose owner may get the nonResourceURL /metrics",
        apply: |s, v| boolean(v).map(|on| s.metrics_secure = on),
    },
    Flag {
        name: "metrics-cert-path",
        value: "DIR",
        default: "",
        variable: NoVariable,
        help: "Directory with tls.crt and tls.key for --metrics-secure, read again when they change; empty: a certificate \
               that signs itself",
        apply: |s, v| {
            s.metrics_certificates = (!v.is_empty()).then(|| PathBuf::from(v));
            Ok(())
        },
    },
    Flag {
        name: "health-probe-bind-address",
        value: "ADDRESS",
        default: ":8081",
        variable: NoVariable,
        help: "Where /healthz and /readyz are served; empty or 0: nowhere",
        apply: |s, v| BindAddress::parse(v).map(|address| s.health = address),
    },
    Flag {
        name: "leader-elect",
        value: "",
        default: "true",
        variable: NoVariable,
        help: "Work only while holding the Lease, so that there can be several replicas",
        apply: |s, v| boolean(v).map(|on| s.leader_elect = on),
    },
    Flag {
        name: "watch-namespaces",
        value: "NAMES",
        default: "",
        variable: NoVariable,
        help: "Namespaces to watch and serve, separated by commas; empty: all",
        apply: |s, v| namespace_list(v).map(|names| s.watch_namespaces = names),
    },
    Flag {
        name: "max-concurrent-reconciles",
        value: "N",
        default: "100",
        variable: Wins("VSO_MAX_CONCURRENT_RECONCILES"),
        help: "How many objects are worked on at the same time, of all kinds together; 0 is 1",
        apply: |s, v| number(v, COUNT).map(|n: usize| s.max_concurrent_reconciles = n.max(1)),
    },
    Flag {
        name: "client-cache-size",
        value: "N",
        default: "10000",
        variable: Wins("VSO_CLIENT_CACHE_SIZE"),
        help: "How many Vault sessions may have a token at the same time; the one used least recently gives way",
        apply: |s, v| number_where(v, |n| *n > 0, "a whole number above 0").map(|n| s.session_limit = n),
    },
    Flag {
        name: "client-cache-persistence-model",
        value: "MODEL",
        default: "none",
        variable: Wins("VSO_CLIENT_CACHE_PERSISTENCE_MODEL"),
        help: "Whether Vault tokens outlive a restart of the operator: none, direct-unencrypted or direct-encrypted",
        apply: |s, v| {
            let models = [Persistence::None, Persistence::Unencrypted, Persistence::Encrypted];
            let model = models.into_iter().find(|m| m.as_str() == v);
            s.persistence = model.ok_or("expected none, direct-unencrypted or direct-encrypted")?;
            Ok(())
        },
    },
    Flag {
        name: "client-cache-num-locks",
        value: "N",
        default: "100",
        variable: Wins("VSO_CLIENT_CACHE_NUM_LOCKS"),
        help: "Accepted, without effect: sessions are not guarded by a fixed number of locks",
        apply: |_, v| number::<i64>(v, "a whole number").map(drop),
    },
    Flag {
        name: "pre-delete-hook-timeout-seconds",
        value: "SECONDS",
        default: "60",
        variable: NoVariable,
        help: "With uninstall: when to give up",
        apply: |s, v| {
            number_where(v, |n| *n > 0, "a whole number above 0").map(|n| s.uninstall_timeout = Duration::from_secs(n))
        },
    },
    Flag {
        name: "global-transformation-options",
        value: "OPTIONS",
        default: "",
        variable: Wins("VSO_GLOBAL_TRANSFORMATION_OPTIONS"),
        help: "For all destination Secrets, separated by commas. exclude-raw: leave _raw out",
        apply: |s, v| single_option(v, "exclude-raw").map(|on| s.global.exclude_raw = on),
    },
    Flag {
        name: "global-vault-auth-options",
        value: "OPTIONS",
        default: "allow-default-globals",
        variable: Wins("VSO_GLOBAL_VAULT_AUTH_OPTIONS"),
        help: "For all VaultAuths, separated by commas. allow-default-globals: a VaultAuth may use the VaultAuthGlobal \
               named default without naming it",
        apply: |s, v| single_option(v, "allow-default-globals").map(|on| s.global.allow_default_globals = on),
    },
    Flag {
        name: "allow-ambient-cloud-identity",
        value: "",
        default: "false",
        variable: NoVariable,
        help: "Let VaultAuths of every namespace log in with the cloud identity of the operator's own pod or node; else only \
               those of the operator's namespace",
        apply: |s, v| boolean(v).map(|on| s.global.allow_ambient_cloud_identity = on),
    },
    Flag {
        name: "ca-cert-dirs",
        value: "DIRS",
        default: "",
        variable: NoVariable,
        help: "Directories in which caCertPath of a VaultConnection may be, separated by commas; empty: any but /dev, /proc, \
               /sys and that of the operator's service account, which are never read",
        apply: |s, v| directory_list(v).map(|dirs| s.ca_cert_dirs = dirs),
    },
    Flag {
        name: "min-refresh-after",
        value: "DURATION",
        default: "1s",
        variable: NoVariable,
        help: "The shortest interval between two reads of an object: a shorter refreshAfter counts as this",
        apply: |s, v| positive(v).map(|d| s.min_refresh_after = d),
    },
    Flag {
        name: "rollout-window",
        value: "DURATION",
        default: "1s",
        variable: NoVariable,
        help: "What a workload is restarted for within this time is one rollout; 0: each restart is a rollout of its own",
        apply: |s, v| duration(v).map(|d| s.rollout_window = d),
    },
    Flag {
        name: "max-rollouts-per-namespace",
        value: "N",
        default: "0",
        variable: NoVariable,
        help: "How many rollouts that the operator has begun may be under way in a namespace at the same time; 0: any number",
        apply: |s, v| number(v, COUNT).map(|n| s.max_rollouts_per_namespace = n),
    },
    Flag {
        name: "external-secrets",
        value: "",
        default: "false",
        variable: NoVariable,
        help: "Serve ExternalSecrets, PushSecrets, SecretStores and ClusterSecretStores of external-secrets.io, too",
        apply: |s, v| boolean(v).map(|on| s.external_secrets = on),
    },
    Flag {
        name: "external-secrets-class",
        value: "CLASS",
        default: "default",
        variable: NoVariable,
        help: "With --external-secrets: the stores to serve, beside those without spec.controller",
        apply: |s, v| {
            v.clone_into(&mut s.external_secrets_class);
            Ok(())
        },
    },
    Flag {
        name: "reloader",
        value: "",
        default: "false",
        variable: NoVariable,
        help: "Restart workloads with Reloader's annotations when a Secret changes that they use, whichever client writes it",
        apply: |s, v| boolean(v).map(|on| s.reloader = on),
    },
    Flag {
        name: "reloader-config-maps",
        value: "",
        default: "false",
        variable: NoVariable,
        help: "With --reloader: when a ConfigMap changes, too",
        apply: |s, v| boolean(v).map(|on| s.reloader_config_maps = on),
    },
    Flag {
        name: "reloader-auto-reload-all",
        value: "",
        default: "false",
        variable: NoVariable,
        help: "With --reloader: workloads without an annotation auto, too, as if it were true; auto: \"false\" opts out",
        apply: |s, v| boolean(v).map(|on| s.reloader_auto_reload_all = on),
    },
    Flag {
        name: "cluster-external-secrets",
        value: "",
        default: "false",
        variable: NoVariable,
        help: "With --external-secrets, in the whole cluster: serve ClusterExternalSecrets, too",
        apply: |s, v| boolean(v).map(|on| s.cluster_external_secrets = on),
    },
    Flag {
        name: "cluster-push-secrets",
        value: "",
        default: "false",
        variable: NoVariable,
        help: "With --external-secrets, in the whole cluster: serve ClusterPushSecrets, too",
        apply: |s, v| boolean(v).map(|on| s.cluster_push_secrets = on),
    },
    Flag {
        name: "backoff-initial-interval",
        value: "DURATION",
        default: "5s",
        variable: WinsUnlessZero("VSO_BACKOFF_INITIAL_INTERVAL"),
        help: "How long to wait after the first failed read of an object",
        apply: |s, v| positive(v).map(|d| s.backoff.initial = d),
    },
    Flag {
        name: "backoff-max-interval",
        value: "DURATION",
        default: "60s",
        variable: WinsUnlessZero("VSO_BACKOFF_MAX_INTERVAL"),
        help: "How long to wait at most",
        apply: |s, v| positive(v).map(|d| s.backoff.max = d),
    },
    Flag {
        name: "backoff-max-elapsed-time",
        value: "DURATION",
        default: "0s",
        variable: WinsUnlessZero("VSO_BACKOFF_MAX_ELAPSED_TIME"),
        help: "When to give up; 0: never",
        apply: |s, v| duration(v).map(|d| s.backoff.max_elapsed = d),
    },
    Flag {
        name: "backoff-multiplier",
        value: "FACTOR",
        default: "1.5",
        variable: WinsUnlessZero("VSO_BACKOFF_MULTIPLIER"),
        help: "Each wait is this many times the one before; above 0",
        apply: |s, v| {
            let valid = |f: &f64| f.is_finite() && *f > 0.0;
            number_where(v, valid, "a number above 0").map(|f| s.backoff.multiplier = f)
        },
    },
    Flag {
        name: "backoff-randomization-factor",
        value: "FACTOR",
        default: "0.5",
        variable: WinsUnlessZero("VSO_BACKOFF_RANDOMIZATION_FACTOR"),
        help: "Each wait is longer or shorter by up to this part of it; from 0 to 1",
        apply: |s, v| {
            let valid = |f: &f64| (0.0..=1.0).contains(f);
            number_where(v, valid, "a number from 0 to 1").map(|f| s.backoff.randomization = f)
        },
    },
    Flag {
        name: "kube-client-qps",
        value: "N",
        default: "0",
        variable: Wins("VSO_KUBE_CLIENT_QPS"),
        help: "Requests to the API server per second; 0 or less: no limit",
        apply: |s, v| number_where(v, |n: &f32| n.is_finite(), "a number").map(|n| s.kube.qps = n),
    },
    Flag {
        name: "kube-client-burst",
        value: "N",
        default: "0",
        variable: Wins("VSO_KUBE_CLIENT_BURST"),
        help: "Requests to the API server at once, where --kube-client-qps limits them; 0: as many as in a second",
        apply: |s, v| number(v, COUNT).map(|n| s.kube.burst = n),
    },
    Flag {
        name: "kubeconfig",
        value: "FILE",
        default: "",
        variable: NoVariable,
        help: "How to reach the API server; empty: as KUBECONFIG says, else as the pod's ServiceAccount",
        apply: |s, v| {
            s.kube.kubeconfig = (!v.is_empty()).then(|| PathBuf::from(v));
            Ok(())
        },
    },
    Flag {
        name: "zap-devel",
        value: "",
        default: "false",
        variable: Switch("VSO_LOGGER_DEVELOPMENT_MODE"),
        help: "Log for people: --zap-encoder=console --zap-log-level=debug, unless these are given",
        apply: |s, v| {
            s.log = if boolean(v)? { LogSettings::DEVELOPMENT } else { LogSettings::PRODUCTION };
            Ok(())
        },
    },
    Flag {
        name: "zap-log-level",
        value: "LEVEL",
        default: "info",
        variable: NoVariable,
        help: "What is logged: error (or panic), info, debug, or a number: 1 to 5 are debug, above is trace. Warnings are \
               logged at all levels but error",
        apply: |s, v| level(v).map(|level| s.log.level = level),
    },
    Flag {
        name: "zap-encoder",
        value: "FORM",
        default: "json",
        variable: NoVariable,
        help: "json or console",
        apply: |s, v| {
            s.log.encoder = match v {
                "json" => LogEncoder::Json,
                "console" => LogEncoder::Console,
                _ => return Err("expected json or console".to_owned()),
            };
            Ok(())
        },
    },
    Flag {
        name: "zap-time-encoding",
        value: "FORM",
        default: "rfc3339",
        variable: NoVariable,
        help: "Accepted, without effect: times in the log are always RFC 3339",
        apply: |_, v| one_of(v, &["epoch", "millis", "nano", "iso8601", "rfc3339", "rfc3339nano"]),
    },
    Flag {
        name: "zap-stacktrace-level",
        value: "LEVEL",
        default: "panic",
        variable: NoVariable,
        help: "Accepted, without effect: only a panic has a stack trace",
        apply: |_, v| one_of(v, &["debug", "info", "warn", "error", "panic"]),
    },
    Flag {
        name: "max-concurrent-reconciles-vds",
        value: "N",
        default: "100",
        variable: NoVariable,
        help: "Accepted, without effect: --max-concurrent-reconciles is for all kinds",
        apply: |_, v| number::<usize>(v, COUNT).map(drop),
    },
    Flag {
        name: "min-refresh-after-hvsa",
        value: "DURATION",
        default: "30s",
        variable: NoVariable,
        help: "Accepted, without effect: HCPVaultSecretsApp is not served",
        apply: |_, v| duration(v).map(drop),
    },
];
