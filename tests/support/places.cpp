// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "support/places.hpp"

#include <filesystem>

namespace jobruntime::tests {

std::string program(std::string_view name) {
    static const auto folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
    return folder / name;
}

std::string source(std::string_view path) {
    // The one file of tests that knows it.
    return std::filesystem::path(SOURCE_DIR) / path;
}

}  // namespace jobruntime::tests
