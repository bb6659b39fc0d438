// An OpenID Provider for tests: npm's `oidc-provider`, with users and clients made up here. Listens
// only on loopback. Tokens are opaque, except those for a resource; users log in with the package's
// own forms.
//
// Settings, all by environment: PORT (0: a free one), TLS_PORT with TLS_KEY and TLS_CERT (PEM; the
// same provider once more, encrypted), CLIENT_CA (PEM; who signs clients' certificates), STORE (a
// file that keeps all tokens over a restart; without it they end with the process), ISSUER, PACKAGE
// (`oidc-provider-9` is a later release). Prints `listening on http://127.0.0.1:<port>` once it
// does.

import { X509Certificate, webcrypto } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';

const { PORT = '0', TLS_PORT, TLS_KEY, TLS_CERT, CLIENT_CA, STORE } = process.env;
const { ISSUER = 'https://idp.example', PACKAGE = 'oidc-provider' } = process.env;

// Release 9 uses these, and Node.js 18 does not have them.
globalThis.crypto ??= webcrypto;
URL.parse ??= (url, base) => (URL.canParse(url, base) ? new URL(url, base) : null);
const { default: Provider, errors } = await import(PACKAGE);

const USERS = {
  alice: {
    name: 'Alice Zoë Åström',
    email: 'alice@example.com',
    email_verified: true,
    groups: ['buyers', 'staff'],
    account: { number: 4711 },
  },
  // A user with few claims.
  bob: { email: 'bob@example.com', email_verified: false, groups: [] },
};

// Lifetime of a client's access tokens where it is not an hour, in seconds.
const LIFETIMES = { hasty: 5 };

// The APIs that a client may ask a token for (RFC 8707), and how their tokens look.
const APIS = {
  'https://api.example': { scope: 'orders', accessTokenFormat: 'jwt' },
  'https://orders.example': { scope: 'orders orders:write', accessTokenFormat: 'opaque' },
  'https://invoices.example': { scope: 'orders', accessTokenFormat: 'opaque' },
};
// An MCP server of the tests is wherever there was a free port.
const MCP = { scope: 'mcp:tools mcp:admin', accessTokenFormat: 'opaque' };

function api(resource) {
  const found = new URL(resource).hostname === '127.0.0.1' ? MCP : APIS[resource];
  if (!found) throw new errors.InvalidTarget();
  return found;
}

const client = (client_id, more = {}) => ({
  client_id,
  client_secret: `secret-of-${client_id}`,
  token_endpoint_auth_method: 'client_secret_post',
  redirect_uris: ['https://app.example/back'],
  grant_types: ['authorization_code'],
  response_types: ['code'],
  ...more,
});

// A client that logs nobody in.
const confidential = (client_id, more = {}) =>
  client(client_id, {
    token_endpoint_auth_method: 'client_secret_basic',
    redirect_uris: [],
    grant_types: [],
    response_types: [],
    ...more,
  });

// The certificate that a client shows; without TLS in a header, as a proxy before the provider
// hands it on.
function certificate(ctx) {
  if (ctx.socket.encrypted) return ctx.socket.getPeerX509Certificate();
  const pem = ctx.get('x-client-certificate');
  return pem ? new X509Certificate(decodeURIComponent(pem)) : undefined;
}

// The provider's state, as `<model>:<id>` -> { payload, expires }.
const memory = new Map();

function load() {
  try {
    for (const [key, value] of JSON.parse(readFileSync(STORE, 'utf8'))) memory.set(key, value);
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
}

// The file changes at once and completely: the process may be killed at any time.
function save() {
  if (!STORE) return;
  writeFileSync(`${STORE}.new`, JSON.stringify([...memory]));
  renameSync(`${STORE}.new`, STORE);
}

class Adapter {
  constructor(model) {
    this.model = model;
  }

  async upsert(id, payload, expiresIn) {
    const expires = expiresIn ? Date.now() + expiresIn * 1000 : undefined;
    memory.set(`${this.model}:${id}`, { payload, expires });
    save();
  }

  async find(id) {
    const found = memory.get(`${this.model}:${id}`);
    if (found?.expires === undefined || found.expires > Date.now()) return found?.payload;
    return undefined;
  }

  async #findBy(name, value) {
    for (const [key, { payload }] of memory) {
      if (key.startsWith(`${this.model}:`) && payload[name] === value) {
        return this.find(key.slice(this.model.length + 1));
      }
    }
    return undefined;
  }

  findByUid(uid) {
    return this.#findBy('uid', uid);
  }

  findByUserCode(userCode) {
    return this.#findBy('userCode', userCode);
  }

  async consume(id) {
    memory.get(`${this.model}:${id}`).payload.consumed = Math.floor(Date.now() / 1000);
    save();
  }

  async destroy(id) {
    memory.delete(`${this.model}:${id}`);
    save();
  }

  async revokeByGrantId(grantId) {
    for (const [key, { payload }] of memory) {
      if (key.startsWith(`${this.model}:`) && payload.grantId === grantId) memory.delete(key);
    }
    save();
  }
}

const configuration = {
  adapter: Adapter,
  clients: [
    client('web'),
    client('hasty'),
    client('signed', { userinfo_signed_response_alg: 'RS256' }),
    client('mobile', { grant_types: ['authorization_code', 'refresh_token'] }),
    confidential('machine', {
      grant_types: ['client_credentials'],
      token_endpoint_auth_method: 'client_secret_post',
    }),
    // Its tokens are bound to its certificate (RFC 8705 §3).
    confidential('bound', {
      grant_types: ['client_credentials'],
      token_endpoint_auth_method: 'client_secret_post',
      tls_client_certificate_bound_access_tokens: true,
    }),
    // The gateway itself, which asks about tokens, with its secret in one place or another. The
    // second one's needs escaping: every part of it means something in a form or in Basic.
    confidential('gateway'),
    confidential('gateway:+%', { client_secret: 'secret + 100%:&=/' }),
    confidential('gateway_post', { token_endpoint_auth_method: 'client_secret_post' }),
    confidential('gateway_tls', {
      token_endpoint_auth_method: 'tls_client_auth',
      tls_client_auth_san_dns: 'gateway.example',
    }),
  ],
  claims: {
    openid: ['sub'],
    profile: ['name'],
    email: ['email', 'email_verified'],
    groups: ['groups'],
    account: ['account'],
  },
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'tls_client_auth', 'none'],
  cookies: { keys: ['cookies of tests'] },
  features: {
    // The package's own login and consent forms: any password will do.
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    jwtUserinfo: { enabled: true },
    mTLS: {
      enabled: true,
      certificateBoundAccessTokens: true,
      tlsClientAuth: true,
      getCertificate: certificate,
      certificateAuthorized: (ctx) => ctx.socket.authorized === true,
      certificateSubjectMatches: (ctx, property, expected) =>
        property === 'tls_client_auth_san_dns' &&
        certificate(ctx)?.checkHost(expected) !== undefined,
    },
    // Clients of MCP register themselves (RFC 7591).
    registration: { enabled: true },
    // A token for a resource has it as its audience, and is none for the UserInfo endpoint.
    resourceIndicators: { enabled: true, getResourceServerInfo: (ctx, resource) => api(resource) },
    revocation: { enabled: true },
  },
  findAccount: (ctx, accountId) =>
    USERS[accountId] && { accountId, claims: () => ({ sub: accountId, ...USERS[accountId] }) },
  pkce: { required: () => false },
  scopes: ['openid', 'offline_access', 'orders', 'mcp:tools', 'mcp:admin'],
  ttl: {
    AccessToken: (ctx, token, { clientId }) => LIFETIMES[clientId] ?? 3600,
    AuthorizationCode: 60,
    ClientCredentials: 3600,
    Grant: 3600,
    IdToken: 3600,
    Interaction: 600,
    RefreshToken: 3600,
    Session: 3600,
  },
};

if (STORE) load();
const answer = new Provider(ISSUER, configuration).callback();

const listening = (server, port) =>
  new Promise((resolve, reject) => {
    server.once('error', reject).listen(Number(port), '127.0.0.1', () => resolve(server.address()));
  });

const { port } = await listening(http.createServer(answer), PORT);
if (TLS_PORT) {
  // A certificate is a client's affair: most show none.
  const clients = { ca: CLIENT_CA, requestCert: true, rejectUnauthorized: false };
  const tls = { key: TLS_KEY, cert: TLS_CERT, ...clients };
  await listening(https.createServer(tls, answer), TLS_PORT);
}
console.log(`listening on http://127.0.0.1:${port}`);
