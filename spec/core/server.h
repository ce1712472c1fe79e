/* spec/core/server.h - a real HTTPS server on loopback for the C tests, in a child process.
 *
 * The path says how it behaves: /status/NNN answers so, /json answers a document, /echo answers the
 * request head it got, /close reads the request and closes, /reset the same with a TCP RST,
 * /cut promises more body than it sends, /stall stops in the middle of a body, /silent never
 * answers, /idle answers and closes, /large/N sends N bytes, /html answers a page, /redirect points to another host,
 * /garbage is not HTTP, /continue sends 100 first, /retry and /busy answer 429 with a hint, /count answers
 * how many requests the server has acted on. /odd/ID/NNN/N answers NNN to N requests, then the body it got to
 * one, and so on; NNN 0 is a reset, 429 names a wait of 20 ms; ID below 16 is its counter. Keeps connections alive.
 *
 * It is a token endpoint too: POST /TENANT/oauth2/v2.0/token counts (/tokens answers how many), and the
 * tenant says how: "good" gives token-N for an hour, "short" for two seconds, "refused" an OAuth error, "flaky" 503
 * every other time, "down" always, "late" wants a clock an hour ahead, "odd" something else, "user" a refresh token and
 * an id token too, "capable" an even token-N where "nbf" is asked for and an odd one elsewhere. Beside it /devicecode
 * gives a device code; "user" answers every other poll with it, and is pending in between. /private answers 204 to an
 * even token-N, and 401 with a claims challenge for "nbf" to an odd one.
 */
#ifndef SERVER_H
#define SERVER_H

struct server {
    int  pid;
    int  port;
    char endpoint[64];
    char ca_file[64];    /* its own certificate, for localhost and 127.0.0.1 */
    char thumbprint[41]; /* of that: SHA-1, hex */
};

enum server_certificate { SERVER_GOOD, SERVER_EXPIRED, SERVER_WRONG_NAME };

void server_start(struct server *s, enum server_certificate kind); /* exits the test on failure */
void server_stop(struct server *s);

#endif
