/* The tables as text: the OpenAPI 3.1 description. What stands here beside the tables are the
 * parameters, the forms of bodies, and the problems that a route can answer by its kind. */
#include "api/api_internal.h"

#include "base/config.h"
#include "base/findings.h"

/* A ZIP, or one that is sealed. */
#define ARCHIVES "application/zip application/octet-stream"

const struct parameter_info parameter_table[] = {
    {"limit", "integer", "items a page, 1 to 1,000, default 100"},
    {"cursor", "string", "the member next of the page before"},
    {"name", "string", "only what has this name or path"},
    {"prefix", "string", "only names that begin with this"},
    {"attr.NAME", "string",
     "only streams whose attribute NAME has this value: the text of a string, a number as it was "
     "written, true or false; up to 8 of them"},
    {"last", "integer", "the newest, 1 to 1,000"},
    {"after", "integer", "only entries, or changes, with a greater number, the first of them"},
    {"table", "string", "only changes of this table"},
    {"before", "integer", "only entries with a smaller number, the last of them"},
    {"follow", "string",
     "how long to wait for an entry, or a change, where there is none behind `after` yet: 20s, at "
     "most 60s"},
    {"until", "string", "only what is earlier than this time"},
    {"kind", "string", "only entries of this kind"},
    {"entries", "integer", "at most so many, 1 to 1,000, default 20"},
    {"bytes", "integer", "of bodies and attachments together at most, default 16 MiB"},
    {"across", "string",
     "an attribute: entries of all streams that have the value of it which this one has"},
    {"steps", "integer",
     "also how the entries lie in time: counted in so many equal parts of it, 1 to 1,000"},
    {"q", "string", "words, of which all must occur; \"a phrase\"; a beginning*"},
    {"file", "string",
     "persona_memory.json, partner_conversations.json or autonomous_conversations.json, or a name "
     "that begins like one of them and ends in .json"},
    {"version", "string",
     "a kept version instead of the current one; with remote the id of one there"},
    {"remote", "string", "the versions that this remote has, not those that are kept here"},
    {"from", "integer/string",
     "of versions the older one, default the last but one; of entries: not earlier than this time"},
    {"to", "integer", "newer version, default the last"},
    {"ack", "string",
     "memory: answer before the commit; disk, or shared of a store on PostgreSQL: the default"},
    {"wait", "string", "remotes to wait for, with commas between, or all"},
    {"timeout", "string", "how long to wait, default 10s; for the past of a remote 60s"},
    {"start", "boolean", "answer 202 when the run was asked for, do not wait for its end"},
    {"ride", "boolean", "wait for the next scheduled run instead of running now"},
    {"confirm", "string", "the name of the space once more"},
    {"pending", "string", "only what is pending to this remote"},
    {"key_file", "string", "a file with the key of an encrypted backup, as this process sees it"},
    {"key_env", "string", "or a variable of this process that holds it"},
    {"replace", "boolean", "replace a space that is not empty"},
    {"probe", "boolean", "try it first: one that cannot be used is not added"},
    {"deep", "boolean", "read every object of every remote too"},
};
const size_t parameter_count = sizeof parameter_table / sizeof *parameter_table;

/* The route's own answer. */
static const struct {
    enum route route;
    const char *status, *type, *schema;
} results[] = {
    {ROUTE_SPACES, "200", "application/json", "Spaces"},
    {ROUTE_TOKENS, "200", "application/json", "Tokens"},
    {ROUTE_TOKEN_MAKE, "201", "application/json", "Token"},
    {ROUTE_TOKEN_REVOKE, "204", NULL, NULL},
    {ROUTE_SPACE_PUT, "200", "application/json", "Space"},
    {ROUTE_SPACE_PUT, "201", "application/json", "Space"},
    {ROUTE_SPACE_DELETE, "204", NULL, NULL},
    {ROUTE_DOC_LIST, "200", "application/json", "Documents"},
    {ROUTE_DOC_GET, "200", "application/json", NULL},
    {ROUTE_DOC_GET, "304", NULL, NULL},
    {ROUTE_DOC_PUT, "200", "application/json", "Written"},
    {ROUTE_DOC_PUT, "201", "application/json", "Written"},
    {ROUTE_DOC_PATCH, "200", "application/json", "Written"},
    {ROUTE_DOC_DELETE, "204", NULL, NULL},
    {ROUTE_DOC_VERSIONS, "200", "application/json", "Versions"},
    {ROUTE_DOC_REVERT, "200", "application/json", "Written"},
    {ROUTE_DOC_DIFF, "200", "application/json-patch+json", "JsonPatch"},
    {ROUTE_STREAM_LIST, "200", "application/json", "Streams"},
    {ROUTE_STREAM_GET, "200", "application/json", "Stream"},
    {ROUTE_STREAM_PATCH, "200", "application/json", "Stream"},
    {ROUTE_STREAM_ERASE, "200", "application/json", "Receipt"},
    {ROUTE_ENTRY_APPEND, "200", "application/json", "Appended"},
    {ROUTE_ENTRY_APPEND, "201", "application/json", "Appended"},
    {ROUTE_ENTRIES, "200", "application/json", "Entries"},
    {ROUTE_CONTEXT, "200", "application/json", "Context"},
    {ROUTE_SEARCH, "200", "application/json", "Found"},
    {ROUTE_PERSON_ERASE, "200", "application/json", "Receipt"},
    {ROUTE_RECEIPTS, "200", "application/json", "Receipts"},
    {ROUTE_IMPORT, "200", "application/json", "Imported"},
    {ROUTE_EXPORT, "200", "application/json", NULL},
    {ROUTE_TRACKED, "200", "application/json", "Tracked"},
    {ROUTE_TRACK, "200", "application/json", "Tracked"},
    {ROUTE_TRACK, "201", "application/json", "Tracked"},
    {ROUTE_UNTRACK, "204", NULL, NULL},
    {ROUTE_CHANGES, "200", "application/json", "Changes"},
    {ROUTE_STATUS, "200", "application/json", "Status"},
    {ROUTE_REMOTES, "200", "application/json", "Remotes"},
    {ROUTE_REMOTE_ADD, "201", "application/json", "Remote"},
    {ROUTE_REMOTE_GET, "200", "application/json", "Remote"},
    {ROUTE_REMOTE_DELETE, "204", NULL, NULL},
    {ROUTE_REMOTE_RUN, "200", "application/json", "Remote"},
    {ROUTE_REMOTE_RUN, "202", "application/json", "Remote"},
    {ROUTE_REMOTE_PROBE, "200", "application/json", "Ok"},
    {ROUTE_REMOTE_PENDING, "200", "application/json", "Pending"},
    {ROUTE_REMOTE_RUNS, "200", "application/json", "Runs"},
    {ROUTE_REMOTE_ASIDE, "200", "application/json", "SetAside"},
    {ROUTE_REMOTE_RETRY, "200", "application/json", "Remote"},
    {ROUTE_REMOTE_RETRY, "202", "application/json", "Remote"},
    {ROUTE_REMOTE_DROP, "204", NULL, NULL},
    {ROUTE_ASIDE, "200", "application/json", "SetAside"},
    {ROUTE_RUNS, "200", "application/json", "Runs"},
    {ROUTE_BACKUP, "200", ARCHIVES, NULL},
    {ROUTE_RESTORE, "200", "application/json", "Restored"},
    {ROUTE_DIGEST, "200", "application/json", "Digest"},
    {ROUTE_VERIFY, "200", "application/json", "Verified"},
    {ROUTE_DOCTOR, "200", "application/json", "Findings"},
    {ROUTE_HEALTHZ, "200", "application/json", "Health"},
    {ROUTE_READYZ, "200", "application/json", "Health"},
    {ROUTE_DURABLEZ, "200", "application/json", "Durable"},
    {ROUTE_DURABLEZ, "503", "application/json", "Durable"},
    {ROUTE_METRICS, "200", "text/plain", NULL},
    {ROUTE_OPENAPI, "200", "application/json", NULL},
    {ROUTE_PAGE, "200", "text/html", NULL},
    {ROUTE_PAGE, "304", NULL, NULL},
    {ROUTE_PAGE_FILE, "200", "text/css text/javascript image/svg+xml", NULL},
    {ROUTE_PAGE_FILE, "304", NULL, NULL},
    {ROUTE_PAGE_GUARD, "200", "text/javascript", NULL},
    {ROUTE_PAGE_GUARD, "304", NULL, NULL},
};

/* Bodies, each as its members: NAME:TYPE, where TYPE is a JSON type, any, time, a schema's name, or
 * either with [] for a list of it;
 * `?` behind it: or null; integer/string: either. What stands behind `|` may be missing. */
static const struct {
    const char *name, *members;
} schemas[] = {
    {"Space", "name:string"},
    {"SpaceItem", "name:string open:boolean rights:string[] prefixes:string[]?"},
    {"Spaces", "items:SpaceItem[] next:string?"},
    {"Token", "id:string name:string rights:string[] spaces:string[]? prefixes:string[]? "
              "created_at:time expires_at:time? revoked_at:time? last_used_at:time? state:string | "
              "token:string"},
    {"Tokens", "items:Token[] next:string?"},
    {"TokenRequest", "name:string rights:string[] | spaces:string[]? prefixes:string[]? "
                     "expires_in:string? expires_at:time?"},
    {"Document", "name:string version:integer etag:string size:integer at:time"},
    {"Documents", "items:Document[] next:string?"},
    {"Version", "version:integer? etag:string? size:integer at:time? deleted:boolean "
                "current:boolean | kind:string id:string author:string site:string "
                "by_hand:boolean error:LastError?"},
    {"Versions", "items:Version[] next:string?"},
    {"Written", "name:string version:integer etag:string created:boolean unchanged:boolean "
                "replayed:boolean ack:string"},
    {"Stream", "key:string count:integer last_n:integer bytes:integer first_at:time? last_at:time? "
               "born:string kinds:object attrs:object | rings:object rules:StreamRules "
               "activity:StreamActivity?"},
    {"StreamRules", "window:integer conversation_gap_ms:integer kinds:string[] | "
                    "keep_last:integer keep_age_ms:integer"},
    {"StreamActivity", "from:time step_ms:integer counts:integer[]"},
    {"Streams", "items:Stream[] next:string?"},
    {"EntryRequest", "body:any | id:string? kind:string? at:time? attach:any"},
    {"AppendedItem", "n:integer | duplicate:boolean"},
    {"Appended", "count:integer | n:integer duplicate:boolean items:AppendedItem[]"},
    {"Entry", "n:integer at:time body:any | stream:string id:string kind:string attach:any"},
    {"Entries", "born:string items:Entry[] next:string?"},
    {"Context", "items:Entry[] next:string? more:boolean"},
    {"Mark", "from:integer to:integer"},
    {"FoundEntry", "stream:string n:integer at:time snippet:string cut_before:boolean "
                   "cut_after:boolean marks:Mark[] rank:integer | kind:string"},
    {"Found", "items:FoundEntry[] next:string?"},
    {"Receipt", "id:integer at:time streams:integer entries:integer attachments:integer "
                "bytes:integer again:boolean held:object[]"},
    {"Imported", "file:string streams:integer entries:integer exchanges:integer added:integer "
                 "changed:integer"},
    {"Receipts", "items:Receipt[] next:string?"},
    {"RevertRequest", "version:integer/string | remote:string"},
    {"RemoteRequest",
     "name:string url:string | docs:string[] every:string after:integer "
     "on_change:string manual:boolean branch:string token_env:string "
     "token_file:string ssh_key_file:string known_hosts_file:string "
     "ca_file:string insecure:boolean public:boolean key_file:string "
     "key_env:string old_key_file:string old_key_env:string allow_secrets:boolean"},
    {"PendingSum", "count:integer bytes:integer oldest:time? age_ms:integer"},
    {"LastError", "code:string detail:string"},
    {"Remote",
     "name:string url:string kind:string source:string schedule:string state:string "
     "hydrated:boolean "
     "pending:PendingSum confirmed_seq:integer confirmed:time? last_run:time? next_run:time? "
     "overdue_since:time? failures:integer set_aside:integer last_error:LastError? | "
     "docs:string[] branch:string token_env:string token_file:string ssh_key_file:string "
     "known_hosts_file:string ca_file:string insecure:boolean public:boolean "
     "key_file:string key_env:string old_key_file:string old_key_env:string encrypted:boolean "
     "key:string allow_secrets:boolean "
     "found:RemoteFound"},
    {"RemoteFound", "there:boolean docs:integer bad:integer | public:boolean"},
    {"Remotes", "items:Remote[] next:string?"},
    {"PendingItem", "name:string version:integer size:integer since:time? deleted:boolean"},
    {"Pending", "items:PendingItem[] next:string?"},
    {"Pushed", "docs:integer entries:integer files:integer bytes:integer"},
    {"Taken", "docs:integer entries:integer bytes:integer"},
    {"Run", "id:integer remote:string began:time ended:time cause:string times:integer "
            "tries:integer pushed:Pushed taken:Taken lost:integer bad:integer set_aside:integer "
            "error:LastError?"},
    {"Runs", "items:Run[] next:string?"},
    {"SetAsideItem", "remote:string kind:string name:string since:time code:string reason:string"},
    {"SetAside", "items:SetAsideItem[] next:string?"},
    {"Store",
     "state:string reason:string level:string site:string seq:integer docs:integer "
     "doc_bytes:integer streams:integer entries:integer entry_bytes:integer "
     "disk_bytes:integer used_bytes:integer quota_bytes:integer "
     "disk_free:integer wal_bytes:integer cache_bytes:integer windows:integer "
     "window_bytes:integer window_hits:integer window_misses:integer window_evictions:integer "
     "appended:integer duplicates:integer searches:integer search_us:integer erasures:integer "
     "commits:integer flush_us:integer writes:integer opened:time?"},
    {"Status",
     "space:string at:time pending:PendingSum store:Store remotes:Remote[] backups:Backups? "
     "tracked:Tracked?"},
    {"TrackedTable", "table:string state:string detail:string source:string since:time "
                     "changed:time changes:integer"},
    {"TrackedHolder", "who:string client:string state:string since:time? | pid:integer"},
    {"TrackedWaiting", "count:integer oldest:time?"},
    {"Tracked", "items:TrackedTable[] waiting:TrackedWaiting held:TrackedHolder[] next:string?"},
    {"Change", "n:integer table:string key:object at:time row:object?"},
    {"Changes", "last:integer items:Change[] next:string?"},
    {"BackupMade", "file:string at:time bytes:integer docs:integer entries:integer digest:string"},
    {"BackupDrill", "file:string at:time good:boolean compared:boolean docs:integer digest:string "
                    "error:LastError?"},
    {"Backups", "last:BackupMade? next:time? overdue_since:time? failures:integer "
                "last_error:LastError? drill:BackupDrill?"},
    {"Restored",
     "docs:integer versions:integer entries:integer bytes:integer digest:string kept_as:string "
     "overtaken:integer"},
    {"Digest", "digest:string docs:integer"},
    {"Verified",
     "good:boolean docs:integer versions:integer entries:integer bytes:integer damaged:integer "
     "repaired:integer "
     "report:string[]"},
    {"Finding", "code:string level:string title:string detail:string next:string | space:string "
                "remote:string"},
    {"Findings", "items:Finding[] next:string?"},
    {"Health", "status:string"},
    {"DurableItem", "space:string durable:boolean state:string reason:string"},
    {"Durable", "status:string | items:DurableItem[]"},
    {"Ok", "ok:boolean"},
};

static const char *const problem_members =
    "type:string title:string status:integer detail:string code:string retryable:boolean "
    "request_id:string | "
    "offset:integer n:integer version:integer etag:string level:string index:integer cause:string";

/* The next word of a list with blanks between; empty at its end. */
static str next_word(str *rest)
{
    while (rest->len && rest->p[0] == ' ')
        *rest = str_from(*rest, 1);
    if (rest->len == 0)
        return *rest;
    str w = {rest->p, str_index(*rest, ' ')};
    *rest = str_from(*rest, w.len);
    return w;
}

static void type_json(str type, struct buf *out)
{
    bool null = type.len && type.p[type.len - 1] == '?';
    if (null)
        type.len--;
    if (str_ends(type, STR("[]"))) {
        type.len -= 2;
        buf_c(out, null ? "{\"type\":[\"array\",\"null\"],\"items\":"
                        : "{\"type\":\"array\",\"items\":");
        type_json(type, out);
        buf_c(out, "}");
    } else if (type.p[0] >= 'A' && type.p[0] <= 'Z') {
        buf_printf(
            out,
            null ? "{\"anyOf\":[{\"$ref\":\"#/components/schemas/%.*s\"},{\"type\":\"null\"}]}"
                 : "{\"$ref\":\"#/components/schemas/%.*s\"}",
            STR_ARGS(type));
    } else if (str_is(type, "any")) {
        buf_c(out, "{}");
    } else if (str_is(type, "integer/string")) {
        buf_c(out, "{\"type\":[\"integer\",\"string\"]}");
    } else if (str_is(type, "time")) {
        buf_c(out, null ? "{\"type\":[\"string\",\"null\"],\"format\":\"date-time\"}"
                        : "{\"type\":\"string\",\"format\":\"date-time\"}");
    } else {
        buf_printf(out, null ? "{\"type\":[\"%.*s\",\"null\"]}" : "{\"type\":\"%.*s\"}",
                   STR_ARGS(type));
    }
}

/* The names of the members that are always there. */
static void required_json(str members, struct buf *out)
{
    bool one = true;
    for (str w = next_word(&members); w.len && !str_is(w, "|"); w = next_word(&members)) {
        if (!one)
            buf_byte(out, ',');
        one = false;
        buf_json_string(out, (str){w.p, str_index(w, ':')});
    }
}

static void schema_json(const char *name, const char *members, bool first, struct buf *out)
{
    bool one = true;
    buf_printf(out, "%s\"%s\":{\"type\":\"object\",\"properties\":{", first ? "" : ",", name);
    str rest = str_of(members);
    for (str w = next_word(&rest); w.len; w = next_word(&rest)) {
        size_t colon = str_index(w, ':');
        if (str_is(w, "|"))
            continue;
        if (!one)
            buf_byte(out, ',');
        one = false;
        buf_json_string(out, (str){w.p, colon});
        buf_byte(out, ':');
        type_json(str_from(w, colon + 1), out);
    }
    buf_c(out, "},\"required\":[");
    required_json(str_of(members), out);
    buf_c(out, "]}");
}

static void parameter_json(const char *name, const char *in, bool required, const char *type,
                           const char *help, bool *first, struct buf *out)
{
    buf_printf(out,
               "%s{\"name\":\"%s\",\"in\":\"%s\",\"required\":%s,\"schema\":", *first ? "" : ",",
               name, in, required ? "true" : "false");
    type_json(str_of(type), out);
    buf_c(out, ",\"description\":");
    buf_json_string(out, str_of(help));
    buf_byte(out, '}');
    *first = false;
}

static void path_parameters_json(const char *pattern, bool *first, struct buf *out)
{
    if (strstr(pattern, "{space}"))
        parameter_json("space", "path", true, "string", "the space", first, out);
    if (strstr(pattern, "{name}"))
        parameter_json("name", "path", true, "string", "the name of the document; / stays as it is",
                       first, out);
    if (strstr(pattern, "{key}"))
        parameter_json("key", "path", true, "string", "the key of the stream; / stays as it is",
                       first, out);
    if (strstr(pattern, "{attribute}"))
        parameter_json("attribute", "path", true, "string", "the attribute that says who it is",
                       first, out);
    if (strstr(pattern, "{value}"))
        parameter_json("value", "path", true, "string", "its value, of one person", first, out);
    if (strstr(pattern, "{table}"))
        parameter_json("table", "path", true, "string",
                       "the table as in SQL, SCHEMA.TABLE, or TABLE of the schema public", first,
                       out);
    if (strstr(pattern, "{remote}"))
        parameter_json("remote", "path", true, "string", "the remote", first, out);
    if (strstr(pattern, "{id}"))
        parameter_json("id", "path", true, "string", "the id of the token", first, out);
    if (strstr(pattern, "{file}"))
        parameter_json("file", "path", true, "string", "a file of the page", first, out);
}

static void parameters_json(const struct route_info *r, struct buf *out)
{
    bool first = true;
    buf_c(out, "\"parameters\":[");
    path_parameters_json(r->pattern, &first, out);
    str rest = str_of(r->query);
    for (str w = next_word(&rest); w.len; w = next_word(&rest))
        for (size_t i = 0; i < parameter_count; i++)
            if (str_is(w, parameter_table[i].name))
                parameter_json(parameter_table[i].name, "query", false, parameter_table[i].type,
                               parameter_table[i].help, &first, out);
    if (strcmp(r->right, "write") == 0 && strstr(r->pattern, "{name}")) {
        parameter_json(
            "If-Match", "header", false, "string",
            "only when the document has this ETag; * = any, also one that cannot be read", &first,
            out);
        parameter_json("If-None-Match", "header", false, "string", "*: only when there is none",
                       &first, out);
        parameter_json("Idempotency-Key", "header", false, "string", "the write happens once",
                       &first, out);
    }
    buf_c(out, "]");
}

/* `types`: with blanks between. */
static void contents_json(const char *types, const char *schema, struct buf *out)
{
    str rest = str_of(types);
    const char *comma = "";
    for (str w = next_word(&rest); w.len; w = next_word(&rest), comma = ",") {
        buf_printf(out, "%s\"%.*s\":{", comma, STR_ARGS(w));
        if (schema)
            buf_printf(out, "\"schema\":{\"$ref\":\"#/components/schemas/%s\"}", schema);
        buf_byte(out, '}');
    }
}

static void request_json(const struct route_info *r, enum route id, struct buf *out)
{
    if (r->body == BODY_NONE)
        return;
    const char *types = r->body == BODY_STREAM   ? ARCHIVES
                        : r->method == API_PATCH ? "application/merge-patch+json"
                                                 : "application/json";
    buf_c(out, ",\"requestBody\":{\"required\":true,\"content\":{");
    contents_json(types,
                  id == ROUTE_DOC_REVERT     ? "RevertRequest"
                  : id == ROUTE_REMOTE_ADD   ? "RemoteRequest"
                  : id == ROUTE_TOKEN_MAKE   ? "TokenRequest"
                  : id == ROUTE_ENTRY_APPEND ? "AppendRequest"
                  : id == ROUTE_STREAM_PATCH ? "Attributes"
                                             : NULL,
                  out);
    buf_c(out, "}}");
}

static void responses_json(enum route id, struct buf *out)
{
    buf_c(out, ",\"responses\":{");
    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        if (results[i].route != id)
            continue;
        buf_printf(out, "\"%s\":{\"description\":\"%s\"", results[i].status,
                   results[i].status[0] == '2' ? "done" : "see the description");
        if (results[i].type) {
            buf_c(out, ",\"content\":{");
            contents_json(results[i].type, results[i].schema, out);
            buf_byte(out, '}');
        }
        buf_c(out, "},");
    }
    buf_c(out, "\"default\":{\"$ref\":\"#/components/responses/Problem\"}}");
}

static void lower(const char *s, struct buf *out)
{
    for (; *s; s++)
        buf_byte(out, *s >= 'A' && *s <= 'Z' ? (char)(*s + 32) : *s);
}

static void operation_json(enum route id, bool first, struct buf *out)
{
    const struct route_info *r = &route_table[id];
    buf_c(out, first ? "\"" : ",\"");
    lower(route_method_name(r->method), out);
    buf_c(out, "\":{\"operationId\":\"");
    lower(r->id, out);
    buf_c(out, "\",\"summary\":");
    buf_json_string(out, str_of(r->summary));
    buf_byte(out, ',');
    parameters_json(r, out);
    request_json(r, id, out);
    responses_json(id, out);
    if (r->right[0])
        buf_printf(out, ",\"x-right\":\"%s\"}", r->right);
    else
        buf_c(out, ",\"security\":[]}");
}

/* What every path answers beside its routes; named after the first of them. */
static void options_json(const struct route_info *r, struct buf *out)
{
    bool first = true;
    buf_c(out, ",\"options\":{\"operationId\":\"options_");
    lower(r->id, out);
    buf_c(out, "\",\"summary\":\"Ask which methods there are\",\"parameters\":[");
    path_parameters_json(r->pattern, &first, out);
    buf_c(out, "],\"responses\":{\"204\":{\"description\":\"done\",\"headers\":{\"Allow\":{"
               "\"required\":true,\"schema\":{\"type\":\"string\"},\"description\":"
               "\"the methods, with commas between\"}}},"
               "\"default\":{\"$ref\":\"#/components/responses/Problem\"}},\"security\":[]}");
}

/* The routes of one pattern, once, at the first of them. */
static void path_json(int at, struct buf *out)
{
    bool first = true;
    for (int i = 0; i < at; i++)
        if (strcmp(route_table[i].pattern, route_table[at].pattern) == 0)
            return;
    buf_c(out, at ? "," : "");
    buf_json_string(out, str_of(route_table[at].pattern));
    buf_c(out, ":{");
    for (int i = at; i < ROUTE_COUNT; i++)
        if (strcmp(route_table[i].pattern, route_table[at].pattern) == 0) {
            operation_json((enum route)i, first, out);
            first = false;
        }
    options_json(&route_table[at], out);
    buf_byte(out, '}');
}

kf_rc api_openapi(struct buf *out, struct kf_err *err)
{
    buf_printf(
        out,
        "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"Keepfast\",\"version\":\"%s\",\"license\":"
        "{\"name\":\"MIT\",\"identifier\":\"MIT\"},\"description\":\"Keeps an application's state "
        "through restarts, redeploys and lost networks.\"},\"paths\":{",
        kf_version());
    for (int i = 0; i < ROUTE_COUNT; i++)
        path_json(i, out);
    buf_c(
        out,
        "},\"components\":{\"responses\":{\"Problem\":{\"description\":\"A problem (RFC 9457)\","
        "\"content\":{\"application/problem+json\":{\"schema\":{\"$ref\":"
        "\"#/components/schemas/Problem\"}}}}},\"securitySchemes\":{\"token\":{\"type\":\"http\","
        "\"scheme\":\"bearer\",\"description\":\"A token that keepfast token create made; none is "
        "asked for until the first is made.\"}},\"schemas\":{");
    schema_json("Problem", problem_members, true, out);
    for (size_t i = 0; i < sizeof schemas / sizeof *schemas; i++)
        schema_json(schemas[i].name, schemas[i].members, false, out);
    buf_c(out, ",\"JsonPatch\":{\"type\":\"array\",\"items\":{\"type\":\"object\"}},"
               "\"Attributes\":{\"type\":\"object\"},\"AppendRequest\":{\"anyOf\":[{\"$ref\":"
               "\"#/components/schemas/EntryRequest\"},{\"type\":\"array\",\"items\":{\"$ref\":"
               "\"#/components/schemas/EntryRequest\"}}]}");
    buf_c(out, "}},\"security\":[{\"token\":[]}],\"x-problems\":[");
    for (int i = 0, n = 0; i < PROBLEM_COUNT; i++)
        if (problem_table[i].http_status)
            buf_printf(out, "%s{\"code\":\"%s\",\"status\":%d,\"exit\":%d,\"retryable\":%s}",
                       n++ ? "," : "", problem_table[i].code, problem_table[i].http_status,
                       problem_table[i].exit_code, problem_table[i].retryable ? "true" : "false");
    buf_c(out, "]}");
    return buf_ok(out, err);
}
