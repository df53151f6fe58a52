//! The key of a Google service account signs the token by which Vault's method `gcp` knows the account. No service of
//! Google is asked for it.

use std::time::{Duration, SystemTime};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::http::CloudError;

const STEP: &str = "key of a Google service account";
/// Keys have less than 3 KiB.
const MAX_KEY_BYTES: usize = 64 * 1024;
/// Vault takes no token that lasts longer, by default.
const LIFETIME: Duration = Duration::from_secs(15 * 60);

/// A key as Google gives it away, in part.
#[derive(Deserialize)]
struct KeyFile {
    #[serde(rename = "type")]
    kind: String,
    client_email: Option<String>,
    private_key_id: Option<String>,
    private_key: Option<String>,
}

/// A token, and the account that it is of.
pub struct SignedToken {
    /// The token.
    pub token: SecretString,
    /// Address of the service account.
    pub account: String,
}

/// The token for a role of Vault, signed with a key (JSON). Errors quote nothing of the key.
pub fn signed_token(key: &str, role: &str, now: SystemTime) -> Result<SignedToken, CloudError> {
    let error = |what: &str| CloudError::new(STEP, what);
    if key.len() > MAX_KEY_BYTES {
        return Err(error("it is longer than 64 KiB"));
    }
    // The text of serde's error can quote a value.
    let file: KeyFile = serde_json::from_str(key).map_err(|_| error("it is not the JSON of a key"))?;
    if file.kind != "service_account" {
        return Err(error("its type is not service_account: credentials of other types are not served"));
    }
    let member = |value: Option<String>, name: &str| {
        let missing = || CloudError::new(STEP, format!("it has no {name}"));
        value.filter(|value| !value.is_empty()).ok_or_else(missing)
    };
    let account = member(file.client_email, "client_email")?;
    let key_id = member(file.private_key_id, "private_key_id")?;
    let pem = member(file.private_key, "private_key")?;
    let pair = key_pair(&pem).ok_or_else(|| error("its private_key is not a usable RSA key in PEM"))?;
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let header = json!({ "alg": "RS256", "kid": key_id, "typ": "JWT" });
    let claims = json!({
        "aud": format!("vault/{role}"), "exp": seconds + LIFETIME.as_secs(), "iat": seconds, "sub": account,
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(&header), part(&claims));
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
        .map_err(|_| error("it does not sign"))?;
    Ok(SignedToken { token: format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)).into(), account })
}

fn key_pair(pem: &str) -> Option<KeyPair> {
    match PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok()? {
        PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()).ok(),
        PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use proptest::prelude::*;
    use rcgen::{PKCS_RSA_SHA256, RsaKeySize};
    use secrecy::ExposeSecret as _;

    use super::*;

    fn file(pem: &str) -> Value {
        json!({
            "type": "service_account", "project_id": "shop", "private_key_id": "id", "private_key": pem,
            "client_email": "app@shop.iam.gserviceaccount.com",
        })
    }

    #[test]
    fn the_token_is_what_vault_asks_for_and_is_signed() {
        let key = rcgen::KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let signed = signed_token(&file(&key.serialize_pem()).to_string(), "app", now).unwrap();
        assert_eq!(signed.account, "app@shop.iam.gserviceaccount.com");
        let token = signed.token.expose_secret();
        let parts: Vec<&str> = token.split('.').collect();
        let read = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        assert_eq!(read(parts[0]), json!({ "alg": "RS256", "kid": "id", "typ": "JWT" }));
        let claims = json!({ "aud": "vault/app", "exp": 1_000_900, "iat": 1_000_000, "sub": signed.account });
        assert_eq!(read(parts[1]), claims);
        let pair = key_pair(&key.serialize_pem()).unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key());
        let text = format!("{}.{}", parts[0], parts[1]);
        public.verify(text.as_bytes(), &URL_SAFE_NO_PAD.decode(parts[2]).unwrap()).unwrap();
    }

    #[test]
    fn what_is_no_key_is_told_without_its_values() {
        let good = file("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n");
        let with = |name: &str, value: Value| {
            let mut file = good.clone();
            file[name] = value;
            file.to_string()
        };
        let curve = rcgen::KeyPair::generate().unwrap().serialize_pem();
        for (text, expected) in [
            ("hunter2".to_owned(), "not the JSON of a key"),
            (with("type", json!("external_account")), "type is not service_account"),
            (with("client_email", json!("")), "no client_email"),
            (with("private_key_id", Value::Null), "no private_key_id"),
            (with("private_key", Value::Null), "no private_key"),
            (good.to_string(), "not a usable RSA key"),
            (with("private_key", json!(curve)), "not a usable RSA key"),
            (with("other", json!("x".repeat(MAX_KEY_BYTES))), "longer than 64 KiB"),
        ] {
            let error = signed_token(&text, "app", SystemTime::now()).err().expect("it is refused").to_string();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_key_ends_the_process(text in "[-A-Za-z0-9+/=\\n ]{0,200}") {
            let pem = format!("-----BEGIN RSA PRIVATE KEY-----\n{text}\n-----END RSA PRIVATE KEY-----\n");
            prop_assert!(signed_token(&file(&pem).to_string(), "app", SystemTime::now()).is_err());
            prop_assert!(signed_token(&text, "app", SystemTime::now()).is_err());
        }
    }
}
