//! Has the linker pack the relative relocations of the program, where the C library can read them so (`DT_RELR`).
//!
//! They are almost all that there are, one for each address in a constant. Unpacked each takes 24 bytes of the file,
//! and the loader reads them all, so that they stay in memory.

use std::process::Command;

/// The first version of glibc that reads them. An older one says so and does not start the program.
const GLIBC: (u32, u32) = (2, 36);

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let is_native = variable("TARGET") == variable("HOST") && variable("CARGO_CFG_TARGET_ENV") == "gnu";
    if is_native && glibc().is_some_and(|version| version >= GLIBC) {
        // A linker that cannot do it warns and goes on.
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of this machine's glibc.
fn glibc() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
}
