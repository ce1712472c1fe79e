/* csrc/core/identity/claims.c - see claims.h. */
#include "core/identity/claims.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static json_t *read_object(const char *text, size_t n)
{
    json_t *document = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(document))
        return document;
    json_decref(document);
    return NULL;
}

bool mgc_claims_are_valid(const char *text, size_t n)
{
    if (n > MGC_CLAIMS_MAX || memchr(text, '\0', n) != NULL)
        return false;
    json_t    *document = read_object(text, n);
    const bool valid    = document != NULL;
    json_decref(document);
    return valid;
}

static bool has(json_t *list, json_t *wanted)
{
    json_t *one;
    size_t  i;
    json_array_foreach(list, i, one) if (json_equal(one, wanted)) return true;
    return false;
}

static mgc_code unite(json_t *into, json_t *from)
{
    json_t *one;
    size_t  i;
    json_array_foreach(from, i, one) if (!has(into, one) &&
                                         json_array_append(into, one) != 0) return MGC_ENOMEM;
    return MGC_OK;
}

/* Both are objects. A null asks for a claim in the default manner: any other manner says more (5.5.1). */
static mgc_code merge(json_t *into, json_t *from)
{
    const char *name;
    json_t     *ours, *theirs;
    json_object_foreach(from, name, theirs)
    {
        mgc_code rc = MGC_OK;
        ours        = json_object_get(into, name);
        if (json_is_object(ours) && json_is_object(theirs))
            rc = merge(ours, theirs);
        else if (json_is_array(ours) && json_is_array(theirs))
            rc = unite(ours, theirs);
        else if (ours == NULL || !json_is_null(theirs))
            rc = json_object_set(into, name, theirs) == 0 ? MGC_OK : MGC_ENOMEM;
        if (rc != MGC_OK)
            return rc;
    }
    return MGC_OK;
}

static mgc_code append_text(struct mgc_buf *out, json_t *document)
{
    char *text = json_dumps(document, JSON_COMPACT);
    if (text == NULL)
        return MGC_ENOMEM;
    mgc_code rc = mgc_buf_append(out, text, strlen(text));
    free(text);
    return rc;
}

mgc_code mgc_claims_merge(const char *a, const char *b, struct mgc_buf *out)
{
    json_t  *into = a != NULL ? read_object(a, strlen(a)) : json_object();
    json_t  *from = b != NULL ? read_object(b, strlen(b)) : json_object();
    mgc_code rc   = into != NULL && from != NULL ? merge(into, from) : MGC_EANSWER;
    if (rc == MGC_OK)
        rc = append_text(out, into);
    json_decref(from);
    json_decref(into);
    return rc;
}
