// spec/foreign/provider.mjs - oidc-provider with Entra's addresses, and one resource, /v1.0/me, that is Graph.
//
// node provider.mjs CONFIG, a JSON file: { modules, cert, key, signing, certificate, secret, log }: the folder
// of node modules; certificate and key to serve with; an RSA key to sign with; the certificate of the client
// "certificate" and the secret of the client "secret"; a file that gets a line for each token request, "client grant
// outcome". Prints its port, serves on 127.0.0.1 until killed.
//
// The client "user" is public. Whoever comes is signed in as ada at once; with login_hint=mallory he declines.
// A token is good for one call of /v1.0/me: the next has to bring another.
import { createHash, createPrivateKey, X509Certificate } from "node:crypto";
import { appendFileSync, readFileSync } from "node:fs";
import { createServer } from "node:https";
import { pathToFileURL } from "node:url";

const LIFETIME = 600; // seconds; an orphan ends by itself
const TENANT = "contoso.com";
const GRAPH = "https://graph.microsoft.com";
const SCOPE = GRAPH + "/.default";

const config = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { default: Provider, errors } = await import(
  pathToFileURL(config.modules + "/oidc-provider/lib/index.js"));

const certificate = new X509Certificate(readFileSync(config.certificate));
const thumbprint = createHash("sha256").update(certificate.raw).digest("base64url");
const app = { grant_types: ["client_credentials"], redirect_uris: [], response_types: [] };

const clients = [{
  client_id: "user", application_type: "native", token_endpoint_auth_method: "none",
  grant_types: ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
  redirect_uris: ["http://localhost/"],
}, {
  ...app, client_id: "secret", client_secret: config.secret, token_endpoint_auth_method: "client_secret_post",
}, {
  ...app, client_id: "certificate", token_endpoint_auth_method: "private_key_jwt",
  token_endpoint_auth_signing_alg: "PS256",
  jwks: { keys: [{ ...certificate.publicKey.export({ format: "jwk" }), use: "sig", alg: "PS256" }] },
}];

const settings = {
  clients,
  jwks: { keys: [createPrivateKey(readFileSync(config.signing)).export({ format: "jwk" })] },
  cookies: { keys: ["of a few minutes"] },
  scopes: ["openid", "offline_access", "profile"],
  routes: {
    authorization: `/${TENANT}/oauth2/v2.0/authorize`,
    token: `/${TENANT}/oauth2/v2.0/token`,
    device_authorization: `/${TENANT}/oauth2/v2.0/devicecode`,
    code_verification: `/${TENANT}/oauth2/deviceauth`,
  },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    claimsParameter: { enabled: true }, // so that what it does not like in `claims` is refused, not ignored
    resourceIndicators: {
      enabled: true,
      defaultResource: () => GRAPH, // Entra's clients name it in the scope
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({ scope: SCOPE, audience: GRAPH, accessTokenFormat: "opaque" }),
    },
  },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  rotateRefreshToken: true,
  ttl: { AccessToken: 3600, ClientCredentials: 3600, RefreshToken: 86400, Grant: 86400, Session: 3600,
    Interaction: 600, DeviceCode: 600, IdToken: 3600 },
  // Entra finds the certificate by this.
  assertJwtClientAuthClaimsAndHeader: (ctx, claims, header) => {
    if (header["x5t#S256"] !== thumbprint) throw new errors.InvalidClientAuth("x5t#S256 is of no registered certificate");
  },
};

let provider;

// What a person does in the browser.
async function interact(req, res) {
  const { prompt, params, session } = await provider.interactionDetails(req, res);
  if (params.login_hint === "mallory") {
    return provider.interactionFinished(req, res, { error: "access_denied", error_description: "mallory declined" });
  }
  if (prompt.name === "login") return provider.interactionFinished(req, res, { login: { accountId: "ada" } });
  const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope("openid offline_access profile");
  grant.addResourceScope(GRAPH, SCOPE);
  return provider.interactionFinished(req, res, { consent: { grantId: await grant.save() } });
}

function answer(res, status, body, headers) {
  res.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
}

const used = new Set();

async function me(req, res) {
  const text = (req.headers.authorization ?? "").replace(/^Bearer /, "");
  const token = await provider.AccessToken.find(text) ?? await provider.ClientCredentials.find(text);
  if (!token || token.aud !== GRAPH || token.scope !== SCOPE || used.has(text)) {
    return answer(res, 401, { error: { code: "InvalidAuthenticationToken", message: "it is not good" } },
      { "www-authenticate": 'Bearer error="invalid_token"' });
  }
  used.add(text);
  return answer(res, 200, { id: token.accountId ?? token.clientId });
}

function note(ctx, outcome) {
  const { client_id: client, grant_type: grant } = ctx.oidc?.body ?? {};
  appendFileSync(config.log, `${client} ${grant} ${outcome}\n`);
}

const server = createServer({ cert: readFileSync(config.cert), key: readFileSync(config.key) });

server.listen(0, "127.0.0.1", () => {
  const { port } = server.address();
  provider = new Provider(`https://127.0.0.1:${port}`, settings);
  provider.on("grant.success", (ctx) => note(ctx, "ok"));
  provider.on("grant.error", (ctx, err) => note(ctx, `${err.message}: ${err.error_detail ?? err.error_description}`));
  const serve = provider.callback();
  server.on("request", (req, res) => {
    if (req.url.startsWith("/interaction/")) return interact(req, res);
    if (req.url === "/v1.0/me") return me(req, res);
    // Entra keeps to offline_access alone, which OpenID Connect Core 11 allows where "other conditions are in
    // place"; without them prompt=consent has to be there.
    if (req.url.includes("/authorize?")) req.url += "&prompt=consent";
    return serve(req, res);
  });
  console.log(port);
});

setTimeout(() => process.exit(), LIFETIME * 1000);
