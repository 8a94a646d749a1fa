// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "media/piece_shape.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace jobruntime::media {
namespace {

constexpr std::size_t ts_packet = 188;
constexpr char ts_sync = 0x47;

/// With what a segment or an init section of MP4 begins.
bool begins_mp4(std::string_view type) {
    constexpr std::array known{"ftyp", "styp", "moov", "moof", "sidx", "emsg", "prft", "free", "skip", "mdat"};
    return std::ranges::find(known, type) != known.end();
}

std::uint64_t big_endian(std::string_view bytes) {
    std::uint64_t value = 0;
    for (const char byte : bytes) value = value << 8 | static_cast<unsigned char>(byte);
    return value;
}

}  // namespace

void PieceShape::add(std::string_view bytes) {
    total_ += bytes.size();
    if (!decided_) {
        head_.append(bytes);
        if (head_.size() <= ts_packet) return;
        decided_ = true;
        const std::string first = std::exchange(head_, {});
        if (first[0] == ts_sync && first[ts_packet] == ts_sync)
            kind_ = Kind::ts;
        else if (begins_mp4(std::string_view(first).substr(4, 4)))
            kind_ = Kind::mp4;
        if (kind_ == Kind::mp4) add_boxes(first);
        return;
    }
    if (kind_ == Kind::mp4) add_boxes(bytes);
}

void PieceShape::add_boxes(std::string_view bytes) {
    while (!bytes.empty() && !to_the_end_) {
        const auto inside = std::min<std::uint64_t>(left_, bytes.size());
        left_ -= inside;
        bytes.remove_prefix(static_cast<std::size_t>(inside));
        if (bytes.empty()) return;
        // 32 bits of length and the type; a length of 1 means that 64 bits follow.
        std::size_t wanted = 8;
        if (head_.size() >= 8 && big_endian(std::string_view(head_).substr(0, 4)) == 1) wanted = 16;
        const auto more = std::min(wanted - head_.size(), bytes.size());
        head_.append(bytes.substr(0, more));
        bytes.remove_prefix(more);
        if (head_.size() < wanted) return;
        auto length = big_endian(std::string_view(head_).substr(0, 4));
        if (length == 1 && wanted == 8) continue;
        if (wanted == 16) length = big_endian(std::string_view(head_).substr(8, 8));
        to_the_end_ = length == 0;
        left_ = length > wanted ? length - wanted : 0;
        head_.clear();
    }
}

bool PieceShape::cut_off() const {
    if (kind_ == Kind::ts) return total_ % ts_packet != 0;
    return kind_ == Kind::mp4 && !to_the_end_ && (left_ > 0 || !head_.empty());
}

}  // namespace jobruntime::media
