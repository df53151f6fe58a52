//! Flags in the manner of Go: one dash is as good as two, and what follows a flag that needs a value is that value,
//! whatever it looks like.

use super::flags::FLAGS;

/// Rewrites flags to `--flag` or `--flag=value`, the forms that are unambiguous.
pub(super) fn normalize(args: &[String]) -> Vec<String> {
    let mut out = Vec::with_capacity(args.len());
    let mut rest = args.iter();
    out.extend(rest.next().cloned());
    while let Some(arg) = rest.next() {
        if arg == "--" {
            out.push(arg.clone());
            break;
        }
        let Some(flag) = long_flag(arg) else {
            out.push(arg.clone());
            continue;
        };
        let value = if takes_value(flag) { rest.next() } else { None };
        out.push(match value {
            Some(value) => format!("--{flag}={value}"),
            None => format!("--{flag}"),
        });
    }
    out.extend(rest.cloned());
    out
}

/// What follows the go_flags, unless it is not a flag or one of a single letter, like `-h`.
fn long_flag(arg: &str) -> Option<&str> {
    let flag = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-'))?;
    let long = flag.len() > 1 && flag.starts_with(|c: char| c.is_ascii_alphabetic());
    long.then_some(flag)
}

/// Whether a flag that came without `=` has its value in the next argument.
fn takes_value(flag: &str) -> bool {
    matches!(flag, "output" | "dir") || FLAGS.iter().any(|f| f.name == flag && !f.is_switch())
}
