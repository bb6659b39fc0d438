//! Real MCP clients of two makes reach a real MCP server through Envoy, by what the filter says alone:
//! they know the server's URL, and nothing of the provider.

use std::net::SocketAddr;

use integration::{Envoy, McpClient, McpServer, OpenIdProvider, Place, Recipe, Request};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use integration::login::{Login, introspect, machine};

/// The recipe that people copy.
const RECIPE: &str = "integration/mcp/envoy.yaml";
const METADATA: &str = "/.well-known/oauth-protected-resource/mcp";

struct Rig {
    provider: OpenIdProvider,
    _server: McpServer,
    envoy: Envoy,
    place: Place,
}

static RIG: OnceCell<Rig> = OnceCell::const_new();

async fn rig() -> &'static Rig {
    RIG.get_or_init(|| async {
        let (provider, server) =
            tokio::join!(OpenIdProvider::start_discoverable(), McpServer::start());
        let place = Place::reserve();
        let envoy = Recipe::read(RECIPE)
            .listen(&place)
            .cluster("mcp", server.address())
            .cluster("idp", provider.tls_address())
            // Clients go to the real addresses; the gateway's own calls stay over TLS.
            .replace("https://api.example.com", &format!("http://{}", place.address()))
            .replace(
                r#""authorization_servers": ["https://idp.example"]"#,
                &format!(r#""authorization_servers": ["http://{}"]"#, provider.address()),
            )
            .environment("OIDC_CLIENT_SECRET", "secret-of-gateway")
            .start()
            .await;
        Rig { provider, _server: server, envoy, place }
    })
    .await
}

impl Rig {
    fn address(&self) -> SocketAddr {
        self.place.address()
    }

    /// The server's URL, which is the resource.
    fn url(&self) -> String {
        format!("http://{}/mcp", self.address())
    }

    fn metadata(&self) -> String {
        format!(r#"resource_metadata="http://{}{METADATA}""#, self.address())
    }
}

/// The steps of this kind.
fn of<'a>(steps: &'a [Value], kind: &str) -> Vec<&'a Value> {
    steps.iter().filter(|step| step["step"] == kind).collect()
}

/// The exchanges with this server, as `method path status`.
fn exchanges(steps: &[Value], with: SocketAddr) -> Vec<String> {
    let port = with.port().to_string();
    let text = |step: &Value, key: &str| step[key].as_str().unwrap_or_default().to_owned();
    of(steps, "exchange")
        .into_iter()
        .filter(|step| step["port"] == port.as_str())
        .map(|step| {
            format!("{} {} {}", text(step, "method"), text(step, "pathname"), step["status"])
        })
        .collect()
}

#[track_caller]
fn assert_called(steps: &[Value]) {
    assert_eq!(of(steps, "failed"), [] as [&Value; 0], "{steps:#?}");
    assert_eq!(of(steps, "tools")[0]["names"], json!(["whoami"]), "{steps:#?}");
    // The server has the user from the filter, and not the token.
    assert_eq!(of(steps, "answer")[0]["answer"], json!({"user": "alice"}), "{steps:#?}");
}

#[tokio::test]
async fn client_finds_the_provider_registers_logs_in_and_calls_the_server() {
    find_the_provider(McpClient::TypeScript).await;
}

#[tokio::test]
async fn another_client_finds_it_too() {
    find_the_provider(McpClient::Python).await;
}

async fn find_the_provider(client: McpClient) {
    let rig = rig().await;
    let steps = client.run(&rig.url(), &[]).await;
    assert_called(&steps);

    let at_gateway = exchanges(&steps, rig.address());
    let metadata = format!("GET {METADATA} 200");
    assert_eq!(at_gateway[..2], ["POST /mcp 401".to_owned(), metadata], "{at_gateway:#?}");
    let challenge = of(&steps, "exchange")[0]["challenge"].as_str().unwrap_or_default();
    assert!(challenge.contains(&rig.metadata()), "{challenge}");
    assert!(challenge.contains(r#"scope="mcp:tools""#), "{challenge}");

    let at_provider = exchanges(&steps, rig.provider.address());
    assert!(at_provider.contains(&"POST /reg 201".to_owned()), "{at_provider:#?}");
    assert_eq!(of(&steps, "registered")[0]["scope"], "mcp:tools");
    let [asked] = of(&steps, "authorization").try_into().expect("one login");
    let expected = json!({
        "step": "authorization",
        "issuer": format!("http://{}", rig.provider.address()),
        "scope": "mcp:tools",
        "resource": rig.url(),
        "pkce": "S256",
    });
    assert_eq!(*asked, expected);
    assert_eq!(of(&steps, "tokens")[0]["scope"], "mcp:tools");
}

#[tokio::test]
async fn client_without_the_scope_is_told_which_and_gets_it() {
    let rig = rig().await;
    let registered = [("CLIENT", "web"), ("SECRET", "secret-of-web")];
    let settings = [registered.as_slice(), &[("FIRST_SCOPE", "mcp:admin")]].concat();
    let steps = McpClient::TypeScript.run(&rig.url(), &settings).await;
    assert_called(&steps);

    let scopes: Vec<_> = of(&steps, "tokens").iter().map(|step| step["scope"].clone()).collect();
    assert_eq!(scopes, ["mcp:admin", "mcp:tools"]);
    let refused: Vec<_> =
        of(&steps, "exchange").into_iter().filter(|step| step["status"] == 403).collect();
    let [refused] = refused.try_into().expect("refused once");
    let challenge = refused["challenge"].as_str().unwrap_or_default();
    for part in [r#"error="insufficient_scope""#, r#"scope="mcp:tools""#, &rig.metadata()] {
        assert!(challenge.contains(part), "{part} is not in {challenge}");
    }
}

#[tokio::test]
async fn token_for_another_server_is_refused_with_the_way_to_a_good_one() {
    let rig = rig().await;
    let provider = rig.provider.address();
    let orders = Some("https://orders.example");
    let other = Login { resource: orders, ..Login::of("alice", "openid orders") };
    let tokens = [
        ("user", other.tokens(provider).await.access),
        ("machine", machine(provider, orders).await),
        ("unbound", Login::of("alice", "openid mcp:tools").tokens(provider).await.access),
    ];
    for (whose, token) in tokens {
        assert_eq!(introspect(provider, &token).await.json()["active"], true, "{whose}");
        let request = Request::new(rig.address(), "POST", "/mcp").bearer(&token);
        let r = request.header("x-user-id", "forged").body("{}").send().await;
        assert_eq!(r.status, 401, "{whose} {r:?}");
        let challenge = r.header("www-authenticate").unwrap_or_default();
        for part in [r#"error="invalid_token""#, r#"scope="mcp:tools""#, &rig.metadata()] {
            assert!(challenge.contains(part), "{whose}: {part} is not in {challenge}");
        }
    }
}

/// What the recipe says of itself, exactly, and to everybody.
#[tokio::test]
async fn metadata_is_as_configured() {
    let rig = rig().await;
    let r =
        Request::new(rig.address(), "GET", METADATA).host(&rig.address().to_string()).send().await;
    assert_eq!(r.status, 200, "{r:?}");
    assert_eq!(r.header("content-type").as_deref(), Some("application/json"), "{r:?}");
    let expected = json!({
        "resource": rig.url(),
        "authorization_servers": [format!("http://{}", rig.provider.address())],
        "scopes_supported": ["mcp:tools"],
        "resource_name": "Orders",
        "bearer_methods_supported": ["header"],
    });
    assert_eq!(r.json(), expected);
    rig.envoy.assert_no_vm_restart().await;
}
