// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "media/piece_shape.hpp"

#include <algorithm>

#include "fuzz.hpp"

namespace jobruntime::fuzz {
namespace {

media::PieceShape shape_of(std::string_view bytes, std::size_t step) {
    media::PieceShape shape;
    for (; !bytes.empty(); bytes.remove_prefix(std::min(step, bytes.size()))) shape.add(bytes.substr(0, step));
    return shape;
}

/// The outermost boxes once more, with all of them at hand: whether the last one goes beyond the end.
bool boxes_are_cut_off(std::string_view bytes) {
    const auto number = [&](std::size_t at, std::size_t size) {
        std::uint64_t value = 0;
        for (const char byte : bytes.substr(at, size)) value = value << 8 | static_cast<unsigned char>(byte);
        return value;
    };
    while (!bytes.empty()) {
        if (bytes.size() < 8) return true;
        auto length = number(0, 4);
        const bool is_long = length == 1;
        if (is_long && bytes.size() < 16) return true;
        if (is_long) length = number(8, 8);
        if (length == 0) return false;  // To the end, wherever that is.
        length = std::max<std::uint64_t>(length, is_long ? 16 : 8);
        if (length > bytes.size()) return true;
        bytes.remove_prefix(static_cast<std::size_t>(length));
    }
    return false;
}

}  // namespace

/// A segment of a stream as a server sends it, of which only its shape is looked at.
void piece_shape(std::string_view input) {
    const auto whole = shape_of(input, std::max<std::size_t>(1, input.size()));
    for (const std::size_t step : {1, 7, 188, 1'000}) {
        const auto again = shape_of(input, step);
        expect(again.is_ts() == whole.is_ts() && again.cut_off() == whole.cut_off(), "how the bytes came counts");
    }
    expect(!whole.is_ts() || whole.cut_off() == (input.size() % 188 != 0), "half a packet of a transport stream");
    if (input.size() <= 188) expect(!whole.cut_off(), "too little to know of what kind it is");
    // What is called cut off, and is no transport stream, is so by its boxes; what begins as MP4 and is not, is whole by them.
    if (whole.cut_off() && !whole.is_ts()) expect(boxes_are_cut_off(input), "whole boxes are called cut off");
    if (input.size() > 188 && input.substr(4, 4) == "moof" && input[0] != 0x47)
        expect(whole.cut_off() == boxes_are_cut_off(input), "a box that is cut off is not seen");
}

}  // namespace jobruntime::fuzz
