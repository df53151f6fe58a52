//! AWS Signature Version 4 from the side of AWS: whether a request was signed by the holder of a key. Written after
//! AWS's description, and not shared with the operator.

use std::collections::BTreeMap;

use chrono::Utc;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::http_server::Request;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// What the header `Authorization` says.
pub struct Authorization {
    /// Names the key that signed.
    pub access_key_id: String,
    /// Day of the signature.
    pub date: String,
    /// Region that the request is for.
    pub region: String,
    /// Service that the request is for.
    pub service: String,
    /// Names of the headers under the signature.
    pub signed_headers: Vec<String>,
    signature: String,
}

impl Authorization {
    /// The header `Authorization` of a request.
    pub fn of(request: &Request) -> Result<Self, String> {
        let text = request.header("authorization").ok_or("no Authorization")?;
        let text = text.strip_prefix("AWS4-HMAC-SHA256 ").ok_or("another algorithm")?;
        let parts: BTreeMap<&str, &str> = text.split(", ").filter_map(|part| part.split_once('=')).collect();
        let part = |name: &str| parts.get(name).copied().ok_or_else(|| format!("no {name}"));
        let scope: Vec<&str> = part("Credential")?.split('/').collect();
        let [id, date, region, service, "aws4_request"] = scope[..] else { return Err("a wrong scope".into()) };
        Ok(Self {
            access_key_id: id.into(),
            date: date.into(),
            region: region.into(),
            service: service.into(),
            signed_headers: part("SignedHeaders")?.split(';').map(str::to_owned).collect(),
            signature: part("Signature")?.into(),
        })
    }

    /// Whether this key has made the signature of this request, which must have no query.
    pub fn check(&self, request: &Request, secret_access_key: &str) -> Result<(), String> {
        match self.signature_of(request, secret_access_key)? == self.signature {
            true => Ok(()),
            false => Err("the signature does not match".into()),
        }
    }

    fn signature_of(&self, request: &Request, secret_access_key: &str) -> Result<String, String> {
        if !self.signed_headers.iter().any(|name| name == "host") {
            return Err("the host is not signed".into());
        }
        let mut headers = String::new();
        for name in &self.signed_headers {
            let value = request.header(name).ok_or_else(|| format!("header {name} is missing"))?;
            let value = value.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
            headers += &format!("{name}:{value}\n");
        }
        assert!(!request.path.contains('?'), "a query is not looked at");
        let path = request.path.replace("//", "/");
        let signed = self.signed_headers.join(";");
        let body = hex(&Sha256::digest(&request.body));
        let canonical = format!("{}\n{path}\n\n{headers}\n{signed}\n{body}", request.method);
        let Self { date, region, service, .. } = self;
        let time = request.header("x-amz-date").ok_or("no date")?;
        let digest = hex(&Sha256::digest(canonical));
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{date}/{region}/{service}/aws4_request\n{digest}");
        let key = [region.as_str(), service, "aws4_request"]
            .iter()
            .fold(mac(format!("AWS4{secret_access_key}").as_bytes(), date), |key, part| mac(&key, part));
        if !time.starts_with(date.as_str()) {
            return Err("the signature is of another day".into());
        }
        Ok(hex(&mac(&key, &text)))
    }
}

/// Signs a request now, as a workload does with the credentials that it was given.
pub fn sign(request: &mut Request, service: &str, access_key_id: &str, secret_access_key: &str, token: Option<&str>) {
    let now = Utc::now();
    request.headers.push(("x-amz-date".into(), now.format("%Y%m%dT%H%M%SZ").to_string()));
    let mut signed_headers = vec!["host".to_owned(), "x-amz-date".to_owned()];
    if let Some(token) = token {
        request.headers.push(("x-amz-security-token".into(), token.into()));
        signed_headers.push("x-amz-security-token".into());
    }
    let (date, region, names) = (now.format("%Y%m%d").to_string(), "us-east-1", signed_headers.join(";"));
    let mut authorization = Authorization {
        access_key_id: access_key_id.into(),
        date: date.clone(),
        region: region.into(),
        service: service.into(),
        signed_headers,
        signature: String::new(),
    };
    authorization.signature = authorization.signature_of(request, secret_access_key).expect("all headers are there");
    let scope = format!("{access_key_id}/{date}/{region}/{service}/aws4_request");
    let signature = authorization.signature;
    let value = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={signature}");
    request.headers.push(("authorization".into(), value));
}
