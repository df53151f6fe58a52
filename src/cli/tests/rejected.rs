//! What does not work, and what it says.

use super::invoke;

fn error(args: &[&str], variables: &[(&str, &str)]) -> String {
    invoke(args, variables).expect_err("this is wrong").to_string()
}

#[test]
fn a_malformed_variable_is_named_and_says_what_is_valid() {
    for (variable, value, valid) in [
        ("VSO_MAX_CONCURRENT_RECONCILES", "many", "expected a whole number, 0 or more"),
        ("VSO_CLIENT_CACHE_SIZE", "0", "expected a whole number above 0"),
        ("VSO_BACKOFF_MAX_INTERVAL", "60", "missing unit in duration \"60\"; expected a duration such as 5s or 1m30s"),
        ("VSO_BACKOFF_MULTIPLIER", "-1", "expected a number above 0"),
        ("VSO_BACKOFF_RANDOMIZATION_FACTOR", "NaN", "expected a number from 0 to 1"),
        ("VSO_CLIENT_CACHE_PERSISTENCE_MODEL", "disk", "expected none, direct-unencrypted or direct-encrypted"),
        ("VSO_GLOBAL_TRANSFORMATION_OPTIONS", "exclude-raw,x", "unknown option \"x\"; expected exclude-raw"),
    ] {
        let error = invoke(&[], &[(variable, value)]).expect_err(variable);
        let text = error.to_string();
        assert!(text.starts_with("Failed to process environment variable options: "), "{text}");
        assert!(text.contains(variable) && text.contains(value) && text.contains(valid), "{text}");
        assert_eq!(error.exit_code(), 1);
    }
}

#[test]
fn an_unknown_flag_is_rejected_with_a_suggestion() {
    for args in [["--leader-elekt"], ["-leader-elekt"], ["-leader-elekt=true"]] {
        let text = error(&args, &[]);
        assert!(text.contains("'--leader-elect'"), "{text}");
    }
    assert!(error(&["serve"], &[]).contains("serve"));
    assert!(error(&["--leader-elect", "false"], &[]).contains("false"));
}

#[test]
fn malformed_flags_say_which_and_why() {
    for (arg, part) in [
        ("--backoff-initial-interval=5", "missing unit"),
        ("--backoff-initial-interval=-5s", "negative"),
        ("--backoff-initial-interval=0s", "more than 0"),
        ("--backoff-max-elapsed-time=5 s", "unknown unit"),
        ("--backoff-multiplier=0", "above 0"),
        ("--backoff-randomization-factor=1.5", "from 0 to 1"),
        ("--metrics-bind-address=8080", "port is missing"),
        ("--leader-elect=maybe", "true or false"),
        ("--zap-log-level=loud", "expected error, info, debug"),
        ("--zap-log-level=-1", "expected error, info, debug"),
        ("--zap-encoder=xml", "json or console"),
        ("--zap-time-encoding=iso", "iso8601"),
        ("--watch-namespaces=team-a,Team_B", "Team_B"),
        ("--client-cache-persistence-model=direct", "direct-unencrypted"),
        ("--global-vault-auth-options=other", "allow-default-globals"),
        ("--kube-client-burst", "value is required"),
        ("--ca-cert-dirs=certs", "not an absolute path"),
        ("--min-refresh-after=0s", "more than 0"),
    ] {
        let text = error(&[arg], &[]);
        let flag = arg.split('=').next().unwrap_or_default();
        assert!(text.contains(flag) && text.contains(part), "{text}");
    }
}
