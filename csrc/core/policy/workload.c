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
    [MGC_OTHER]          = {.whole.all = {130000, 10 * SECOND}}, /* "all" */
    [MGC_IDENTITY]       = {.whole.all = {8000, 10 * SECOND}, /* tenant size L */
                            .whole.writes = {3000, 150 * SECOND}},
    [MGC_REPORTS]        = {.whole.all = {5, 10 * SECOND}, .whole.at_once = 2},
    [MGC_PROTECTION]     = {.whole.all = {1, SECOND}, .whole.at_once = 1}, /* tenant, all apps; no Retry-After */
    [MGC_INTUNE_DEVICES] = {.whole.all = {2000, 20 * SECOND}, .whole.writes = {200, 20 * SECOND}},
    [MGC_INTUNE]         = {.whole.all = {1000, 20 * SECOND}, /* user actions: inference */
                            .whole.writes = {100, 20 * SECOND}},
    [MGC_OUTLOOK]        = {.each.all = {10000, 10 * MINUTE}, .each.at_once = 4},
    [MGC_TEAMS]          = {.whole.all = {60, SECOND}, .whole.writes = {30, SECOND},
                            .each.all = {4, SECOND}, .each.at_once = 4},
    [MGC_FILES]          = {.whole.at_once = 0}, /* not on the page */
    [MGC_BATCH]          = {.whole.at_once = 0},
};

/* Which service a path belongs to: its first segment, and for some another one. With `keyed` the second
 * segment names the mailbox, team or site. */
struct nav {
    const char  *name; /* NULL: the end */
    mgc_workload workload;
    bool         keyed;
};

static const struct nav of_user[] = {
    {"authentication",                         MGC_REPORTS, false},
    {"managedDevices",                         MGC_INTUNE, false},
    {"removeAllDevicesFromManagement",         MGC_INTUNE, false},
    {"managedAppRegistrations",                MGC_INTUNE, false},
    {"wipeManagedAppRegistrationsByDeviceTag", MGC_INTUNE, false},
    {"messages",                               MGC_OUTLOOK, true},
    {"mailFolders",                            MGC_OUTLOOK, true},
    {"mailboxSettings",                        MGC_OUTLOOK, true},
    {"sendMail",                               MGC_OUTLOOK, true},
    {"calendar",                               MGC_OUTLOOK, true},
    {"calendars",                              MGC_OUTLOOK, true},
    {"calendarView",                           MGC_OUTLOOK, true},
    {"events",                                 MGC_OUTLOOK, true},
    {"contacts",                               MGC_OUTLOOK, true},
    {"contactFolders",                         MGC_OUTLOOK, true},
    {"inferenceClassification",                MGC_OUTLOOK, true},
    {"outlook",                                MGC_OUTLOOK, true},
    {"joinedTeams",                            MGC_TEAMS, false},
    {"teamwork",                               MGC_TEAMS, false},
    {"chats",                                  MGC_TEAMS, false},
    {"drive",                                  MGC_FILES, true},
    {"drives",                                 MGC_FILES, true},
    {NULL, 0, false},
};

static const struct nav of_group[] = {
    {"calendar",                               MGC_OUTLOOK, true},
    {"calendarView",                           MGC_OUTLOOK, true},
    {"conversations",                          MGC_OUTLOOK, true},
    {"events",                                 MGC_OUTLOOK, true},
    {"threads",                                MGC_OUTLOOK, true},
    {"team",                                   MGC_TEAMS, true},
    {"drive",                                  MGC_FILES, true},
    {"drives",                                 MGC_FILES, true},
    {"sites",                                  MGC_FILES, true},
    {NULL, 0, false},
};

static const struct nav of_devices[] = {{"managedDevices", MGC_INTUNE_DEVICES, false}, {NULL, 0, false}};
static const struct nav of_access[]  = {{"conditionalAccess", MGC_PROTECTION, false}, {NULL, 0, false}};

static const struct root {
    struct nav        self;
    const struct nav *navs; /* what is elsewhere */
    int               at;   /* the segment they stand in, from 0 */
} roots[] = {
    {{"users", MGC_IDENTITY, false}, of_user, 2}, /* and me, which is users/me */
    {{"groups", MGC_IDENTITY, false}, of_group, 2},
    {{"deviceManagement", MGC_INTUNE, false}, of_devices, 1},
    {{"identity", MGC_IDENTITY, false}, of_access, 1},
    {{"deviceAppManagement", MGC_INTUNE, false}, NULL, 0},
    {{"$batch", MGC_BATCH, false}, NULL, 0},
    {{"teams", MGC_TEAMS, true}, NULL, 0},
    {{"chats", MGC_TEAMS, false}, NULL, 0},
    {{"teamwork", MGC_TEAMS, false}, NULL, 0},
    {{"drives", MGC_FILES, true}, NULL, 0},
    {{"sites", MGC_FILES, true}, NULL, 0},
    {{"shares", MGC_FILES, true}, NULL, 0},
    {{"reports", MGC_REPORTS, false}, NULL, 0},
    {{"auditLogs", MGC_REPORTS, false}, NULL, 0},
    {{"identityProtection", MGC_PROTECTION, false}, NULL, 0},
    {{"administrativeUnits", MGC_IDENTITY, false}, NULL, 0},
    {{"applications", MGC_IDENTITY, false}, NULL, 0},
    {{"contacts", MGC_IDENTITY, false}, NULL, 0},
    {{"devices", MGC_IDENTITY, false}, NULL, 0},
    {{"directory", MGC_IDENTITY, false}, NULL, 0},
    {{"directoryObjects", MGC_IDENTITY, false}, NULL, 0},
    {{"directoryRoles", MGC_IDENTITY, false}, NULL, 0},
    {{"domains", MGC_IDENTITY, false}, NULL, 0},
    {{"oauth2PermissionGrants", MGC_IDENTITY, false}, NULL, 0},
    {{"organization", MGC_IDENTITY, false}, NULL, 0},
    {{"roleManagement", MGC_IDENTITY, false}, NULL, 0},
    {{"servicePrincipals", MGC_IDENTITY, false}, NULL, 0},
    {{"subscribedSkus", MGC_IDENTITY, false}, NULL, 0},
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

/* The first letter tells most of them apart. */
static bool is(struct text t, const char *name)
{
    return t.n > 0 && (*t.at | 0x20) == (*name | 0x20) && t.n == strlen(name) &&
           strncasecmp(t.at, name, t.n) == 0;
}

static bool has(const struct path *p, int at, const char *name)
{
    return at < p->depth && is(p->segment[at], name);
}

static struct path read_path(const char *url)
{
    struct path p    = {.depth = 0};
    const char *host = *url != '/' ? strstr(url, "://") : NULL;
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
        if ((c->nav == NULL || has(p, c->at, c->nav)) && (c->root == NULL || has(p, 0, c->root)) &&
            strcmp(c->method, method) == 0)
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
    const bool reads = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    load->write      = !reads;
    load->units      = 1;
    if (load->workload != MGC_IDENTITY)
        return;
    const struct cost *c     = listed(method, p);
    const bool         users = reads && p->depth == 1 && has(p, 0, "users");
    load->write              = !reads && c == NULL;
    if (!load->write)
        load->units = adjusted(c != NULL ? c->units
                               : users   ? USERS_LIST
                                         : 1,
                               c != NULL ? c->selected : 1, p->query);
}

/* ---- which service ----------------------------------------------------------------------------- */

static struct nav find_nav(const struct path *p)
{
    for (const struct root *r = roots; r < roots + COUNT(roots); r++) {
        if (!has(p, 0, r->self.name))
            continue;
        for (const struct nav *n = r->navs; n != NULL && n->name != NULL; n++)
            if (has(p, r->at, n->name))
                return *n;
        return r->self;
    }
    return (struct nav){.workload = MGC_OTHER};
}

uint64_t mgc_resource_of(const char *id, size_t n)
{
    uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)id[i];
        hash            = (hash ^ (c >= 'A' && c <= 'Z' ? c + 32u : c)) * 0x100000001b3;
    }
    hash >>= 64 - MGC_RESOURCE_BITS;
    return hash != 0 ? hash : 1;
}

struct mgc_load mgc_load_of(const char *method, const char *url)
{
    const struct path p    = read_path(url);
    const struct nav  n    = find_nav(&p);
    struct mgc_load   load = {.workload = n.workload};
    if (n.keyed && p.depth > 1)
        load.resource = mgc_resource_of(p.segment[1].at, p.segment[1].n);
    set_cost(&load, method, &p);
    return load;
}
