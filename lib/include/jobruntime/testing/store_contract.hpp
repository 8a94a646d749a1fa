// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <jobruntime/export.hpp>
#include <jobruntime/result.hpp>
#include <jobruntime/store.hpp>

namespace jobruntime::testing {

/// One fresh, empty database, and a way to open stores on it. Made anew for each case.
struct StoreFactory {
    /// One more store on this database, as another process would open it; the first call makes the database.
    std::function<std::unique_ptr<Store>(Origin)> open;
    /// False when only one store can be open on it at a time: what needs two at once is left out then. What
    /// is written must still be there when the store is closed and opened again.
    bool shares_database = true;
};

/// One promise of store.hpp, as a sentence that is true of any store.
struct ContractCase {
    std::string name;
    /// Nothing when the promise was kept; else an error that says where and how it was broken. Never throws.
    std::function<Result<void>(const StoreFactory&)> run;
    bool needs_two_stores = false;  ///< Not run (and kept) where shares_database is false.
};

/// What every store must do: verb by verb, every arrow of docs/states.md and every missing one, and
/// several stores on one database. It uses no test framework and no clock. In doctest:
///
///     TEST_CASE("my store keeps the store contract") {
///         for (const auto& rule : jobruntime::testing::store_contract()) {
///             auto kept = rule.run({.open = [db = fresh_database()](Origin origin) { return db->open(origin); }});
///             CHECK_MESSAGE(kept, rule.name << ": " << (kept ? "" : kept.error().message));
///         }
///     }
JOBRUNTIME_API const std::vector<ContractCase>& store_contract();

}  // namespace jobruntime::testing
