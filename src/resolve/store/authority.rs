//! Where a store finds the authorities of its server's certificate.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::origin::Origin;
use crate::api::ObjectRef;
use crate::api::external_secrets::selector::{CaProvider, CaProviderKind};
use crate::api::reference::is_object_name;
use crate::resolve::connection::CA_KEY;
use crate::resolve::{CaSource, Denied};

/// Where the authorities of a server's certificate come from. A text wins.
pub(super) fn ca_source(
    origin: &Origin<'_>,
    bundle: Option<&str>,
    provider: Option<&CaProvider>,
    member: &str,
) -> Result<CaSource, Denied> {
    if let Some(bundle) = bundle {
        let decode = |text: &[u8]| {
            let text: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
            STANDARD.decode(text).ok()
        };
        let is_pem = |text: &[u8]| text.windows(11).any(|window| window == b"-----BEGIN ");
        let text = decode(bundle.as_bytes()).unwrap_or_else(|| bundle.as_bytes().to_vec());
        // What was encoded twice is taken, too, as by ESO.
        let text = if is_pem(&text) { Some(text) } else { decode(&text).filter(|text| is_pem(text)) };
        let text = text.ok_or_else(|| {
            Denied::Invalid(format!("{member}.caBundle: failed to parse certificates from CertPool: it holds no PEM"))
        })?;
        return Ok(CaSource::Text(text));
    }
    let Some(provider) = provider else { return Ok(CaSource::System) };
    let member = format!("{member}.caProvider");
    if origin.is_cluster_store() && provider.namespace.is_none() {
        return Err(Denied::Invalid(format!(
            "missing namespace on caProvider secret: {member} of a ClusterSecretStore needs one"
        )));
    }
    let namespace = origin.namespace_of(provider.namespace.as_deref(), &member)?;
    if !is_object_name(&provider.name) {
        return Err(Denied::Invalid(format!("{member}.name {:?} is not the name of an object", provider.name)));
    }
    let id = ObjectRef::new(namespace, provider.name.as_str());
    let key = provider.key.clone().unwrap_or_else(|| CA_KEY.to_owned());
    match &provider.kind {
        CaProviderKind::Secret => Ok(CaSource::Secret(id, key)),
        CaProviderKind::ConfigMap => Ok(CaSource::ConfigMap(id, key)),
        CaProviderKind::Unknown(other) => {
            Err(Denied::Invalid(format!("{member}.type {other:?} is neither Secret nor ConfigMap")))
        }
    }
}
