/* bench/pages.c - the yardstick of lists: pages fetched one after the other in plain C over libcurl.
 *
 *     pages URL TRUST TOKEN_FILE PAGES [decode]
 *
 * Gets PAGES pages of /v1.0/users from the server at URL over one connection, each into one buffer that
 * is used again, and follows each one's @odata.nextLink, found by its name as text. With "decode" each is
 * also handed to lua-cjson in a Lua state, which forgets it again: what is the least for having the items
 * in Lua. TRUST is a PEM file.
 *
 * Prints one line of name=value, as plain does: what the pages after the first took, and memory.
 *
 * Exit: 0 all went well, 2 it could not be done.
 */
#include <curl/curl.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TOKEN_MAX = 8192, URL_MAX = 2048, PAGES_MAX = 1000000 };

struct body {
    char  *bytes;
    size_t len, cap;
};

static _Noreturn void die(const char *why)
{
    fprintf(stderr, "pages: %s\n", why);
    exit(2);
}

static void *must_have(void *p)
{
    if (!p)
        die("out of memory, or no such file");
    return p;
}

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static long status_kib(const char *name)
{
    char  line[256];
    long  kib = -1;
    FILE *f   = must_have(fopen("/proc/self/status", "r"));
    while (fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0)
            kib = atol(line + strlen(name) + 1);
    fclose(f);
    return kib;
}

static size_t append(char *bytes, size_t size, size_t n, void *user)
{
    struct body *b = user;
    n *= size;
    if (b->len + n + 1 > b->cap) {
        b->cap   = 2 * (b->len + n + 1);
        b->bytes = must_have(realloc(b->bytes, b->cap));
    }
    memcpy(b->bytes + b->len, bytes, n);
    b->len += n;
    b->bytes[b->len] = '\0';
    return n;
}

static struct curl_slist *make_headers(const char *token_file)
{
    char   line[TOKEN_MAX + 32];
    char  *end = line + sprintf(line, "Authorization: Bearer ");
    FILE  *f   = must_have(fopen(token_file, "r"));
    size_t n   = fread(end, 1, TOKEN_MAX, f);
    fclose(f);
    while (n > 0 && end[n - 1] == '\n')
        n--;
    end[n] = '\0';
    return must_have(
        curl_slist_append(must_have(curl_slist_append(NULL, line)), "Accept: application/json"));
}

static void get(CURL *easy, struct body *b)
{
    long status = 0;
    b->len      = 0;
    if (curl_easy_perform(easy) != CURLE_OK)
        die("a page could not be fetched");
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200)
        die("a page has another status than 200");
}

/* A state with lua-cjson's decode as its only value on the stack. */
static lua_State *open_lua(void)
{
    lua_State *L = must_have(luaL_newstate());
    luaL_openlibs(L);
    if (luaL_dostring(L, "return require('cjson').new().decode") != LUA_OK)
        die(lua_tostring(L, -1));
    return L;
}

static void decode(lua_State *L, const struct body *b)
{
    lua_pushvalue(L, 1);
    lua_pushlstring(L, b->bytes, b->len);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK)
        die(lua_tostring(L, -1));
    lua_settop(L, 1);
}

/* Points the handle at the page that follows. */
static void follow(CURL *easy, const struct body *b)
{
    static const char name[] = "\"@odata.nextLink\":\"";
    char              url[URL_MAX];
    const char       *link = strstr(b->bytes, name);
    size_t            n;
    if (!link)
        die("a page has no nextLink");
    link += sizeof name - 1;
    n = strcspn(link, "\"");
    if (n >= sizeof url)
        die("a nextLink is too long");
    memcpy(url, link, n);
    url[n] = '\0';
    curl_easy_setopt(easy, CURLOPT_URL, url);
}

static CURL *open_easy(char **argv, struct curl_slist *headers, struct body *b)
{
    char  url[URL_MAX];
    CURL *easy = must_have(curl_easy_init());
    snprintf(url, sizeof url, "%s/v1.0/users", argv[1]);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_CAINFO, argv[2]);
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, append);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, b);
    return easy;
}

static void measure(CURL *easy, struct body *b, lua_State *L, long pages)
{
    long idle = status_kib("VmRSS");
    get(easy, b);
    double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    for (long i = 0; i < pages; i++) {
        follow(easy, b);
        get(easy, b);
        if (L)
            decode(L, b);
    }
    cpu  = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    wall = seconds(CLOCK_MONOTONIC) - wall;
    printf("requests=%ld bytes=%zu wall_s=%.6f cpu_s=%.6f idle_kib=%ld peak_kib=%ld\n", pages,
           b->len, wall, cpu, idle, status_kib("VmHWM"));
}

int main(int argc, char **argv)
{
    struct body b       = {0};
    bool        decodes = argc == 6 && strcmp(argv[5], "decode") == 0;
    if (argc != 5 + decodes || atol(argv[4]) < 1 || atol(argv[4]) > PAGES_MAX)
        die("usage: pages URL TRUST TOKEN_FILE PAGES [decode]");
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        die("curl_global_init failed");
    struct curl_slist *headers = make_headers(argv[3]);
    CURL              *easy    = open_easy(argv, headers, &b);
    lua_State         *L       = decodes ? open_lua() : NULL;
    measure(easy, &b, L, atol(argv[4]));
    if (L)
        lua_close(L);
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
    curl_global_cleanup();
    free(b.bytes);
    return 0;
}
