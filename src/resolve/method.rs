//! The login methods: what a VaultAuth says of its method, checked.

use super::reference::is_object_name;
use super::{Denied, ObjectRef};
use crate::api::{AuthMethod, VaultAuthSpec};

/// How Vault is convinced of an identity. Secrets and service accounts are in the namespace of the object that needs the
/// login, never in that of the VaultAuth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// A service account's token that Vault has the API server review.
    Kubernetes(KubernetesLogin),
    /// A JSON web token that Vault checks by itself.
    Jwt(JwtLogin),
    /// Role ID and secret ID.
    AppRole(AppRoleLogin),
    /// An AWS identity.
    Aws(AwsLogin),
    /// A GCP identity.
    Gcp(GcpLogin),
}

/// An object that a credential is taken from, by its name in the namespace of the object that needs the login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialObject<'a> {
    /// A service account.
    ServiceAccount(&'a str),
    /// A Secret.
    Secret(&'a str),
    /// What the operator's own pod has. Upstream takes the UID of the ConfigMap `kube-root-ca.crt` beside it.
    Operator,
}

/// Vault's `kubernetes` auth method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesLogin {
    /// Vault role.
    pub role: String,
    /// Whose token is sent.
    pub account: TokenOf,
}

/// Vault's `jwt` auth method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtLogin {
    /// Vault role.
    pub role: String,
    /// Where the token comes from.
    pub source: JwtSource,
}

/// Where a JSON web token comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtSource {
    /// The API server issues it for a service account.
    ServiceAccount(TokenOf),
    /// It is in key `jwt` of the Secret of this name.
    Secret(String),
}

/// A token to ask the API server for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenOf {
    /// Name of the service account.
    pub service_account: String,
    /// Audiences of its token; empty for the API server's own.
    pub audiences: Vec<String>,
    /// Lifetime of the token in seconds.
    pub expiration_seconds: i64,
}

/// Vault's `approle` auth method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppRoleLogin {
    /// Role ID.
    pub role_id: String,
    /// Name of the Secret whose key `id` is the secret ID.
    pub secret: String,
}

/// Vault's `aws` auth method, of type `iam`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsLogin {
    /// Vault role.
    pub role: String,
    /// AWS region.
    pub region: Option<String>,
    /// Value of the signed header `X-Vault-AWS-IAM-Server-ID`.
    pub header_value: Option<String>,
    /// Name of the AWS session.
    pub session_name: Option<String>,
    /// Endpoint of STS.
    pub sts_endpoint: Option<String>,
    /// Endpoint of IAM.
    pub iam_endpoint: Option<String>,
    /// Whose identity it is.
    pub source: AwsSource,
}

/// Whose AWS identity is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AwsSource {
    /// The access key in the Secret of this name.
    Secret(String),
    /// The IAM role that the service account of this name is annotated with (IRSA).
    ServiceAccount(String),
    /// What the operator's own pod or machine has.
    Ambient,
}

/// Vault's `gcp` auth method, of type `iam`, by workload identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GcpLogin {
    /// Vault role.
    pub role: String,
    /// Name of the service account that is bound to a GCP service account.
    pub service_account: String,
    /// Region of the cluster; asked of the metadata server when unset, as the next two.
    pub region: Option<String>,
    /// Name of the cluster.
    pub cluster_name: Option<String>,
    /// ID of the project.
    pub project_id: Option<String>,
}

/// A token that says nothing of its lifetime lives this long, in seconds.
const TOKEN_SECONDS: i64 = 600;

impl Method {
    /// The value of `spec.method`.
    pub fn name(&self) -> &'static str {
        match self {
            Method::Kubernetes(_) => "kubernetes",
            Method::Jwt(_) => "jwt",
            Method::AppRole(_) => "appRole",
            Method::Aws(_) => "aws",
            Method::Gcp(_) => "gcp",
        }
    }

    /// The object whose UID stands for the credential in upstream's cache key.
    pub fn credential(&self) -> CredentialObject<'_> {
        match self {
            Method::Kubernetes(KubernetesLogin { account, .. })
            | Method::Jwt(JwtLogin { source: JwtSource::ServiceAccount(account), .. }) => {
                CredentialObject::ServiceAccount(&account.service_account)
            }
            Method::Jwt(JwtLogin { source: JwtSource::Secret(name), .. })
            | Method::AppRole(AppRoleLogin { secret: name, .. })
            | Method::Aws(AwsLogin { source: AwsSource::Secret(name), .. }) => CredentialObject::Secret(name),
            Method::Aws(AwsLogin { source: AwsSource::ServiceAccount(name), .. })
            | Method::Gcp(GcpLogin { service_account: name, .. }) => CredentialObject::ServiceAccount(name),
            Method::Aws(AwsLogin { source: AwsSource::Ambient, .. }) => CredentialObject::Operator,
        }
    }

    /// Gives every setting of it, in an order from which no two methods can be taken for the same. Written without `..`,
    /// so that a setting that is added is not forgotten here.
    pub(super) fn settings(&self, add: &mut dyn FnMut(&str)) {
        add(self.name());
        match self {
            Method::Kubernetes(KubernetesLogin { role, account }) => {
                add(role);
                account.settings(add);
            }
            Method::Jwt(JwtLogin { role, source }) => {
                add(role);
                match source {
                    JwtSource::ServiceAccount(account) => {
                        add("account");
                        account.settings(add);
                    }
                    JwtSource::Secret(name) => ["secret", name].into_iter().for_each(add),
                }
            }
            Method::AppRole(AppRoleLogin { role_id, secret }) => [role_id, secret].into_iter().for_each(|s| add(s)),
            Method::Aws(AwsLogin { role, region, header_value, session_name, sts_endpoint, iam_endpoint, source }) => {
                add(role);
                let options = [region, header_value, session_name, sts_endpoint, iam_endpoint];
                options.into_iter().for_each(|o| add(o.as_deref().unwrap_or("")));
                let source = match source {
                    AwsSource::Secret(name) => ["secret", name],
                    AwsSource::ServiceAccount(name) => ["account", name],
                    AwsSource::Ambient => ["ambient", ""],
                };
                source.into_iter().for_each(add);
            }
            Method::Gcp(GcpLogin { role, service_account, region, cluster_name, project_id }) => {
                [role, service_account].into_iter().for_each(|s| add(s));
                [region, cluster_name, project_id].into_iter().for_each(|o| add(o.as_deref().unwrap_or("")));
            }
        }
    }
}

impl TokenOf {
    fn settings(&self, add: &mut dyn FnMut(&str)) {
        let Self { service_account, audiences, expiration_seconds } = self;
        [service_account, &expiration_seconds.to_string(), &audiences.len().to_string()]
            .into_iter()
            .for_each(|s| add(s));
        audiences.iter().for_each(|a| add(a));
    }
}

/// The method of a VaultAuth, after what a VaultAuthGlobal supplies was put into it.
pub(super) fn method(spec: &VaultAuthSpec, id: &ObjectRef) -> Result<Method, Denied> {
    let Some(method) = &spec.method else {
        return Err(Denied::Invalid(format!("VaultAuth {id} has no spec.method")));
    };
    let missing = || {
        let text = format!("{method} auth method not configured: VaultAuth {id} has no spec.{method}");
        Denied::Invalid(text)
    };
    let label = match method {
        AuthMethod::Jwt => "JWT",
        AuthMethod::AppRole => "AppRole",
        AuthMethod::Aws => "AWS",
        AuthMethod::Gcp => "GCP",
        other => other.as_str(),
    };
    let invalid = |what: &str| Denied::Invalid(format!("invalid {label} auth configuration: {what} (VaultAuth {id})"));
    let required = |value: &Option<String>, name: &str| value.clone().ok_or_else(|| invalid(&format!("empty {name}")));
    // The name becomes part of a URL of the API server.
    let object = |name: &str, member: &str| match is_object_name(name) {
        true => Ok(name.to_owned()),
        false => Err(invalid(&format!("{member} {name:?} is not the name of an object"))),
    };
    let token_of = |account: &str, audiences: &[String], seconds: Option<i64>| {
        Ok(TokenOf {
            service_account: object(account, "serviceAccount")?,
            audiences: audiences.to_vec(),
            expiration_seconds: seconds.unwrap_or(TOKEN_SECONDS),
        })
    };
    match method {
        AuthMethod::Kubernetes => {
            let block = spec.kubernetes.as_ref().ok_or_else(missing)?;
            let role = required(&block.role, "role")?;
            let account = required(&block.service_account, "serviceAccount")?;
            let account = token_of(&account, &block.audiences, block.token_expiration_seconds)?;
            Ok(Method::Kubernetes(KubernetesLogin { role, account }))
        }
        AuthMethod::Jwt => {
            let block = spec.jwt.as_ref().ok_or_else(missing)?;
            let role = required(&block.role, "role")?;
            let source = match (&block.service_account, &block.secret_ref) {
                (Some(account), _) => {
                    JwtSource::ServiceAccount(token_of(account, &block.audiences, block.token_expiration_seconds)?)
                }
                (None, Some(secret)) => JwtSource::Secret(object(secret, "secretRef")?),
                (None, None) => return Err(invalid("either serviceAccount or secretRef must be specified")),
            };
            Ok(Method::Jwt(JwtLogin { role, source }))
        }
        AuthMethod::AppRole => {
            let block = spec.app_role.as_ref().ok_or_else(missing)?;
            let role_id = required(&block.role_id, "roleId")?;
            if block.secret_id_path.is_some() {
                // It would let a tenant name a file of the operator's pod.
                return Err(invalid(
                    "secretIDPath is not supported; put the secret ID into key \"id\" of a Secret and \
                                    name that Secret in secretRef",
                ));
            }
            let secret = block.secret_ref.as_deref().ok_or_else(|| invalid("empty secretRef"))?;
            Ok(Method::AppRole(AppRoleLogin { role_id, secret: object(secret, "secretRef")? }))
        }
        AuthMethod::Aws => {
            let block = spec.aws.as_ref().ok_or_else(missing)?;
            let source = match (&block.secret_ref, &block.irsa_service_account) {
                (Some(secret), _) => AwsSource::Secret(object(secret, "secretRef")?),
                (None, Some(account)) => AwsSource::ServiceAccount(object(account, "irsaServiceAccount")?),
                (None, None) => AwsSource::Ambient,
            };
            Ok(Method::Aws(AwsLogin {
                role: required(&block.role, "role")?,
                region: block.region.clone(),
                header_value: block.header_value.clone(),
                session_name: block.session_name.clone(),
                sts_endpoint: block.sts_endpoint.clone(),
                iam_endpoint: block.iam_endpoint.clone(),
                source,
            }))
        }
        AuthMethod::Gcp => {
            let block = spec.gcp.as_ref().ok_or_else(missing)?;
            let role = required(&block.role, "role")?;
            let member = "workloadIdentityServiceAccount";
            let service_account = object(&required(&block.workload_identity_service_account, member)?, member)?;
            Ok(Method::Gcp(GcpLogin {
                role,
                service_account,
                region: block.region.clone(),
                cluster_name: block.cluster_name.clone(),
                project_id: block.project_id.clone(),
            }))
        }
        AuthMethod::Unknown(other) => {
            Err(Denied::Invalid(format!("unsupported authentication method {other} (VaultAuth {id})")))
        }
    }
}
