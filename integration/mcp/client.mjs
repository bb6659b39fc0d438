// An MCP client for tests: npm's `@modelcontextprotocol/sdk`. It knows only the URL of the server,
// its argument. Everything else, the provider above all, it has to find by what the server says.
//
// Settings, all by environment: CLIENT and SECRET (a client that is registered already; without
// them it registers itself), FIRST_SCOPE (what it asks for first, whatever the server says).
//
// Prints what happens, one JSON object for each step: every exchange but those of the login, each
// authorization request, the tools and what they answer, or the error that ended it.

import './node18.mjs';

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

import { login } from './login.mjs';

const url = new URL(process.argv[2]);
const { CLIENT, SECRET, FIRST_SCOPE } = process.env;
const BACK = CLIENT ? 'https://app.example/back' : 'http://127.0.0.1:4555/callback';

const tell = (step) => console.log(JSON.stringify(step));

async function traced(to, init) {
  const response = await fetch(to, init);
  const { pathname, port } = new URL(to);
  const challenge = response.headers.get('www-authenticate') ?? undefined;
  const { status } = response;
  tell({ step: 'exchange', method: init?.method ?? 'GET', port, pathname, status, challenge });
  return response;
}

let tokens;
let verifier;
let code;
let information = CLIENT ? { client_id: CLIENT, client_secret: SECRET } : undefined;

const provider = {
  redirectUrl: BACK,
  clientMetadata: {
    client_name: 'a client of the tests',
    // Its redirect goes to loopback, as those of programs on a desk do.
    application_type: 'native',
    redirect_uris: [BACK],
    grant_types: ['authorization_code'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
  },
  clientInformation: () => information,
  saveClientInformation: (saved) => {
    if (!information) tell({ step: 'registered', scope: saved.scope });
    information = saved;
  },
  tokens: () => tokens,
  saveTokens: (issued) => {
    tokens = issued;
    tell({ step: 'tokens', scope: issued.scope });
  },
  saveCodeVerifier: (made) => {
    verifier = made;
  },
  codeVerifier: () => verifier,
  redirectToAuthorization: async (asked) => {
    const { scope, resource, code_challenge_method: pkce } = Object.fromEntries(asked.searchParams);
    tell({ step: 'authorization', issuer: asked.origin, scope, resource, pkce });
    // As a client that was made for an earlier server, which needed another scope.
    if (FIRST_SCOPE && !tokens) asked.searchParams.set('scope', FIRST_SCOPE);
    const back = await login(asked, BACK, 'alice');
    code = back.searchParams.get('code');
    if (!code) throw new Error(`no code: ${back}`);
  },
};

async function connected() {
  // Once for the login, once more if a wider scope is needed.
  for (let tries = 0; ; tries += 1) {
    const client = new Client({ name: 'tests', version: '1.0.0' });
    const transport = new StreamableHTTPClientTransport(url, {
      authProvider: provider,
      fetch: traced,
    });
    try {
      await client.connect(transport);
      return client;
    } catch (error) {
      if (!code || tries > 1) throw error;
      await transport.finishAuth(code);
      code = undefined;
    }
  }
}

try {
  const client = await connected();
  const { tools } = await client.listTools();
  tell({ step: 'tools', names: tools.map(({ name }) => name) });
  for (const { name } of tools) {
    const { content } = await client.callTool({ name });
    tell({ step: 'answer', name, answer: JSON.parse(content[0].text) });
  }
  await client.close();
} catch (error) {
  tell({ step: 'failed', error: String(error) });
}
process.exit(0);
