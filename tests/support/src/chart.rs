//! Helm and kubectl, and what they print.

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;
use std::{fs, io};

use serde_json::Value;
use testenv::{Tool, Tools};

use crate::environment::{repository, scratch};

/// What tests of the chart return.
pub type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Directory of the chart in the repository.
pub const CHART: &str = "charts/vault-secrets-operator";

/// Namespace of the release in all renderings.
pub const NAMESPACE: &str = "vso-system";

/// In the repository.
pub fn path(of: &str) -> PathBuf {
    repository().join(of)
}

/// The files of a directory, but not those of the directories in it, and what they hold.
pub fn files(dir: &str) -> io::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(path(dir))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.insert(entry.file_name().to_string_lossy().into_owned(), fs::read_to_string(entry.path())?);
        }
    }
    Ok(files)
}

/// The values files that must work: name without the suffix, and path.
pub fn values_files() -> Result<Vec<(String, String)>> {
    let names = files(&format!("{CHART}/ci"))?.into_keys();
    let split = |name: String| {
        let short =
            name.strip_suffix("-values.yaml").ok_or_else(|| format!("ci/{name} is not called *-values.yaml"))?;
        Ok((short.to_owned(), format!("{CHART}/ci/{name}")))
    };
    names.map(split).collect()
}

/// The output of a program that must succeed without a cluster.
pub fn run(tool: Tool, arguments: impl IntoIterator<Item: AsRef<OsStr>>) -> Result<String> {
    let output = Command::new(Tools::default().path(tool)?)
        .args(arguments)
        .current_dir(path("."))
        .env("HOME", scratch())
        .env("KUBECONFIG", "/dev/null")
        .output()?;
    if !output.status.success() {
        let (out, err) = (&output.stdout, &output.stderr);
        return Err(format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// What `helm template` makes of the chart as release `vso`.
pub fn template(arguments: &[&str]) -> Result<String> {
    let namespace = format!("--namespace={NAMESPACE}");
    run(Tool::Helm, ["template", "vso", CHART, &namespace].iter().chain(arguments))
}

/// The documents of a YAML stream that are not empty.
pub fn documents(yaml: &str) -> Result<Vec<Value>> {
    let mut documents: Vec<Value> = serde_saphyr::from_multiple(yaml)?;
    documents.retain(|document| !document.is_null());
    Ok(documents)
}

/// The one object of a kind whose name ends like this.
pub fn object<'a>(documents: &'a [Value], kind: &str, name: &str) -> Result<&'a Value> {
    let is = |d: &&Value| d["kind"] == kind && d["metadata"]["name"].as_str().is_some_and(|n| n.ends_with(name));
    let mut found = documents.iter().filter(is);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(format!("no {kind} *{name}").into()),
        _ => Err(format!("more than one {kind} *{name}").into()),
    }
}

/// From `from` on.
pub fn tail<'a>(text: &'a str, from: &str) -> &'a str {
    text.find(from).map_or("", |at| &text[at..])
}
