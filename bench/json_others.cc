#include "json_others.h"

#include <jansson.h>
#include <simdjson.h>

using namespace simdjson;

static_assert(OTHERS_PADDING >= SIMDJSON_PADDING, "padding");

namespace
{
struct parsers {
    dom::parser dom;
    ondemand::parser ondemand;
};

template <typename T> bool walk(T &&value)
{
    switch (value.type()) {
    case ondemand::json_type::object:
        for (auto field : value.get_object()) {
            std::string_view name = field.unescaped_key();
            (void)name;
            if (!walk(field.value()))
                return false;
        }
        return true;
    case ondemand::json_type::array:
        for (auto element : value.get_array()) {
            if (!walk(element.value()))
                return false;
        }
        return true;
    case ondemand::json_type::number: return value.get_number().error() == SUCCESS;
    case ondemand::json_type::string: return value.get_string().error() == SUCCESS;
    case ondemand::json_type::boolean: return value.get_bool().error() == SUCCESS;
    case ondemand::json_type::null: return value.is_null();
    }
    return false;
}
} // namespace

bool others_jansson(const char *p, size_t len)
{
    json_t *root = json_loadb(p, len, JSON_REJECT_DUPLICATES, nullptr);
    json_decref(root);
    return root != nullptr;
}

void *others_new(void)
{
    return new (std::nothrow) parsers;
}

void others_free(void *parser)
{
    delete static_cast<parsers *>(parser);
}

bool others_dom(void *parser, const char *p, size_t len)
{
    dom::element root;
    auto error = static_cast<parsers *>(parser)->dom.parse(p, len, false).get(root);
    return error == SUCCESS;
}

bool others_walk(void *parser, const char *p, size_t len)
{
    try {
        padded_string_view text(p, len, len + OTHERS_PADDING);
        ondemand::document document = static_cast<parsers *>(parser)->ondemand.iterate(text);
        return walk(document);
    } catch (const simdjson_error &) {
        return false;
    }
}
