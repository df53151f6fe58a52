//! Texts for a person: the end of a log, a time.

use std::fs;
use std::path::Path;

/// The last lines of a log file, for an error message.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Seconds as a person says them.
pub(crate) fn human(seconds: u64) -> String {
    match seconds {
        0..=90 => format!("{seconds} s"),
        _ => format!("{} min", (seconds + 30) / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn durations() {
        assert_eq!(human(90), "90 s");
        assert_eq!(human(500), "8 min");
    }
}
