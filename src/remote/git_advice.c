/* Tables of what other programs say. The contract is git_advice.h. */
#include "remote/git_advice.h"

/* By which git_advice_cause knows the sentences below. */
#define SAYS_TOKEN       "does not take the token"
#define SAYS_NO_TOKEN    "wants a token"
#define SAYS_HOST_KEY    "is not known here"
#define SAYS_OTHER_KEY   "shows another key"
#define SAYS_KEY         "does not take the key"
#define SAYS_RIGHT       "knows who asks and refuses"
#define SAYS_ABSENT      "shows no such repository"
#define SAYS_CERTIFICATE "is not believed"
#define SAYS_REDIRECT    "sends us elsewhere"
#define SAYS_PAUSE       "gets too many requests from here"
#define SAYS_PAGE        "answers, but not as a git repository"

enum git_cause git_advice_cause(str sentence)
{
    static const struct {
        const char *says;
        enum git_cause cause;
    } table[] = {
        {SAYS_TOKEN, GIT_CAUSE_TOKEN},
        {SAYS_NO_TOKEN, GIT_CAUSE_NO_TOKEN},
        {SAYS_HOST_KEY, GIT_CAUSE_HOST},
        {SAYS_OTHER_KEY, GIT_CAUSE_HOST},
        {SAYS_KEY, GIT_CAUSE_KEY},
        {SAYS_RIGHT, GIT_CAUSE_RIGHT},
        {SAYS_ABSENT, GIT_CAUSE_ABSENT},
        {SAYS_CERTIFICATE, GIT_CAUSE_HOST},
        {SAYS_REDIRECT, GIT_CAUSE_ELSEWHERE},
        {SAYS_PAUSE, GIT_CAUSE_PAUSE},
        {SAYS_PAGE, GIT_CAUSE_ELSEWHERE},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (str_has(sentence, table[i].says))
            return table[i].cause;
    return GIT_CAUSE_OTHER;
}

static void advise_token(const struct remote_place *p, const struct git_url *u, struct buf *out)
{
    if (p->token_env.len || p->token_file.len)
        buf_printf(out,
                   "%s " SAYS_TOKEN " of %.*s: is it still valid, and is it for this "
                   "repository?",
                   u->host.p, STR_ARGS(p->token_env.len ? p->token_env : p->token_file));
    else
        buf_printf(out,
                   "%s " SAYS_NO_TOKEN ": make one that may read and write the contents of this "
                   "repository alone, and name its variable (token_env) or file (token_file)",
                   u->host.p);
}

static void advise_host_key(const struct remote_place *p, const struct git_url *u, struct buf *out)
{
    buf_printf(out,
               "the key of %s " SAYS_HOST_KEY ": compare what `ssh-keyscan` shows of it with "
               "what its owner publishes, and put that line into %s",
               u->host.p,
               p->known_hosts_file.len ? p->known_hosts_file.p
                                       : "~/.ssh/known_hosts of the user that runs this");
}

static void advise_changed_key(const struct remote_place *p, const struct git_url *u,
                               struct buf *out)
{
    buf_printf(out,
               "%s " SAYS_OTHER_KEY " than the one that is known here: somebody may stand "
               "between. Only when its owner has published a new one, replace its line in %s",
               u->host.p,
               p->known_hosts_file.len ? p->known_hosts_file.p
                                       : "~/.ssh/known_hosts of the user that runs this");
}

static void advise_key(const struct remote_place *p, const struct git_url *u, struct buf *out)
{
    buf_printf(out,
               "%s " SAYS_KEY " %s: add its public half there, with the right to "
               "write to this repository",
               u->host.p, p->ssh_key_file.len ? p->ssh_key_file.p : "of the user that runs this");
}

static void advise_right(const struct remote_place *p, const struct git_url *u, struct buf *out)
{
    (void)p;
    buf_printf(out,
               "%s " SAYS_RIGHT ": the token or key needs the right to read and "
               "write the contents of this repository",
               u->host.p);
}

static void advise_absent(const struct remote_place *p, const struct git_url *u, struct buf *out)
{
    (void)p;
    buf_printf(out,
               "%s " SAYS_ABSENT ": is the address right, and may the token or key "
               "see it?",
               u->host.p);
}

static void advise_certificate(const struct remote_place *p, const struct git_url *u,
                               struct buf *out)
{
    (void)p;
    buf_printf(out,
               "the certificate of %s " SAYS_CERTIFICATE ": name that of its authority with "
               "ca_file, or look who answers",
               u->host.p);
}

static void advise_redirect(const struct remote_place *p, const struct git_url *u, struct buf *out)
{
    (void)p;
    buf_printf(out,
               "%s " SAYS_REDIRECT ", and tokens do not travel on: write the address where "
               "the repository is now",
               u->host.p);
}

static void advise_pause(const struct remote_place *p, const struct git_url *u, struct buf *out)
{
    (void)p;
    buf_printf(out,
               "%s " SAYS_PAUSE " (429): it is tried again by itself, later; "
               "with a longer `every` and `on_change` it is asked less often",
               u->host.p);
}

static void advise_full(const struct remote_place *p, const struct git_url *u, struct buf *out)
{
    (void)p;
    buf_printf(out,
               "%s has no space left for what is pushed (507, a quota or \"No space left on "
               "device\"): make room there, or ask its owner for more",
               u->host.p[0] ? u->host.p : "the place");
}

static void advise_page(const struct remote_place *p, const struct git_url *u, struct buf *out)
{
    (void)p;
    buf_printf(out,
               "%s " SAYS_PAGE ": a proxy or a login page may stand "
               "between (look at the address in a browser), or the address is another one",
               u->host.p);
}

/* In a line of what the host's own programs said. */
static bool host_says(str said, const char *what)
{
    while (said.len) {
        str line = {said.p, str_index(said, '\n')};
        if (str_starts(line, STR("remote: ")) && str_has(line, what))
            return true;
        said = str_from(said, line.len + 1);
    }
    return false;
}

bool git_advice(const struct remote_place *place, const struct git_url *url, str said,
                enum problem *ret_problem, struct buf *out)
{
    *ret_problem = PROBLEM_REMOTE_FAILED;
    if (host_says(said, "No space left on device") || host_says(said, "uota exceeded")) {
        *ret_problem = PROBLEM_REMOTE_FULL;
        advise_full(place, url, out);
        return true;
    }
    /* As git 2.30 to 2.4x, OpenSSH and curl say it in LC_ALL=C; the first that fits. */
    static const struct {
        const char *says;
        void (*advise)(const struct remote_place *p, const struct git_url *u, struct buf *out);
    } table[] = {
        {"REMOTE HOST IDENTIFICATION HAS CHANGED", advise_changed_key},
        {"Host key verification failed", advise_host_key},
        {"host key is known for", advise_host_key},
        {"Permission denied (publickey", advise_key},
        {"unable to update url base from redirection", advise_redirect},
        {"returned error: 301", advise_redirect},
        {"returned error: 302", advise_redirect},
        {"returned error: 307", advise_redirect},
        {"returned error: 308", advise_redirect},
        {"could not read Username", advise_token},
        {"could not read Password", advise_token},
        {"Authentication failed", advise_token},
        {"returned error: 401", advise_token},
        {"returned error: 403", advise_right},
        {"returned error: 429", advise_pause},
        {"returned error: 507", advise_full},
        {"HTTP 507", advise_full},
        {"HTTP 429", advise_pause},
        {"is this a git repository?", advise_page},
        {"server certificate verification failed", advise_certificate},
        {"SSL certificate problem", advise_certificate},
        {"certificate subject name", advise_certificate},
        {"not found", advise_absent},
        {"returned error: 404", advise_absent},
        {"does not appear to be a git repository", advise_absent},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (str_has(said, table[i].says)) {
            table[i].advise(place, url, out);
            if (table[i].advise == advise_key || table[i].advise == advise_token ||
                table[i].advise == advise_right)
                *ret_problem = PROBLEM_REMOTE_AUTH;
            else if (table[i].advise == advise_full)
                *ret_problem = PROBLEM_REMOTE_FULL;
            return true;
        }
    }
    return false;
}

bool git_advice_content_refused(str said)
{
    /* What receive-pack and hosts call it: githooks(5), git-config(5) receive.maxInputSize;
     * GitHub's "About large files" and "push protection", GitLab's "push rules". */
    static const char *const of_content[] = {"hook declined",
                                             "push declined",
                                             "GH001",
                                             "GH013",
                                             "exceeds maximum allowed size",
                                             "HTTP 413",
                                             "returned error: 413",
                                             "fsck error in packed object"};
    /* The same words come of a branch or repository that takes nothing from us. */
    static const char *const of_us[] = {"rotected branch", "read-only",      "read only",
                                        "archived",        "not allowed to", "ermission",
                                        "quota is used",   "uota exceeded"};
    bool refused = false;
    for (size_t i = 0; i < sizeof(of_content) / sizeof(of_content[0]); i++)
        refused |= str_has(said, of_content[i]);
    for (size_t i = 0; i < sizeof(of_us) / sizeof(of_us[0]); i++)
        refused &= !str_has(said, of_us[i]);
    return refused;
}

bool git_advice_guest_refused(str said)
{
    static const char *const words[] = {"could not read Username",
                                        "could not read Password",
                                        "Authentication failed",
                                        "returned error: 401",
                                        "returned error: 403",
                                        "returned error: 404",
                                        "not found"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (str_has(said, words[i]))
            return true;
    return false;
}
