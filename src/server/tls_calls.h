/* tls_calls: the calls of OpenSSL, which is loaded with the first certificate: a server without one
 * pays neither the 4 MB nor the milliseconds that libssl and libcrypto take. */
#ifndef KF_SERVER_TLS_CALLS_H
#define KF_SERVER_TLS_CALLS_H

#include <keepfast.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

/* X(name); those of libcrypto are found through libssl, which needs it. */
#define TLS_CALLS(X)                        \
    X(TLS_server_method)                    \
    X(SSL_CTX_new)                          \
    X(SSL_CTX_free)                         \
    X(SSL_CTX_ctrl)                         \
    X(SSL_CTX_set_options)                  \
    X(SSL_CTX_get_security_level)           \
    X(SSL_CTX_set_security_level)           \
    X(SSL_CTX_set_alpn_select_cb)           \
    X(SSL_CTX_set_timeout)                  \
    X(SSL_CTX_set_ex_data)                  \
    X(SSL_CTX_get_ex_data)                  \
    X(SSL_CTX_set_tlsext_ticket_key_evp_cb) \
    X(SSL_CTX_use_certificate)              \
    X(SSL_CTX_use_PrivateKey)               \
    X(SSL_CTX_check_private_key)            \
    X(SSL_select_next_proto)                \
    X(SSL_new)                              \
    X(SSL_get_SSL_CTX)                      \
    X(SSL_version)                          \
    X(SSL_free)                             \
    X(SSL_set_bio)                          \
    X(SSL_set_accept_state)                 \
    X(SSL_read)                             \
    X(SSL_write)                            \
    X(SSL_shutdown)                         \
    X(SSL_get_error)                        \
    X(SSL_is_init_finished)                 \
    X(BIO_get_new_index)                    \
    X(BIO_meth_new)                         \
    X(BIO_meth_set_read)                    \
    X(BIO_meth_set_write)                   \
    X(BIO_meth_set_ctrl)                    \
    X(BIO_new)                              \
    X(BIO_new_mem_buf)                      \
    X(BIO_free)                             \
    X(BIO_set_init)                         \
    X(BIO_set_data)                         \
    X(BIO_get_data)                         \
    X(BIO_set_flags)                        \
    X(BIO_clear_flags)                      \
    X(PEM_read_bio_X509)                    \
    X(PEM_read_bio_PrivateKey)              \
    X(X509_free)                            \
    X(X509_get0_notBefore)                  \
    X(X509_get0_notAfter)                   \
    X(EVP_PKEY_free)                        \
    X(EVP_aes_256_cbc)                      \
    X(EVP_EncryptInit_ex)                   \
    X(EVP_DecryptInit_ex)                   \
    X(EVP_MAC_CTX_set_params)               \
    X(ASN1_TIME_to_tm)                      \
    X(ERR_clear_error)                      \
    X(ERR_peek_error)                       \
    X(ERR_peek_last_error)                  \
    X(ERR_reason_error_string)

struct tls_calls {
#define X(name) __typeof__(name) *name;
    TLS_CALLS(X)
#undef X
};

/* Filled by tls_calls_load, and never changed again. */
extern struct tls_calls openssl;

/* KF_CONFIG when the machine has no OpenSSL 3. What was loaded stays until the process ends. Any
 * thread. */
kf_rc tls_calls_load(struct kf_err *err);

#endif
