//! Which build this is.

use serde::Serialize;

/// The fields, and their names, with which Kubernetes components describe a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// The first number of the version.
    pub major: &'static str,
    /// The second number of the version.
    pub minor: &'static str,
    /// The version.
    pub git_version: &'static str,
    /// The commit, if the build was told.
    pub git_commit: &'static str,
    /// Whether the source was exactly that commit, if the build was told.
    pub git_tree_state: &'static str,
    /// When it was built, if the build was told.
    pub build_date: &'static str,
    /// There is no Go in this build; the field is there because dashboards and scripts ask for it.
    pub go_version: &'static str,
    /// The compiler.
    pub compiler: &'static str,
    /// Operating system and processor, with Go's names for them.
    pub platform: &'static str,
}

/// This build.
pub const VERSION: Version = Version {
    major: env!("CARGO_PKG_VERSION_MAJOR"),
    minor: env!("CARGO_PKG_VERSION_MINOR"),
    git_version: env!("CARGO_PKG_VERSION"),
    git_commit: or_empty(option_env!("VSO_GIT_COMMIT")),
    git_tree_state: or_empty(option_env!("VSO_GIT_TREE_STATE")),
    build_date: or_empty(option_env!("VSO_BUILD_DATE")),
    go_version: "",
    compiler: "rustc",
    platform: PLATFORM,
};

const PLATFORM: &str = if cfg!(target_arch = "x86_64") {
    "linux/amd64"
} else if cfg!(target_arch = "aarch64") {
    "linux/arm64"
} else {
    "linux"
};

const fn or_empty(text: Option<&'static str>) -> &'static str {
    match text {
        Some(text) => text,
        None => "",
    }
}
