#include <stdlib.h>

int main(int argc, char **argv)
{
    (void)argv;
    char *p = malloc((size_t)argc);
    if (!p)
        return 0;
    volatile char *end = p + argc;
    *end = 1;
    free(p);
    return 0;
}
