//! IAM, as far as Vault needs it to make a user with a key and to take both away.

use std::collections::HashMap;
use std::sync::Mutex;

use super::{ACCOUNT, Key, State, caller, xml};
use crate::http_server::{Answer, Request};

/// What IAM answers to an action of a known user.
pub(super) fn answer(state: &Mutex<State>, request: &Request, action: &str, form: &HashMap<String, String>) -> Answer {
    let mut state = state.lock().expect("the state");
    let result = match caller(&state, request, "iam") {
        Err(why) => Err((403, "SignatureDoesNotMatch", why)),
        Ok(_) => act(&mut state, action, form),
    };
    match result {
        Ok(result) => {
            state.log.push(format!("{action} {}", form.get("UserName").map(String::as_str).unwrap_or_default()));
            xml(
                200,
                &format!(
                    "<{action}Response xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><{action}Result>{result}</{action}Result><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></{action}Response>"
                ),
            )
        }
        Err((status, code, message)) => xml(
            status,
            &format!(
                "<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>1</RequestId></ErrorResponse>"
            ),
        ),
    }
}

type Refusal = (u16, &'static str, String);

fn act(state: &mut State, action: &str, form: &HashMap<String, String>) -> Result<String, Refusal> {
    let field = |name: &str| form.get(name).cloned().unwrap_or_default();
    let user = field("UserName");
    let arn = format!("arn:aws:iam::{ACCOUNT}:user/{user}");
    if action == "CreateUser" {
        if state.users.contains_key(&user) {
            return Err((409, "EntityAlreadyExists", user));
        }
        state.users.insert(user.clone(), Vec::new());
        return Ok(format!(
            "<User><Path>/</Path><UserName>{user}</UserName><UserId>AIDAEXAMPLE</UserId><Arn>{arn}</Arn></User>"
        ));
    }
    let Some(policies) = state.users.get_mut(&user) else {
        return Err((404, "NoSuchEntity", user));
    };
    let keys = state.keys.iter().filter(|(_, key)| key.arn == arn).map(|(id, _)| id.clone());
    match action {
        "AttachUserPolicy" => policies.push(field("PolicyArn")),
        "DetachUserPolicy" => policies.retain(|policy| *policy != field("PolicyArn")),
        "CreateAccessKey" => {
            let n = state.issued;
            state.issued += 1;
            let (id, secret) = (format!("AKIA{n:016}"), format!("secret-{n}-hunter2/+="));
            let key = Key { secret: secret.clone(), token: None, arn, end: None };
            state.keys.insert(id.clone(), key);
            return Ok(format!(
                "<AccessKey><UserName>{user}</UserName><AccessKeyId>{id}</AccessKeyId><Status>Active</Status><SecretAccessKey>{secret}</SecretAccessKey></AccessKey>"
            ));
        }
        "DeleteAccessKey" => drop(state.keys.remove(&field("AccessKeyId"))),
        "DeleteUser" => {
            if !policies.is_empty() || keys.count() > 0 {
                return Err((409, "DeleteConflict", "it has keys or policies".into()));
            }
            state.users.remove(&user);
        }
        "ListGroupsForUser" => return Ok(list("Groups", "")),
        "ListUserPolicies" => return Ok(list("PolicyNames", "")),
        "ListAttachedUserPolicies" => {
            let member =
                |arn: &String| format!("<member><PolicyName>p</PolicyName><PolicyArn>{arn}</PolicyArn></member>");
            return Ok(list("AttachedPolicies", &policies.iter().map(member).collect::<String>()));
        }
        "ListAccessKeys" => {
            let member =
                |id: String| format!("<member><UserName>{user}</UserName><AccessKeyId>{id}</AccessKeyId></member>");
            return Ok(list("AccessKeyMetadata", &keys.map(member).collect::<String>()));
        }
        _ => return Err((400, "InvalidAction", action.into())),
    }
    Ok(String::new())
}

fn list(name: &str, members: &str) -> String {
    format!("<IsTruncated>false</IsTruncated><{name}>{members}</{name}>")
}
