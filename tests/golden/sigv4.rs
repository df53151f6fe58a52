//! The tests' own check of AWS signatures, which stands for AWS, with AWS's vectors.

use test_support::clouds::sigv4::{Authorization, sign};
use test_support::http_server::Request;

#[test]
fn aws_own_vectors_are_accepted_and_changed_ones_are_not() {
    let suite = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/sigv4");
    let cases = std::fs::read_dir(suite).expect("the vectors").map(|entry| entry.expect("a case").path());
    let cases: Vec<_> = cases.filter(|path| path.is_dir()).collect();
    assert_eq!(cases.len(), 7);
    for case in cases {
        let text = std::fs::read_to_string(case.join("header-signed-request.txt")).expect("a request");
        let request = Request::parse(&text);
        let authorization = Authorization::of(&request).expect("it is signed");
        let key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        assert_eq!(authorization.check(&request, key), Ok(()), "{}", case.display());
        assert!(authorization.check(&request, "another").is_err());
        let mut changed = request.clone();
        changed.body.push('x');
        assert!(authorization.check(&changed, key).is_err());
        let mut changed = request;
        let host = changed.headers.iter_mut().find(|(name, _)| name == "host").expect("a host");
        host.1 = "other.amazonaws.com".into();
        assert!(authorization.check(&changed, key).is_err());
    }
}

#[test]
fn what_is_signed_is_accepted_for_its_key_and_session_token_alone() {
    for token in [None, Some("token")] {
        let mut request = Request::parse("POST / HTTP/1.1\nHost: sts.amazonaws.com\n\nAction=GetCallerIdentity");
        sign(&mut request, "sts", "AKIA", "key", token);
        let authorization = Authorization::of(&request).expect("it is signed");
        assert_eq!((authorization.access_key_id.as_str(), authorization.service.as_str()), ("AKIA", "sts"));
        assert_eq!(authorization.check(&request, "key"), Ok(()));
        assert!(authorization.check(&request, "another").is_err());
        if let Some(header) = request.headers.iter_mut().find(|(name, _)| name == "x-amz-security-token") {
            header.1 = "another".into();
            assert!(authorization.check(&request, "key").is_err());
        }
    }
}
