// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <cstddef>
#include <cstdint>

#include "fuzz.hpp"

// The door that libFuzzer knows; which target is behind it is the build's choice.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    jobruntime::fuzz::JOBRT_FUZZ_TARGET({reinterpret_cast<const char*>(data), size});
    return 0;
}
