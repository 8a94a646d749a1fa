// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace jobruntime::mongo {

// The server's error codes that something follows from.

constexpr std::uint32_t duplicate_key = 11000;
constexpr std::uint32_t write_conflict = 112;
constexpr std::uint32_t unauthorized = 13;
constexpr std::uint32_t authentication_failed = 18;
constexpr std::uint32_t out_of_disk_space = 14031;
constexpr std::array<std::uint32_t, 2> index_conflicts{85, 86};
/// Servers on their way down, up, or out of office; time-outs; too little agreement; locks not had in time;
/// commands and cursors that somebody killed.
constexpr std::array<std::uint32_t, 28> passing{
    6,   7,   24,  43,  46,  50,  64,   79,    89,    91,    100,   112,   133,   134,
    175, 189, 202, 237, 262, 317, 384, 9001, 10107, 11600, 11601, 11602, 13435, 13436};

template <class Codes>
bool among(const Codes& codes, std::uint32_t code) {
    return std::find(codes.begin(), codes.end(), code) != codes.end();
}

}  // namespace jobruntime::mongo
