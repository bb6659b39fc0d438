//! What introspection (RFC 7662) at the real provider says, and what its UserInfo endpoint says of the
//! same tokens: of users and of machines, for one API or another, refresh tokens, JWTs.

use integration::OpenIdProvider;
use serde_json::Value;

use crate::ask;
use crate::login::{Login, introspect, machine};

fn orders(scope: &'static str) -> Login {
    Login { resource: Some("https://orders.example"), ..Login::of("alice", scope) }
}

/// What the same token is worth at the UserInfo endpoint of the same provider.
#[tokio::test]
async fn userinfo_does_not_vouch_for_a_machine() {
    let rig = crate::rig().await;
    let token = machine(rig.provider(), None).await;
    assert_eq!(introspect(rig.provider(), &token).await.json()["active"], true);
    let (r, line) = ask(&rig.gateway("asks"), "/machine", &token).await;
    let details = "oidc_token_connector{invalid_token:provider_4xx}";
    assert_eq!((r.status, &line["details"]), (401, &details.into()), "{r:?}");
}

/// What rules of the filter rest on.
#[tokio::test]
async fn both_releases_say_what_the_documents_say_of_them() {
    let (release_8, release_9) =
        tokio::join!(OpenIdProvider::start(), OpenIdProvider::start_release_9());
    for (provider, jwt) in [(&release_8, 200), (&release_9, 400)] {
        let at = provider.address();
        let robot = machine(at, Some("https://orders.example")).await;
        let said = introspect(at, &robot).await.json();
        assert_eq!((&said["sub"], &said["aud"]), (&Value::Null, &"https://orders.example".into()));

        let mobile = Login { client: "mobile", ..orders("openid offline_access orders") };
        let tokens = mobile.tokens(at).await;
        let access = introspect(at, &tokens.access).await.json();
        assert_eq!((&access["sub"], &access["token_type"]), (&"alice".into(), &"Bearer".into()));
        // Nothing but what is absent tells it from an access token.
        let refresh = tokens.refresh.expect("`offline_access` was asked for");
        let refresh = introspect(at, &refresh).await.json();
        assert_eq!((&refresh["active"], &refresh["sub"]), (&true.into(), &"alice".into()));
        assert_eq!((&refresh["token_type"], &refresh["aud"]), (&Value::Null, &Value::Null));

        let for_api = Login { resource: Some("https://api.example"), ..orders("openid orders") };
        let tokens = for_api.tokens(at).await;
        for token in [&tokens.access, &tokens.id.expect("an ID Token")] {
            assert_eq!(token.split('.').count(), 3, "not a JWT: {token}");
            let said = introspect(at, token).await;
            assert_eq!(said.status, jwt, "{said:?}");
            if jwt == 200 {
                assert_eq!(said.json()["active"], false, "{said:?}");
            }
        }
    }
}
