int main(int argc, char **argv)
{
    (void)argv;
    volatile int by = 40 * argc;
    volatile int x = 1 << by;
    return x == 3;
}
