/* csrc/core/base/error.h - the one list of what can go wrong, and the error a caller gets.
 *
 * Every code has a name for programs, a kind (the word an author branches on) and a
 * sentence for people. Nothing in here, or in a message built from it, ever holds a secret.
 */
#ifndef MGC_ERROR_H
#define MGC_ERROR_H

#define MGC_NODISCARD __attribute__((warn_unused_result))

/* clang-format off */
/* code, name, kind, sentence */
#define MGC_ERROR_MAP(X)                                                                           \
    X(OK,                 "ok",                 "ok",        "no error")                           \
    X(ENOMEM,             "no_memory",          "network",   "not enough memory")                  \
    X(EREQUEST,           "bad_request",        "invalid",   "the request can not be sent as it is") \
    X(EOPTION,            "bad_option",         "invalid",   "an option can not be used")          \
    X(EFOREIGN,           "foreign_url",        "invalid",   "the URL belongs to another server")  \
    X(EFORKED,            "forked",             "invalid",   "made by another process: connect again after a fork") \
    X(EPROGRAM,           "program",            "invalid",   "another program could not be run")   \
    X(ECANCELLED,         "cancelled",          "cancelled", "cancelled")                          \
    X(EDNS,               "dns",                "network",   "the host name could not be resolved") \
    X(ECONNECT,           "connect",            "network",   "no connection could be made")        \
    X(ETOKEN,             "token_refused",      "auth",      "no access token")                    \
    X(ESTORE,             "store",              "auth",      "the stored sign-in can not be used") \
    X(EBUSY,              "store_busy",         "auth",      "another process is at work on the stored sign-in") \
    X(EPROXY,             "proxy",              "network",   "the proxy refused the connection")   \
    X(ETLS,               "tls",                "network",   "the TLS handshake failed")           \
    X(ETLS_UNTRUSTED,     "tls_untrusted",      "network",   "the server's certificate is signed by no trusted authority") \
    X(ETLS_NAME,          "tls_name",           "network",   "the server's certificate is for another name") \
    X(ETLS_EXPIRED,       "tls_expired",        "network",   "the server's certificate has expired or is not yet valid") \
    X(ERESET,             "reset",              "network",   "the connection was lost before an answer came") \
    X(ETRUNCATED,         "truncated",          "network",   "the answer was cut off")             \
    X(ETIMEOUT_CONNECT,   "timeout_connect",    "timeout",   "no connection in time")              \
    X(ETIMEOUT_FIRST_BYTE,"timeout_first_byte", "timeout",   "no answer in time")                  \
    X(ETIMEOUT_STALL,     "timeout_stall",      "timeout",   "the answer stopped coming")          \
    X(ETIMEOUT,           "timeout",            "timeout",   "not finished in time")               \
    X(ETHROTTLED,         "throttled",          "throttled", "the service wants to be left alone for longer than there is time") \
    X(ETOO_LARGE,         "body_too_large",     "protocol",  "the answer is larger than allowed")  \
    X(EANSWER,            "bad_answer",         "protocol",  "the answer is not HTTP as it should be") \
    X(EINTERNAL,          "internal",           "network",   "libcurl or the system refused a call")
/* clang-format on */

typedef enum mgc_code {
#define X(code, name, kind, sentence) MGC_##code,
    MGC_ERROR_MAP(X)
#undef X
        MGC_CODES
} mgc_code;

/* How far a request came when it ended. */
typedef enum mgc_phase {
    MGC_NOT_SENT, /* nothing of it left this process */
    MGC_SENT,     /* perhaps all of it: the server may have acted */
    MGC_ANSWERED  /* an answer began */
} mgc_phase;

enum { MGC_MESSAGE_MAX = 256, MGC_WORD_MAX = 48 };

struct mgc_error {
    mgc_code code;
    char     message[MGC_MESSAGE_MAX]; /* one sentence, NUL-terminated */
    char     word[MGC_WORD_MAX];       /* the peer's own word for it (OAuth's `error`), or "" */
    char     subword[MGC_WORD_MAX];    /* its closer word (Entra's `suberror`), or "" */
};

const char *mgc_code_name(mgc_code code);
const char *mgc_code_kind(mgc_code code);
const char *mgc_code_sentence(mgc_code code);
const char *mgc_phase_name(mgc_phase phase);

/* The part of the message after the code's sentence; the sentence where there is none. */
const char *mgc_error_detail(const struct mgc_error *e);

/* Fills `e` and returns `code`, so that a function can `return mgc_error_set(...)`.
 * `detail` is printf-like and may be NULL; the message is "sentence: detail". */
mgc_code mgc_error_set(struct mgc_error *e, mgc_code code, const char *detail, ...)
    __attribute__((format(printf, 3, 4)));

#endif
