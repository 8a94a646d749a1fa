// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "e2e/support.hpp"

// A test that holds for every store runs once for each that is here.
namespace jobruntime::e2e {

struct StoreKind {
    std::string name;
    /// The variables that name a store which no other test uses.
    std::function<Variables(const Folder&)> variables;
    /// The stand-in for MongoDB, which does some tens of jobs a second: tests do less on it, and say so.
    bool stand_in = false;
};

/// SQLite, and MongoDB where there is a server or a stand-in (tests/support/mongo_server.hpp); says aloud
/// when not.
std::vector<StoreKind> store_kinds();

/// Does it on all stores side by side: for what waits more than it works, and measures no time.
void on_each_store(const std::function<void(const StoreKind&)>& body);

/// environment() with that store instead.
Variables environment(const Folder& folder, const StoreKind& kind);

}  // namespace jobruntime::e2e
