// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "transport.hpp"

#include <algorithm>
#include <fstream>
#include <map>
#include <optional>

namespace jobruntime::helper {
namespace {

constexpr std::int64_t packet_bytes = 188;
constexpr std::int64_t most_transport_packets = 50'000;  // About nine megabytes.

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

/// Goes through packets in their order, and knows which streams' packets are not complete yet.
class PesPackets {
public:
    /// False: it is no packet.
    bool take(const unsigned char (&packet)[packet_bytes]) {
        if (packet[0] != 0x47) return false;
        const int pid = (packet[1] & 0x1f) << 8 | packet[2];
        const bool begins = (packet[1] & 0x40) != 0;
        std::int64_t at = 4;
        if (packet[3] & 0x20) at += 1 + packet[4];
        if (!(packet[3] & 0x10) || at >= packet_bytes) return true;
        const auto left = left_.find(pid);
        if (!begins) {
            if (left != left_.end()) left->second -= packet_bytes - at;
            return true;
        }
        if (left != left_.end()) left_.erase(left);
        if (at + 6 > packet_bytes || packet[at] != 0 || packet[at + 1] != 0 || packet[at + 2] != 1) return true;
        const std::int64_t length = packet[at + 4] << 8 | packet[at + 5];
        if (length > 0) left_[pid] = 6 + length - (packet_bytes - at);
        return true;
    }
    bool in_one() const {
        return std::any_of(left_.begin(), left_.end(), [](const auto& one) { return one.second > 0; });
    }

private:
    std::map<int, std::int64_t> left_;  // Bytes, by stream; of a packet without a length nothing is known.
};

}  // namespace

bool ends_within_packet(const std::string& path, Slice part) {
    const auto packets = (part.end - part.begin) / packet_bytes;
    if ((part.end - part.begin) % packet_bytes != 0) return true;
    std::ifstream file(path, std::ios::binary);
    file.seekg(part.begin + std::max<std::int64_t>(0, packets - most_transport_packets) * packet_bytes);
    PesPackets open;
    unsigned char packet[packet_bytes];
    while (file.tellg() < part.end && file.read(reinterpret_cast<char*>(packet), sizeof packet))
        if (!open.take(packet)) return false;
    return open.in_one();
}

bool packets_lost(const std::string& path, Slice before, Slice after, int pid) {
    std::ifstream file(path, std::ios::binary);
    std::optional<int> last, next;
    const auto whole = (before.end - before.begin) / packet_bytes;
    for (std::int64_t i = whole - 1; i >= std::max<std::int64_t>(0, whole - most_transport_packets) && !last; --i)
        last = counter_of(file, before.begin + i * packet_bytes, pid);
    const auto following = std::min(most_transport_packets, (after.end - after.begin) / packet_bytes);
    for (std::int64_t i = 0; i < following && !next; ++i) next = counter_of(file, after.begin + i * packet_bytes, pid);
    return !last || !next || *next != ((*last + 1) & 0x0f);
}

}  // namespace jobruntime::helper
