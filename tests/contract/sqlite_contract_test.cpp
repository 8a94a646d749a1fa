// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <cstdio>
#include <filesystem>
#include <string>

#include <doctest/doctest.h>

#include <jobruntime/sqlite.hpp>
#include <jobruntime/testing/store_contract.hpp>

using namespace jobruntime;

namespace {

/// A folder for one case, gone with it.
struct Scratch {
    Scratch() {
        std::string name = (std::filesystem::temp_directory_path() / "jobrt-contract-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path = name;
    }
    ~Scratch() { std::filesystem::remove_all(path); }
    std::string path;
};

void keeps_contract(sqlite::Durability durability) {
    for (const auto& rule : testing::store_contract()) {
        const Scratch scratch;
        const auto open = [&](Origin origin) -> std::unique_ptr<Store> {
            sqlite::Options options;
            options.durability = durability;
            options.ballast_bytes = 0;
            options.origin = std::move(origin);
            auto store = sqlite::open(scratch.path + "/jobs.db", options);
            REQUIRE_MESSAGE(store.has_value(), (store ? "" : store.error().message));
            return std::move(*store);
        };
        CAPTURE(rule.name);
        const auto kept = rule.run({.open = open});
        CHECK_MESSAGE(kept.has_value(), (kept ? "" : kept.error().message));
        std::printf("sqlite %s: %s\n", kept ? "keeps" : "breaks", rule.name.c_str());
    }
    MESSAGE("counts: " << testing::store_contract().size() << " rules");
}

}  // namespace

TEST_CASE("the sqlite store keeps the store contract") { keeps_contract(sqlite::Durability::full); }

TEST_CASE("the sqlite store keeps the store contract when it need not survive a power cut") {
    keeps_contract(sqlite::Durability::process_crash);
}
