// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "e2e/stores.hpp"

#include <future>
#include <iostream>

#include <doctest/doctest.h>

#ifdef E2E_HAS_MONGO
#include <cstdlib>

#include "support/mongo_server.hpp"
#endif

namespace jobruntime::e2e {
namespace {

#ifdef E2E_HAS_MONGO
bool given(const char* name) {
    const char* value = std::getenv(name);
    return value && *value;
}
#endif

}  // namespace

std::vector<StoreKind> store_kinds() {
    std::vector<StoreKind> kinds{{"sqlite", [](const Folder& folder) {
                                      return Variables{{"JOBRT_STORE", "sqlite:" + folder / "jobs.db"}};
                                  }}};
#ifdef E2E_HAS_MONGO
    const bool real = given("JOBRT_TEST_MONGODB_URI");
    if (real || given("JOBRT_STANDIN")) {
        kinds.push_back(
            {"mongodb", [](const Folder&) {
                 auto& server = tests::MongoServer::shared();
                 return Variables{{"JOBRT_STORE", ""}, {"MONGODB_URI", server.uri(server.fresh_database())}};
             },
             !real});
        return kinds;
    }
#endif
    std::cout << "skipped: MongoDB: it is not built, or neither JOBRT_TEST_MONGODB_URI nor JOBRT_STANDIN "
                 "is set\n";
    return kinds;
}

void on_each_store(const std::function<void(const StoreKind&)>& body) {
    const auto kinds = store_kinds();
    std::vector<std::future<void>> runs;
    for (const auto& kind : kinds)
        runs.push_back(std::async(std::launch::async, [&body, &kind] {
            CAPTURE(kind.name);
            body(kind);
        }));
    for (auto& one : runs) one.wait();
    for (auto& one : runs) one.get();  // What ended a case early ends it here.
}

Variables environment(const Folder& folder, const StoreKind& kind) {
    auto all = environment(folder);
    for (const auto& [name, value] : kind.variables(folder)) all[name] = value;
    return all;
}

}  // namespace jobruntime::e2e
