// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <filesystem>
#include <fstream>
#include <iterator>

#include <doctest/doctest.h>

#include "fuzz.hpp"
#include "support/places.hpp"

namespace fs = std::filesystem;
using namespace jobruntime;

TEST_CASE("every kept input of the fuzz targets is taken without a fault") {
    const fs::path corpus = tests::source("tests/fuzz/corpus");
    for (const auto& target : fuzz::targets) {
        CAPTURE(target.name);
        int inputs = 0;
        target.run({});
        for (const auto& entry : fs::directory_iterator(corpus / target.name)) {
            const auto name = entry.path().filename().string();
            CAPTURE(name);
            std::ifstream file(entry.path(), std::ios::binary);
            const std::string input{std::istreambuf_iterator<char>(file), {}};
            CHECK_NOTHROW(target.run(input));
            ++inputs;
        }
        CHECK_MESSAGE(inputs > 0, "no input is kept for this target");
    }
    for (const auto& entry : fs::directory_iterator(corpus)) {
        const auto name = entry.path().filename().string();
        CHECK_MESSAGE(std::any_of(std::begin(fuzz::targets), std::end(fuzz::targets),
                                  [&](const auto& target) { return target.name == name; }),
                      "inputs for a target that there is not: ", name);
    }
}
