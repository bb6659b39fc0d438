//! Tokens that come in another header, a cookie, or a WebSocket subprotocol.

use super::*;

fn cookies(gw: &Recipe, cookies: &str) -> Request {
    gw.get("/cookie").header("cookie", cookies)
}

#[tokio::test]
async fn token_is_moved_and_the_backend_does_not_see_it() {
    let gw = start("elsewhere").await;
    gw.provider.answer_token("good", claims(&json!({"sub": "alice"})));
    let user = [("x-user-id", "alice")];
    assert_passes(&gw, gw.get("/own").header("x-access-token", "good"), &user).await;
    assert_passes(&gw, cookies(&gw, "a=1; access_token=good; b=\"2,3\""), &user).await;
    assert_passes(&gw, gw.get("/usual").bearer("good"), &user).await;
    let usual = gw.get("/kept").bearer("good").header("cookie", "a=1;b=2");
    assert_passes(&gw, usual.header("sec-websocket-protocol", "chat,  v2"), &user).await;
    let seen = gw.upstream.received();
    assert_eq!(seen.len(), 8);
    for request in &seen {
        assert!(!format!("{request:?}").contains("good"), "{request:?}");
    }
    let of = |path: &str, name: &str| arrived(&gw, path)[0].headers.get(name);
    assert_eq!(of("/cookie", "cookie").as_deref(), Some("a=1; b=\"2,3\""));
    assert_eq!(of("/kept", "cookie").as_deref(), Some("a=1;b=2"));
    assert_eq!(of("/kept", "sec-websocket-protocol").as_deref(), Some("chat,  v2"));
}

#[tokio::test]
async fn websocket_opens_with_the_token_in_a_subprotocol() {
    let gw = start("elsewhere_socket").await;
    gw.provider.answer_token("good", claims(&json!({"sub": "alice"})));
    for (protocols, status) in
        [("chat, access-token.good", 101), ("chat, access-token.expired", 401), ("chat", 401)]
    {
        let mut connection = gw.connect().await.expect("a connection");
        let head = format!(
            "GET /socket HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             x-user-id: forged\r\nsec-websocket-protocol: {protocols}\r\n\r\n"
        );
        connection.write(head).await.expect("sent");
        assert_eq!(connection.response().await.expect("an answer").status, status, "{protocols}");
        if status == 101 {
            connection.write("ping").await.expect("sent");
            assert_eq!(connection.read(4).await.expect("an echo"), b"ping");
        }
    }
    let request = gw.upstream.only();
    assert_eq!(request.headers.get("sec-websocket-protocol").as_deref(), Some("chat"));
    assert_eq!(gw.told(&request), pairs(&[("x-user-id", "alice")]));
}

#[tokio::test]
async fn whatever_is_not_one_good_token_is_refused() {
    let gw = start("elsewhere_refused").await;
    gw.provider.answer_token("good", claims(&json!({"sub": "alice"})));
    assert_refuses_strangers(&gw, "/strangers").await;
    let own = |value: &str| gw.get("/own").header("x-access-token", value);
    for request in [
        own(""),
        own("expired"),
        own("good, good"),
        own("Bearer good"),
        own("good").header("x-access-token", "good"),
        own("good").bearer("good"),
        own("good").header("cookie", "access_token=good"),
        cookies(&gw, "access_token="),
        cookies(&gw, "access_token=expired"),
        cookies(&gw, "xaccess_token=good"),
        cookies(&gw, "Access_Token=good"),
        cookies(&gw, "access_token=good; access_token=good"),
        cookies(&gw, "access_token=expired").bearer("good"),
    ] {
        assert_refused(&gw, request, 401).await;
    }
}
