use super::*;

/// Calls `visit` with the path and the content of every schema at and below `schema`. Items of an array get `[]`,
/// values of a map `{}`.
fn walk(path: &str, schema: &JSONSchemaProps, visit: &mut dyn FnMut(&str, &JSONSchemaProps)) {
    visit(path, schema);
    for (name, property) in schema.properties.iter().flatten() {
        walk(&format!("{path}.{name}"), property, visit);
    }
    match &schema.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => walk(&format!("{path}[]"), item, visit),
        Some(JSONSchemaPropsOrArray::Schemas(_)) => panic!("{path}: more than one item schema"),
        None => {}
    }
    match &schema.additional_properties {
        Some(JSONSchemaPropsOrBool::Schema(item)) => walk(&format!("{path}{{}}"), item, visit),
        Some(JSONSchemaPropsOrBool::Bool(_)) => panic!("{path}: additionalProperties is a bool"),
        None => {}
    }
}

/// Every schema with its path, which starts with the kind.
fn schemas() -> Vec<(String, JSONSchemaProps)> {
    let mut schemas = Vec::new();
    for crd in all() {
        let [version] = crd.spec.versions.as_slice() else { panic!("more than one version") };
        let root = version.schema.clone().unwrap().open_api_v3_schema.unwrap();
        walk(&crd.spec.names.kind, &root, &mut |path, s| schemas.push((path.to_owned(), s.clone())));
    }
    schemas
}

#[test]
fn every_schema_is_structural() {
    for (path, s) in schemas() {
        let type_ = s.type_.as_deref().unwrap_or_else(|| panic!("{path} has no type"));
        assert!(["object", "array", "string", "boolean", "integer"].contains(&type_), "{path}: {type_}");
        assert_eq!(s.nullable, None, "{path}");
        assert_eq!(s.title, None, "{path}");
        assert!(s.any_of.is_none() && s.one_of.is_none() && s.all_of.is_none(), "{path}");
        assert_eq!(s.x_kubernetes_preserve_unknown_fields, None, "{path}");
        assert!(s.ref_path.is_none() && s.schema.is_none(), "{path}");
        let bare = path.ends_with(".metadata") || path.ends_with(['}', ']']);
        assert!(bare || s.description.is_some_and(|d| !d.is_empty()), "{path} has no description");
    }
}

/// What a schema asks of its value beyond a type, in JSON without the members that only describe or nest.
fn constraints(schema: &JSONSchemaProps) -> String {
    let bare = JSONSchemaProps {
        description: None,
        type_: None,
        properties: None,
        items: None,
        additional_properties: None,
        ..schema.clone()
    };
    serde_json::to_string(&bare).unwrap()
}

/// All there is beyond types, as VSO 1.4.1 has it, plus our CEL rules and method `token`. What several kinds share is
/// below.
const CONSTRAINTS: &str = r#"
CSISecrets.spec {"required":["accessControl","secrets"]}
CSISecrets.spec.accessControl {"required":["serviceAccountPattern"]}
CSISecrets.spec.accessControl.matchPolicy {"default":"all","enum":["any","all"]}
CSISecrets.spec.secrets.vaultAppRoleSecretIDs[] {"required":["mount","role"]}
CSISecrets.spec.secrets.vaultAppRoleSecretIDs[].ttl {"pattern":"^([0-9]+(\\.[0-9]+)?(s|m|h))$"}
CSISecrets.spec.secrets.vaultAppRoleSecretIDs[].wrapTTL {"pattern":"^([0-9]+(\\.[0-9]+)?(s|m|h))$"}
CSISecrets.spec.secrets.vaultStaticSecrets[] {"required":["mount","path","type"]}
CSISecrets.spec.secrets.vaultStaticSecrets[].type {"enum":["kv-v1","kv-v2"]}
CSISecrets.spec.secrets.vaultStaticSecrets[].version {"minimum":0.0}
CSISecrets.spec.syncConfig {"required":["containerState"]}
CSISecrets.spec.vaultAuthRef {"required":["name"]}
SecretTransformation.spec.sourceTemplates[] {"required":["text"]}
SecretTransformation.spec.templates{} {"required":["text"]}
SecretTransformation.status {"required":["error","valid"]}
VaultAuth.spec {"x-kubernetes-validations":[{"message":"method token needs spec.token, or a VaultAuthGlobal that has it","rule":"!has(self.method) || self.method != 'token' || has(self.token) || has(self.vaultAuthGlobalRef)"}]}
VaultAuth.spec.jwt.tokenExpirationSeconds {"default":600,"format":"int64","minimum":600.0}
VaultAuth.spec.kubernetes.tokenExpirationSeconds {"default":600,"format":"int64","minimum":600.0}
VaultAuth.spec.method {"enum":["kubernetes","jwt","appRole","aws","gcp","token"]}
VaultAuth.spec.storageEncryption {"required":["keyName","mount"]}
VaultAuth.spec.vaultAuthGlobalRef.mergeStrategy.headers {"enum":["union","replace","none"]}
VaultAuth.spec.vaultAuthGlobalRef.mergeStrategy.params {"enum":["union","replace","none"]}
VaultAuth.spec.vaultAuthGlobalRef.name {"pattern":"^([a-z0-9.-]{1,253})$"}
VaultAuth.spec.vaultAuthGlobalRef.namespace {"pattern":"^([a-z0-9-]{1,63})$"}
VaultAuthGlobal.spec.defaultAuthMethod {"enum":["kubernetes","jwt","appRole","aws","gcp","token"]}
VaultAuthGlobal.spec.jwt.tokenExpirationSeconds {"default":600,"format":"int64","minimum":600.0}
VaultAuthGlobal.spec.kubernetes.tokenExpirationSeconds {"default":600,"format":"int64","minimum":600.0}
VaultAuthGlobal.status {"required":["error","valid"]}
VaultConnection.spec {"required":["address","skipTLSVerify"]}
VaultConnection.spec.skipTLSVerify {"default":false}
VaultConnection.spec.timeout {"pattern":"^([0-9]+(\\.[0-9]+)?(s|m|h))$"}
VaultConnection.status {"required":["valid"]}
VaultDynamicSecret.spec {"required":["destination","mount","path"]}
VaultDynamicSecret.spec.refreshAfter {"pattern":"^([0-9]+(\\.[0-9]+)?(s|m|h))$"}
VaultDynamicSecret.spec.renewalPercent {"default":67,"maximum":90.0,"minimum":0.0}
VaultDynamicSecret.spec.requestHTTPMethod {"enum":["GET","POST","PUT"]}
VaultDynamicSecret.status {"required":["lastGeneration","lastRenewalTime","secretLease"]}
VaultDynamicSecret.status.lastGeneration {"format":"int64"}
VaultDynamicSecret.status.lastRenewalTime {"format":"int64"}
VaultDynamicSecret.status.pendingLease {"required":["duration","generation","id","obtained","renewable","requestID","secretMAC"]}
VaultDynamicSecret.status.pendingLease.generation {"format":"int64"}
VaultDynamicSecret.status.pendingLease.obtained {"format":"int64"}
VaultDynamicSecret.status.pendingLease.vaultTokenExpiration {"format":"int64"}
VaultDynamicSecret.status.replacedLeases[] {"required":["expiration","id"]}
VaultDynamicSecret.status.replacedLeases[].expiration {"format":"int64"}
VaultDynamicSecret.status.vaultTokenExpiration {"format":"int64"}
VaultDynamicSecret.status.secretLease {"required":["duration","id","renewable","requestID"]}
VaultDynamicSecret.status.staticCredsMetaData {"required":["lastVaultRotation","rotationPeriod","ttl"]}
VaultDynamicSecret.status.staticCredsMetaData.lastVaultRotation {"format":"int64"}
VaultDynamicSecret.status.staticCredsMetaData.rotationPeriod {"format":"int64"}
VaultDynamicSecret.status.staticCredsMetaData.ttl {"format":"int64"}
VaultPKISecret.spec {"required":["destination","mount","role"]}
VaultPKISecret.spec.expiryOffset {"pattern":"^([0-9]+(\\.[0-9]+)?(s|m|h))$"}
VaultPKISecret.spec.issuerRefreshAfter {"pattern":"^([0-9]+(\\.[0-9]+)?(s|m|h))$"}
VaultPKISecret.spec.keystores.jks {"required":["passwordSecretRef"]}
VaultPKISecret.spec.keystores.jks.passwordSecretRef {"required":["key","name"]}
VaultPKISecret.spec.keystores.pkcs12 {"required":["passwordSecretRef"]}
VaultPKISecret.spec.keystores.pkcs12.passwordSecretRef {"required":["key","name"]}
VaultPKISecret.spec.ttl {"pattern":"^([0-9]+(\\.[0-9]+)?(s|m|h|d))$"}
VaultPKISecret.status {"required":["error","lastGeneration","lastRotation","valid"]}
VaultPKISecret.status.expiration {"format":"int64"}
VaultPKISecret.status.lastGeneration {"format":"int64"}
VaultPKISecret.status.lastRotation {"format":"int64"}
VaultPKISecret.status.issue.clockDifference {"format":"int64"}
VaultPKISecret.status.pending {"required":["expiration","issue","lastRotation","serialNumber"]}
VaultPKISecret.status.pending.expiration {"format":"int64"}
VaultPKISecret.status.pending.issue.clockDifference {"format":"int64"}
VaultPKISecret.status.pending.lastRotation {"format":"int64"}
VaultPKISecret.status.renewal {"format":"int64"}
VaultPKISecret.status.replacedCertificates[] {"required":["serialNumber"]}
VaultStaticSecret.spec {"required":["destination","mount","path","type"]}
VaultStaticSecret.spec.hmacSecretData {"default":true}
VaultStaticSecret.spec.refreshAfter {"pattern":"^([0-9]+(\\.[0-9]+)?(s|m|h))$"}
VaultStaticSecret.spec.type {"enum":["kv-v1","kv-v2"]}
VaultStaticSecret.spec.version {"minimum":0.0}
VaultStaticSecret.status {"required":["lastGeneration"]}
VaultStaticSecret.status.lastGeneration {"format":"int64"}
"#;

/// The kinds that fill a Secret, and what their specs share.
const FILLING: [&str; 3] = ["VaultDynamicSecret", "VaultPKISecret", "VaultStaticSecret"];
const FILLING_CONSTRAINTS: &str = r#"
.destination {"required":["name"]}
.destination.create {"default":false}
.destination.overwrite {"default":false}
.destination.type {"x-kubernetes-validations":[{"message":"type kubernetes.io/service-account-token is not allowed: Kubernetes puts a credential of its own into such a Secret","rule":"self != 'kubernetes.io/service-account-token'"}]}
.rolloutRestartTargets[] {"required":["kind","name"]}
.rolloutRestartTargets[].kind {"enum":["Deployment","DaemonSet","StatefulSet","argo.Rollout"]}
"#;

/// Where else than in a destination a transformation is.
const TRANSFORMED: [&str; 3] = ["", ".vaultAppRoleSecretIDs[]", ".vaultStaticSecrets[]"];
const TRANSFORMATION_CONSTRAINTS: &str = r#"
.templates{} {"required":["text"]}
.transformationRefs[] {"required":["name"]}
.transformationRefs[].templateRefs[] {"required":["name"]}
"#;

/// Lines that are shared, with the path before each.
fn shared(filling: &str, transformation: &str) -> Vec<String> {
    let of = |path: String, lines: &str| -> Vec<String> {
        lines.trim().lines().map(|line| format!("{path}{line}")).collect()
    };
    let mut all = Vec::new();
    for kind in FILLING {
        all.extend(of(format!("{kind}.spec"), filling));
        all.extend(of(format!("{kind}.spec.destination.transformation"), transformation));
    }
    for place in TRANSFORMED {
        all.extend(of(format!("CSISecrets.spec.secrets{place}.transformation"), transformation));
    }
    all
}

/// The same for an item of `status.conditions`, wherever there is one.
const CONDITION: &str = r#"
 {"required":["lastTransitionTime","message","reason","status","type"]}
.lastTransitionTime {"format":"date-time"}
.message {"maxLength":32768}
.observedGeneration {"format":"int64","minimum":0.0}
.reason {"maxLength":1024,"minLength":1,"pattern":"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"}
.status {"enum":["True","False","Unknown"]}
.type {"maxLength":316,"pattern":"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"}
"#;

#[test]
fn constraints_are_those_of_vso() {
    let mut expected: Vec<String> = CONSTRAINTS.trim().lines().map(str::to_owned).collect();
    expected.extend(shared(FILLING_CONSTRAINTS, TRANSFORMATION_CONSTRAINTS));
    for kind in ["CSISecrets", "SecretTransformation", "VaultAuth", "VaultConnection"].into_iter().chain(FILLING) {
        let lines = CONDITION.trim_matches('\n').lines();
        expected.extend(lines.map(|line| format!("{kind}.status.conditions[]{line}")));
    }
    expected.sort();
    let mut found: Vec<String> = schemas()
        .iter()
        .map(|(path, s)| format!("{path} {}", constraints(s)))
        .filter(|line| !line.ends_with(" {}"))
        .collect();
    found.sort();
    assert_eq!(found, expected);
}

/// The members of every object, as VSO 1.4.1 has them, plus `allowedNamespaces` of VaultConnection, and
/// `syncConfig` of VaultDynamicSecret, which came with 1.6.0, `revokeReplacedLeases`, `vaultTokenExpiration`,
/// `pendingLease`, `replacedLeases` and `namespace` of a lease there; `keystores`, `issuerRefreshAfter`, `issue`,
/// `pending`, `replacedCertificates` and `renewal` of VaultPKISecret. What several kinds share is below.
const MEMBERS: &str = "
CSISecrets.spec: accessControl namespace secrets syncConfig vaultAuthRef
CSISecrets.spec.accessControl: matchPolicy namespacePatterns podLabels podNamePatterns serviceAccountPattern
CSISecrets.spec.secrets: transformation vaultAppRoleSecretIDs vaultStaticSecrets
CSISecrets.spec.secrets.vaultAppRoleSecretIDs[]: cidrList metadata mount numUses role syncRoleID tokenBoundCIDRs transformation ttl wrapTTL
CSISecrets.spec.secrets.vaultStaticSecrets[]: mount path transformation type version
CSISecrets.spec.syncConfig: containerState
CSISecrets.spec.syncConfig.containerState: imagePattern namePattern
CSISecrets.spec.vaultAuthRef: name namespace trustNamespace
CSISecrets.status: conditions
SecretTransformation.spec: excludes includes sourceTemplates templates
SecretTransformation.spec.sourceTemplates[]: name text
SecretTransformation.spec.templates{}: name text
SecretTransformation.status: conditions error valid
VaultAuth.spec: allowedNamespaces appRole aws gcp headers jwt kubernetes method mount namespace params storageEncryption token vaultAuthGlobalRef vaultConnectionRef
VaultAuth.spec.appRole: roleId secretIDPath secretRef
VaultAuth.spec.aws: headerValue iamEndpoint irsaServiceAccount region role secretRef sessionName stsEndpoint
VaultAuth.spec.gcp: clusterName projectID region role workloadIdentityServiceAccount
VaultAuth.spec.jwt: audiences role secretRef serviceAccount tokenExpirationSeconds
VaultAuth.spec.kubernetes: audiences role serviceAccount tokenExpirationSeconds
VaultAuth.spec.storageEncryption: keyName mount
VaultAuth.spec.token: secretRef
VaultAuth.spec.token.secretRef: key name
VaultAuth.spec.vaultAuthGlobalRef: allowDefault mergeStrategy name namespace
VaultAuth.spec.vaultAuthGlobalRef.mergeStrategy: headers params
VaultAuth.status: conditions error specHash valid
VaultAuthGlobal.spec: allowedNamespaces appRole aws defaultAuthMethod defaultMount defaultVaultNamespace gcp headers jwt kubernetes params token vaultConnectionRef
VaultAuthGlobal.spec.appRole: headers mount namespace params roleId secretIDPath secretRef
VaultAuthGlobal.spec.aws: headerValue headers iamEndpoint irsaServiceAccount mount namespace params region role secretRef sessionName stsEndpoint
VaultAuthGlobal.spec.gcp: clusterName headers mount namespace params projectID region role workloadIdentityServiceAccount
VaultAuthGlobal.spec.jwt: audiences headers mount namespace params role secretRef serviceAccount tokenExpirationSeconds
VaultAuthGlobal.spec.kubernetes: audiences headers mount namespace params role serviceAccount tokenExpirationSeconds
VaultAuthGlobal.spec.token: headers mount namespace params secretRef
VaultAuthGlobal.spec.token.secretRef: key name
VaultAuthGlobal.status: error valid
VaultConnection.spec: address allowedNamespaces caCertPath caCertSecretRef headers skipTLSVerify timeout tlsServerName
VaultConnection.status: conditions valid
VaultDynamicSecret.spec: allowStaticCreds destination mount namespace params path refreshAfter renewalPercent requestHTTPMethod revoke revokeReplacedLeases rolloutRestartTargets syncConfig vaultAuthRef
VaultDynamicSecret.spec.syncConfig: instantUpdates
VaultDynamicSecret.status: conditions lastGeneration lastRenewalTime lastRuntimePodUID pendingLease replacedLeases secretLease secretMAC staticCredsMetaData vaultClientMeta vaultTokenExpiration
VaultDynamicSecret.status.pendingLease: clientID duration generation id namespace obtained renewable requestID secretMAC vaultTokenExpiration
VaultDynamicSecret.status.replacedLeases[]: expiration id namespace
VaultDynamicSecret.status.secretLease: duration id namespace renewable requestID
VaultDynamicSecret.status.staticCredsMetaData: lastVaultRotation rotationPeriod rotationSchedule ttl
VaultDynamicSecret.status.vaultClientMeta: cacheKey id
VaultPKISecret.spec: altNames clear commonName destination excludeCNFromSans expiryOffset format ipSans issuerRef issuerRefreshAfter keystores mount namespace notAfter otherSans privateKeyFormat revoke role rolloutRestartTargets ttl uriSans userIDs vaultAuthRef
VaultPKISecret.spec.keystores: jks pkcs12
VaultPKISecret.spec.keystores.jks: alias passwordSecretRef
VaultPKISecret.spec.keystores.jks.passwordSecretRef: key name
VaultPKISecret.spec.keystores.pkcs12: alias passwordSecretRef
VaultPKISecret.spec.keystores.pkcs12.passwordSecretRef: key name
VaultPKISecret.status: conditions error expiration issue lastGeneration lastRotation pending renewal replacedCertificates secretMAC serialNumber valid
VaultPKISecret.status.issue: clockDifference issuerFingerprint mount namespace requestDigest secretMAC
VaultPKISecret.status.pending: expiration issue lastRotation serialNumber
VaultPKISecret.status.pending.issue: clockDifference issuerFingerprint mount namespace requestDigest secretMAC
VaultPKISecret.status.replacedCertificates[]: mount namespace serialNumber
VaultStaticSecret.spec: destination hmacSecretData mount namespace path refreshAfter rolloutRestartTargets syncConfig type vaultAuthRef version
VaultStaticSecret.spec.syncConfig: instantUpdates
VaultStaticSecret.status: conditions lastGeneration secretMAC vaultClientMeta
VaultStaticSecret.status.vaultClientMeta: cacheKey id
";

const FILLING_MEMBERS: &str = "
.destination: annotations create labels name overwrite transformation type
.rolloutRestartTargets[]: kind name
";
const TRANSFORMATION_MEMBERS: &str = "
: excludeRaw excludes includes templates transformationRefs
.templates{}: name text
.transformationRefs[]: ignoreExcludes ignoreIncludes name namespace templateRefs
.transformationRefs[].templateRefs[]: keyOverride name
";

#[test]
fn members_are_those_of_vso() {
    let mut found = Vec::new();
    for (path, s) in schemas() {
        let names: Vec<&str> = s.properties.iter().flat_map(BTreeMap::keys).map(String::as_str).collect();
        if !path.contains('.') {
            assert_eq!(names, ["apiVersion", "kind", "metadata", "spec", "status"], "{path}");
        } else if !names.is_empty() && !path.ends_with(".conditions[]") {
            found.push(format!("{path}: {}", names.join(" ")));
        }
    }
    found.sort();
    let mut expected: Vec<String> = MEMBERS.trim().lines().map(str::to_owned).collect();
    expected.extend(shared(FILLING_MEMBERS, TRANSFORMATION_MEMBERS));
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn names_columns_and_subresources() {
    for crd in all() {
        let kind = &crd.spec.names.kind;
        assert_eq!(crd.metadata.name, Some(format!("{}.secrets.hashicorp.com", crd.spec.names.plural)));
        // CSISecrets is a plural already.
        assert_eq!(crd.spec.names.plural, format!("{}s", kind.to_lowercase().trim_end_matches('s')));
        assert_eq!(crd.spec.names.categories, None);
        assert_eq!(crd.spec.names.list_kind, Some(format!("{kind}List")));
        assert_eq!(crd.spec.names.short_names, None);
        assert_eq!(crd.spec.scope, "Namespaced");
        let version = &crd.spec.versions[0];
        assert!(version.served && version.storage && version.name == "v1beta1");
        assert!(version.subresources.as_ref().unwrap().status.is_some());
        let columns: Vec<_> = version.additional_printer_columns.iter().flatten().map(|c| c.name.as_str()).collect();
        let expected: &[&str] = match kind.as_str() {
            kind if FILLING.contains(&kind) => &["Synced", "Healthy", "Ready", "Age"],
            "VaultAuthGlobal" | "CSISecrets" => &[],
            _ => &["Healthy", "Ready", "Age"],
        };
        assert_eq!(columns, expected, "{kind}");
    }
}

#[test]
fn yaml_reads_back_as_the_same_definition() {
    for crd in all() {
        let text = yaml(&crd).unwrap();
        let read: CustomResourceDefinition = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), serde_json::to_value(&crd).unwrap(), "{text}");
    }
}

/// Tools that check a manifest against a definition without the API server, as kubectl does for a list, fill nothing
/// in.
#[test]
fn what_is_filled_in_is_not_required() {
    let mut required = vec![];
    for crd in external_secrets() {
        for version in &crd.spec.versions {
            let root = version.schema.clone().unwrap().open_api_v3_schema.unwrap();
            let at = format!("{} {}", version.name, crd.spec.names.kind);
            walk(&at, &root, &mut |path, schema| {
                let filled = |name: &&String| schema.properties.as_ref().is_some_and(|p| p[*name].default.is_some());
                required.extend(schema.required.iter().flatten().filter(filled).map(|name| format!("{path}.{name}")));
            });
        }
    }
    // ESO's own definition has these.
    let of_eso = ["allowRepeat", "length", "noUpper"].map(|name| format!("v1alpha1 Password.spec.{name}"));
    assert_eq!(required, of_eso);
}

#[test]
fn kubectl_shows_the_columns_of_eso() {
    let stores: &[&str] = &["AGE", "Status", "Capabilities", "Ready"];
    for crd in external_secrets() {
        let expected: &[&str] = match crd.spec.names.kind.as_str() {
            "ExternalSecret" => &["StoreType", "Store", "Refresh Interval", "Status", "Ready", "Last Sync"],
            "SecretStore" | "ClusterSecretStore" => stores,
            "ClusterExternalSecret" => &["Store", "Refresh Interval", "Ready"],
            "PushSecret" => &["AGE", "Status", "Last Sync"],
            "ClusterPushSecret" => &["AGE", "Status", "Ready"],
            _ => &[],
        };
        for version in &crd.spec.versions {
            let columns = version.additional_printer_columns.iter().flatten();
            assert_eq!(columns.map(|c| c.name.as_str()).collect::<Vec<_>>(), expected, "{}", crd.spec.names.kind);
        }
    }
}
