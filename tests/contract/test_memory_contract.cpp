// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <cstdio>
#include <set>

#include <doctest/doctest.h>

#include <jobruntime/memory.hpp>
#include <jobruntime/testing/store_contract.hpp>

#include "core/memory_store.hpp"

using namespace jobruntime;

namespace {

testing::StoreFactory memory_factory(memory::Controls controls = {}) {
    auto database = memory::make_database(controls);
    return {.open = [database](Origin origin) { return memory::open(database, std::move(origin)); }};
}

/// How many rules a store with a promise broken on purpose fails, as far as one asks: some of them wait long for
/// what does not come.
int broken_rules(memory::Controls controls, int enough) {
    int broken = 0;
    for (const auto& rule : testing::store_contract())
        if (broken < enough && !rule.run(memory_factory(controls))) ++broken;
    return broken;
}

}  // namespace

TEST_CASE("the memory store keeps the store contract") {
    for (const auto& rule : testing::store_contract()) {
        CAPTURE(rule.name);
        const auto kept = rule.run(memory_factory());
        CHECK_MESSAGE(kept.has_value(), (kept ? "" : kept.error().message));
        std::printf("memory %s: %s\n", kept ? "keeps" : "breaks", rule.name.c_str());
    }
    MESSAGE("counts: " << testing::store_contract().size() << " rules");
}

TEST_CASE("every rule has a name of its own") {
    std::set<std::string> names;
    for (const auto& rule : testing::store_contract()) CHECK_MESSAGE(names.insert(rule.name).second, rule.name);
    CHECK(names.size() > 100);
}

TEST_CASE("the contract notices a store that ignores fences") {
    memory::Controls controls;
    controls.ignore_fences = true;
    CHECK(broken_rules(controls, 3) == 3);
}

TEST_CASE("the contract notices a store that ignores unique keys") {
    memory::Controls controls;
    controls.ignore_unique = true;
    CHECK(broken_rules(controls, 3) == 3);
}

TEST_CASE("the contract notices any kind of event that is dropped") {
    for (int code = 1; code <= static_cast<int>(core::last_event_code); ++code) {
        memory::Controls controls;
        controls.dropped = static_cast<core::EventCode>(code);
        CAPTURE(core::event_name(*controls.dropped));
        CHECK(broken_rules(controls, 1) == 1);
    }
}

TEST_CASE("what needs two stores is left out where a database cannot be shared") {
    auto factory = memory_factory();
    factory.shares_database = false;
    factory.open = [](Origin) -> std::unique_ptr<Store> { return nullptr; };
    int left_out = 0;
    for (const auto& rule : testing::store_contract()) {
        const auto answer = rule.run(factory);
        CHECK(answer.has_value() == rule.needs_two_stores);
        if (answer) ++left_out;
    }
    CHECK(left_out > 0);
}
