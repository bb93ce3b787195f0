/* testing_pg: a private PostgreSQL for the program (tests/pg.py), started when it is first asked
 * for and ended with the program, however that ends. */
#ifndef KF_TESTS_TESTING_PG_H
#define KF_TESTS_TESTING_PG_H

/* The address of a space in it; lives until the end of the program. Programs that a test of this
 * one runs (testing_saboteur) have the same server. */
const char *testing_pg_url(const char *space);
/* Address of a space that nobody has used yet. */
const char *testing_pg_new(void);
/* "crash", "stop", "start", "freeze" or "thaw"; done when it returns. */
void testing_pg_do(const char *what);

#endif
