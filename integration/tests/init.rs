//! `oidc-connector init` fetches a discovery document: over TLS that it verifies, from where the
//! specifications say, and from nowhere else.

use std::path::PathBuf;

use cli::init::{Args, Options, run};
use integration::{Certificate, Provider, Reply, target_dir, trusted_ca};
use serde_json::{Value, json};

/// The path of an issuer.
const REALM: &str = "/realms/a";

/// How a run ended: exit code, what was said, and what was written.
struct Ran {
    code: u8,
    said: String,
    written: Option<String>,
}

/// Runs `init` for the provider with that path, which bears the name `localhost`.
async fn init(provider: &Provider, path: &str, test: &str) -> Ran {
    let directory = Directory::new(test);
    let ca = directory.0.join("ca.pem");
    std::fs::write(&ca, trusted_ca()).unwrap();
    let output = directory.0.join("out");
    let args = Args {
        issuer: Some(format!("https://localhost:{}{path}", provider.address().port())),
        discovery: None,
        output: output.clone(),
        options: Options { ca: Some(ca.to_str().unwrap().to_owned()), ..Options::default() },
    };
    // It is a program of its own, which waits for its answer.
    let running = tokio::task::spawn_blocking(move || {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = run(&args, &mut out, &mut err);
        (code, String::from_utf8(err).unwrap())
    });
    let (code, said) = running.await.unwrap();
    let written = std::fs::read_to_string(output.join("envoy.yaml")).ok();
    Ran { code, said, written }
}

/// A directory that is gone again when the test ends.
struct Directory(PathBuf);

impl Directory {
    fn new(test: &str) -> Directory {
        let path = target_dir().join(format!("init-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn document(provider: &Provider, path: &str) -> Value {
    let issuer = format!("https://localhost:{}{path}", provider.address().port());
    json!({"issuer": issuer, "userinfo_endpoint": format!("{issuer}/me")})
}

/// The paths that were asked for.
fn asked(provider: &Provider) -> Vec<String> {
    provider.take_calls().into_iter().map(|call| call.target).collect()
}

#[tokio::test]
async fn document_is_fetched_over_verified_tls() {
    let provider = Provider::start().await;
    let target = "/realms/a/.well-known/openid-configuration";
    provider.answer_path(target, Reply::json(200, &document(&provider, REALM)));
    let ran = init(&provider, REALM, "fetched").await;
    assert_eq!((ran.code, ran.said.as_str()), (0, ""));
    let written = ran.written.expect("a configuration");
    let authority = format!("localhost:{}", provider.address().port());
    assert!(written.contains(&format!("\"defaultURI\": \"https://{authority}/realms/a/me\"")));
    let call = provider.only_call();
    assert_eq!(call.server_name.as_deref(), Some("localhost"));
    assert_eq!((call.target.as_str(), call.token()), (target, None));

    for certificate in [Certificate::OtherAuthority, Certificate::OtherName, Certificate::Expired] {
        provider.certificate(certificate);
        let ran = init(&provider, REALM, "distrusted").await;
        assert!(ran.code == 2 && ran.written.is_none(), "{certificate:?}: {}", ran.said);
        assert!(ran.said.contains("got no answer ("), "{certificate:?}: {}", ran.said);
    }
    assert_eq!(provider.count(), 1);
}

/// RFC 8414 has another place than OpenID Connect.
#[tokio::test]
async fn document_is_looked_for_at_both_places() {
    let provider = Provider::start().await;
    let places = [
        "/realms/a/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/realms/a",
    ];
    provider.answer(Reply::status(404));
    let ran = init(&provider, REALM, "nowhere").await;
    assert!(ran.code == 2 && ran.said.contains("got 404, expected the provider's"), "{}", ran.said);
    assert_eq!(asked(&provider), places);
    provider.answer_path(places[1], Reply::json(200, &document(&provider, REALM)));
    let ran = init(&provider, REALM, "second").await;
    assert_eq!((ran.code, ran.said.as_str()), (0, ""));
    assert_eq!(asked(&provider), places);
}

#[tokio::test]
async fn no_redirect_is_followed_and_other_answers_are_told() {
    let provider = Provider::start().await;
    let elsewhere = document(&provider, "/elsewhere");
    provider.answer_path("/elsewhere", Reply::json(200, &elsewhere));
    for (reply, code, said) in [
        (
            Reply::status(302).header("location", "/elsewhere"),
            2,
            "got a redirect (302) to \"/elsewhere\", expected the discovery document; give the issuer",
        ),
        (Reply::status(500), 2, "got status 500, expected 200; try again"),
        (Reply::text(200, vec![b' '; (1 << 20) + 1]), 2, "got"),
        (Reply::text(200, "<html>"), 1, "got no JSON"),
        (Reply::json(200, &elsewhere), 1, "which --issuer says"),
    ] {
        drop(provider.take_calls());
        provider.answer(reply);
        let ran = init(&provider, "", "answers").await;
        assert_eq!((ran.code, ran.written), (code, None), "{said}: {}", ran.said);
        assert!(ran.said.contains(said), "{said}: {}", ran.said);
        assert_eq!(asked(&provider), ["/.well-known/openid-configuration"], "{said}");
    }
}
