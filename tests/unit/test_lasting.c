/* Whether a folder lasts: what is read of mounts, and what a container's marks change. Real volumes
 * are in tests/build/test_container.py. */
#include "testing.h"

#include "store/lasting.h"

#include <stdlib.h>

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char mounts[] =
    "22 28 0:20 / /sys rw,nosuid - sysfs sysfs rw\n"
    "1071 1064 8:1 /var/lib/docker/volumes/" HEX64 "/_data /data rw,relatime - ext4 /dev/sda1 rw\n"
    "1072 1064 8:1 /var/lib/docker/volumes/keepfast-data/_data /named rw - ext4 /dev/sda1 rw\n"
    "1073 1064 8:1 /home/u/containers/storage/volumes/" HEX64 "/_data /p rw - ext4 x rw\n"
    "1074 1064 8:1 /var/lib/kubelet/pods/1-2/volumes/kubernetes.io~empty-dir/d /e rw - ext4 x rw\n"
    "1075 1064 8:1 /var/lib/kubelet/pods/1-2/volumes/kubernetes.io~csi/pvc-1 /c rw - ext4 x rw\n"
    "1076 1064 8:1 /" HEX64 "/_data /no-volume rw - ext4 x rw\n"
    "107 1064 8:1 / /begins-alike rw - ext4 x rw\n"
    "1077";

static void volumes_without_a_name(void **state)
{
    (void)state;
    static const struct {
        uint64_t id;
        bool unnamed;
    } cases[] = {{22, false},   {1071, true},  {1072, false}, {1073, true},  {1074, true},
                 {1075, false}, {1076, false}, {107, false},  {1077, false}, {5, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (lasting_is_unnamed(str_of(mounts), cases[i].id) != cases[i].unnamed)
            fail_msg("mount %llu", (unsigned long long)cases[i].id);
    assert_false(lasting_is_unnamed(STR(""), 1));
    assert_false(lasting_is_unnamed(STR("\n\n 1 2 3"), 1));
    assert_false(lasting_is_unnamed(STR("1 2 3 _data"), 1));
}

static void a_root_that_is_a_part(void **state)
{
    (void)state;
    assert_true(lasting_is_whole(str_of(mounts), 107));
    assert_false(lasting_is_whole(str_of(mounts), 1071));
    assert_false(lasting_is_whole(str_of(mounts), 5));
}

static void a_machine_with_the_marks_of_a_container(void **state)
{
    (void)state;
    enum lasting without = lasting_of(env_system(), "/");
    setenv("container", "lxc", 1); /* a machine of its own: its root stays */
    assert_int_equal(lasting_of(env_system(), "/"), without);
    unsetenv("container");
    assert_int_equal(lasting_of(env_system(), "/does/not/exist"), LASTING_YES);
}

static void a_disk_in_memory(void **state)
{
    (void)state;
    assert_int_equal(lasting_of(env_system(), "/dev/shm"), LASTING_MEMORY);
}

static void each_answer_says_what_to_do(void **state)
{
    (void)state;
    for (int what = LASTING_MEMORY; what <= LASTING_UNNAMED; what++) {
        assert_true(strlen(lasting_title((enum lasting)what)) > 0);
        assert_true(strstr(lasting_next((enum lasting)what), "keepfast status") != NULL);
    }
    assert_string_equal(lasting_title(LASTING_YES), "");
    assert_string_equal(lasting_next(LASTING_YES), "");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(volumes_without_a_name),
        cmocka_unit_test(a_root_that_is_a_part),
        cmocka_unit_test(a_machine_with_the_marks_of_a_container),
        cmocka_unit_test(a_disk_in_memory),
        cmocka_unit_test(each_answer_says_what_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
