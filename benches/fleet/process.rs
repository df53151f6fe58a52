//! What a process uses, from `/proc`.

/// CPU time and memory of a process.
pub struct Usage {
    /// Seconds of user and system time.
    pub cpu: f64,
    resident: u64,
    anonymous: u64,
    peak: u64,
}

impl Usage {
    pub fn of(pid: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let kib = |key: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
            line.trim_start_matches(':').split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
        };
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        // After the name in parentheses; user time is field 14, system time field 15, in hundredths of a second.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>().expect("ticks") + fields[12].parse::<f64>().expect("ticks");
        Self { cpu: ticks / 100.0, resident: kib("VmRSS"), anonymous: kib("RssAnon"), peak: kib("VmHWM") }
    }

    /// Memory that belongs to no file.
    pub fn anonymous_bytes(&self) -> f64 {
        self.anonymous as f64 * 1024.0
    }

    /// Memory in MiB.
    pub fn memory(&self) -> String {
        let mib = |kib: u64| kib as f64 / 1024.0;
        format!(
            "{:.1} MiB resident, {:.1} of it anonymous, peak {:.1}",
            mib(self.resident),
            mib(self.anonymous),
            mib(self.peak)
        )
    }
}

/// Prints a figure.
pub fn show(what: &str, value: impl std::fmt::Display) {
    println!("  {what:<58} {value}");
}
