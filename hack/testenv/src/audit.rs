//! What the API server and Vault were asked, by whom, with what result: their own audit logs.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::environment::Environment;

/// A position in an audit log. Everything written later comes after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Marker(u64);

/// One finished request to the API server. Fields that do not apply are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditEvent {
    /// When it was received, RFC 3339 with microseconds, UTC.
    pub received: String,
    /// When it was answered; for a watch, when the watch ended.
    pub time: String,
    /// `system:serviceaccount:NAMESPACE:NAME`, or `admin`.
    pub user: String,
    /// The client's user agent.
    pub user_agent: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// The request path with its query.
    pub uri: String,
    /// API group, empty for the core group.
    pub group: String,
    /// Plural resource name.
    pub resource: String,
    /// `status`, `scale`, `token` and so on.
    pub subresource: String,
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object. Empty for `create`, where only the body has it.
    pub name: String,
    /// HTTP status of the answer.
    pub code: u16,
    /// The reason in the answer of a refused request.
    pub reason: String,
}

impl AuditEvent {
    /// Whether it changes something. Creating a token, an access review or a token review does not.
    pub fn is_write(&self) -> bool {
        let changes = ["create", "update", "patch", "delete", "deletecollection"];
        let asks = self.group == "authentication.k8s.io" || self.group == "authorization.k8s.io";
        changes.contains(&self.verb.as_str()) && !asks && self.subresource != "token"
    }

    /// Whether it reads objects. Opening a watch counts.
    pub fn is_read(&self) -> bool {
        ["get", "list", "watch"].contains(&self.verb.as_str())
    }
}

/// One line of Vault's audit log: a request, or the response to one. Values are HMACs, names and paths are clear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VaultAuditEntry {
    /// `request` or `response`.
    pub kind: String,
    /// RFC 3339 with nanoseconds, UTC.
    pub time: String,
    /// Pairs a response with its request.
    pub request_id: String,
    /// `read`, `create`, `update`, `delete`, `list`, `patch`, `help`.
    pub operation: String,
    /// Path below `/v1/`, as in `secret/data/app`.
    pub path: String,
    /// Name that the login method gave to the token's holder, as in `kubernetes-NAMESPACE-NAME`.
    pub display_name: String,
    /// Address and port of the client.
    pub remote: String,
    /// Error of a refused or failed request.
    pub error: String,
    /// The whole entry.
    pub raw: Value,
}

impl Environment {
    /// The end of the API server's audit log, now.
    pub fn kube_audit_marker(&self) -> Result<Marker> {
        end_of(&self.kube_audit_log())
    }

    /// Requests to the API server that were finished after `marker`, and the new end. An event is written a moment
    /// after its answer was sent.
    pub fn kube_audit_since(&self, marker: Marker) -> Result<(Vec<AuditEvent>, Marker)> {
        let (lines, end) = lines_since(&self.kube_audit_log(), marker)?;
        let finished = lines.iter().filter(|line| line["stage"] == "ResponseComplete");
        Ok((finished.map(kube_event).collect(), end))
    }

    /// The end of Vault's audit log, now.
    pub fn vault_audit_marker(&self) -> Result<Marker> {
        end_of(&self.vault_audit_log())
    }

    /// Vault's audit entries after `marker`, and the new end. Vault writes a request before it answers it.
    pub fn vault_audit_since(&self, marker: Marker) -> Result<(Vec<VaultAuditEntry>, Marker)> {
        let (lines, end) = lines_since(&self.vault_audit_log(), marker)?;
        Ok((lines.into_iter().map(vault_entry).collect(), end))
    }
}

/// All requests in an audit log that was kept with [`Options::kube_audit_log`](crate::Options::kube_audit_log).
pub fn kept_kube_audit(path: &Path) -> Result<Vec<AuditEvent>> {
    let (lines, _) = lines_since(path, Marker(0))?;
    Ok(lines.iter().filter(|line| line["stage"] == "ResponseComplete").map(kube_event).collect())
}

fn kube_event(line: &Value) -> AuditEvent {
    let object = &line["objectRef"];
    let status = &line["responseStatus"];
    AuditEvent {
        received: text(&line["requestReceivedTimestamp"]),
        time: text(&line["stageTimestamp"]),
        user: text(&line["user"]["username"]),
        user_agent: text(&line["userAgent"]),
        verb: text(&line["verb"]),
        uri: text(&line["requestURI"]),
        group: text(&object["apiGroup"]),
        resource: text(&object["resource"]),
        subresource: text(&object["subresource"]),
        namespace: text(&object["namespace"]),
        name: text(&object["name"]),
        code: status["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or(0),
        reason: text(&status["reason"]),
    }
}

fn vault_entry(line: Value) -> VaultAuditEntry {
    let request = &line["request"];
    let port = request["remote_port"].as_u64().unwrap_or(0);
    VaultAuditEntry {
        kind: text(&line["type"]),
        time: text(&line["time"]),
        request_id: text(&request["id"]),
        operation: text(&request["operation"]),
        path: text(&request["path"]),
        display_name: text(&line["auth"]["display_name"]),
        remote: format!("{}:{port}", text(&request["remote_address"])),
        error: text(&line["error"]),
        raw: line,
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn end_of(path: &Path) -> Result<Marker> {
    match path.metadata() {
        Ok(meta) => Ok(Marker(meta.len())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Marker(0)),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// Complete lines after the marker; a line that is still being written is left for the next time.
fn lines_since(path: &Path, marker: Marker) -> Result<(Vec<Value>, Marker)> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(mut file) => {
            file.seek(SeekFrom::Start(marker.0.saturating_sub(1)))?;
            file.read_to_end(&mut bytes)?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((Vec::new(), Marker(0))),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    }
    // The marker may be within a line that was being written: that line came before it.
    let begin = match marker.0 {
        0 => 0,
        _ => bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |first| first + 1),
    };
    let complete = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    if complete <= begin {
        return Ok((Vec::new(), marker));
    }
    let mut lines = Vec::new();
    for line in bytes[begin..complete].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        lines.push(serde_json::from_slice(line).with_context(|| format!("a line of {}", path.display()))?);
    }
    Ok((lines, Marker(marker.0.saturating_sub(1) + u64::try_from(complete)?)))
}
