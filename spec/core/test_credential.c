/* spec/core/test_credential.c - a credential's steps without a network: what it asks for, what it makes of the answers,
 * and what two of them do that share a sign-in, as two processes would.
 */
#include "check.h"
#include "fakes.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/identity/credential.h"
#include "core/identity/printed.h"
#include "core/identity/stored.h"
#include "core/wire/global.h"

#include <limits.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* "a key of a store nobody may see!" */
#define KEY "YSBrZXkgb2YgYSBzdG9yZSBub2JvZHkgbWF5IHNlZSE="

static struct mgc_error     error;
static struct mgc_uuid_pool ids;
static char                 folder[64], path[80];

/* ---- what the tests share ------------------------------------------------------------------------ */

static void begin_folder(void)
{
    strcpy(folder, "/tmp/msgraph-credential-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/sign-in", folder);
}

static void end_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    CHECK(system(command) == 0);
}

static struct mgc_store *open_store(void)
{
    struct mgc_store     *s   = NULL;
    struct mgc_vault_key *key = NULL;
    CHECK_INT(MGC_OK, mgc_vault_from_base64(&key, KEY, strlen(KEY), "it", &error));
    CHECK_INT(MGC_OK, mgc_store_open(&s, path, key, &error));
    return s;
}

static struct mgc_credential *new_user(const char *refresh_token, struct mgc_store *store)
{
    struct mgc_credential              *c = NULL;
    const struct mgc_credential_options o = {.grant           = MGC_REFRESH,
                                             .authority       = "https://login.example",
                                             .tenant          = "contoso.com",
                                             .proof.client_id = "client",
                                             .scope           = "https://graph/.default",
                                             .refresh_token   = refresh_token,
                                             .store           = store};
    CHECK_INT(MGC_OK, mgc_credential_new(&c, &o, &error));
    return c;
}

static struct mgc_credential *new_app(void)
{
    struct mgc_credential              *c = NULL;
    const struct mgc_credential_options o = {.grant               = MGC_CLIENT_CREDENTIALS,
                                             .authority           = "https://login.example",
                                             .tenant              = "contoso.com",
                                             .proof.client_id     = "client",
                                             .proof.client_secret = "secret",
                                             .scope               = "https://graph/.default"};
    CHECK_INT(MGC_OK, mgc_credential_new(&c, &o, &error));
    return c;
}

/* One that shares the sign-in in the file as another process would, with a store of its own. */
static struct mgc_credential *new_process(void)
{
    struct mgc_store      *s = open_store();
    struct mgc_credential *c = new_user(NULL, s);
    mgc_store_unref(s);
    return c;
}

static mgc_code begin_code(struct mgc_credential *c, mgc_step step, struct mgc_request **r)
{
    return mgc_credential_begin(c, step, r, &ids, &error);
}

/* Begins a step; the request, which the caller frees. */
static struct mgc_request *ask(struct mgc_credential *c, mgc_step step)
{
    struct mgc_request *r = NULL;
    CHECK_INT(MGC_OK, begin_code(c, step, &r));
    CHECK(r != NULL);
    return r;
}

static void asks(struct mgc_credential *c, mgc_step step)
{
    mgc_request_free(ask(c, step));
}

static bool has(const struct mgc_request *r, const char *text)
{
    return memmem(r->body, r->body_len, text, strlen(text)) != NULL;
}

/* Hands the credential an answer. */
static mgc_code answer_after(struct mgc_credential *c, int status, const char *body,
                             int64_t *again_ms)
{
    struct mgc_attempt a = {.status = status};
    mgc_buf_init(&a.headers, 1000);
    mgc_buf_init(&a.body, 10000);
    a.body.secret = true;
    CHECK_INT(MGC_OK, mgc_buf_append(&a.body, body, strlen(body)));
    mgc_code rc = mgc_credential_settle(c, &a, mgc_now_ms(), false, again_ms, &error);
    mgc_buf_clear(&a.body);
    return rc;
}

static mgc_code answer(struct mgc_credential *c, int status, const char *body)
{
    int64_t again_ms;
    return answer_after(c, status, body, &again_ms);
}

#define TOKEN(access) "{\"access_token\":\"" access "\",\"expires_in\":3600}"
#define TOKENS(access, refresh)                                                                    \
    "{\"access_token\":\"" access "\",\"refresh_token\":\"" refresh "\",\"expires_in\":3600}"

/* The token to send, or "". */
static const char *token_of(const struct mgc_credential *c)
{
    const struct mgc_token *t = mgc_credential_token(c, mgc_now_ms());
    return t != NULL ? t->authorization.text + MGC_TOKEN_AT : "";
}

static void refuse_token(struct mgc_credential *c, const char *claims)
{
    CHECK(mgc_credential_refused(c, mgc_credential_token(c, mgc_now_ms()), claims));
    CHECK_TEXT("", token_of(c));
}

/* Its token is refused: it asks for the next. */
static struct mgc_request *renew(struct mgc_credential *c)
{
    refuse_token(c, NULL);
    return ask(c, MGC_RENEW);
}

static void renews(struct mgc_credential *c)
{
    mgc_request_free(renew(c));
}

/* The credential that signed in by device code, with these tokens. */
static void sign_in(struct mgc_credential *c, const char *tokens)
{
    asks(c, MGC_DEVICE_START);
    CHECK_INT(MGC_OK, answer(c, 200,
                             "{\"device_code\":\"d3vice-code\",\"user_code\":\"ABC\","
                             "\"verification_uri\":\"https://x\"}"));
    asks(c, MGC_DEVICE_POLL);
    CHECK_INT(MGC_OK, answer(c, 200, tokens));
}

/* ---- device answers ------------------------------------------------------------------------------ */

static mgc_code read_device(struct mgc_prompt *p, const char *json)
{
    struct mgc_secret code = {0};
    mgc_code          rc   = mgc_device_read(p, &code, json, strlen(json));
    CHECK((rc == MGC_OK) == (code.text != NULL));
    mgc_secret_clear(&code);
    return rc;
}

#define DEVICE(more) "{\"device_code\":\"d\",\"user_code\":\"ABC\"," more "}"
#define DEVICE_URI   "\"verification_uri\":\"https://x/y\""

static void test_device_answers(void)
{
    struct mgc_prompt p;
    CHECK_INT(MGC_OK, read_device(&p, DEVICE(DEVICE_URI)));
    CHECK_TEXT("ABC", p.user_code);
    CHECK_TEXT("https://x/y", p.verification_uri);
    CHECK_TEXT("", p.message);
    CHECK_INT(900, p.life_s); /* Entra's; RFC 8628 has no default */
    CHECK_INT(5, p.interval_s);
    CHECK_INT(MGC_OK, read_device(&p, DEVICE("\"verification_url\":\"https://z\",\"expires_in\":"
                                             "\"60\",\"interval\":2,\"message\":\"do it\"")));
    CHECK_TEXT("https://z", p.verification_uri);
    CHECK_TEXT("do it", p.message);
    CHECK_INT(60, p.life_s);
    CHECK_INT(2, p.interval_s);
}

static void test_numbers_of_a_device_answer_are_bounded(void)
{
    struct mgc_prompt p;
    CHECK_INT(MGC_OK,
              read_device(&p, DEVICE(DEVICE_URI ",\"expires_in\":1e300,\"interval\":1e300")));
    CHECK_INT(24 * 3600, p.life_s);
    CHECK_INT(300, p.interval_s);
    CHECK_INT(MGC_OK, read_device(&p, DEVICE(DEVICE_URI ",\"expires_in\":-1,\"interval\":\"x\"")));
    CHECK_INT(900, p.life_s);
    CHECK_INT(5, p.interval_s);
}

/* What is shown commands no terminal: neither by ESC nor by the one character that stands for ESC [. */
static void test_a_prompt_holds_no_control_characters(void)
{
    struct mgc_prompt p;
    CHECK_INT(MGC_OK,
              read_device(&p, DEVICE(DEVICE_URI ",\"message\":\"a\\u001b[2Jb\\u007fc\\u009b2Jd"
                                                "\\u00a0\\u00e9\\n\"")));
    CHECK_TEXT("a [2Jb c  2Jd\xc2\xa0\xc3\xa9 ", p.message);
}

static void test_what_is_no_device_answer(void)
{
    static const char *const cases[] = {
        "",
        "[]",
        "{}",
        DEVICE("\"x\":1"),
        DEVICE("\"verification_uri\":\"\""),
        DEVICE("\"verification_uri\":5"),
        "{\"user_code\":\"ABC\"," DEVICE_URI "}",
        "{\"device_code\":\"\",\"user_code\":\"ABC\"," DEVICE_URI "}",
        "{\"device_code\":\"d\",\"user_code\":5," DEVICE_URI "}",
        "{\"device_code\":\"d\",\"device_code\":\"e\",\"user_code\":\"A\"," DEVICE_URI "}"};
    struct mgc_prompt p;
    char              json[2 * sizeof p.verification_uri];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_INT(MGC_EANSWER, read_device(&p, cases[i]));
    snprintf(json, sizeof json, DEVICE("\"verification_uri\":\"%*d\""),
             (int)sizeof p.verification_uri, 0);
    CHECK_INT(MGC_EANSWER, read_device(&p, json)); /* half an address is none */
}

/* ---- what az prints ------------------------------------------------------------------------------ */

enum { NOW = 1700000000 };

static mgc_code read_printed(const char *json, int64_t *life_s)
{
    struct mgc_secret token = {0};
    mgc_code          rc    = mgc_printed_read(&token, life_s, json, strlen(json), NOW, &error);
    CHECK((rc == MGC_OK) == (token.text != NULL));
    if (rc == MGC_OK)
        CHECK_TEXT("t0ken-of-az", token.text);
    mgc_secret_clear(&token);
    return rc;
}

#define PRINTED(more) "{\"accessToken\":\"t0ken-of-az\"," more "}"

static void test_what_az_prints(void)
{
    int64_t   life_s;
    char      json[200], local[64];
    time_t    then = NOW + 4000;
    struct tm tm;
    CHECK_INT(MGC_OK, read_printed(PRINTED("\"expires_on\":1700003600"), &life_s));
    CHECK_INT(3600, life_s);
    strftime(local, sizeof local, "%Y-%m-%d %H:%M:%S", localtime_r(&then, &tm));
    snprintf(json, sizeof json, PRINTED("\"expiresOn\":\"%s.000000\""), local); /* before 2.54 */
    CHECK_INT(MGC_OK, read_printed(json, &life_s));
    CHECK_INT(4000, life_s);
    snprintf(json, sizeof json, PRINTED("\"expires_on\":1700003600,\"expiresOn\":\"%s\""), local);
    CHECK_INT(MGC_OK, read_printed(json, &life_s));
    CHECK_INT(3600, life_s); /* the one without a time zone to guess */
}

static void test_what_az_does_not_print(void)
{
    static const char *const cases[] = {"",
                                        "ERROR: x",
                                        "[]",
                                        "{}",
                                        PRINTED("\"x\":1"),
                                        PRINTED("\"expires_on\":1700000000"), /* just now */
                                        PRINTED("\"expires_on\":-1"),
                                        PRINTED("\"expires_on\":9223372036854775807"),
                                        PRINTED("\"expiresOn\":\"soon\""),
                                        PRINTED("\"expires_on\":\"1700003600\""),
                                        "{\"accessToken\":\"\",\"expires_on\":1700003600}",
                                        "{\"accessToken\":5,\"expires_on\":1700003600}"};
    int64_t                  life_s;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_INT(MGC_EANSWER, read_printed(cases[i], &life_s));
        CHECK(strstr(error.message, "t0ken") == NULL);
    }
}

static void test_readers_survive_every_lack_of_memory(void)
{
    const long        live = fake_mem_live();
    struct mgc_prompt p;
    int64_t           life_s;
    mgc_code          rc = MGC_ENOMEM;
    long              n  = 0;
    for (; rc != MGC_OK; n++) {
        fake_mem_fail_at(n);
        rc = read_printed(PRINTED("\"expires_on\":1700003600"), &life_s);
        fake_mem_fail_at(-1);
        CHECK_INT(live, fake_mem_live());
    }
    rc = MGC_ENOMEM;
    for (n = 0; rc != MGC_OK; n++) {
        fake_mem_fail_at(n);
        rc = read_device(&p, DEVICE(DEVICE_URI));
        fake_mem_fail_at(-1);
        CHECK_INT(live, fake_mem_live());
    }
    CHECK(n > 1);
}

/* ---- claims -------------------------------------------------------------------------------------- */

#define CLAIMS "{\"access_token\":{\"nbf\":{\"essential\":true,\"value\":\"17\"}}}"

static bool asks_for(const struct mgc_request *r, bool challenge)
{
    return has(r, "xms_cc") && has(r, "cp1") && has(r, "nbf") == challenge;
}

static void test_a_challenge_is_asked_for_once(void)
{
    struct mgc_credential *c = new_app();
    struct mgc_request    *r = ask(c, MGC_RENEW);
    CHECK(asks_for(r, false));
    mgc_request_free(r);
    CHECK_INT(MGC_OK, answer(c, 200, TOKEN("first")));
    refuse_token(c, CLAIMS);
    CHECK(mgc_credential_wants(c, mgc_now_ms()));
    r = ask(c, MGC_RENEW);
    CHECK(asks_for(r, true));
    mgc_request_free(r);
    CHECK_INT(MGC_OK, answer(c, 200, TOKEN("second")));
    CHECK_TEXT("second", token_of(c));
    r = ask(c, MGC_RENEW);
    CHECK(asks_for(r, false));
    mgc_request_free(r);
    mgc_credential_abandon(c, MGC_ECANCELLED);
    mgc_credential_unref(c);
}

/* The token under way was asked for before the server said what it wants of it. */
static void test_a_challenge_while_a_token_is_under_way(void)
{
    struct mgc_credential *c = new_app();
    asks(c, MGC_RENEW);
    CHECK_INT(MGC_OK, answer(c, 200, TOKEN("first")));
    asks(c, MGC_RENEW); /* in the background, say */
    refuse_token(c, CLAIMS);
    CHECK_INT(MGC_OK, answer(c, 200, TOKEN("second")));
    CHECK_TEXT("", token_of(c));
    CHECK(mgc_credential_wants(c, mgc_now_ms()));
    struct mgc_request *r = ask(c, MGC_RENEW);
    CHECK(asks_for(r, true));
    mgc_request_free(r);
    CHECK_INT(MGC_OK, answer(c, 200, TOKEN("third")));
    CHECK_TEXT("third", token_of(c));
    asks(c, MGC_RENEW);
    refuse_token(c, NULL); /* it wants nothing of the next: that one will do */
    CHECK_INT(MGC_OK, answer(c, 200, TOKEN("fourth")));
    CHECK_TEXT("fourth", token_of(c));
    mgc_credential_unref(c);
}

static void test_claims_of_a_refusal_go_with_the_next_sign_in(void)
{
    struct mgc_credential *c = new_user("refresh", NULL);
    asks(c, MGC_RENEW);
    CHECK_INT(MGC_ETOKEN,
              answer(c, 400,
                     "{\"error\":\"interaction_required\",\"suberror\":\"basic_action\",\"claims\":"
                     "\"{\\\"access_token\\\":{\\\"nbf\\\":{\\\"value\\\":\\\"17\\\"}}}\"}"));
    CHECK_TEXT("interaction_required", error.word);
    CHECK_TEXT("basic_action", error.subword);
    CHECK(mgc_credential_needs_user(c, mgc_now_ms()));
    struct mgc_buf claims;
    mgc_buf_init(&claims, 1000);
    CHECK_INT(MGC_OK, mgc_credential_claims(c, &claims));
    CHECK(strstr(mgc_buf_text(&claims), "\"nbf\"") != NULL);
    mgc_buf_clear(&claims);
    CHECK_INT(MGC_OK, mgc_credential_bring(c, "code", "verifier", "http://localhost:1"));
    struct mgc_request *r = ask(c, MGC_REDEEM);
    CHECK(asks_for(r, true));
    mgc_request_free(r);
    CHECK_INT(MGC_OK, answer(c, 200, TOKENS("t", "r")));
    CHECK(!mgc_credential_needs_user(c, mgc_now_ms()));
    mgc_credential_unref(c);
}

/* ---- sign-ins ------------------------------------------------------------------------------------ */

static void test_a_new_sign_in_forgets_the_one_before(void)
{
    struct mgc_credential *c = new_user("refresh-of-ada", NULL);
    sign_in(c, TOKEN("access-of-grace")); /* and nothing to renew it with */
    CHECK_TEXT("access-of-grace", token_of(c));
    struct mgc_request *r = NULL;
    CHECK_INT(MGC_EREQUEST, begin_code(c, MGC_RENEW, &r));
    mgc_credential_refused(c, mgc_credential_token(c, mgc_now_ms()), NULL);
    CHECK(mgc_credential_needs_user(c, mgc_now_ms()));
    mgc_credential_unref(c);
}

static void test_a_renewed_refresh_token_is_the_next_to_be_spent(void)
{
    struct mgc_credential *c = new_user("refresh-1", NULL);
    asks(c, MGC_RENEW);
    CHECK_INT(MGC_OK, answer(c, 200, TOKENS("a", "refresh-2")));
    struct mgc_request *r = ask(c, MGC_RENEW);
    CHECK(has(r, "refresh_token=refresh-2&") || has(r, "refresh_token=refresh-2"));
    mgc_request_free(r);
    CHECK_INT(MGC_OK, answer(c, 200, TOKEN("b"))); /* it is not always replaced */
    r = ask(c, MGC_RENEW);
    CHECK(has(r, "refresh_token=refresh-2"));
    mgc_request_free(r);
    mgc_credential_abandon(c, MGC_ECANCELLED);
    mgc_credential_unref(c);
}

/* In a child of a fork the fetch under way is the parent's: it begins anew, with all its tries. */
static void test_a_fork_in_the_middle_of_a_fetch(void)
{
    struct mgc_credential *c = new_app();
    int64_t                again_ms;
    int                    status = 0;
    CHECK_INT(MGC_OK, mgc_global_init(&error)); /* counts forks, as each transport has it */
    asks(c, MGC_RENEW);
    CHECK_INT(MGC_ETOKEN, answer_after(c, 503, "", &again_ms));
    CHECK(again_ms >= 0 && mgc_credential_is_fetching(c));
    pid_t pid = fork();
    if (pid == 0) {
        struct mgc_request *r = NULL;
        bool ok = !mgc_credential_is_fetching(c) && mgc_credential_wants(c, mgc_now_ms()) &&
                  begin_code(c, MGC_RENEW, &r) == MGC_OK &&
                  answer_after(c, 503, "", &again_ms) == MGC_ETOKEN && again_ms >= 0;
        _exit(ok ? 0 : 1);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    struct mgc_request *r = NULL;
    CHECK_INT(MGC_EREQUEST, begin_code(c, MGC_RENEW, &r)); /* the parent's goes on */
    CHECK_INT(MGC_OK, answer(c, 200, TOKEN("t")));
    mgc_credential_unref(c);
}

/* ---- one sign-in, two processes ------------------------------------------------------------------ */

static void test_one_renews_and_the_other_takes_it_over(void)
{
    struct mgc_request *r = NULL;
    begin_folder();
    struct mgc_credential *a = new_process();
    sign_in(a, TOKENS("access-1", "refresh-1"));
    struct mgc_credential *b = new_process();
    CHECK_TEXT("access-1", token_of(b));
    refuse_token(a, NULL);
    refuse_token(b, NULL);
    asks(a, MGC_RENEW);
    CHECK_INT(MGC_EBUSY, begin_code(b, MGC_RENEW, &r));
    CHECK(mgc_credential_in_line_ms(b) != MGC_NEVER);
    CHECK(!mgc_credential_is_fetching(b) && !mgc_credential_wants(b, mgc_now_ms()));
    CHECK_INT(MGC_OK, answer(a, 200, TOKENS("access-2", "refresh-2")));
    CHECK_INT(MGC_OK, begin_code(b, MGC_RENEW, &r));
    CHECK(r == NULL); /* nothing to ask for */
    CHECK_TEXT("access-2", token_of(b));
    CHECK_INT(MGC_NEVER, mgc_credential_in_line_ms(b));
    CHECK(mgc_credential_token(b, mgc_now_ms())->adopted);
    refuse_token(b, NULL);
    r = ask(b, MGC_RENEW);
    CHECK(has(r, "refresh_token=refresh-2"));
    mgc_request_free(r);
    mgc_credential_unref(a);
    mgc_credential_abandon(b, MGC_ECANCELLED);
    mgc_credential_unref(b);
    end_folder();
}

static void test_who_gives_up_gives_the_turn_back(void)
{
    begin_folder();
    struct mgc_credential *a = new_process();
    sign_in(a, TOKENS("access-1", "refresh-1"));
    struct mgc_credential *b = new_process();
    renews(a);
    mgc_credential_abandon(a, MGC_ECANCELLED);
    renews(b);
    CHECK_INT(MGC_ETOKEN, answer(b, 400, "{\"error\":\"invalid_grant\"}"));
    asks(a, MGC_RENEW);
    mgc_credential_unref(a); /* in the middle of it, too */
    asks(b, MGC_RENEW);
    mgc_credential_abandon(b, MGC_ECANCELLED);
    mgc_credential_unref(b);
    end_folder();
}

static void test_a_sign_out_during_a_renewal_holds(void)
{
    begin_folder();
    struct mgc_credential *a = new_process();
    sign_in(a, TOKENS("access-1", "refresh-1"));
    renews(a);
    struct mgc_store *s = open_store();
    CHECK_INT(MGC_OK, mgc_store_sign_out(s, &error));
    CHECK_INT(MGC_OK, answer(a, 200, TOKENS("access-2", "refresh-2")));
    CHECK_TEXT("", token_of(a));
    CHECK(mgc_credential_needs_user(a, mgc_now_ms()) && !mgc_credential_wants(a, mgc_now_ms()));
    mgc_credential_failure(a, &error);
    CHECK(strstr(error.message, "nobody has signed in") != NULL);
    struct mgc_sign_in in = {0};
    CHECK_INT(MGC_OK, mgc_store_read(s, &in, &error));
    CHECK(in.signed_out && in.refresh_token.text == NULL);
    mgc_sign_in_clear(&in);
    mgc_store_unref(s);
    mgc_credential_unref(a);
    end_folder();
}

static void test_a_sign_out_is_noticed_when_a_token_is_needed(void)
{
    struct mgc_request *r = NULL;
    begin_folder();
    struct mgc_credential *a = new_process();
    sign_in(a, TOKENS("access-1", "refresh-1"));
    struct mgc_store *s = open_store();
    CHECK_INT(MGC_OK, mgc_store_sign_out(s, &error));
    mgc_store_unref(s);
    refuse_token(a, NULL);
    CHECK_INT(MGC_ETOKEN, begin_code(a, MGC_RENEW, &r));
    CHECK(strstr(error.message, "signed out") != NULL);
    CHECK_TEXT("", token_of(a));
    CHECK(mgc_credential_needs_user(a, mgc_now_ms()));
    mgc_credential_unref(a);
    end_folder();
}

/* The token that came is the other user's no more than the refresh token is. */
static void another_user(const char *tokens, const char *expected)
{
    begin_folder();
    struct mgc_credential *a = new_process(), *b = new_process();
    sign_in(a, TOKENS("access-of-ada", "refresh-of-ada"));
    renews(a);
    sign_in(b, tokens);
    CHECK_INT(MGC_OK, answer(a, 200, TOKENS("access-of-ada-2", "refresh-of-ada-2")));
    CHECK_TEXT(expected, token_of(a));
    mgc_credential_refused(a, mgc_credential_token(a, mgc_now_ms()), NULL);
    struct mgc_request *r = ask(a, MGC_RENEW);
    CHECK(has(r, "refresh_token=refresh-of-grace"));
    mgc_request_free(r);
    mgc_credential_abandon(a, MGC_ECANCELLED);
    mgc_credential_unref(a);
    mgc_credential_unref(b);
    end_folder();
}

static void test_another_sign_in_during_a_renewal_holds(void)
{
    another_user(TOKENS("access-of-grace", "refresh-of-grace"), "access-of-grace");
    another_user("{\"access_token\":\"short\",\"refresh_token\":\"refresh-of-grace\","
                 "\"expires_in\":60}",
                 ""); /* not worth taking over, and still not ada's */
}

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void test_a_renewal_that_can_not_be_written_is_used(void)
{
    begin_folder();
    signal(SIGXFSZ, SIG_IGN);
    struct mgc_credential *a = new_process();
    sign_in(a, TOKENS("access-1", "refresh-1"));
    renews(a);
    limit_files(0);
    mgc_code rc = answer(a, 200, TOKENS("access-2", "refresh-2"));
    limit_files(RLIM_INFINITY);
    CHECK_INT(MGC_OK, rc);
    CHECK_TEXT("access-2", token_of(a));
    struct mgc_credential *b = new_process();
    CHECK_TEXT("access-1", token_of(b)); /* what was there is whole */
    struct mgc_request *r = renew(a);
    CHECK(has(r, "refresh_token=refresh-2"));
    mgc_request_free(r);
    CHECK_INT(MGC_OK, answer(a, 200, TOKENS("access-3", "refresh-3")));
    refuse_token(b, NULL);
    CHECK_INT(MGC_OK, begin_code(b, MGC_RENEW, &r));
    CHECK_TEXT("access-3", token_of(b));
    mgc_credential_unref(a);
    mgc_credential_unref(b);
    end_folder();
}

static void test_a_sign_in_that_can_not_be_written_is_told(void)
{
    begin_folder();
    struct mgc_credential *a = new_process();
    CHECK_INT(MGC_OK, mgc_credential_bring(a, "code", "verifier", "http://localhost:1"));
    asks(a, MGC_REDEEM);
    limit_files(0);
    mgc_code rc = answer(a, 200, TOKENS("access-1", "refresh-1"));
    limit_files(RLIM_INFINITY);
    CHECK_INT(MGC_ESTORE, rc);
    CHECK(strstr(error.message, path) != NULL);
    mgc_credential_unref(a);
    end_folder();
}

static void test_a_date_of_the_store_is_not_trusted(void)
{
    static const int64_t dates[] = {INT64_MAX, INT64_MAX / 1000, 0, 1};
    for (size_t i = 0; i < sizeof dates / sizeof dates[0]; i++) {
        begin_folder();
        struct mgc_store  *s  = open_store();
        struct mgc_sign_in in = {.expires_s = dates[i]};
        CHECK_INT(MGC_OK, mgc_secret_set(&in.refresh_token, "", "r", 1));
        CHECK_INT(MGC_OK, mgc_secret_set(&in.access_token, "", "a", 1));
        CHECK_INT(MGC_OK, mgc_store_write(s, &in, &error));
        mgc_sign_in_clear(&in);
        mgc_store_unref(s);
        struct mgc_credential *c = new_process();
        CHECK_TEXT("", token_of(c));
        CHECK(mgc_credential_wants(c, mgc_now_ms()));
        mgc_credential_unref(c);
        end_folder();
    }
}

static void test_an_old_failure_is_not_told_again(void)
{
    begin_folder();
    struct mgc_credential *a = new_process();
    sign_in(a, TOKENS("access-1", "refresh-1"));
    renews(a);
    CHECK_INT(MGC_ETOKEN, answer(a, 400, "{\"error\":\"invalid_client\"}"));
    asks(a, MGC_RENEW);
    CHECK_INT(MGC_OK, answer(a, 200, TOKENS("access-2", "refresh-2")));
    mgc_credential_failure(a, &error);
    CHECK(strstr(error.message, "invalid_client") == NULL);
    mgc_credential_unref(a);
    end_folder();
}

/* ---- the turn ------------------------------------------------------------------------------------ */

static void test_the_turn_is_its_takers_own(void)
{
    bool news;
    begin_folder();
    struct mgc_store *s = open_store(), *other = open_store();
    struct mgc_stored a = {.store = mgc_store_ref(s)}, b = {.store = mgc_store_ref(s)};
    CHECK_INT(MGC_OK, mgc_stored_take(&a, 10000, &news, &error));
    CHECK_INT(MGC_EBUSY, mgc_stored_take(&b, 10000, &news, &error));
    mgc_stored_leave(&b); /* it has none to give back */
    CHECK_INT(MGC_EBUSY, mgc_store_lock(other, &error));
    for (int64_t at = 10050; at < 100000; at += 50)
        CHECK_INT(MGC_EBUSY, mgc_stored_take(&b, at, &news, &error));
    CHECK_INT(MGC_ESTORE, mgc_stored_take(&b, 100000, &news, &error)); /* long enough */
    CHECK_INT(MGC_EBUSY, mgc_store_lock(other, &error));
    mgc_stored_clear(&b);
    CHECK_INT(MGC_EBUSY, mgc_store_lock(other, &error));
    mgc_stored_clear(&a);
    CHECK_INT(MGC_OK, mgc_store_lock(other, &error));
    mgc_store_unref(other);
    mgc_store_unref(s);
    end_folder();
}

/* Nobody needed a token for an hour: that somebody was at it then says nothing about now. */
static void test_busy_long_ago_is_not_busy_since_then(void)
{
    bool news;
    begin_folder();
    struct mgc_store *other = open_store();
    struct mgc_stored b     = {.store = open_store()};
    CHECK_INT(MGC_OK, mgc_store_lock(other, &error));
    CHECK_INT(MGC_EBUSY, mgc_stored_take(&b, 10000, &news, &error));
    CHECK_INT(MGC_EBUSY, mgc_stored_take(&b, 3600000, &news, &error));
    CHECK_INT(MGC_EBUSY, mgc_stored_take(&b, 3600050, &news, &error));
    mgc_store_unlock(other);
    CHECK_INT(MGC_OK, mgc_stored_take(&b, 3600100, &news, &error));
    mgc_stored_clear(&b);
    mgc_store_unref(other);
    end_folder();
}

/* ---- what freed memory holds --------------------------------------------------------------------- */

/* A whole life: two sign-ins, a renewal, a refusal, the store read and written. */
static void live(void)
{
    int64_t           life_s;
    struct mgc_secret token = {0};
    begin_folder();
    struct mgc_credential *c = new_process();
    sign_in(c, "{\"access_token\":\"access-1-s3cr3t\",\"refresh_token\":\"refresh-1-s3cr3t\","
               "\"id_token\":\"id-s3cr3t\",\"expires_in\":3600}");
    CHECK_INT(MGC_OK, mgc_credential_bring(c, "c0de-s3cr3t", "v3rifier-s3cr3t", "http://x"));
    asks(c, MGC_REDEEM);
    CHECK_INT(MGC_OK, answer(c, 200, TOKENS("access-2-s3cr3t", "refresh-2-s3cr3t")));
    renews(c);
    CHECK_INT(MGC_OK, answer(c, 200, TOKENS("access-3-s3cr3t", "refresh-3-s3cr3t")));
    struct mgc_credential *other = new_process();
    CHECK_TEXT("access-3-s3cr3t", token_of(other));
    mgc_credential_unref(other);
    mgc_credential_unref(c);
    static const char printed[] = "{\"accessToken\":\"t0ken-of-az\",\"expires_on\":1700003600}";
    CHECK_INT(MGC_OK, mgc_printed_read(&token, &life_s, printed, strlen(printed), NOW, &error));
    mgc_secret_clear(&token);
    end_folder();
}

static void test_no_freed_memory_holds_a_secret(void)
{
    static const char *const secrets[] = {
        "s3cr3t", /* of all those tokens and codes */
        "d3vice-code",
        "t0ken-of-az",                      /**/
        "a key of a store nobody may see!", /* the bytes */
        KEY,
        "grant_type=",   /* a form, whatever it held */
        "\"signed_out\"" /* the store's document, decrypted */
    };
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++) {
        fake_mem_look_for(secrets[i]);
        live();
        if (fake_mem_seen())
            fprintf(stderr, "  %s\n", secrets[i]);
        CHECK(!fake_mem_seen());
        fake_mem_look_for(NULL);
    }
    char *own = mgc_malloc(32); /* it would be seen */
    CHECK(own != NULL);
    strcpy(own, "t0ken-of-az");
    fake_mem_look_for("t0ken-of-az");
    mgc_free(own);
    CHECK(fake_mem_seen());
    fake_mem_look_for(NULL);
}

int main(void)
{
    fake_mem_install();
    RUN(test_device_answers);
    RUN(test_numbers_of_a_device_answer_are_bounded);
    RUN(test_a_prompt_holds_no_control_characters);
    RUN(test_what_is_no_device_answer);
    RUN(test_what_az_prints);
    RUN(test_what_az_does_not_print);
    RUN(test_readers_survive_every_lack_of_memory);
    RUN(test_a_challenge_is_asked_for_once);
    RUN(test_a_challenge_while_a_token_is_under_way);
    RUN(test_claims_of_a_refusal_go_with_the_next_sign_in);
    RUN(test_a_new_sign_in_forgets_the_one_before);
    RUN(test_a_renewed_refresh_token_is_the_next_to_be_spent);
    RUN(test_a_fork_in_the_middle_of_a_fetch);
    RUN(test_one_renews_and_the_other_takes_it_over);
    RUN(test_who_gives_up_gives_the_turn_back);
    RUN(test_a_sign_out_during_a_renewal_holds);
    RUN(test_a_sign_out_is_noticed_when_a_token_is_needed);
    RUN(test_another_sign_in_during_a_renewal_holds);
    RUN(test_a_renewal_that_can_not_be_written_is_used);
    RUN(test_a_sign_in_that_can_not_be_written_is_told);
    RUN(test_a_date_of_the_store_is_not_trusted);
    RUN(test_an_old_failure_is_not_told_again);
    RUN(test_the_turn_is_its_takers_own);
    RUN(test_busy_long_ago_is_not_busy_since_then);
    RUN(test_no_freed_memory_holds_a_secret);
    return REPORT("credential");
}
