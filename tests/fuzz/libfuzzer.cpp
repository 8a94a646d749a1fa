// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "fuzz.hpp"

namespace {

const jobruntime::fuzz::Target* chosen = nullptr;

}  // namespace

// The doors that libFuzzer knows. Which target is behind them is the environment's choice.
extern "C" int LLVMFuzzerInitialize(int* /*count*/, char*** /*words*/) {
    const char* name = std::getenv("JOBRT_FUZZ_TARGET");
    for (const auto& target : jobruntime::fuzz::targets)
        if (name != nullptr && target.name == name) chosen = &target;
    if (chosen == nullptr) {
        std::fprintf(stderr, "JOBRT_FUZZ_TARGET is to name a target, one of the folders of tests/fuzz/corpus\n");
        std::exit(2);
    }
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    chosen->run({reinterpret_cast<const char*>(data), size});
    return 0;
}
