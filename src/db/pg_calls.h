/* pg_calls: the calls of libpq, which is loaded with the first address of PostgreSQL: it brings
 * Kerberos, LDAP and OpenSSL along, which a store in a file has no use for. */
#ifndef KF_DB_PG_CALLS_H
#define KF_DB_PG_CALLS_H

#include <keepfast.h>

#include <libpq-fe.h>

/* X(name without `PQ`) */
#define PG_CALLS(X)       \
    X(conninfoParse)      \
    X(conninfoFree)       \
    X(connectStartParams) \
    X(connectPoll)        \
    X(finish)             \
    X(status)             \
    X(socket)             \
    X(errorMessage)       \
    X(pass)               \
    X(serverVersion)      \
    X(backendPID)         \
    X(parameterStatus)    \
    X(setNoticeProcessor) \
    X(setnonblocking)     \
    X(enterPipelineMode)  \
    X(exitPipelineMode)   \
    X(pipelineSync)       \
    X(sendQuery)          \
    X(sendQueryParams)    \
    X(sendPrepare)        \
    X(sendQueryPrepared)  \
    X(setSingleRowMode)   \
    X(flush)              \
    X(consumeInput)       \
    X(isBusy)             \
    X(getResult)          \
    X(clear)              \
    X(resultStatus)       \
    X(resultErrorField)   \
    X(resultErrorMessage) \
    X(cmdStatus)          \
    X(cmdTuples)          \
    X(ntuples)            \
    X(nfields)            \
    X(getvalue)           \
    X(getlength)          \
    X(getisnull)          \
    X(ftype)              \
    X(notifies)           \
    X(freemem)

struct pg_calls {
#define X(name) __typeof__(PQ##name) *name;
    PG_CALLS(X)
#undef X
};

/* Filled by pg_calls_load, and never changed again. */
extern struct pg_calls pq;

/* KF_CONFIG when the machine has no libpq of PostgreSQL 14 or later. What was loaded stays until
 * the process ends. Any thread. */
kf_rc pg_calls_load(struct kf_err *err);

#endif
