// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <cstdio>

#include <doctest/doctest.h>

#include <jobruntime/mongo.hpp>
#include <jobruntime/testing/store_contract.hpp>

#include "support/mongo_server.hpp"

using namespace jobruntime;

namespace {

/// Every `step`th rule, from `first` on, so that several programs share the work.
void keeps_contract(std::size_t first, std::size_t step) {
    auto& server = tests::MongoServer::shared();
    const auto& rules = testing::store_contract();
    std::size_t run = 0;
    for (std::size_t i = first; i < rules.size(); i += step) {
        const auto database = server.fresh_database();
        const auto open = [&](Origin origin) -> std::unique_ptr<Store> {
            mongo::Options options;
            options.origin = std::move(origin);
            auto store = mongo::open(server.uri(database), options);
            REQUIRE_MESSAGE(store.has_value(), (store ? "" : store.error().message));
            return std::move(*store);
        };
        CAPTURE(rules[i].name);
        const auto kept = rules[i].run({.open = open});
        CHECK_MESSAGE(kept.has_value(), (kept ? "" : kept.error().message));
        std::printf("mongo %s: %s\n", kept ? "keeps" : "breaks", rules[i].name.c_str());
        server.drop(database);
        ++run;
    }
    MESSAGE("counts: " << run << " of " << rules.size() << " rules");
}

}  // namespace

TEST_CASE("the mongo store keeps the store contract, first third") { keeps_contract(0, 3); }
TEST_CASE("the mongo store keeps the store contract, second third") { keeps_contract(1, 3); }
TEST_CASE("the mongo store keeps the store contract, last third") { keeps_contract(2, 3); }
