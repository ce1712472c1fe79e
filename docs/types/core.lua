---@meta msgraph.core
--- What the C module exports. `lua/msgraph` is its only intended user: use `require "msgraph"`.
--- A spec compares this page with the real module, so it cannot go stale.

---@class msgraph.core
local core = {}

---@type string  version of this library, "0.1.0"
core.version = nil

---@class msgraph.core.Curl
---@field version string       libcurl at run time, "7.88.1"
---@field ssl string           its TLS library, "OpenSSL/3.0.22"
---@field http "1.1"|"2"       the HTTP version trusted by default with that libcurl

---@type table<string, string>  every transport code a Failure can have, with its kind
core.codes = nil

--- The libcurl this process runs on.
---@return msgraph.core.Curl
function core.curl() end

--- Monotonic clock.
---@return number seconds
function core.now() end

--- Escapes one path segment: everything but unreserved characters (RFC 3986 2.3) becomes %XX.
--- Returns nil and the reason ("is empty", "is \".\"", "holds a control character", "is not UTF-8")
--- when the text can not be a segment.
---@param text string
---@return string? escaped
---@return string? reason
function core.segment(text) end

--- Escapes a query string's name or value: everything but unreserved characters becomes %XX.
---@param text string
---@return string
function core.escape(text) end

--- Changes a table, and the tables in it, at most 200 deep: a float that is a whole number below 2^53 becomes the
--- integer. (Some builds of lua-cjson give every number as a float; a walk in Lua would cost a fifth of the decoding.)
---@generic T: table
---@param value T
---@param json? string the text it was decoded from: without a number in it, the table is left as it is
---@return T value the same table; raises when it is nested deeper
function core.integers(value, json) end

--- SHA-256.
---@param bytes string
---@return string digest 64 lower case hexadecimal digits
function core.sha256(bytes) end

--- Random bytes of the system's, for secrets.
---@param n integer 1 to 256
---@return string bytes
function core.random(n) end

--- Replaces a file at once, for the owner's eyes only (0600): a reader sees the old one or the new one.
---@param path string
---@param bytes string
---@return true? ok
---@return string? reason the file is as it was
function core.write_private(path, bytes) end

--- Whether standard input, output or error is a terminal, and how large.
---@param fd 0|1|2
---@return integer? columns 0 where it does not say; nil: it is no terminal
---@return integer? rows
function core.terminal(fd) end

---@class msgraph.core.CredentialOpts   a token, or what one is asked for with
---@field token? string              a token that is there already; everything else is left out
---@field grant? "client_credentials"|"refresh_token"|"on_behalf_of"|"managed_identity"
---@field authority? string          "https://login.microsoftonline.com"
---@field tenant_id? string          id or domain
---@field client_id? string
---@field scope? string              "https://graph.microsoft.com/.default"
---@field client_secret? string      how the client proves itself: a secret,
---@field certificate? string        or a file with certificate and RSA key, PEM or PKCS#12,
---@field password? string           and that file's password,
---@field rs256? boolean             signed as AD FS wants it: RS256 and x5t
---@field assertion_file? string     or a federated token's file, read again for each request
---@field refresh_token? string      of the grant refresh_token
---@field store? msgraph.core.Store   of the grant refresh_token: where the sign-in is, shared with other processes
---@field assertion? string          of the grant on_behalf_of: the token of the user we act for
---@field ca_file? string            as the origin's
---@field host? "imds"|"app_service"|"azure_arc"|"azure_ml"|"service_fabric"|"cloud_shell"  of the grant managed_identity,
---                                  which takes none of the above but client_id: a user-assigned identity's
---@field endpoint? string           its URL, without a query; plain http is allowed, a proxy is not used
---@field resource? string           "https://graph.microsoft.com"
---@field secret? string             for app_service, azure_ml and service_fabric
---@field thumbprint? string         SHA-1 of service_fabric's certificate, 40 hex digits
---@field object_id? string          a user-assigned identity instead of client_id
---@field resource_id? string        the same

---@class msgraph.core.Credential     who we are, and the token that proves it. One token request at a time
---                                   for all who need it, by the transport of whoever needs it.
local Credential = {}

--- Raises for options of the wrong type; returns nil, failure for what can not be used.
---@param opts msgraph.core.CredentialOpts
---@return msgraph.core.Credential?
---@return msgraph.core.Failure?
function core.credential(opts) end

--- Replaces the token.
---@param token string
---@param seconds? number  how long it is good; default for ever
---@return true?
---@return msgraph.core.Failure?
function Credential:give(token, seconds) end

--- The same with the token that `az account get-access-token --output json` printed; it does not pass through Lua.
---@param child msgraph.core.Child one that has ended
---@return number? seconds how long it is good
---@return msgraph.core.Failure? code "bad_answer"
function Credential:give_printed(child) end

--- Whether there will be no token before a user signs in: there is no refresh token, or it was refused.
---@return boolean
function Credential:needs_user() end

--- The claims request that a user has to be sent to the authority with; nil unless a challenge wants one.
---@return string? json
---@return msgraph.core.Failure?
function Credential:claims() end

---@class msgraph.core.Described   what the present token says; a field is missing where it says nothing
---@field username? string
---@field name? string
---@field object_id? string
---@field tenant_id? string
---@field app_id? string
---@field app_name? string
---@field audience? string
---@field scopes? string          delegated permissions, with spaces between
---@field roles? string           application permissions, with spaces between
---@field expires_in? number      seconds it is still used

--- What the present token says, for people to see: nothing is verified, and Graph's tokens are nobody's to read. nil
--- where there is none, or an opaque one.
---@return msgraph.core.Described?
function Credential:describe() end

---@class msgraph.core.Prompt      what a user has to be told
---@field user_code string
---@field verification_uri string
---@field message? string          the issuer's words for both
---@field expires_in integer       seconds the code is good
---@field interval integer         seconds between two questions whether the user is done

--- What the step "device_code" brought.
---@return msgraph.core.Prompt?
function Credential:prompt() end

--- Takes over the authorization code that a browser brought, for the step "code". Raises when none has come.
---@param loopback msgraph.core.Loopback
---@return true?
---@return msgraph.core.Failure?
function Credential:redeem(loopback) end

--- Secrets are wiped when the last request that needs them has ended. Twice is as good as once. Also
--- __close and __gc.
function Credential:close() end

---@class msgraph.core.Loopback       waits on 127.0.0.1 for the browser of a sign-in (authorization code with PKCE). Code and
---                                    verifier never leave the core.
local Loopback = {}

--- Listens on a free port.
---@return msgraph.core.Loopback?
---@return msgraph.core.Failure?
function core.loopback() end

--- The port of `http://localhost:PORT/`, the redirect URI.
---@return integer
function Loopback:port() end

---@class msgraph.core.LoopbackAsk
---@field authorize string           "https://login.microsoftonline.com/TENANT/oauth2/v2.0/authorize"
---@field client_id string
---@field scope string               space between scopes
---@field prompt? string             "select_account", "login", "consent", "none"
---@field login_hint? string         who is meant to sign in
---@field claims? string             JSON, of a claims challenge

--- The URL to open in a browser: asks for a code, by response_mode=query, bound to this listener's state and S256 challenge.
---@param ask msgraph.core.LoopbackAsk
---@return string?
---@return msgraph.core.Failure?     code "bad_option": authorize is no plain https URL
function Loopback:url(ask) end

--- Answers whatever is there, without waiting: call it every 100 ms or so. "done": the code has come. A failure of code
--- "token_refused" says why there is none, its `word` is OAuth's `error`. Requests that are no redirect of this
--- sign-in change nothing.
---@return "waiting"|"done"|nil
---@return msgraph.core.Failure?
function Loopback:step() end

--- Stops listening and wipes the code. Twice is as good as once. Also __close and __gc.
function Loopback:close() end

---@class msgraph.core.Child          another program, run without a shell, watched without waiting
local Child = {}

--- Starts a program: an array of its name (looked for in PATH) and arguments, and `input`, a text for its standard
--- input. It gets none of our descriptors, and an environment without MSGRAPH_* and the secrets among AZURE_*.
--- Raises for anything but strings.
---@param words string[]|{ input: string? }
---@return msgraph.core.Child?
---@return msgraph.core.Failure?     code "program": there is none of that name, or it can not be run
function core.child(words) end

--- Takes what it printed and looks whether it ended, without waiting. When it fails, the program is killed.
---@return "running"|"ended"|nil
---@return integer|msgraph.core.Failure|nil  exit status, or 128 + signal; code "body_too_large": it printed more than 256 KiB
function Child:step() end

--- What it printed so far: for output that is no secret.
---@return string
function Child:output() end

--- The first 4 KiB of what it said on standard error.
---@return string
function Child:stderr() end

--- Kills it, and what it started, if it still runs. Twice is as good as once. Also __close and __gc.
function Child:close() end

---@class msgraph.core.StoreOpts
---@field path string                its file; folders that are missing are made by the first write
---@field key "environment"|"descriptor"|"keyring"|"none"|msgraph.core.Child  where the key it is encrypted with comes
---                                  from: MSGRAPH_STORE_KEY, the descriptor MSGRAPH_STORE_KEY_FD, the kernel (which
---                                  makes one, and forgets it at restart), nowhere (kept in plaintext), or what a
---                                  program that ended printed, in base64: the key never becomes a string of Lua's

---@class msgraph.core.SignIn         what is kept, its secrets aside
---@field generation integer         another one after each write; 0: nothing was ever written
---@field signed_out boolean         nothing else is kept then
---@field authority? string
---@field tenant_id? string
---@field client_id? string
---@field scope? string
---@field username? string
---@field object_id? string
---@field cloud? string
---@field has_refresh_token boolean
---@field expires_in? integer        seconds the access token is still good, below 0 for none; nil: there is none

---@class msgraph.core.Store          one sign-in on disk, shared by processes
local Store = {}

--- Raises for options of the wrong type; returns nil, failure for a key or path that can not be used. Touches
--- nothing on disk.
---@param opts msgraph.core.StoreOpts
---@return msgraph.core.Store?
---@return msgraph.core.Failure?
function core.store(opts) end

--- What is there now. Failures have the code "store", and say what to do.
---@return msgraph.core.SignIn?
---@return msgraph.core.Failure?
function Store:read() end

--- Drops everything that is kept, and leaves word that it was so: a renewal under way in any process can not
--- bring it back. Also replaces a file that can not be read.
---@return true?
---@return msgraph.core.Failure?
function Store:sign_out() end

--- Wipes the key, when no credential needs the store any more. Twice is as good as once. Also __close and __gc.
function Store:close() end

---@class msgraph.core.OriginOpts
---@field endpoint string            "https://graph.microsoft.com", scheme https, no path, no user info
---@field credential msgraph.core.Credential  its token is sent as `Authorization: Bearer`, to this endpoint only
---@field ca_file? string            PEM bundle of trusted authorities instead of the system's
---@field http_version? "1.1"|"2"    default: see core.curl().http
---@field connect_timeout? number    seconds for DNS, TCP and TLS together, default 10
---@field first_byte_timeout? number seconds from connected to the first byte of the answer, default 60
---@field stall_timeout? number      seconds without a byte once the answer has begun, default 20
---@field max_body? integer          bytes of a response body accepted, default 64 MiB
---@field shared_gate? string        file, or what its name begins with, through which processes share their throttle gate

---@class msgraph.core.Origin         where requests may go, and the right to speak to it. Holds the secret.
local Origin = {}

--- Raises for options of the wrong type; returns nil, failure for an endpoint or token that can not be used.
---@param opts msgraph.core.OriginOpts
---@return msgraph.core.Origin?
---@return msgraph.core.Failure?
function core.origin(opts) end

--- From now on requests are sent with this credential's token; those that are queued or under way go on with theirs.
---@param credential msgraph.core.Credential
function Origin:use(credential) end

--- Gives the token up: it is wiped when the last request that was submitted with it has ended.
--- Twice is as good as once. Also __close and __gc.
function Origin:close() end

--- For requests to it that travel in a $batch. To the service each part is a request of its own: it passes the origin's
--- throttle gate, and its retries are paid from the origin's budget, as any other's.
---@return msgraph.core.Parts
function Origin:parts() end

--- What a request is to the throttle gate: its service, side, cost, mailbox, team or site. Equal ones are held up together.
---@param method string
---@param target string              as in Request
---@return integer
function core.load(method, target) end

---@class msgraph.core.Parts         parts under way, at most 128 at a time
local Parts = {}

--- Asks the throttle gate.
---@param load integer
---@return integer? part             it is under way, by this number, until it is answered or withdrawn
---@return number? at                or when to ask again (core.now() clock)
function Parts:admit(load) end

--- It is not sent in a batch after all: what it counted for is given back.
---@param part integer
function Parts:withdraw(part) end

--- What became of it: the gate hears of refusals and costs, the budget of a success.
---@param part integer
---@param status? integer            nil: no answer came
---@param hint? number               seconds it asks to wait
---@param headers? table<string, any> of the part's answer
---@param met? integer               of its last Verdict
function Parts:answer(part, status, hint, headers, met) end

---@class msgraph.core.Verdict
---@field wait? number               seconds after which it goes again; nil: what it met is how it ends
---@field met? integer               what it has met, for the next time
---@field retry_in? number           as in Response
---@field retry_budget? true         as in Response
---@field may_have_acted? true       it may have been acted on
---@field ambiguous? true            and may not be sent twice

--- What is to be done about an attempt of a part that was no success, by the rules of docs/retry.md.
---@param met? integer               of its Verdict before
---@param status? integer            nil: it may have been sent, and no answer came
---@param hint? number               seconds it asks to wait
---@param idempotent boolean
---@param left number                seconds until its deadline; 0: it is not sent again, only judged
---@param random number              from 0 to below 1
---@return msgraph.core.Verdict
function Parts:judge(met, status, hint, idempotent, left, random) end

--- Twice is as good as once. Those under way end without an answer. Also __close and __gc.
function Parts:close() end

---@class msgraph.core.Request
---@field method string              "GET", "POST", ... upper case letters
---@field target string              path below the endpoint with version and query, already escaped
---                                  ("/v1.0/users?$top=5"), or a full URL of the same origin
---@field headers? table<string,string> more headers; Authorization, Host, Content-Length,
---                                  Transfer-Encoding, Connection, Expect are refused. A client-request-id given here is used.
---@field body? string               sent as it is; nil: no body, Content-Length: 0 where the method wants one
---@field idempotent? boolean        default: true for GET HEAD PUT DELETE PATCH OPTIONS
---@field priority? "low"|"normal"|"high"  who goes first; "low" and "high" are also told to the service; default "normal"
---@field retry? boolean             false: what fails is not sent again, not even what was throttled; default true
---@field deadline? number           seconds for the whole operation, default 120
---@field max_body? integer          bytes, default the origin's

---@class msgraph.core.Response
---@field status integer
---@field body string                "" when there is none
---@field headers string             raw header block, "Name: value\r\n" lines; read with core.header
---@field client_request_id string
---@field request_id? string         the server's id
---@field retry_after? number        seconds, from Retry-After, retry-after-ms or x-ms-retry-after-ms
---@field http_version "1.1"|"2"
---@field on_wire number             seconds that its attempts took on the network, in all
---@field queued? number             seconds that it waited for room there, and at the throttle gate
---@field for_token? number          seconds that it waited for a token
---@field ambiguous? true            it may have been acted on although this is no success, and may not be sent twice
---@field acted_before? true         an attempt before this one may have been acted on
---@field attempts? msgraph.core.Attempt[]  each time it was sent, if more than once
---@field waited? number             seconds waited between them, in all
---@field retry_in? number           seconds: a retry's wait that would have passed the deadline
---@field retry_budget? true         a retry was due, but too many others have failed lately

---@class msgraph.core.Attempt       one time a request was sent
---@field status? integer            when an answer began
---@field code? string               when it failed
---@field phase "not_sent"|"sent"|"answered"
---@field waited? number             seconds waited before it

---@class msgraph.core.Failure
---@field code string                one of docs/errors.md's transport codes: "dns", "connect", "tls_untrusted",
---                                  "tls_name", "tls_expired", "tls", "reset", "truncated", "timeout_connect", "timeout_first_byte",
---                                  "timeout_stall", "timeout", "throttled", "body_too_large", "bad_answer", "proxy", "cancelled", "token_refused",
---                                  "store", "store_busy", "bad_request", "bad_option", "foreign_url", "program", "no_memory", "internal"
---@field word? string               the peer's own word: OAuth's `error` of a refused token, or signed_out
---@field subword? string            its closer word: Entra's `suberror`
---@field kind string                "auth" "network" "timeout" "cancelled" "ambiguous" "protocol" "invalid"
---@field message string             one sentence, without secrets
---@field phase "not_sent"|"sent"|"answered"  how far the request came: nothing of it left | perhaps all of it | an answer
---                                  began; of several attempts that were not refused, the furthest
---@field client_request_id? string
---@field request_id? string         when an answer began
---@field status? integer            when an answer began
---@field on_wire? number            these three as in Response, where it was queued at all
---@field queued? number
---@field for_token? number
---@field attempts? msgraph.core.Attempt[]  these four as in Response
---@field waited? number
---@field retry_in? number
---@field retry_budget? true

--- Why a text can not be a path, with a query or without, that is sent as it is: characters outside of
--- RFC 3986, "#", segments "." and "..".
---@param target string
---@return string? reason nil when it can
function core.target_fault(target) end

--- Reads one header of a raw block, ignoring case. The last one wins.
---@param block string
---@param name string
---@return string?
function core.header(block, name) end

--- The claims a resource demands of the next token: of the Bearer challenges in WWW-Authenticate, decoded and
--- checked to be a JSON object of at most 8 KiB. nil: none are demanded.
---@param block string raw header block
---@return string? json to be sent as `claims` with a token request
function core.claims(block) end

--- How far apart such requests are, sent evenly at the published rate for app and tenant.
---@param method string
---@param target string with its version: "/v1.0/users/{id}"
---@return number ms 0 where no limit is published
function core.spacing(method, target) end

--- Seconds a server asks to wait: of Retry-After, retry-after-ms and x-ms-retry-after-ms in a raw block.
---@param block string
---@return number?
function core.retry_after(block) end

---@class msgraph.core.Transport      many requests over one curl multi handle: queue, step, take, cancel, close.
---                                    In a forked child every call raises but close().
local Transport = {}

---@return msgraph.core.Transport?
---@return msgraph.core.Failure?
function core.transport() end

--- Queues a request. Sends nothing before the next step. Refusals (bad target, bad header) are
--- returned here and nothing is queued.
---@param origin msgraph.core.Origin
---@param request msgraph.core.Request
---@return integer? id   unique in this transport, never reused
---@return msgraph.core.Failure?
function Transport:submit(origin, request) end

--- Queues a sign-in, which is taken as a request is, with a Response that shows nothing: "token" is done as soon as
--- the credential has a good token, "device_code" when there is a prompt, "device_poll" asks whether the user
--- is done with it (failure.word "authorization_pending", "slow_down" until then), "code" redeems the code of bring().
---@param credential msgraph.core.Credential
---@param step "token"|"device_code"|"device_poll"|"code"
---@param seconds? number how long to wait for a "token", default 120
---@return integer? id
---@return msgraph.core.Failure? nothing to sign in with, or a step that comes too early
function Transport:sign_in(credential, step, seconds) end

--- Moves everything that can be moved; waits at most `wait` seconds for something to happen
--- (0: never waits). Returns early when a request finishes or a signal arrives.
---@param wait number seconds, 0 to 3600
---@return integer? finished  how many requests finished and can be taken
---@return msgraph.core.Failure?
function Transport:step(wait) end

--- The next finished request: `id, response`, or `id, nil, failure`; nothing when none is left.
---@return integer? id
---@return msgraph.core.Response?
---@return msgraph.core.Failure?
function Transport:take() end

--- Ends a request that is queued or under way; it is taken as usual, with the failure "cancelled".
---@param id integer
---@return boolean cancelled  false: it has finished already, or never was
function Transport:cancel(id) end

--- One descriptor that is readable whenever step() has something to do, timeouts included.
---@return integer fd
function Transport:pollfd() end

--- Seconds until step() should be called even if the descriptor stays quiet; nil: no need.
---@return number?
function Transport:timeout() end

--- Makes pollfd readable and timeout expire at a moment of the caller's (core.now() clock), until the step
--- that sees it; nil: no more.
---@param at? number
function Transport:wake(at) end

--- Cancels everything, closes every connection. Twice is as good as once. Also __close and __gc.
function Transport:close() end

return core
