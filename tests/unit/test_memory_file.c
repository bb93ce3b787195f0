/* Memory files become streams and files again. */
#include "testing.h"

#include "../json/memory.h"

#include <stdio.h>

static const char persona[] =
    "{\n"
    "  \"Michael_Burry\": {\n"
    "    \"partner_name\": \"Michael Burry\",\n"
    "    \"conversations\": [\n"
    "      {\n"
    "        \"timestamp\": \"2025-11-09T14:23:45\",\n"
    "        \"user_message\": \"Czy powinienem sprzeda\\u0107 Bitcoin?\",\n"
    "        \"ai_response\": \"Pami\xC4\x99taj \xC5\xBC"
    "e m\xC3\xB3wi\xC5\x82"
    "e\xC5\x9B mi...\",\n"
    "        \"portfolio_snapshot\": {\"total_value\": 145230, \"debt\": 23400.50}\n"
    "      }\n"
    "    ],\n"
    "    \"statistics\": {\n"
    "      \"total_messages\": 237,\n"
    "      \"first_interaction\": \"2025-01-15T10:00:00\",\n"
    "      \"last_interaction\": \"2025-11-09T14:23:45\"\n"
    "    }\n"
    "  }\n"
    "}\n";

static bool same(str a, str b)
{
    bool is = false;
    assert_int_equal(json_same(a, b, &is, NULL), KF_OK);
    return is;
}

static void take_in(struct memory_model *m, enum memory_file file, const char *json)
{
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = memory_model_read(m, file, str_of(json), NULL, &err);
    if (rc != KF_OK)
        print_message("%s\n", err.detail);
    assert_int_equal(rc, KF_OK);
}

static const char *written(struct memory_model *m, enum memory_file file)
{
    static struct buf out;
    struct kf_err err = KF_ERR_INIT;
    buf_clear(&out);
    kf_rc rc = memory_model_write(m, file, &out, NULL, &err);
    if (rc != KF_OK)
        print_message("%s\n", err.detail);
    assert_int_equal(rc, KF_OK);
    return out.p;
}

static void append(struct memory_model *m, const char *key, const char *kind, const char *body,
                   const char *attach, int64_t at_ms)
{
    const struct memory_entry entry = {
        .kind = str_of(kind), .body = str_of(body), .attach = str_of(attach), .at_ms = at_ms};
    memory_model_append(m, memory_model_patch(m, str_of(key), STR("{}")), &entry);
}

/* ------------------------------------------------------------------------------------ mapping */

static void an_exchange_is_two_entries(void **state)
{
    (void)state;
    struct memory_model m = {0};
    take_in(&m, MEMORY_PERSONA, persona);
    struct memory_model_stream *s = m.streams;
    assert_string_equal(s->key, "persona/Michael_Burry");
    assert_null(s->next);
    assert_true(
        same(str_of(s->attrs), STR("{\"persona\":\"Michael Burry\",\"memory\":[{\"file\":"
                                   "\"persona_memory.json\",\"place\":0,\"list\":\"conversations\","
                                   "\"count\":1,\"object\":{\"partner_name\":\"Michael Burry\","
                                   "\"conversations\":null,\"statistics\":{\"total_messages\":237,"
                                   "\"first_interaction\":\"2025-01-15T10:00:00\","
                                   "\"last_interaction\":\"2025-11-09T14:23:45\"}}}]}")));
    struct memory_model_entry *user = s->entries, *answer = user->next;
    char body[400];
    assert_string_equal(user->kind, "user");
    assert_int_equal(user->at_ms, 1762698225000);
    assert_string_equal(user->attach, "{\"total_value\":145230,\"debt\":23400.50}");
    assert_true(strlen(user->id) == 7 + 32 + 2 && strcmp(user->id + 39, "-u") == 0);
    snprintf(body, sizeof body,
             "{\"exchange\":\"%.39s\",\"text\":\"Czy powinienem sprzeda\\u0107 Bitcoin?\","
             "\"timestamp\":\"2025-11-09T14:23:45\"}",
             user->id);
    assert_string_equal(user->body, body);
    assert_string_equal(answer->kind, "assistant");
    assert_int_equal(answer->at_ms, 1762698225000);
    assert_null(answer->attach);
    assert_true(strncmp(answer->id, user->id, 39) == 0 && strcmp(answer->id + 39, "-a") == 0);
    assert_null(answer->next);
    assert_true(same(str_of(written(&m, MEMORY_PERSONA)), str_of(persona)));
    memory_model_free(&m);
}

/* Each comes out with the value that went in. */
static const struct {
    enum memory_file file;
    const char *json;
} files[] = {
    {MEMORY_PERSONA, "{}"},
    {MEMORY_PARTNER, "{}"},
    {MEMORY_AUTONOMOUS, "[]"},
    {MEMORY_PERSONA, "{\"a\":{}}"},
    {MEMORY_PERSONA, "{\"a\":{\"conversations\":[]}}"},
    {MEMORY_PERSONA, "{\"a\":{\"conversations\":null,\"statistics\":null}}"},
    {MEMORY_PERSONA, "{\"a\":{\"conversations\":null,\"messages\":[]}}"},
    {MEMORY_PERSONA, "{\"version\":2,\"b\":{},\"a\":{},\"list\":[1,{\"x\":null}],\"none\":null}"},
    {MEMORY_PERSONA, "{\"Partner Zarz\\u0105dzaj\\u0105cy (JA)\":{\"stats\":{\"credibility\":1.0,"
                     "\"best\":null},\"key_lessons\":[\"x\"]},\"a/b \\\"c\\\"\":{}}"},
    /* Only a question, only an answer, null where there is none */
    {MEMORY_PERSONA, "{\"a\":{\"conversations\":[{\"user_message\":\"x\"},{\"ai_response\":\"y\"},"
                     "{\"user_message\":\"x\",\"ai_response\":null},{\"user_message\":null,"
                     "\"ai_response\":\"\",\"timestamp\":null,\"portfolio_snapshot\":null}]}}"},
    /* Equal ones, and members of names that bodies use */
    {MEMORY_PERSONA, "{\"a\":{\"conversations\":[{\"user_message\":\"x\"},{\"user_message\":\"x\"},"
                     "{\"user_message\":\"x\",\"text\":1,\"exchange\":2,\"more\":{\"a\":null},"
                     "\"kind\":\"z\",\"name\":3}]}}"},
    {MEMORY_PERSONA, "{\"a\":{\"conversations\":[{\"user_message\":\"x\",\"timestamp\":"
                     "\"2025-11-09 14:23:45.123456\"},{\"user_message\":\"x\",\"timestamp\":"
                     "\"2025-11-09T14:23:45+01:00\"},{\"user_message\":\"x\",\"timestamp\":"
                     "\"2025-11-09\"},{\"user_message\":\"x\",\"timestamp\":\"2025-11-09T14:23Z\","
                     "\"portfolio_snapshot\":[1e400,-0.0]}]}}"},
    {MEMORY_PARTNER,
     "{\"Wszyscy\":{\"messages\":[{\"role\":\"user\",\"content\":\"tak\",\"avatar\":"
     "\"\\ud83d\\udc64\"},{\"role\":\"assistant\",\"content\":\"ok\",\"knowledge\":"
     "[]},{\"role\":\"user\",\"content\":\"tak\",\"avatar\":\"\\ud83d\\udc64\"}],"
     "\"session_id\":\"2025-11-09 14:00\",\"session_count\":1}}"},
    {MEMORY_PARTNER,
     "{\"a\":{\"messages\":[{\"role\":\"system\",\"content\":\"x\",\"partner\":\"p\","
     "\"message\":\"m\",\"name\":\"n\",\"timestamp\":\"2025-11-09T14:23:45\"}]}}"},
    /* Dialogues as a member of an object, said by partners who have a `content` */
    {MEMORY_AUTONOMOUS, "{\"conversations\":[]}"},
    {MEMORY_PARTNER,
     "{\"version\":1,\"conversations\":[{\"id\":\"b\",\"messages\":[{\"id\":\"m1\","
     "\"role\":\"assistant\",\"partner\":\"P\",\"content\":\"x\"},{\"role\":\"user\","
     "\"content\":\"y\"}]},{\"id\":\"a\",\"conversations\":[{\"user_message\":\"x\"}]},"
     "{\"id\":\"b\"}],\"statistics\":{\"total\":null}}"},
    {MEMORY_AUTONOMOUS,
     "{\"conversations\":[{\"id\":\"a\",\"messages\":[{\"timestamp\":\"2025-01-19T17:14:08Z\","
     "\"partner\":\"P\",\"content\":\"x\"},{\"partner\":\"P\",\"content\":\"x\",\"message\":null},"
     "{\"partner\":\"P\",\"content\":\"x\",\"message\":\"y\",\"name\":\"n\"},{\"partner\":\"P\","
     "\"content\":\"x\",\"role\":7,\"name\":null}],\"vote\":{\"P\":1}}]}"},
    {MEMORY_AUTONOMOUS,
     "[{\"id\":\"conv_2\",\"topic\":\"x\",\"participants\":[\"A\",\"B\"],\"messages\":[{"
     "\"partner\":"
     "\"A\",\"message\":\"m\\n\",\"timestamp\":\"2025-11-02T19:45:55.864876\",\"message_number\":1}"
     ","
     "{\"partner\":\"B\",\"message\":\"m\",\"role\":null}],\"status\":\"completed\"},"
     "{\"id\":\"conv_1\",\"messages\":[]},{\"id\":\"conv_2\",\"messages\":[]},{\"id\":\"conv_2~2\"}"
     ","
     "{\"id\":\"conv_2\",\"messages\":[{\"role\":\"tool\",\"content\":\"\"}]},{\"id\":\"conv_1\"}"
     "]"},
};

static void what_goes_in_comes_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct memory_model m = {0};
        struct memory_counts in, out;
        struct buf text = BUF_INIT;
        str json = str_of(files[i].json);
        assert_int_equal(memory_model_read(&m, files[i].file, json, &in, NULL), KF_OK);
        assert_int_equal(memory_model_write(&m, files[i].file, &text, &out, NULL), KF_OK);
        if (!same(json, buf_view(&text)))
            fail_msg("%s became %s", files[i].json, text.p);
        assert_true(in.exchanges == out.exchanges && in.entries == out.entries);
        take_in(&m, files[i].file, files[i].json);
        assert_int_equal(m.duplicates, in.entries);
        assert_string_equal(written(&m, files[i].file), text.p);
        buf_release(&text);
        memory_model_free(&m);
    }
}

static void the_order_of_personas_stays(void **state)
{
    (void)state;
    struct memory_model m = {0};
    take_in(&m, MEMORY_PERSONA, "{\"zoe\":{\"b\":1,\"a\":2},\"anna\":{}}");
    append(&m, "persona/bert", "user", "{\"text\":\"x\"}", NULL, 1762698225000);
    assert_string_equal(written(&m, MEMORY_PERSONA),
                        "{\n  \"zoe\": {\n    \"b\": 1,\n    \"a\": 2\n  },\n  \"anna\": {},\n"
                        "  \"bert\": {\n    \"conversations\": [\n      {\n"
                        "        \"timestamp\": \"2025-11-09T14:23:45.000\",\n"
                        "        \"user_message\": \"x\"\n      }\n    ],\n"
                        "    \"statistics\": {\n      \"total_messages\": 1,\n"
                        "      \"first_interaction\": \"2025-11-09T14:23:45.000\",\n"
                        "      \"last_interaction\": \"2025-11-09T14:23:45.000\"\n    }\n  }\n}\n");
    memory_model_free(&m);
}

/* ------------------------------------------------------------------------------------ going on */

static void statistics_go_on(void **state)
{
    (void)state;
    struct memory_model m = {0};
    take_in(&m, MEMORY_PERSONA, persona);
    append(&m, "persona/Michael_Burry", "user",
           "{\"exchange\":\"e1\",\"text\":\"A teraz?\",\"model\":\"x-1\"}", "{\"total_value\":1}",
           1762698300500);
    append(&m, "persona/Michael_Burry", "user", "{\"exchange\":\"e2\",\"text\":\"Halo?\"}", NULL,
           1762698301000);
    append(&m, "persona/Michael_Burry", "assistant",
           "{\"exchange\":\"e1\",\"text\":\"Nie.\",\"tokens\":7}", NULL, 1762698302000);
    const char *expected =
        "{\"Michael_Burry\":{\"partner_name\":\"Michael Burry\",\"conversations\":[{\"timestamp\":"
        "\"2025-11-09T14:23:45\",\"user_message\":\"Czy powinienem sprzeda\\u0107 Bitcoin?\","
        "\"ai_response\":\"Pami\\u0119taj \\u017ce m\\u00f3wi\\u0142e\\u015b mi...\","
        "\"portfolio_snapshot\":{\"total_value\":145230,\"debt\":23400.5}},"
        "{\"timestamp\":\"2025-11-09T14:25:00.500\",\"user_message\":\"A teraz?\",\"ai_response\":"
        "\"Nie.\",\"portfolio_snapshot\":{\"total_value\":1},\"model\":\"x-1\",\"tokens\":7},"
        "{\"timestamp\":\"2025-11-09T14:25:01.000\",\"user_message\":\"Halo?\"}],"
        "\"statistics\":{\"total_messages\":239,\"first_interaction\":\"2025-01-15T10:00:00\","
        "\"last_interaction\":\"2025-11-09T14:25:01.000\"}}}";
    assert_true(same(str_of(written(&m, MEMORY_PERSONA)), str_of(expected)));
    /* The old file once more changes nothing. */
    take_in(&m, MEMORY_PERSONA, persona);
    assert_true(same(str_of(written(&m, MEMORY_PERSONA)), str_of(expected)));
    /* What came out goes into another store, and out of it. */
    struct memory_model other = {0};
    take_in(&other, MEMORY_PERSONA, written(&m, MEMORY_PERSONA));
    assert_true(same(str_of(written(&other, MEMORY_PERSONA)), str_of(expected)));
    memory_model_free(&m);
    memory_model_free(&other);
}

static void statistics_begin(void **state)
{
    (void)state;
    struct memory_model m = {0};
    take_in(&m, MEMORY_PERSONA,
            "{\"a\":{\"statistics\":{\"total_messages\":0,\"first_interaction\":null,"
            "\"last_interaction\":null,\"topics\":[]}},\"b\":{\"conversations\":[],\"statistics\":"
            "{\"total_messages\":\"many\"}}}");
    append(&m, "persona/a", "user", "{\"text\":\"x\",\"timestamp\":\"2025-11-09T14:00:00\"}", NULL,
           1762698225000);
    append(&m, "persona/b", "assistant", "{\"text\":\"y\",\"timestamp\":\"2025\"}", NULL, 1);
    assert_true(same(
        str_of(written(&m, MEMORY_PERSONA)),
        STR("{\"a\":{\"statistics\":{\"total_messages\":1,\"first_interaction\":"
            "\"2025-11-09T14:00:00\",\"last_interaction\":\"2025-11-09T14:00:00\",\"topics\":[]},"
            "\"conversations\":[{\"timestamp\":\"2025-11-09T14:00:00\",\"user_message\":\"x\"}]},"
            "\"b\":{\"conversations\":[{\"timestamp\":\"2025\",\"ai_response\":\"y\"}],"
            "\"statistics\":{\"total_messages\":\"many\"}}}")));
    memory_model_free(&m);
}

static void messages_go_on(void **state)
{
    (void)state;
    struct memory_model m = {0};
    take_in(&m, MEMORY_PARTNER, "{\"a\":{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}}");
    append(&m, "partner/a", "system", "{\"text\":\"y\",\"avatar\":\"z\"}", "[1]", 1762698225000);
    append(&m, "partner/b", "tool", "{\"text\":\"y\"}", NULL, 1762698225000);
    assert_true(
        same(str_of(written(&m, MEMORY_PARTNER)),
             STR("{\"a\":{\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":"
                 "\"system\",\"content\":\"y\",\"avatar\":\"z\",\"portfolio_snapshot\":[1]}]"
                 "},\"b\":{\"messages\":[{\"role\":\"tool\",\"content\":\"y\"}]}}")));
    take_in(&m, MEMORY_AUTONOMOUS, "[{\"id\":\"c\"}]");
    append(&m, "autonomous/c", "assistant", "{\"text\":\"y\",\"name\":\"N\"}", NULL, 1762698225000);
    append(&m, "autonomous/d", "user", "{\"text\":\"y\"}", NULL, 1762698225000);
    assert_true(same(str_of(written(&m, MEMORY_AUTONOMOUS)),
                     STR("[{\"id\":\"c\",\"messages\":[{\"partner\":\"N\",\"message\":\"y\","
                         "\"timestamp\":\"2025-11-09T14:23:45.000\"}]},{\"id\":\"d\",\"messages\":"
                         "[{\"role\":\"user\",\"content\":\"y\"}]}]")));
    memory_model_free(&m);

    take_in(&m, MEMORY_PARTNER, "{\"conversations\":[{\"id\":\"b\",\"messages\":[]}],\"n\":1}");
    append(&m, "partner/a", "user", "{\"text\":\"y\"}", NULL, 1762698225000);
    append(&m, "partner/b", "assistant", "{\"text\":\"z\",\"partner\":\"P\"}", NULL, 1762698225000);
    assert_true(same(str_of(written(&m, MEMORY_PARTNER)),
                     STR("{\"conversations\":[{\"id\":\"b\",\"messages\":[{\"partner\":\"P\","
                         "\"content\":\"z\",\"timestamp\":\"2025-11-09T14:23:45.000\"}]},{\"id\":"
                         "\"a\",\"messages\":[{\"role\":\"user\",\"content\":\"y\"}]}],\"n\":1}")));
    memory_model_free(&m);
}

/* ------------------------------------------------------------------------------------ refusals */

static const struct {
    enum memory_file file;
    const char *json, *code, *said;
    const char *at; /* the file from the offset on begins so */
} refused[] = {
    {MEMORY_PERSONA, "[]", "schema", "no object of personas", "[]"},
    {MEMORY_AUTONOMOUS, "{}", "schema", "no array of dialogues", "{}"},
    {MEMORY_PERSONA, "{\"a\":{\"conversations\":{}}}", "schema",
     ": /a/conversations: it is no array", "{}}}"},
    {MEMORY_PERSONA, "{\"a\":{\"conversations\":[],\"messages\":[ ]}}", "schema",
     ": /a/messages: it stands beside", "[ ]"},
    {MEMORY_PERSONA, "{\"a\":{\"conversations\":[3]}}", "schema",
     ": /a/conversations/0: it is no ob", "3]"},
    {MEMORY_PERSONA, "{\"a/b\":{\"conversations\":[{\"user_message\":\"x\"},{}]}}", "schema",
     ": /a~1b/conversations/1: it has neither", "{}]"},
    {MEMORY_PERSONA, "{\"a\":{\"conversations\":[{\"user_message\":\"x\",\"ai_response\":7}]}}",
     "schema", ": /a/conversations/0/ai_response: it is no string", "7}"},
    {MEMORY_PERSONA, "{\"a\":{\"conversations\":[{\"user_message\":null,\"ai_response\":null}]}}",
     "schema", "/0: it has neither", "{\"user"},
    {MEMORY_PERSONA,
     "{\"a\":{\"conversations\":[{\"user_message\":\"x\",\"timestamp\":\"wczoraj\"}]}}", "schema",
     "/0/timestamp: it is no time", "\"wcz"},
    {MEMORY_PERSONA,
     "{\"a\":{\"conversations\":[{\"user_message\":\"x\",\"timestamp\":\"1969-12-31\"}]}}",
     "schema", "/0/timestamp: it is no time", "\"1969"},
    {MEMORY_PERSONA, "{\"a\":{\"conversations\":[{\"user_message\":\"x\",\"timestamp\":5}]}}",
     "schema", "/0/timestamp: it is no string", "5}"},
    {MEMORY_PARTNER, "{\"a\":{\"messages\":[{\"role\":\"user\"}]}}", "schema",
     "/0: it has neither a", "{\"role"},
    {MEMORY_PARTNER, "{\"a\":{\"messages\":[{\"role\":\"Some One\",\"content\":\"x\"}]}}", "schema",
     "/0/role: a kind has", "\"Some"},
    {MEMORY_PARTNER, "{\"a\":{\"messages\":[{\"role\":\"user\",\"content\":[\"x\"]}]}}", "schema",
     "/0: it has neither a", "{\"role"},
    {MEMORY_AUTONOMOUS, "[{\"id\":\"a\"},{\"messages\":[]}]", "schema",
     ": /1: it is no object with", "{\"mess"},
    {MEMORY_AUTONOMOUS, "[{\"id\":\"a\"},7]", "schema", ": /1: it is no object with", "7]"},
    {MEMORY_PARTNER, "{\"conversations\":[{\"id\":\"a\"},{\"x\":1}]}", "schema",
     ": /conversations/1: it is no object with", "{\"x"},
    {MEMORY_AUTONOMOUS, "{\"conversations\":[{\"id\":\"~file\"}]}", "bad_key",
     ": /conversations/0/id: this name is Keepfast's own", "\"~file"},
    {MEMORY_PARTNER, "{\n\"a\":{\"messages\":\n [4]}}", "schema",
     "/0: it is no object (line 3, column 3)", "4]"},
    {MEMORY_PERSONA, "{\"..\":{}}", "bad_key", ": /..: no segment", "{}}"},
    {MEMORY_PERSONA, "{\"\":{}}", "bad_key", "empty segment", "{}}"},
    {MEMORY_PERSONA, "{\"a\\u0000\":{}}", "bad_key", "NUL", "{}}"},
    {MEMORY_PERSONA, "{\"~file\":{}}", "bad_key", "Keepfast's own", "{}}"},
    {MEMORY_PERSONA, "{\"a\":{}", "bad_json", "", ""},
    {MEMORY_PERSONA, "{\"a\":{},\"a\":{}}", "bad_json", "", "\"a\":{}}"},
};

static void what_cannot_be_mapped_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct memory_model m = {0};
        struct kf_err err = KF_ERR_INIT;
        str json = str_of(refused[i].json);
        assert_int_equal(memory_model_read(&m, refused[i].file, json, NULL, &err), KF_INVALID);
        assert_string_equal(err.code, refused[i].code);
        if (!strstr(err.detail, refused[i].said))
            fail_msg("%s: %s", refused[i].said, err.detail);
        assert_true(str_starts(str_from(json, (size_t)err.offset), str_of(refused[i].at)));
        assert_null(m.streams);
    }
}

static kf_rc read_with(size_t body_max, const char *json, struct kf_err *err)
{
    const struct memory_sink none = {NULL, NULL, NULL, NULL};
    return memory_file_read(MEMORY_PERSONA, str_of(json), body_max, &none, NULL, err);
}

static void what_no_store_takes_is_told_before(void **state)
{
    (void)state;
    struct buf json = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    assert_int_equal(
        read_with(100,
                  "{\"a\":{\"conversations\":[{\"user_message\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxx"
                  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}]}}",
                  &err),
        KF_LIMIT);
    assert_string_equal(err.code, "too_large");
    assert_non_null(strstr(err.detail, "/a/conversations/0"));
    buf_c(&json, "{\"a\":{\"x\":\"");
    for (int i = 0; i < 66000; i++)
        buf_byte(&json, 'x');
    buf_c(&json, "\"}}");
    assert_int_equal(read_with(1000000, json.p, &err), KF_LIMIT);
    assert_string_equal(err.code, "too_large");
    assert_non_null(strstr(err.detail, "64 KiB"));
    buf_clear(&json);
    buf_c(&json, "{\"a\":{\"conversations\":[{\"user_message\":\"x\",\"x\":[");
    for (int i = 0; i < 100001; i++)
        buf_c(&json, i ? ",0" : "0");
    buf_c(&json, "]}]}}");
    assert_int_equal(read_with(1000000, json.p, &err), KF_LIMIT);
    assert_string_equal(err.code, "json_limit");
    assert_non_null(strstr(err.detail, "/a/conversations/0"));
    buf_clear(&json);
    buf_c(&json, "{\"a\":");
    for (int i = 0; i < 62; i++)
        buf_byte(&json, '[');
    assert_int_equal(read_with(1000000, json.p, &err), KF_LIMIT);
    assert_string_equal(err.code, "json_limit");
    buf_release(&json);
}

static const struct {
    enum memory_file file;
    const char *attrs, *kind, *body, *said;
} no_file[] = {
    {MEMORY_PERSONA, "{}", "tool", "{\"text\":\"x\"}", "neither user nor assistant"},
    {MEMORY_PERSONA, "{}", "user", "{\"content\":\"x\"}", "entry 1 of persona/a cannot stand"},
    {MEMORY_PERSONA, "{}", "user", "[\"x\"]", "no text"},
    {MEMORY_PERSONA, "{}", "user", "{\"text\":\"x\",\"user_message\":\"y\"}", "member twice"},
    {MEMORY_PARTNER, "{}", "", "{\"text\":\"x\"}", "has no kind"},
    {MEMORY_PARTNER, "{}", "user", "{\"text\":\"x\",\"name\":\"y\"}", "kind is not assistant"},
    {MEMORY_PARTNER, "{}", "assistant", "{\"text\":\"x\",\"partner\":\"y\",\"content\":\"z\"}",
     "member twice"},
    {MEMORY_PERSONA, "{\"memory\":1}", "user", "{\"text\":\"x\"}", "attribute `memory`"},
    {MEMORY_PERSONA, "{\"memory\":[]}", "user", "{\"text\":\"x\"}", "attribute `memory`"},
    {MEMORY_PERSONA, "{\"memory\":[7]}", "user", "{\"text\":\"x\"}", "attribute `memory`"},
    {MEMORY_PERSONA, "{\"memory\":[{\"list\":5,\"object\":{}}]}", "user", "{\"text\":\"x\"}",
     "attribute `memory`"},
    {MEMORY_PERSONA, "{\"memory\":[{\"object\":{}}]}", "user", "{\"text\":\"x\"}",
     "attribute `memory`"},
    {MEMORY_PERSONA, "{\"memory\":[{\"place\":1,\"list\":\"messages\",\"object\":{}}]}", "user",
     "{\"text\":\"x\"}", "attribute `memory`"},
};

static void what_cannot_stand_in_a_file_is_named(void **state)
{
    (void)state;
    struct kf_err err = KF_ERR_INIT;
    struct buf out = BUF_INIT;
    buf_c(&out, "before");
    for (size_t i = 0; i < sizeof no_file / sizeof *no_file; i++) {
        struct memory_model m = {0};
        const char *key = no_file[i].file == MEMORY_PERSONA ? "persona/a" : "partner/a";
        memory_model_patch(&m, str_of(key), str_of(no_file[i].attrs));
        append(&m, key, no_file[i].kind, no_file[i].body, NULL, 1);
        assert_int_equal(memory_model_write(&m, no_file[i].file, &out, NULL, &err), KF_INVALID);
        assert_string_equal(err.code, "schema");
        if (!strstr(err.detail, no_file[i].said))
            fail_msg("%s: %s", no_file[i].said, err.detail);
        assert_string_equal(out.p, "before");
        memory_model_free(&m);
    }
    struct memory_model m = {0};
    append(&m, "persona/a", "user", "{\"exchange\":\"e\",\"text\":\"x\"}", "1", 1);
    append(&m, "persona/a", "assistant", "{\"exchange\":\"e\",\"text\":\"x\"}", "2", 1);
    assert_int_equal(memory_model_write(&m, MEMORY_PERSONA, &out, NULL, &err), KF_INVALID);
    assert_non_null(strstr(err.detail, "entry 2 of persona/a"));
    assert_non_null(strstr(err.detail, "another attachment"));
    memory_model_free(&m);
    append(&m, "persona/a", "user", "{\"exchange\":\"e\",\"text\":\"x\"}", NULL, 1);
    append(&m, "persona/a", "user", "{\"exchange\":\"\\u0065\",\"text\":\"y\"}", NULL, 1);
    assert_int_equal(memory_model_write(&m, MEMORY_PERSONA, &out, NULL, &err), KF_INVALID);
    assert_non_null(strstr(err.detail, "entry 2 of persona/a"));
    memory_model_free(&m);
    take_in(&m, MEMORY_PERSONA, "{\"version\":1}");
    append(&m, "persona/~file", "user", "{\"text\":\"x\"}", NULL, 1);
    assert_int_equal(memory_model_write(&m, MEMORY_PERSONA, &out, NULL, &err), KF_INVALID);
    assert_non_null(strstr(err.detail, "of no persona"));
    memory_model_free(&m);
    assert_string_equal(out.p, "before");
    buf_release(&out);
}

/* What the callbacks say is what is returned, and nothing follows it. */
static kf_rc fails(void *ctx, const struct memory_entry *entry, struct kf_err *err)
{
    (void)entry;
    (void)err;
    ++*(int *)ctx;
    return KF_FULL;
}
static kf_rc passes(void *ctx, const struct memory_stream *stream, struct kf_err *err)
{
    (void)ctx;
    (void)stream;
    (void)err;
    return KF_OK;
}
static void a_failed_callback_ends_it(void **state)
{
    (void)state;
    int calls = 0;
    const struct memory_sink sink = {passes, NULL, fails, &calls};
    assert_int_equal(memory_file_read(MEMORY_PERSONA, str_of(persona), 100000, &sink, NULL, NULL),
                     KF_FULL);
    assert_int_equal(calls, 1);
}

static void files_are_known_by_name(void **state)
{
    (void)state;
    enum memory_file file = MEMORY_PERSONA;
    assert_true(memory_file_known(STR("autonomous_conversations.json"), &file));
    assert_int_equal(file, MEMORY_AUTONOMOUS);
    assert_true(memory_file_known(STR("/a/b.d/persona_memory_backup_20251110.json"), &file));
    assert_int_equal(file, MEMORY_PERSONA);
    assert_true(memory_file_known(STR("./partner_conversations.json"), &file));
    assert_int_equal(file, MEMORY_PARTNER);
    assert_false(memory_file_known(STR("persona_memory.json/kredyty.json"), &file));
    assert_false(memory_file_known(STR("persona_memory.txt"), &file));
    assert_false(memory_file_known(STR(""), &file));
    assert_string_equal(memory_file_name(file), "partner_conversations.json");
}

/* ------------------------------------------------------------------------------- random files */

static const char *some_text(uint64_t *seed)
{
    static const char *const texts[] = {"\"\"",        "\"tak\"",   "\"Zażółć \\\"x\\\"\"",
                                        "\"\\u0000\"", "\"a\\nb\"", "\"\\ud83d\\udc4d\"",
                                        "\"2025\"",    "\"null\"",  "\"{}\""};
    return texts[testing_random(seed) % (sizeof texts / sizeof *texts)];
}

static void put_value(struct buf *out, uint64_t *seed, int depth)
{
    static const char *const leaves[] = {
        "null", "true", "false", "0", "-1.50", "1e5", "123456789012345678901"};
    uint64_t what = testing_random(seed) % (depth > 3 ? 8 : 12);
    if (what < 7) {
        buf_c(out, leaves[what]);
    } else if (what < 9) {
        buf_c(out, some_text(seed));
    } else {
        uint64_t count = testing_random(seed) % 4;
        bool object = what > 9;
        buf_c(out, object ? "{" : "[ ");
        for (uint64_t i = 0; i < count; i++) {
            buf_c(out, i ? "," : "");
            if (object)
                buf_printf(out, "\"m%u\":", (unsigned)i);
            put_value(out, seed, depth + 1);
        }
        buf_c(out, object ? "}" : " ]");
    }
}

static void put_extras(struct buf *out, uint64_t *seed)
{
    static const char *const names[] = {"text", "exchange", "name", "more", "kind", "mood", "at"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (testing_random(seed) % 4)
            continue;
        buf_printf(out, ",\"%s\": ", names[i]);
        put_value(out, seed, 0);
    }
    if (testing_random(seed) % 2 == 0) {
        buf_c(out, ",\"portfolio_snapshot\":");
        put_value(out, seed, 0);
    }
    if (testing_random(seed) % 2 == 0)
        buf_printf(out, ",\"timestamp\":\"20%02u-11-09T14:23:%02u.%06u\"",
                   (unsigned)(10 + testing_random(seed) % 80),
                   (unsigned)(testing_random(seed) % 60),
                   (unsigned)(testing_random(seed) % 1000000));
}

static void put_list(struct buf *out, uint64_t *seed, bool exchange)
{
    uint64_t count = testing_random(seed) % 6;
    buf_byte(out, '[');
    for (uint64_t i = 0; i < count; i++) {
        bool other = testing_random(seed) % 2 == 0;
        buf_c(out, i ? ",\n" : "");
        if (exchange)
            buf_printf(out, "{\"%s\":%s", other ? "user_message" : "ai_response", some_text(seed));
        else if (other)
            buf_printf(out, "{\"role\":\"user\",\"content\":%s", some_text(seed));
        else
            buf_printf(out, "{\"message\":%s,\"partner\":%s", some_text(seed), some_text(seed));
        if (exchange && testing_random(seed) % 4)
            buf_printf(out, ",\"%s\":%s", other ? "ai_response" : "user_message",
                       testing_random(seed) % 5 ? some_text(seed) : "null");
        put_extras(out, seed);
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
}

static void put_random_file(struct buf *out, uint64_t *seed, enum memory_file file)
{
    bool array = file == MEMORY_AUTONOMOUS;
    uint64_t count = testing_random(seed) % 5;
    buf_c(out, array ? "[" : "{\"file\":null");
    for (uint64_t i = 0; i < count; i++) {
        bool exchange = testing_random(seed) % 2 == 0;
        buf_c(out, array && i == 0 ? "" : ",");
        if (array)
            buf_printf(out, "{\"id\":\"c%u\"", (unsigned)(testing_random(seed) % 3));
        else
            buf_printf(out, "\"P %u/x\":{\"id\":1", (unsigned)i);
        if (testing_random(seed) % 5) {
            buf_printf(out, ",\"%s\":", exchange ? "conversations" : "messages");
            put_list(out, seed, exchange);
        }
        if (testing_random(seed) % 2 == 0) {
            buf_c(out, ",\"statistics\":");
            put_value(out, seed, 0);
        }
        put_extras(out, seed);
        buf_byte(out, '}');
    }
    buf_c(out, array ? "]" : "}");
}

static void any_file_comes_out_as_it_went_in(void **state)
{
    (void)state;
    uint64_t seed = 11, entries = 0;
    for (int round = 0; round < 3000; round++) {
        enum memory_file file = (enum memory_file)(round % 3);
        struct memory_model m = {0};
        struct buf json = BUF_INIT, text = BUF_INIT;
        struct memory_counts in, out;
        struct kf_err err = KF_ERR_INIT;
        put_random_file(&json, &seed, file);
        if (memory_model_read(&m, file, buf_view(&json), &in, &err) != KF_OK ||
            memory_model_write(&m, file, &text, &out, &err) != KF_OK)
            fail_msg("%s: %s", err.detail, json.p);
        if (!same(buf_view(&json), buf_view(&text)))
            fail_msg("%s became %s", json.p, text.p);
        take_in(&m, file, json.p);
        assert_int_equal(m.duplicates, in.entries);
        entries += in.entries;
        buf_release(&json);
        buf_release(&text);
        memory_model_free(&m);
    }
    assert_true(entries > 5000);
}

/* ----------------------------------------------------------------------------- lack of memory */

static kf_rc read_only(void *ctx)
{
    const struct memory_sink none = {passes, NULL, NULL, NULL};
    (void)ctx;
    return memory_file_read(MEMORY_AUTONOMOUS,
                            STR("[{\"id\":\"a\"},{\"id\":\"a\",\"messages\":[]},{\"id\":\"a\"}]"),
                            100000, &none, NULL, NULL);
}

static kf_rc write_only(void *ctx)
{
    struct buf out = BUF_INIT;
    kf_rc rc = memory_model_write(ctx, MEMORY_PERSONA, &out, NULL, NULL);
    assert_true(rc == KF_OK || out.len == 0);
    buf_release(&out);
    return rc;
}

static kf_rc ignore(void *ctx, const struct memory_entry *entry, struct kf_err *err)
{
    (void)ctx;
    (void)entry;
    (void)err;
    return KF_OK;
}
static kf_rc read_persona(void *ctx)
{
    const struct memory_sink sink = {passes, NULL, ignore, NULL};
    (void)ctx;
    return memory_file_read(MEMORY_PERSONA, str_of(persona), 100000, &sink, NULL, NULL);
}

static void no_memory(void **state)
{
    (void)state;
    struct memory_model m = {0};
    assert_true(testing_oom_each(read_only, NULL) > 4);
    assert_true(testing_oom_each(read_persona, NULL) > 4);
    take_in(&m, MEMORY_PERSONA, persona);
    append(&m, "persona/Michael_Burry", "user", "{\"exchange\":\"e\",\"text\":\"x\"}", "1", 1);
    append(&m, "persona/b", "user", "{\"exchange\":\"e\",\"text\":\"x\",\"y\":1}", "1", 1);
    assert_true(testing_oom_each(write_only, &m) > 4);
    memory_model_free(&m);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_exchange_is_two_entries),
        cmocka_unit_test(what_goes_in_comes_out),
        cmocka_unit_test(the_order_of_personas_stays),
        cmocka_unit_test(statistics_go_on),
        cmocka_unit_test(statistics_begin),
        cmocka_unit_test(messages_go_on),
        cmocka_unit_test(what_cannot_be_mapped_is_named),
        cmocka_unit_test(what_no_store_takes_is_told_before),
        cmocka_unit_test(what_cannot_stand_in_a_file_is_named),
        cmocka_unit_test(a_failed_callback_ends_it),
        cmocka_unit_test(files_are_known_by_name),
        cmocka_unit_test(any_file_comes_out_as_it_went_in),
        cmocka_unit_test(no_memory),
    };
    testing_only(argc, argv);
    return cmocka_run_group_tests_name("memory_file", tests, NULL, NULL);
}
