/* csrc/core/identity/settle.c - see credential.h: what became of a request for a token (fetch.c sends it). */
#include "core/base/clock.h"
#include "core/base/headers.h"
#include "core/base/mem.h"
#include "core/identity/answer.h"
#include "core/identity/credential.h"
#include "core/identity/credential_priv.h"
#include "core/identity/jwt_read.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    TRIES        = 2, /* a token request that failed for a passing reason is sent once more */
    AGAIN_MS     = 1000,
    AGAIN_MAX_MS = 30 * 1000,  /* and where that is waited out, ever more slowly */
    HINT_MAX_MS  = 30 * 1000,  /* a longer Retry-After is not waited for, but respected */
    FOR_USER_MS  = 120 * 1000, /* a refusal that only a user can mend is not met again so soon */
    RENEW_AGAIN_MAX_MS = 300 * 1000,
    WRITES             = 3, /* of a new sign-in, while others write, too */
    OFFSET_MIN_S       = 2
};

static void learn_clock(struct mgc_credential *c, const struct mgc_attempt *a)
{
    const char *date;
    size_t      n;
    char        text[64];
    if (!mgc_header_find(mgc_buf_text(&a->headers), a->headers.len, "Date", &date, &n) ||
        n >= sizeof text)
        return;
    memcpy(text, date, n);
    text[n]     = '\0';
    time_t then = curl_getdate(text, NULL);
    if (then == -1)
        return;
    int64_t offset = (int64_t)then - (int64_t)time(NULL);
    c->offset_s    = offset <= -OFFSET_MIN_S || offset >= OFFSET_MIN_S ? offset : 0;
}

static const char *text_or_null(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

/* Whose sign-in it is: written when a user has signed in, and kept from then on. */
static bool name_sign_in(const struct mgc_credential *c, const struct mgc_secret *id_token,
                         struct mgc_sign_in *in)
{
    const uint64_t      generation = in->generation;
    struct mgc_jwt_view who        = {0};
    if (id_token->text == NULL || mgc_jwt_read(id_token->text, id_token->len, &who) != MGC_OK)
        who.username[0] = '\0'; /* a sign-in like any other, of nobody we could name */
    mgc_sign_in_clear(in);
    in->generation = generation;
    return mgc_copy_text(&in->authority, c->login->base) &&
           mgc_copy_text(&in->tenant, who.tid[0] != '\0' ? who.tid : c->tenant) &&
           mgc_copy_text(&in->client_id, c->proof.client_id) &&
           mgc_copy_text(&in->scope, c->scope) &&
           mgc_copy_text(&in->username, text_or_null(who.username)) &&
           mgc_copy_text(&in->object_id, text_or_null(who.oid));
}

static mgc_code fill_sign_in(const struct mgc_credential *c, const struct mgc_token_answer *t,
                             int64_t life_s, struct mgc_sign_in *in)
{
    if (c->step != MGC_RENEW && !name_sign_in(c, &t->id_token, in)) {
        in->generation = 0; /* half of it is gone: what is in the store is news */
        return MGC_ENOMEM;
    }
    mgc_code rc =
        mgc_secret_set(&in->refresh_token, "", c->refresh_token.text, c->refresh_token.len);
    in->expires_s = (int64_t)time(NULL) + c->offset_s + life_s;
    return rc != MGC_OK
               ? rc
               : mgc_secret_set(&in->access_token, "", t->access_token.text, t->access_token.len);
}

/* Puts what came into the store. A new sign-in replaces whatever was written there meanwhile; a renewal does not: what
 * was written is a sign-out or somebody's new sign-in, and holds. That it can not be written or read for another reason
 * is the next process's trouble, which has to renew once more; a user who signs in hears of it. */
static mgc_code keep(struct mgc_credential *c, const struct mgc_token_answer *t, int64_t life_s,
                     struct mgc_error *e)
{
    struct mgc_stored *s    = &c->stored;
    bool               news = false;
    mgc_code           rc   = MGC_EBUSY;
    if (c->refresh_token.text == NULL)
        return mgc_error_set(e, MGC_EANSWER, "%s sent no refresh token to keep", c->login->base);
    for (int i = 0; rc == MGC_EBUSY && i < WRITES; i++) {
        rc = fill_sign_in(c, t, life_s, &s->in);
        rc = rc == MGC_OK ? mgc_store_write(s->store, &s->in, e) : mgc_error_set(e, rc, NULL);
        if (rc == MGC_EBUSY && mgc_stored_read(s, &news, e) != MGC_OK)
            rc = e->code;
        if (rc == MGC_EBUSY && news && c->step == MGC_RENEW)
            return mgc_credential_adopt(c, mgc_now_ms()) == MGC_OK
                       ? MGC_OK
                       : mgc_error_set(e, MGC_ENOMEM, NULL);
    }
    return c->step == MGC_RENEW ? MGC_OK : rc;
}

/* Before the rest: it may be the only one that is still good. After a sign-in the one before is not the user's. */
static mgc_code take_refresh_token(struct mgc_credential *c, const struct mgc_token_answer *t)
{
    if (c->step != MGC_RENEW)
        mgc_secret_clear(&c->refresh_token);
    if (t->refresh_token.text == NULL || c->grant != MGC_REFRESH)
        return MGC_OK;
    return mgc_secret_set(&c->refresh_token, "", t->refresh_token.text, t->refresh_token.len);
}

/* A challenge that came while the token was under way was not about that one: it is asked for once more. */
static void settle_claims(struct mgc_credential *c)
{
    if (c->claims_asked || c->claims.len == 0) {
        mgc_credential_want_claims(c, NULL);
        return;
    }
    mgc_token_unref(c->token);
    c->token = NULL;
}

static mgc_code take_token(struct mgc_credential *c, const struct mgc_token_answer *t,
                           struct mgc_error *e)
{
    const char *fault = mgc_token_fault(t->access_token.text, t->access_token.len);
    if (fault != NULL)
        return mgc_error_set(e, MGC_EANSWER, "the access token: %s", fault);
    /* counted from when it was asked for: never too long */
    int64_t  life_s = t->life_s > 0 ? t->life_s : 3600;
    mgc_code rc     = take_refresh_token(c, t);
    if (rc == MGC_OK)
        rc = mgc_credential_set_token(c, t->access_token.text, t->access_token.len, c->began_ms,
                                      life_s * 1000, t->refresh_s * 1000);
    if (rc != MGC_OK)
        return mgc_error_set(e, rc, NULL);
    if (c->stored.store != NULL)
        rc = keep(c, t, life_s, e);
    if (rc != MGC_OK)
        return rc;
    settle_claims(c);
    c->served     = true;
    c->needs_user = false;
    mgc_secret_clear(&c->device_code); /* each is good for one token */
    mgc_secret_clear(&c->code);
    mgc_secret_clear(&c->verifier);
    return MGC_OK;
}

static mgc_code take_prompt(struct mgc_credential *c, const struct mgc_attempt *a,
                            struct mgc_error *e)
{
    mgc_code rc = mgc_device_read(&c->prompt, &c->device_code, mgc_buf_text(&a->body), a->body.len);
    return rc == MGC_OK ? MGC_OK
                        : mgc_error_set(e, rc, "%s answered HTTP %d, and no device code",
                                        c->login->base, a->status);
}

/* Words that say: the user must come (RFC 6749 5.2, OpenID Connect Core 3.1.2.6). */
static bool is_for_user(const char *error)
{
    static const char *const words[] = {"invalid_grant", "interaction_required", "login_required",
                                        "consent_required"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(error, words[i]) == 0)
            return true;
    return false;
}

static mgc_code refuse(struct mgc_credential *c, const struct mgc_token_answer *t,
                       struct mgc_error *e)
{
    c->needs_user |= c->step == MGC_RENEW && is_for_user(t->error);
    if (t->claims.len > 0) /* what the user has to fulfil when he signs in */
        mgc_credential_want_claims(c, mgc_buf_text(&t->claims));
    mgc_error_set(e, MGC_ETOKEN, "%s%s%s", t->error, t->error[0] != '\0' ? ": " : "", t->text);
    snprintf(e->word, sizeof e->word, "%.*s", MGC_WORD_MAX - 1, t->error);
    snprintf(e->subword, sizeof e->subword, "%.*s", MGC_WORD_MAX - 1, t->suberror);
    return MGC_ETOKEN;
}

/* Nothing says that the next try would end the same. */
static bool is_passing(const struct mgc_attempt *a)
{
    return a->error.code != MGC_OK || a->status >= 500 || a->status == 429 || a->status == 408;
}

static bool is_final(mgc_code code)
{
    return code == MGC_ENOMEM || code == MGC_ECANCELLED;
}

static mgc_code judge_managed(struct mgc_credential *c, const struct mgc_attempt *a, int64_t now_ms,
                              int64_t *again_ms, struct mgc_error *e)
{
    struct mgc_token_answer t = {0};
    if (a->error.code == MGC_OK)
        learn_clock(c, a); /* some say when a token ends, by their own clock */
    mgc_code rc = mgc_managed_settle(c->managed, a, now_ms, (int64_t)time(NULL) + c->offset_s, &t,
                                     again_ms, e);
    if (rc == MGC_OK)
        rc = take_token(c, &t, e);
    mgc_answer_clear(&t);
    return rc;
}

/* `*again_ms` >= 0 when it is worth a second try at once or a little later. */
static mgc_code judge(struct mgc_credential *c, const struct mgc_attempt *a, int64_t *again_ms,
                      struct mgc_error *e)
{
    struct mgc_token_answer t = {0};
    int64_t ms = mgc_retry_after_ms(mgc_buf_text(&a->headers), a->headers.len, time(NULL));
    if (a->error.code != MGC_OK) {
        *again_ms = is_final(a->error.code) ? -1 : AGAIN_MS;
        return mgc_error_set(e, a->error.code, "while signing in at %s: %s", c->login->base,
                             mgc_error_detail(&a->error));
    }
    learn_clock(c, a);
    if (is_passing(a)) {
        *again_ms = ms < 0 ? AGAIN_MS : ms <= HINT_MAX_MS ? ms : -1;
        mgc_error_set(e, MGC_ETOKEN, "%s answered HTTP %d", c->login->base, a->status);
        snprintf(e->word, sizeof e->word, "temporarily_unavailable"); /* RFC 6749's word for it */
        return MGC_ETOKEN;
    }
    if (c->step == MGC_DEVICE_START && a->status == 200)
        return take_prompt(c, a, e);
    mgc_code rc = mgc_answer_read(&t, mgc_buf_text(&a->body), a->body.len);
    if (rc != MGC_OK)
        return mgc_error_set(e, rc, "%s answered HTTP %d, and no token", c->login->base, a->status);
    if (t.access_token.text != NULL) {
        rc = take_token(c, &t, e);
    } else {
        rc        = refuse(c, &t, e);
        *again_ms = t.clock_wrong && !c->clock_mended ? 0 : -1;
        c->clock_mended |= t.clock_wrong;
    }
    mgc_answer_clear(&t);
    return rc;
}

static void note_failure(struct mgc_credential *c, const struct mgc_attempt *a, int64_t now_ms,
                         const struct mgc_error *e)
{
    int64_t hint = mgc_retry_after_ms(mgc_buf_text(&a->headers), a->headers.len, time(NULL));
    c->failure   = *e;
    if (mgc_credential_freshness(c, now_ms) !=
        MGC_STALE) { /* the renewal failed; the token is still good */
        c->next_try_ms    = mgc_earlier(now_ms + c->renew_again_ms, c->token->stale_ms);
        c->renew_again_ms = mgc_earlier(2 * c->renew_again_ms, RENEW_AGAIN_MAX_MS);
    } else if (is_passing(a)) {
        c->next_try_ms = hint >= 0 ? now_ms + hint : now_ms;
    } else {
        c->next_try_ms = now_ms + (c->needs_user ? FOR_USER_MS : MGC_REFUSED_MS);
    }
}

/* A first sign-in that fails shall be heard of soon: it may be a wrong address. One that has worked will again. */
static bool is_waited_out(const struct mgc_credential *c, const struct mgc_attempt *a, bool awaited)
{
    return awaited && c->served && is_passing(a);
}

/* Doubled each time, half of it by chance: thousands may have met the same outage. */
static int64_t outage_wait_ms(const struct mgc_credential *c)
{
    int     doublings = c->tries - TRIES;
    int64_t ms        = doublings < 16 ? mgc_earlier((int64_t)AGAIN_MS << doublings, AGAIN_MAX_MS)
                                       : AGAIN_MAX_MS;
    return ms - (int64_t)((double)ms / 2 * mgc_credential_jitter());
}

/* Whether the request is sent again, and when. */
static bool goes_on(struct mgc_credential *c, const struct mgc_attempt *a, bool awaited,
                    int64_t *again_ms)
{
    if (*again_ms < 0)
        return false;
    if (c->managed != NULL || c->tries < TRIES || !is_passing(a)) /* it was our clock: once */
        return true;
    if (!is_waited_out(c, a, awaited))
        return false;
    int64_t ms = outage_wait_ms(c);
    *again_ms  = ms > *again_ms ? ms : *again_ms;
    return true;
}

mgc_code mgc_credential_settle(struct mgc_credential *c, const struct mgc_attempt *a,
                               int64_t now_ms, bool awaited, int64_t *again_ms, struct mgc_error *e)
{
    *again_ms   = -1;
    mgc_code rc = c->managed != NULL ? judge_managed(c, a, now_ms, again_ms, e)
                                     : judge(c, a, again_ms, e);
    c->tries++;
    if (rc != MGC_OK && goes_on(c, a, awaited, again_ms)) { /* still fetching */
        c->failure     = *e;
        c->next_try_ms = now_ms + *again_ms;
        return rc;
    }
    *again_ms   = -1;
    c->fetching = false;
    c->tries    = 0;
    mgc_stored_leave(&c->stored);
    if (rc == MGC_OK) {
        c->renew_again_ms = MGC_RENEW_AGAIN_MS;
        c->clock_mended   = false;
        c->next_try_ms    = 0;
        c->failure.code   = MGC_OK;
    } else if (c->step == MGC_RENEW) { /* the other steps have somebody who hears of it */
        note_failure(c, a, now_ms, e);
    }
    return rc;
}
