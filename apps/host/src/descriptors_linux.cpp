// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "descriptors.hpp"

#include <sys/resource.h>

namespace jobruntime::host {

unsigned long raise_descriptor_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
    const auto before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : before;
}

}  // namespace jobruntime::host
