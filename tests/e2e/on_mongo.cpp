// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "e2e/support.hpp"
#include "support/mongo_server.hpp"

// Linked into a program of tests, it has them run on MongoDB where E2E_ON_MONGO is set: each folder has a database of its
// own there. Without a server the program says so and is skipped.
namespace jobruntime::e2e {
namespace {

Variables database_of(const Folder& folder) {
    static std::map<std::string, std::string> known;
    auto& uri = known[folder.path()];
    auto& server = tests::MongoServer::shared();
    if (uri.empty()) uri = server.uri(server.fresh_database());
    return {{"JOBRT_STORE", ""}, {"MONGODB_URI", uri}};
}

const bool chosen = [] {
    if (on_mongo()) use_store(database_of);
    return true;
}();

}  // namespace
}  // namespace jobruntime::e2e
