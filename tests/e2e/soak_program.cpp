// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// jobrt as the browser's soak runs it: with a leak built in where JOBRT_FAILPOINTS asks for one.
#include <cstdlib>

#include <jobruntime/host.hpp>

#include "core/failpoint.hpp"

int main(int argc, char** argv) {
#ifdef JOBRUNTIME_FAILPOINTS
    if (const char* spec = std::getenv("JOBRT_FAILPOINTS"); spec && !jobruntime::core::arm_failpoints(spec)) return 2;
#endif
    return jobruntime::host::main(argc, argv, {});
}
