/* csrc/core/identity/proof.c - see proof.h. */
#include "core/identity/proof.h"

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/identity/jwt.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { FILE_MAX = 64 * 1024 };

static mgc_code copy_secret(struct mgc_secret *out, const char *text, mgc_code rc)
{
    return rc != MGC_OK || text == NULL ? rc : mgc_secret_set(out, "", text, strlen(text));
}

mgc_code mgc_proof_set(struct mgc_proof *p, const struct mgc_proof_options *o, struct mgc_error *e)
{
    p->alg      = o->rs256 ? MGC_RS256 : MGC_PS256;
    mgc_code rc = MGC_OK;
    if (!mgc_copy_text(&p->client_id, o->client_id) ||
        !mgc_copy_text(&p->assertion_file, o->assertion_file) ||
        !mgc_copy_text(&p->certificate, o->certificate))
        rc = MGC_ENOMEM;
    rc = copy_secret(&p->password, o->certificate != NULL ? o->password : NULL, rc);
    rc = copy_secret(&p->client_secret, o->client_secret, rc);
    if (rc != MGC_OK)
        return mgc_error_set(e, rc, NULL);
    return o->certificate == NULL ? MGC_OK : mgc_key_load(&p->key, o->certificate, o->password, e);
}

void mgc_proof_clear(struct mgc_proof *p)
{
    mgc_secret_clear(&p->client_secret);
    mgc_secret_clear(&p->password);
    mgc_key_free(p->key);
    mgc_free(p->certificate);
    mgc_free(p->assertion_file);
    mgc_free(p->client_id);
}

/* One that can not be read just now, perhaps because it is being written, leaves the one before. */
static void reload_key(struct mgc_proof *p)
{
    struct mgc_key  *fresh = NULL;
    struct mgc_error e;
    if (mgc_key_load(&fresh, p->certificate, p->password.text, &e) != MGC_OK)
        return;
    mgc_key_free(p->key);
    p->key = fresh;
}

static void sign_assertion(struct mgc_proof *p, struct mgc_form *f, const char *audience,
                           int64_t now_s, struct mgc_uuid_pool *ids)
{
    char           id[MGC_UUID_LEN + 1];
    struct mgc_buf jwt;
    mgc_buf_init(&jwt, SIZE_MAX);
    jwt.secret = true;
    f->rc      = mgc_uuid_make(ids, id);
    if (f->rc == MGC_OK) {
        const struct mgc_jwt_claims claims = {
            .client_id = p->client_id, .audience = audience, .id = id, .now = now_s};
        f->rc = mgc_jwt_assertion(&jwt, p->key, p->alg, &claims);
    }
    mgc_form_add(f, "client_assertion", mgc_buf_text(&jwt));
    mgc_buf_clear(&jwt);
}

static void read_assertion(const struct mgc_proof *p, struct mgc_form *f, struct mgc_error *e)
{
    char   text[FILE_MAX + 1];
    FILE  *file = fopen(p->assertion_file, "rb");
    size_t n    = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file == NULL || ferror(file))
        f->rc = mgc_error_set(e, MGC_EOPTION, "the token file %s can not be read: %s",
                              p->assertion_file, strerror(errno));
    if (file != NULL)
        fclose(file);
    while (n > 0 && (unsigned char)text[n - 1] <= ' ')
        n--;
    text[n] = '\0';
    mgc_form_add(f, "client_assertion", text);
    mgc_wipe(text, sizeof text);
}

void mgc_proof_add(struct mgc_proof *p, struct mgc_form *f, const char *audience, int64_t now_s,
                   struct mgc_uuid_pool *ids, struct mgc_error *e)
{
    static const char bearer[] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    e->code                    = MGC_OK;
    mgc_form_add(f, "client_id", p->client_id);
    if (p->client_secret.text != NULL)
        mgc_form_add(f, "client_secret", p->client_secret.text);
    if ((p->key != NULL || p->assertion_file != NULL) && f->rc == MGC_OK) {
        mgc_form_add(f, "client_assertion_type", bearer);
        if (p->key != NULL) {
            reload_key(p);
            sign_assertion(p, f, audience, now_s, ids);
        } else {
            read_assertion(p, f, e);
        }
    }
    if (f->rc != MGC_OK && e->code == MGC_OK)
        mgc_error_set(e, f->rc, "while a token was asked for");
}
