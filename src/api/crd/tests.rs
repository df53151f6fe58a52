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

/// All there is beyond types, as VSO 1.4.1 has it, plus our one CEL rule.
const CONSTRAINTS: &str = r#"
SecretTransformation.spec.sourceTemplates[] {"required":["text"]}
SecretTransformation.spec.templates{} {"required":["text"]}
SecretTransformation.status {"required":["error","valid"]}
VaultAuth.spec.jwt.tokenExpirationSeconds {"default":600,"format":"int64","minimum":600.0}
VaultAuth.spec.kubernetes.tokenExpirationSeconds {"default":600,"format":"int64","minimum":600.0}
VaultAuth.spec.method {"enum":["kubernetes","jwt","appRole","aws","gcp"]}
VaultAuth.spec.storageEncryption {"required":["keyName","mount"]}
VaultAuth.spec.vaultAuthGlobalRef.mergeStrategy.headers {"enum":["union","replace","none"]}
VaultAuth.spec.vaultAuthGlobalRef.mergeStrategy.params {"enum":["union","replace","none"]}
VaultAuth.spec.vaultAuthGlobalRef.name {"pattern":"^([a-z0-9.-]{1,253})$"}
VaultAuth.spec.vaultAuthGlobalRef.namespace {"pattern":"^([a-z0-9-]{1,63})$"}
VaultAuthGlobal.spec.defaultAuthMethod {"enum":["kubernetes","jwt","appRole","aws","gcp"]}
VaultAuthGlobal.spec.jwt.tokenExpirationSeconds {"default":600,"format":"int64","minimum":600.0}
VaultAuthGlobal.spec.kubernetes.tokenExpirationSeconds {"default":600,"format":"int64","minimum":600.0}
VaultAuthGlobal.status {"required":["error","valid"]}
VaultConnection.spec {"required":["address","skipTLSVerify"]}
VaultConnection.spec.skipTLSVerify {"default":false}
VaultConnection.spec.timeout {"pattern":"^([0-9]+(\\.[0-9]+)?(s|m|h))$"}
VaultConnection.status {"required":["valid"]}
VaultStaticSecret.spec {"required":["destination","mount","path","type"]}
VaultStaticSecret.spec.destination {"required":["name"]}
VaultStaticSecret.spec.destination.create {"default":false}
VaultStaticSecret.spec.destination.overwrite {"default":false}
VaultStaticSecret.spec.destination.transformation.templates{} {"required":["text"]}
VaultStaticSecret.spec.destination.transformation.transformationRefs[] {"required":["name"]}
VaultStaticSecret.spec.destination.transformation.transformationRefs[].templateRefs[] {"required":["name"]}
VaultStaticSecret.spec.destination.type {"x-kubernetes-validations":[{"message":"type kubernetes.io/service-account-token is not allowed: Kubernetes puts a credential of its own into such a Secret","rule":"self != 'kubernetes.io/service-account-token'"}]}
VaultStaticSecret.spec.hmacSecretData {"default":true}
VaultStaticSecret.spec.refreshAfter {"pattern":"^([0-9]+(\\.[0-9]+)?(s|m|h))$"}
VaultStaticSecret.spec.rolloutRestartTargets[] {"required":["kind","name"]}
VaultStaticSecret.spec.rolloutRestartTargets[].kind {"enum":["Deployment","DaemonSet","StatefulSet","argo.Rollout"]}
VaultStaticSecret.spec.type {"enum":["kv-v1","kv-v2"]}
VaultStaticSecret.spec.version {"minimum":0.0}
VaultStaticSecret.status {"required":["lastGeneration"]}
VaultStaticSecret.status.lastGeneration {"format":"int64"}
"#;

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
fn constraints_are_those_of_upstream() {
    let mut expected: Vec<String> = CONSTRAINTS.trim().lines().map(str::to_owned).collect();
    for kind in ["SecretTransformation", "VaultAuth", "VaultConnection", "VaultStaticSecret"] {
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

/// The members of every object, as VSO 1.4.1 has them, plus `allowedNamespaces` of VaultConnection.
const MEMBERS: &str = "
SecretTransformation.spec: excludes includes sourceTemplates templates
SecretTransformation.spec.sourceTemplates[]: name text
SecretTransformation.spec.templates{}: name text
SecretTransformation.status: conditions error valid
VaultAuth.spec: allowedNamespaces appRole aws gcp headers jwt kubernetes method mount namespace params storageEncryption vaultAuthGlobalRef vaultConnectionRef
VaultAuth.spec.appRole: roleId secretIDPath secretRef
VaultAuth.spec.aws: headerValue iamEndpoint irsaServiceAccount region role secretRef sessionName stsEndpoint
VaultAuth.spec.gcp: clusterName projectID region role workloadIdentityServiceAccount
VaultAuth.spec.jwt: audiences role secretRef serviceAccount tokenExpirationSeconds
VaultAuth.spec.kubernetes: audiences role serviceAccount tokenExpirationSeconds
VaultAuth.spec.storageEncryption: keyName mount
VaultAuth.spec.vaultAuthGlobalRef: allowDefault mergeStrategy name namespace
VaultAuth.spec.vaultAuthGlobalRef.mergeStrategy: headers params
VaultAuth.status: conditions error specHash valid
VaultAuthGlobal.spec: allowedNamespaces appRole aws defaultAuthMethod defaultMount defaultVaultNamespace gcp headers jwt kubernetes params vaultConnectionRef
VaultAuthGlobal.spec.appRole: headers mount namespace params roleId secretIDPath secretRef
VaultAuthGlobal.spec.aws: headerValue headers iamEndpoint irsaServiceAccount mount namespace params region role secretRef sessionName stsEndpoint
VaultAuthGlobal.spec.gcp: clusterName headers mount namespace params projectID region role workloadIdentityServiceAccount
VaultAuthGlobal.spec.jwt: audiences headers mount namespace params role secretRef serviceAccount tokenExpirationSeconds
VaultAuthGlobal.spec.kubernetes: audiences headers mount namespace params role serviceAccount tokenExpirationSeconds
VaultAuthGlobal.status: error valid
VaultConnection.spec: address allowedNamespaces caCertPath caCertSecretRef headers skipTLSVerify timeout tlsServerName
VaultConnection.status: conditions valid
VaultStaticSecret.spec: destination hmacSecretData mount namespace path refreshAfter rolloutRestartTargets syncConfig type vaultAuthRef version
VaultStaticSecret.spec.destination: annotations create labels name overwrite transformation type
VaultStaticSecret.spec.destination.transformation: excludeRaw excludes includes templates transformationRefs
VaultStaticSecret.spec.destination.transformation.templates{}: name text
VaultStaticSecret.spec.destination.transformation.transformationRefs[]: ignoreExcludes ignoreIncludes name namespace templateRefs
VaultStaticSecret.spec.destination.transformation.transformationRefs[].templateRefs[]: keyOverride name
VaultStaticSecret.spec.rolloutRestartTargets[]: kind name
VaultStaticSecret.spec.syncConfig: instantUpdates
VaultStaticSecret.status: conditions lastGeneration secretMAC vaultClientMeta
VaultStaticSecret.status.vaultClientMeta: cacheKey id
";

#[test]
fn members_are_those_of_upstream() {
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
    let mut expected: Vec<&str> = MEMBERS.trim().lines().collect();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn names_columns_and_subresources() {
    for crd in all() {
        let kind = &crd.spec.names.kind;
        assert_eq!(crd.metadata.name, Some(format!("{}.secrets.hashicorp.com", crd.spec.names.plural)));
        assert_eq!(crd.spec.names.plural, format!("{}s", kind.to_lowercase()));
        assert_eq!(crd.spec.names.list_kind, Some(format!("{kind}List")));
        assert_eq!(crd.spec.names.short_names, None);
        assert_eq!(crd.spec.scope, "Namespaced");
        let version = &crd.spec.versions[0];
        assert!(version.served && version.storage && version.name == "v1beta1");
        assert!(version.subresources.as_ref().unwrap().status.is_some());
        let columns: Vec<_> = version.additional_printer_columns.iter().flatten().map(|c| c.name.as_str()).collect();
        let expected: &[&str] = match kind.as_str() {
            "VaultStaticSecret" => &["Synced", "Healthy", "Ready", "Age"],
            "VaultAuthGlobal" => &[],
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
