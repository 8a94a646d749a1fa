// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "mongo/driver.hpp"

#include <mutex>

namespace jobruntime::mongo {

void start_driver(bool quiet) {
    static std::once_flag started, silenced;
    std::call_once(started, [] { mongoc_init(); });
    // Once only, so that a handler which the host sets later stays.
    if (quiet)
        std::call_once(silenced, [] {
            mongoc_log_set_handler([](mongoc_log_level_t, const char*, const char*, void*) {}, nullptr);
        });
}

}  // namespace jobruntime::mongo
