// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "transport.hpp"

#include <algorithm>
#include <fstream>
#include <optional>

namespace jobruntime::helper {
namespace {

constexpr std::int64_t packet_bytes = 188;
constexpr std::int64_t most_packets = 50'000;  // About nine megabytes.

/// The counter of a packet with something in it of that stream.
std::optional<int> counter_of(std::ifstream& file, std::int64_t at, int pid) {
    unsigned char head[4] = {};
    file.clear();
    file.seekg(at);
    if (!file.read(reinterpret_cast<char*>(head), sizeof head) || head[0] != 0x47) return std::nullopt;
    const bool has_payload = (head[3] & 0x10) != 0;
    if (((head[1] & 0x1f) << 8 | head[2]) != pid || !has_payload) return std::nullopt;
    return head[3] & 0x0f;
}

}  // namespace

bool packets_lost(const std::string& path, Slice before, Slice after, int pid) {
    std::ifstream file(path, std::ios::binary);
    std::optional<int> last, next;
    const auto whole = (before.end - before.begin) / packet_bytes;
    for (std::int64_t i = whole - 1; i >= std::max<std::int64_t>(0, whole - most_packets) && !last; --i)
        last = counter_of(file, before.begin + i * packet_bytes, pid);
    const auto following = std::min(most_packets, (after.end - after.begin) / packet_bytes);
    for (std::int64_t i = 0; i < following && !next; ++i) next = counter_of(file, after.begin + i * packet_bytes, pid);
    return !last || !next || *next != ((*last + 1) & 0x0f);
}

}  // namespace jobruntime::helper
