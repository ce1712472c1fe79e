/* csrc/core/policy/workload.c - see workload.h. */
#include "core/policy/workload.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- what is published ----------------------------------------------------------------------- */

enum { SECOND = 1000, MINUTE = 60 * SECOND };

/* App + tenant. FACTS 4 unless said otherwise; its source is Microsoft's throttling-limits page. Where
 * the limit depends on what we can not see (the size of the tenant), the largest stands here: the gate
 * lowers it when the service says so. `at_once` keeps a first refusal small where little is allowed. */
/* clang-format off */
static const struct mgc_limits published[MGC_WORKLOADS] = {
    [MGC_OTHER]          = {{{130000, 10 * SECOND}, {0, 0}, 0}, {{0}}}, /* "all" */
    [MGC_IDENTITY]       = {{{8000, 10 * SECOND}, {3000, 150 * SECOND}, 0}, {{0}}}, /* tenant size L */
    [MGC_REPORTS]        = {{{5, 10 * SECOND}, {0, 0}, 2}, {{0}}},
    [MGC_PROTECTION]     = {{{1, SECOND}, {0, 0}, 1}, {{0}}}, /* tenant, all apps; no Retry-After */
    [MGC_INTUNE_DEVICES] = {{{2000, 20 * SECOND}, {200, 20 * SECOND}, 0}, {{0}}},
    [MGC_INTUNE]         = {{{1000, 20 * SECOND}, {100, 20 * SECOND}, 0}, {{0}}}, /* user actions: inference */
    [MGC_OUTLOOK]        = {{{0}}, {{10000, 10 * MINUTE}, {0, 0}, 4}},
    [MGC_TEAMS]          = {{{60, SECOND}, {30, SECOND}, 0}, {{4, SECOND}, {0, 0}, 4}},
    [MGC_FILES]          = {{{0}}, {{0}}}, /* not on the page */
    [MGC_BATCH]          = {{{0}}, {{0}}},
};

/* Which service a path belongs to: its first segment and, at a depth, another. The first row that fits
 * counts; `me` stands for users/me. With `keyed` the second segment names the mailbox, team or site. */
static const struct route {
    const char  *root, *nav;
    int          at; /* where nav stands, from 0 */
    mgc_workload workload;
    bool         keyed;
} routes[] = {
    {"users",  "authentication",                   2, MGC_REPORTS, false},
    {"users",  "managedDevices",                   2, MGC_INTUNE,  false},
    {"users",  "removeAllDevicesFromManagement",   2, MGC_INTUNE,  false},
    {"users",  "managedAppRegistrations",          2, MGC_INTUNE,  false},
    {"users",  "wipeManagedAppRegistrationsByDeviceTag", 2, MGC_INTUNE, false},
    {"users",  "messages",                         2, MGC_OUTLOOK, true},
    {"users",  "mailFolders",                      2, MGC_OUTLOOK, true},
    {"users",  "mailboxSettings",                  2, MGC_OUTLOOK, true},
    {"users",  "sendMail",                         2, MGC_OUTLOOK, true},
    {"users",  "calendar",                         2, MGC_OUTLOOK, true},
    {"users",  "calendars",                        2, MGC_OUTLOOK, true},
    {"users",  "calendarView",                     2, MGC_OUTLOOK, true},
    {"users",  "events",                           2, MGC_OUTLOOK, true},
    {"users",  "contacts",                         2, MGC_OUTLOOK, true},
    {"users",  "contactFolders",                   2, MGC_OUTLOOK, true},
    {"users",  "inferenceClassification",          2, MGC_OUTLOOK, true},
    {"users",  "outlook",                          2, MGC_OUTLOOK, true},
    {"users",  "joinedTeams",                      2, MGC_TEAMS,   false},
    {"users",  "teamwork",                         2, MGC_TEAMS,   false},
    {"users",  "chats",                            2, MGC_TEAMS,   false},
    {"users",  "drive",                            2, MGC_FILES,   true},
    {"users",  "drives",                           2, MGC_FILES,   true},
    {"users",  NULL,                               0, MGC_IDENTITY, false},
    {"groups", "calendar",                         2, MGC_OUTLOOK, true},
    {"groups", "calendarView",                     2, MGC_OUTLOOK, true},
    {"groups", "conversations",                    2, MGC_OUTLOOK, true},
    {"groups", "events",                           2, MGC_OUTLOOK, true},
    {"groups", "threads",                          2, MGC_OUTLOOK, true},
    {"groups", "team",                             2, MGC_TEAMS,   true},
    {"groups", "drive",                            2, MGC_FILES,   true},
    {"groups", "drives",                           2, MGC_FILES,   true},
    {"groups", "sites",                            2, MGC_FILES,   true},
    {"groups", NULL,                               0, MGC_IDENTITY, false},
    {"deviceManagement", "managedDevices",         1, MGC_INTUNE_DEVICES, false},
    {"deviceManagement", NULL,                     0, MGC_INTUNE,  false},
    {"deviceAppManagement", NULL,                  0, MGC_INTUNE,  false},
    {"$batch", NULL,                               0, MGC_BATCH,   false},
    {"teams", NULL,                                0, MGC_TEAMS,   true},
    {"chats", NULL,                                0, MGC_TEAMS,   false},
    {"teamwork", NULL,                             0, MGC_TEAMS,   false},
    {"drives", NULL,                               0, MGC_FILES,   true},
    {"sites", NULL,                                0, MGC_FILES,   true},
    {"shares", NULL,                               0, MGC_FILES,   true},
    {"reports", NULL,                              0, MGC_REPORTS, false},
    {"auditLogs", NULL,                            0, MGC_REPORTS, false},
    {"identityProtection", NULL,                   0, MGC_PROTECTION, false},
    {"identity", "conditionalAccess",              1, MGC_PROTECTION, false},
    {"identity", NULL,                             0, MGC_IDENTITY, false},
    {"administrativeUnits", NULL,                  0, MGC_IDENTITY, false},
    {"applications", NULL,                         0, MGC_IDENTITY, false},
    {"contacts", NULL,                             0, MGC_IDENTITY, false},
    {"devices", NULL,                              0, MGC_IDENTITY, false},
    {"directory", NULL,                            0, MGC_IDENTITY, false},
    {"directoryObjects", NULL,                     0, MGC_IDENTITY, false},
    {"directoryRoles", NULL,                       0, MGC_IDENTITY, false},
    {"domains", NULL,                              0, MGC_IDENTITY, false},
    {"oauth2PermissionGrants", NULL,               0, MGC_IDENTITY, false},
    {"organization", NULL,                         0, MGC_IDENTITY, false},
    {"roleManagement", NULL,                       0, MGC_IDENTITY, false},
    {"servicePrincipals", NULL,                    0, MGC_IDENTITY, false},
    {"subscribedSkus", NULL,                       0, MGC_IDENTITY, false},
};

/* Resource units of the identity service, FACTS 4; unlisted: 1. A POST in here only reads. */
static const struct cost {
    const char *method, *root, *nav; /* NULL: any */
    int         at, units;
    int         selected; /* what $select takes off */
} costs[] = {
    {"GET",  "users",                  "memberOf",           2, 2, 1},
    {"GET",  "users",                  "transitiveMemberOf", 2, 2, 1},
    {"GET",  "users",                  "ownedObjects",       2, 2, 1},
    {"GET",  "users",                  "licenseDetails",     2, 2, 1},
    {"GET",  "groups",                 "members",            2, 3, 1},
    {"GET",  "groups",                 "transitiveMembers",  2, 5, 1},
    {"GET",  "servicePrincipals",      "appRoleAssignments", 2, 2, 1},
    {"GET",  "oauth2PermissionGrants", NULL,                 0, 2, 1},
    {"GET",  "subscribedSkus",         NULL,                 0, 3, 1},
    {"POST", NULL,                     "getMemberGroups",    2, 2, 1},
    {"POST", NULL,                     "getMemberObjects",   2, 2, 1},
    {"POST", NULL,                     "checkMemberGroups",  2, 4, 1},
    {"POST", NULL,                     "checkMemberObjects", 2, 4, 1},
    {"POST", "directoryObjects",       "getByIds",           1, 5, 3},
};
enum { USERS_LIST = 2 }; /* GET users, the list alone */
/* clang-format on */

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

const struct mgc_limits *mgc_limits_of(mgc_workload w)
{
    return &published[w];
}

/* ---- a path ------------------------------------------------------------------------------------ */

enum { DEPTH = 4 }; /* segments that are looked at */

struct text {
    const char *at;
    size_t      n;
};

struct path {
    struct text segment[DEPTH];
    int         depth;
    const char *query; /* after the '?'; "" */
};

static bool is(struct text t, const char *name)
{
    return t.at != NULL && t.n == strlen(name) && strncasecmp(t.at, name, t.n) == 0;
}

static bool has(const struct path *p, int at, const char *name)
{
    return at < p->depth && is(p->segment[at], name);
}

static struct path read_path(const char *url)
{
    struct path p    = {.depth = 0};
    const char *host = strstr(url, "://");
    const char *s    = host != NULL ? host + 3 : url;
    s += strcspn(s, "/?");
    if (*s == '/') /* the version */
        s += 1 + strcspn(s + 1, "/?");
    while (*s == '/' && p.depth < DEPTH) {
        struct text t = {s + 1, strcspn(s + 1, "/?")};
        if (p.depth == 0 && is(t, "me"))
            p.segment[p.depth++] = (struct text){"users", 5};
        p.segment[p.depth++] = t;
        s                    = t.at + t.n;
    }
    s += strcspn(s, "?");
    p.query = *s == '?' ? s + 1 : s;
    return p;
}

/* ---- what it costs ----------------------------------------------------------------------------- */

/* The value of a query option written with or without an escaped '$', or NULL. */
static const char *option(const char *query, const char *name)
{
    const size_t n = strlen(name);
    for (const char *s = query; *s != '\0';) {
        const char *o = *s == '$' ? s + 1 : strncmp(s, "%24", 3) == 0 ? s + 3 : NULL;
        if (o != NULL && strncmp(o, name, n) == 0 && o[n] == '=')
            return o + n + 1;
        s += strcspn(s, "&");
        s += *s == '&';
    }
    return NULL;
}

static const struct cost *listed(const char *method, const struct path *p)
{
    for (const struct cost *c = costs; c < costs + COUNT(costs); c++)
        if (strcmp(c->method, method) == 0 && (c->root == NULL || has(p, 0, c->root)) &&
            (c->nav == NULL || has(p, c->at, c->nav)))
            return c;
    return NULL;
}

/* "$select -1, $expand +1, $top under 20 -1, never below 1" */
static int adjusted(int units, int selected, const char *query)
{
    const char *top = option(query, "top");
    units -= option(query, "select") != NULL ? selected : 0;
    units += option(query, "expand") != NULL;
    units -= top != NULL && strtol(top, NULL, 10) < 20;
    return units > 1 ? units : 1;
}

static void set_cost(struct mgc_load *load, const char *method, const struct path *p)
{
    const bool         reads = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    const struct cost *c     = listed(method, p);
    load->write              = !reads && c == NULL;
    load->units              = 1;
    if (load->write || load->workload != MGC_IDENTITY)
        return;
    const bool users = reads && p->depth == 1 && has(p, 0, "users");
    load->units      = adjusted(c != NULL ? c->units
                                : users   ? USERS_LIST
                                          : 1,
                           c != NULL ? c->selected : 1, p->query);
}

/* ---- which service ----------------------------------------------------------------------------- */

static const struct route *find_route(const struct path *p)
{
    for (const struct route *r = routes; r < routes + COUNT(routes); r++)
        if (has(p, 0, r->root) && (r->nav == NULL || has(p, r->at, r->nav)))
            return r;
    return NULL;
}

uint64_t mgc_resource_of(const char *id, size_t n)
{
    uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)id[i];
        hash            = (hash ^ (c >= 'A' && c <= 'Z' ? c + 32u : c)) * 0x100000001b3;
    }
    return hash != 0 ? hash : 1;
}

struct mgc_load mgc_load_of(const char *method, const char *url)
{
    struct path         p    = read_path(url);
    const struct route *r    = find_route(&p);
    struct mgc_load     load = {.workload = r != NULL ? r->workload : MGC_OTHER};
    if (r != NULL && r->keyed && p.depth > 1)
        load.resource = mgc_resource_of(p.segment[1].at, p.segment[1].n);
    set_cost(&load, method, &p);
    return load;
}
