/* A program that keeps its state with Keepfast.
 *
 *     cc embed.c -o embed $(pkg-config --cflags --libs keepfast) && ./embed */
#include <keepfast.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    kf_store *store;
    struct kf_doc doc;
    struct kf_written written;
    struct kf_err err = KF_ERR_INIT;
    const char *settings = "{\"theme\": \"dark\", \"opened\": 1}";

    if (kf_open("embed.db", NULL, &store, &err) != KF_OK) {
        fprintf(stderr, "%s\n", err.detail);
        return err.exit_code;
    }
    if (kf_doc_put(store, "settings.json", settings, strlen(settings), NULL, &written, &err) ==
        KF_OK)
        printf("version %llu is on disk\n", (unsigned long long)written.version);
    if (kf_doc_get(store, "settings.json", &doc, &err) == KF_OK) {
        printf("%s\n", (const char *)doc.body);
        kf_doc_release(&doc);
    }
    kf_rc rc = kf_close(&store, &err);
    if (rc != KF_OK)
        fprintf(stderr, "%s\n", err.detail);
    return rc == KF_OK ? 0 : err.exit_code;
}
