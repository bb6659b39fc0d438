"""An OpenID Provider for tests: PyPI's `django-oauth-toolkit`, with users and clients made up here.
Listens only on loopback.

Settings, all by environment: DIRECTORY (its data base and its files), PORT, TLS_PORT with TLS_KEY
and TLS_CERT (PEM; the same provider once more, encrypted). Prints `listening` once it does.
"""

import json
import os
import secrets
import ssl
import sys
import threading
from datetime import timedelta
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

# Django imports this file by its name again, as its table of URLs.
sys.modules.setdefault("server", sys.modules[__name__])
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"

import django

django.setup()

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.urls import include, path
from django.utils import timezone
from jwcrypto import jwk, jwt
from oauth2_provider.models import AccessToken, Application
from oauth2_provider.oauth2_validators import OAuth2Validator

urlpatterns = [path("o/", include("oauth2_provider.urls", namespace="oauth2_provider"))]


class Validator(OAuth2Validator):
    # Claims do not depend on scopes here.
    oidc_claim_scope = None

    def get_additional_claims(self, request):
        return {"email": request.user.email, "name": request.user.get_full_name()}


# The API of each scope: what a JWT of this provider is for.
APIS = {"orders": "https://orders.example", "admin": "https://admin.example"}


def access_token(request):
    """An opaque token; for the client `signer` a JWT (RFC 9068), which is kept like any other."""
    if request.client.client_id != "signer":
        return secrets.token_urlsafe(24)
    key = jwk.JWK.from_pem(settings.OAUTH2_PROVIDER["OIDC_RSA_PRIVATE_KEY"].encode())
    claims = {
        "iss": settings.OAUTH2_PROVIDER["OIDC_ISS_ENDPOINT"],
        "sub": str(request.user.pk),
        "aud": [APIS[scope] for scope in request.scopes if scope in APIS],
        "scope": " ".join(request.scopes),
        "client_id": request.client.client_id,
        "jti": secrets.token_urlsafe(12),
        "exp": int((timezone.now() + timedelta(hours=1)).timestamp()),
    }
    header = {"alg": "RS256", "typ": "at+jwt", "kid": key.thumbprint()}
    token = jwt.JWT(header=json.dumps(header), claims=json.dumps(claims))
    token.make_signed_token(key)
    return token.serialize()


def seed():
    call_command("migrate", verbosity=0)
    alice = User.objects.create_user(
        "alice", "alice@example.com", "secret-of-alice", first_name="Alice Zoë", last_name="Åström"
    )
    for name, grant in [
        ("web", "password"),
        ("signer", "password"),
        ("machine", "client-credentials"),
        ("gateway", "client-credentials"),
    ]:
        application = Application.objects.create(
            client_id=name,
            client_secret=f"secret-of-{name}",
            client_type="confidential",
            authorization_grant_type=grant,
            algorithm="RS256" if grant == "password" else "",
        )
        if name == "web":
            # This provider has one lifetime for all tokens: an expired one is a row of the past.
            AccessToken.objects.create(
                user=alice,
                application=application,
                token="expired-token-of-alice",
                scope="openid orders",
                expires=timezone.now() - timedelta(hours=1),
            )


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self):
        # Not WSGIServer's own, which looks its name up in DNS.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address
        self.setup_environ()


class Handler(WSGIRequestHandler):
    def address_string(self):
        return self.client_address[0]


def serve(port):
    return make_server("127.0.0.1", int(port), get_wsgi_application(), Server, Handler)


def encrypted(server, directory):
    pems = directory / "tls.pem"
    pems.write_text("\n".join([os.environ["TLS_CERT"], os.environ["TLS_KEY"]]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pems)
    # The handshake is the thread's that reads, not of the one that accepts.
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    return server


if __name__ == "__main__":
    seed()
    plain = serve(os.environ["PORT"])
    over_tls = encrypted(serve(os.environ["TLS_PORT"]), Path(os.environ["DIRECTORY"]))
    threading.Thread(target=over_tls.serve_forever, daemon=True).start()
    print("listening", flush=True)
    plain.serve_forever()
