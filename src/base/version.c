#include <keepfast.h>

#include "version.h"

const char *kf_version(void)
{
    return KF_VERSION;
}
