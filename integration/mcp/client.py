"""A second MCP client for tests: PyPI's `mcp`. It knows only the URL of the server, its argument, and
registers itself. It is stricter than the other one: the provider's issuer must be what the server's
metadata says, byte for byte.

Prints what happens, one JSON object for each step, as client.mjs does.
"""

import asyncio
import json
import logging
import re
import sys
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2
from mcp import ClientSession
from mcp.client.auth import OAuthClientProvider
from mcp.client.auth.oauth2 import AuthorizationCodeResult
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata

BACK = "http://127.0.0.1:4555/callback"


def tell(step, **more):
    print(json.dumps({"step": step, **more}), flush=True)


async def login(authorization, user):
    """What a person does with a browser: follows the request, fills in each form, and stops where
    the provider sends the browser back to the client."""
    url, form = authorization, None
    async with httpx2.AsyncClient() as browser:
        # A login, a consent, and a redirect or two around each.
        for _ in range(12):
            page = await (browser.post(url, data=form) if form else browser.get(url))
            form = None
            if page.status_code in (302, 303):
                url = urljoin(url, page.headers["location"])
                if url.startswith(BACK):
                    return parse_qs(urlsplit(url).query)
                continue
            prompt = re.search(r'name="prompt" value="(login|consent)"', page.text)
            if page.status_code != 200 or not prompt:
                raise RuntimeError(f"{page.status_code} {url}: {page.text}")
            form = {"prompt": prompt[1], "login": user, "password": "any"}
            url = urljoin(url, re.search(r'<form[^>]*action="([^"]+)"', page.text)[1])
    raise RuntimeError(f"the login leads nowhere, at last to {url}")


class Storage:
    tokens = None
    client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens
        tell("tokens", scope=tokens.scope)

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client
        tell("registered", scope=client.scope)


async def main(url):
    back = {}

    async def redirect(authorization):
        parts = urlsplit(authorization)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        tell(
            "authorization",
            issuer=f"{parts.scheme}://{parts.netloc}",
            scope=asked.get("scope"),
            resource=asked.get("resource"),
            pkce=asked.get("code_challenge_method"),
        )
        back.update(await login(authorization, "alice"))

    async def callback():
        one = {name: values[0] for name, values in back.items()}
        if "code" not in one:
            raise RuntimeError(f"no code: {one}")
        return AuthorizationCodeResult(
            code=one["code"], state=one.get("state"), iss=one.get("iss")
        )

    async def exchange(response):
        to = response.request.url
        tell(
            "exchange",
            method=response.request.method,
            port=str(to.port),
            pathname=to.path,
            status=response.status_code,
            challenge=response.headers.get("www-authenticate"),
        )

    auth = OAuthClientProvider(
        server_url=url,
        client_metadata=OAuthClientMetadata(
            client_name="another client of the tests",
            application_type="native",
            redirect_uris=[BACK],
            grant_types=["authorization_code"],
            response_types=["code"],
            token_endpoint_auth_method="none",
        ),
        storage=Storage(),
        redirect_handler=redirect,
        callback_handler=callback,
    )
    async with httpx2.AsyncClient(auth=auth, event_hooks={"response": [exchange]}) as http:
        async with streamable_http_client(url, http_client=http) as streams:
            async with ClientSession(streams[0], streams[1]) as session:
                await session.initialize()
                names = [tool.name for tool in (await session.list_tools()).tools]
                tell("tools", names=names)
                for name in names:
                    result = await session.call_tool(name, {})
                    tell("answer", name=name, answer=json.loads(result.content[0].text))


def reasons(error):
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from reasons(one)
    else:
        yield error


logging.disable(logging.CRITICAL)
try:
    asyncio.run(main(sys.argv[1]))
except BaseException as error:
    for one in reasons(error):
        tell("failed", error=f"{type(one).__name__}: {one}")
