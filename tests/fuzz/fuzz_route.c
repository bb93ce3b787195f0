/* Targets as a hostile client would send them. The first byte is the method, the rest the target.
 * What a match says must hold: names that name_check allows, parameters of the route. */
#include "api/api_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = ARENA_INIT;
    struct route_match m = {0};
    if (size == 0)
        return 0;
    enum api_method method = (enum api_method)(API_GET + data[0] % API_OTHER);
    str target = str_make(data + 1, size - 1);
    if (route_match(method, target, &arena, &m, NULL) == KF_OK) {
        assert(m.route < ROUTE_COUNT);
        const char *pattern = route_table[m.route].pattern;
        assert((!strstr(pattern, "{name}") && !strstr(pattern, "{key}")) ||
               name_check(m.name, NULL) == KF_OK);
        assert(m.query_count <= API_QUERY_MAX);
        assert(m.allowed & 1u << route_table[m.route].method);
    }
    arena_release(&arena);
    return 0;
}
