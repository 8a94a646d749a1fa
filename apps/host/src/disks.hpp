// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <boost/json/array.hpp>

#include "settings.hpp"

namespace jobruntime::host {

/// What is free on the disk under `folder`, as sessions and /api/status say it: `{"of","freeBytes","floorBytes","low"}`. It is
/// low while less than twice the floor, or less than 64 MB, is free. Empty when nobody can tell.
boost::json::array disk_facts(std::string_view of, const std::string& folder, std::uint64_t floor);

/// Of the store, where it is a file on this machine; else empty. Its floor is that of downloads: both often share a disk.
boost::json::array store_disk(const Config& config, std::uint64_t floor);

}  // namespace jobruntime::host
