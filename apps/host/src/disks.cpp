// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "disks.hpp"

#include <algorithm>
#include <filesystem>

#include <boost/json/object.hpp>

namespace jobruntime::host {
namespace {

constexpr std::uint64_t too_little = 64'000'000;

}  // namespace

boost::json::array disk_facts(std::string_view of, const std::string& folder, std::uint64_t floor) {
    std::error_code unknown;
    const auto space = std::filesystem::space(folder, unknown);
    if (unknown) return {};
    return {boost::json::object{{"of", of},
                                {"freeBytes", space.available},
                                {"floorBytes", floor},
                                {"low", space.available < std::max(2 * floor, too_little)}}};
}

boost::json::array store_disk(const Config& config, std::uint64_t floor) {
    constexpr std::string_view file = "sqlite:";
    if (!config.store.starts_with(file)) return {};
    const std::filesystem::path path(config.store.substr(file.size()));
    return disk_facts("store", path.parent_path().string(), floor);
}

}  // namespace jobruntime::host
