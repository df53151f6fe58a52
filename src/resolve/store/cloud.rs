//! The logins of a store as an identity of AWS or Google.

use super::origin::{Origin, SecretKey};
use super::store_login::StoreLogin;
use crate::api::auth_methods::{
    AssumedRole, AwsKeys, AwsLogin, AwsSource, GcpLogin, GcpSource, GcpWorkloadIdentity, Method,
};
use crate::api::external_secrets::selector::{SecretKeySelector, ServiceAccountSelector};
use crate::api::external_secrets::vault_auth::{StoreGcp, StoreIam, StoreIamSecrets};
use crate::api::reference::is_object_name;
use crate::resolve::Denied;

/// ESO's.
const DEFAULT_REGION: &str = "us-east-1";

/// Method `iam`. A service account wins over keys.
pub(super) fn iam_login(origin: &Origin<'_>, iam: &StoreIam) -> Result<StoreLogin, Denied> {
    let member = "spec.provider.vault.auth.iam";
    let account = iam.jwt.as_ref().and_then(|jwt| jwt.service_account_ref.as_ref());
    let (source, namespace, is_named) = match (account, &iam.secret_ref) {
        (Some(account), _) => {
            let (name, namespace) = account_of(origin, account, &format!("{member}.jwt.serviceAccountRef"))?;
            (AwsSource::ServiceAccount(name), namespace, account.namespace.is_some())
        }
        (None, Some(secrets)) => keys(origin, secrets, &format!("{member}.secretRef"))?,
        (None, None) => {
            let text = format!(
                "{member} needs jwt.serviceAccountRef or secretRef: the operator's own identity goes to no server"
            );
            return Err(Denied::NotAllowed(text));
        }
    };
    let login = AwsLogin {
        role: iam.vault_role.clone(),
        region: Some(iam.region.clone().unwrap_or_else(|| DEFAULT_REGION.to_owned())),
        header_value: iam.vault_aws_iam_server_id.clone(),
        session_name: None,
        sts_endpoint: None,
        iam_endpoint: None,
        source,
        // As with ESO, an external ID alone has no effect.
        assumed_role: iam.role.clone().map(|arn| Box::new(AssumedRole { arn, external_id: iam.external_id.clone() })),
    };
    let mount = iam.path.clone().unwrap_or_else(|| "aws".to_owned());
    Ok(StoreLogin { method: Method::Aws(login), mount, namespace, is_named })
}

/// An access key, the namespace of its Secrets, and whether the store names that.
fn keys(origin: &Origin<'_>, secrets: &StoreIamSecrets, member: &str) -> Result<(AwsSource, String, bool), Denied> {
    let StoreIamSecrets { access_key_id_secret_ref, secret_access_key_secret_ref, session_token_secret_ref } = secrets;
    let key = |selector: &SecretKeySelector, name: &str| origin.secret_key(selector, &format!("{member}.{name}"), None);
    let needed = |selector: &Option<SecretKeySelector>, name: &str| {
        let missing = || Denied::Invalid(format!("{member} has no {name}"));
        key(selector.as_ref().ok_or_else(missing)?, name)
    };
    let id = needed(access_key_id_secret_ref, "accessKeyIDSecretRef")?;
    let secret = needed(secret_access_key_secret_ref, "secretAccessKeySecretRef")?;
    let token = session_token_secret_ref.as_ref().map(|token| key(token, "sessionTokenSecretRef")).transpose()?;
    if [&secret].into_iter().chain(&token).any(|other| other.id.namespace != id.id.namespace) {
        return Err(Denied::Invalid(format!("{member}: all parts of the key have to be in Secrets of one namespace")));
    }
    let (namespace, is_named) = (
        id.id.namespace.to_string(),
        access_key_id_secret_ref.as_ref().is_some_and(|selector| selector.namespace.is_some()),
    );
    let names = |SecretKey { id, key }: SecretKey| (id.name.to_string(), key);
    let keys = AwsKeys { access_key_id: names(id), secret_access_key: names(secret), session_token: token.map(names) };
    Ok((AwsSource::Keys(keys), namespace, is_named))
}

/// Method `gcp`, with the key of a Google service account, or by workload identity.
pub(super) fn gcp_login(origin: &Origin<'_>, gcp: &StoreGcp) -> Result<StoreLogin, Denied> {
    let member = "spec.provider.vault.auth.gcp";
    let (role, mount) = (gcp.role.clone(), gcp.path.clone().unwrap_or_else(|| "gcp".to_owned()));
    if let Some(secret) = &gcp.secret_ref {
        let selector = &secret.secret_access_key_secret_ref;
        let found = origin.secret_key(selector, &format!("{member}.secretRef.secretAccessKeySecretRef"), None)?;
        let source = GcpSource::Key { secret: found.id.name.to_string(), key: found.key };
        let (namespace, is_named) = (found.id.namespace.to_string(), selector.namespace.is_some());
        return Ok(StoreLogin { method: Method::Gcp(GcpLogin { role, source }), mount, namespace, is_named });
    }
    let Some(identity) = &gcp.workload_identity else {
        let text =
            format!("{member} needs secretRef or workloadIdentity: the operator's own identity goes to no server");
        return Err(Denied::NotAllowed(text));
    };
    let account = &identity.service_account_ref;
    let (service_account, namespace) =
        account_of(origin, account, &format!("{member}.workloadIdentity.serviceAccountRef"))?;
    let source = GcpSource::WorkloadIdentity(GcpWorkloadIdentity {
        service_account,
        region: identity.cluster_location.clone().or_else(|| gcp.location.clone()),
        cluster_name: identity.cluster_name.clone(),
        project_id: identity.cluster_project_id.clone().or_else(|| gcp.project_id.clone()),
    });
    let method = Method::Gcp(GcpLogin { role, source });
    Ok(StoreLogin { method, mount, namespace, is_named: account.namespace.is_some() })
}

/// Name and namespace of a service account.
fn account_of(origin: &Origin<'_>, account: &ServiceAccountSelector, member: &str) -> Result<(String, String), Denied> {
    if !is_object_name(&account.name) {
        return Err(Denied::Invalid(format!("{member}.name {:?} is not the name of an object", account.name)));
    }
    Ok((account.name.clone(), origin.namespace_of(account.namespace.as_deref(), member)?))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::external_secrets::{ClusterSecretStore, SecretStore};
    use crate::resolve::{self, LoginPlan, StorePlan, StoreSource};

    fn spec(auth: Value) -> Value {
        json!({ "provider": { "vault": { "server": "https://vault", "auth": auth } } })
    }

    fn login(plan: StorePlan) -> (LoginPlan, bool) {
        let StoreSource::Vault(store) = plan.source else { panic!("no Vault") };
        (store.login, plan.is_referent)
    }

    fn of_store(auth: Value) -> Result<LoginPlan, String> {
        let mut store = SecretStore::new("store", serde_json::from_value(spec(auth)).unwrap());
        store.metadata.namespace = Some("app".into());
        resolve::secret_store(&store).map(|plan| login(plan).0).map_err(|denied| denied.to_string())
    }

    #[test]
    fn keys_and_service_accounts_are_identities_of_aws() {
        let key = |name: &str, key: &str| json!({ "name": name, "key": key });
        let secrets = json!({
            "accessKeyIDSecretRef": key("a", "id"), "secretAccessKeySecretRef": key("b", "key"),
            "sessionTokenSecretRef": key("c", "token"),
        });
        let plan = of_store(json!({ "iam": {
            "vaultRole": "r", "vaultAwsIamServerID": "v", "secretRef": secrets,
        } }))
        .unwrap();
        let name = |secret: &str, key: &str| (secret.to_owned(), key.to_owned());
        let keys = AwsKeys {
            access_key_id: name("a", "id"),
            secret_access_key: name("b", "key"),
            session_token: Some(name("c", "token")),
        };
        let expected = AwsLogin {
            role: "r".into(),
            region: Some("us-east-1".into()),
            header_value: Some("v".into()),
            session_name: None,
            sts_endpoint: None,
            iam_endpoint: None,
            source: AwsSource::Keys(keys),
            assumed_role: None,
        };
        assert_eq!(plan.method, Method::Aws(expected.clone()));
        assert_eq!((&*plan.mount, &*plan.credential_namespace), ("aws", "app"));
        let jwt = json!({ "serviceAccountRef": { "name": "irsa" } });
        let plan = of_store(json!({ "iam": {
            "vaultRole": "r", "path": "m", "region": "eu-west-1", "secretRef": secrets, "jwt": jwt,
        } }))
        .unwrap();
        let source = AwsSource::ServiceAccount("irsa".into());
        let region = Some("eu-west-1".into());
        let of_account = AwsLogin { region, header_value: None, source, ..expected };
        assert_eq!(plan.method, Method::Aws(of_account.clone()));
        assert_eq!(plan.mount, "m");

        let assuming = |members: Value| {
            let mut iam = json!({ "vaultRole": "r", "region": "eu-west-1", "jwt": jwt });
            json_patch::merge(&mut iam, &members);
            of_store(json!({ "iam": iam })).unwrap().method
        };
        let of_role = |external_id: Option<&str>| {
            let (arn, external_id) = ("arn:aws:iam::1:role/x".to_owned(), external_id.map(str::to_owned));
            Method::Aws(AwsLogin {
                assumed_role: Some(Box::new(AssumedRole { arn, external_id })),
                ..of_account.clone()
            })
        };
        let role = "arn:aws:iam::1:role/x";
        assert_eq!(assuming(json!({ "role": role })), of_role(None));
        assert_eq!(assuming(json!({ "role": role, "externalID": "e" })), of_role(Some("e")));
        assert_eq!(assuming(json!({ "externalID": "e" })), Method::Aws(of_account.clone()));
    }

    #[test]
    fn a_workload_identity_is_one_of_google() {
        let account = json!({ "name": "gke" });
        let plan = of_store(json!({ "gcp": {
            "role": "r", "projectID": "p", "location": "l",
            "workloadIdentity": { "serviceAccountRef": account, "clusterName": "c" },
        } }))
        .unwrap();
        let source = GcpSource::WorkloadIdentity(GcpWorkloadIdentity {
            service_account: "gke".into(),
            region: Some("l".into()),
            cluster_name: Some("c".into()),
            project_id: Some("p".into()),
        });
        assert_eq!(plan.method, Method::Gcp(GcpLogin { role: "r".into(), source }));
        assert_eq!((&*plan.mount, &*plan.credential_namespace), ("gcp", "app"));

        let plan = of_store(json!({ "gcp": {
            "role": "r", "path": "m", "workloadIdentity": { "serviceAccountRef": account },
            "secretRef": { "secretAccessKeySecretRef": { "name": "google", "key": "key.json" } },
        } }))
        .unwrap();
        let source = GcpSource::Key { secret: "google".into(), key: "key.json".into() };
        assert_eq!(plan.method, Method::Gcp(GcpLogin { role: "r".into(), source }), "a key wins");
        assert_eq!((&*plan.mount, &*plan.credential_namespace), ("m", "app"));
    }

    #[test]
    fn what_is_not_served_is_told() {
        let id = json!({ "name": "a", "key": "k" });
        let far = json!({ "name": "a", "key": "k", "namespace": "far" });
        for (auth, text) in [
            (json!({ "iam": { "vaultRole": "r" } }), "the operator's own identity goes to no server"),
            (json!({ "iam": { "vaultRole": "r", "role": "x" } }), "the operator's own identity goes to no server"),
            (
                json!({ "iam": { "vaultRole": "r", "secretRef": { "accessKeyIDSecretRef": id } } }),
                "has no secretAccessKeySecretRef",
            ),
            (
                json!({ "iam": { "vaultRole": "r", "jwt": { "serviceAccountRef": { "name": "a", "namespace": "far" } } } }),
                "only a ClusterSecretStore may name another",
            ),
            (
                json!({ "iam": { "vaultRole": "r", "secretRef": { "accessKeyIDSecretRef": far } } }),
                "only a ClusterSecretStore may name another",
            ),
            (
                json!({ "iam": { "vaultRole": "r", "jwt": { "serviceAccountRef": { "name": "../x" } } } }),
                "is not the name",
            ),
            (json!({ "gcp": { "role": "r" } }), "needs secretRef or workloadIdentity"),
            (
                json!({ "gcp": { "role": "r", "secretRef": { "secretAccessKeySecretRef": far } } }),
                "only a ClusterSecretStore may name another",
            ),
            (
                json!({ "gcp": { "role": "r", "secretRef": { "secretAccessKeySecretRef": { "name": "a" } } } }),
                "secretAccessKeySecretRef has no key",
            ),
            (json!({}), "no valid auth method specified"),
        ] {
            let error = of_store(auth.clone()).expect_err("it is refused");
            assert!(error.contains(text), "{auth}: {error}");
        }
    }

    #[test]
    fn without_auth_there_is_no_login() {
        let plan = of_store(Value::Null).unwrap();
        assert!(matches!(plan.method, Method::NoLogin(_)) && !plan.method.needs_mount());
    }

    #[test]
    fn a_cluster_store_without_a_namespace_has_the_identities_of_its_users() {
        let of = |auth: Value| {
            let store = ClusterSecretStore::new("store", serde_json::from_value(spec(auth)).unwrap());
            login(resolve::cluster_secret_store(&store, "user").unwrap())
        };
        let account = |namespace: Option<&str>| json!({ "name": "a", "namespace": namespace });
        let iam = |namespace: Option<&str>| json!({ "iam": { "vaultRole": "r", "jwt": { "serviceAccountRef": account(namespace) } } });
        let gcp = |namespace: Option<&str>| json!({ "gcp": { "role": "r", "workloadIdentity": { "serviceAccountRef": account(namespace) } } });
        let key = |namespace: Option<&str>| {
            let secret = json!({ "name": "a", "key": "k", "namespace": namespace });
            json!({ "gcp": { "role": "r", "secretRef": { "secretAccessKeySecretRef": secret } } })
        };
        for of_method in [&iam as &dyn Fn(Option<&str>) -> Value, &gcp, &key] {
            let (plan, is_referent) = of(of_method(None));
            assert_eq!((&*plan.credential_namespace, is_referent), ("user", true));
            let (plan, is_referent) = of(of_method(Some("far")));
            assert_eq!((&*plan.credential_namespace, is_referent), ("far", false));
        }
    }
}
