use crate::api::external_secrets::ExternalSecretSpec;
pub fn spec(_: &ExternalSecretSpec) -> Result<(), String> {
    Ok(())
}
