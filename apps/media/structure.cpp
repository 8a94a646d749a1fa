// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "structure.hpp"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <limits>
#include <string_view>

namespace jobruntime::helper {
namespace {

/// A file read by position; past its end come zero bytes and `end` tells so.
class Bytes {
public:
    explicit Bytes(const std::string& path) : file_(path, std::ios::binary | std::ios::ate) {
        const auto end = file_.tellg();
        size_ = end > 0 ? static_cast<std::uint64_t>(end) : 0;
    }
    std::uint64_t size() const { return size_; }
    std::string at(std::uint64_t position, std::size_t count) {
        std::string out(count, '\0');
        if (position >= size_) return out;
        file_.clear();
        file_.seekg(static_cast<std::streamoff>(position));
        file_.read(out.data(), static_cast<std::streamsize>(count));
        return out;
    }
    std::uint64_t big_endian(std::uint64_t position, std::size_t count) {
        std::uint64_t value = 0;
        for (const char byte : at(position, count)) value = value << 8 | static_cast<unsigned char>(byte);
        return value;
    }

private:
    std::ifstream file_;
    std::uint64_t size_ = 0;
};

bool is_box_name(std::string_view name) {
    for (const std::string_view known :
         {"ftyp", "styp", "moov", "mdat", "moof", "free", "skip", "wide", "sidx"})
        if (name == known) return true;
    return false;
}

/// Where an index of segments says that the last of them ends. What it speaks of is counted from its own end.
std::uint64_t end_by_index(Bytes& file, std::uint64_t position, std::uint64_t length) {
    const auto behind = position + length;
    const auto begin = position + (file.big_endian(position, 4) == 1 ? 16 : 8);  // Behind its length and name.
    const auto wide = file.big_endian(begin, 1) > 0 ? std::size_t{8} : std::size_t{4};
    auto at = begin + 12 + wide;
    auto end = behind + file.big_endian(at, wide);
    at += wide + 4;
    if (at > behind) return 0;
    const auto count = std::min(file.big_endian(at - 2, 2), (behind - at) / 12);
    const auto table = file.at(at, static_cast<std::size_t>(count) * 12);
    for (std::size_t i = 0; i < table.size(); i += 12) {
        std::uint64_t size = 0;
        for (std::size_t byte = 0; byte < 4; ++byte) size = size << 8 | static_cast<unsigned char>(table[i + byte]);
        end += size & 0x7fff'ffff;
    }
    return end;
}

void walk_mp4(Bytes& file, Structure& found) {
    bool index_seen = false;
    bool data_seen = false;
    // A megabyte-long file of minimal boxes is no video: the bound keeps the walk short.
    std::uint64_t position = 0;
    for (int boxes = 0; position + 8 <= file.size() && boxes < 1'000'000; ++boxes) {
        std::uint64_t length = file.big_endian(position, 4);
        const std::string name = file.at(position + 4, 4);
        if (length == 1) length = file.big_endian(position + 8, 8);
        if (length == 0) length = file.size() - position;  // "To the end of the file."
        if (length < 8) break;                             // Trailing rubbish; players ignore it as well.
        if (name == "moof") found.fragmented = true;
        if (name == "moov") index_seen = true;
        if (name == "moov" && !data_seen) found.faststart = true;
        if (name == "mdat") data_seen = true;
        if (length > file.size() - position) {
            found.cut_off = true;
            break;
        }
        if (name == "sidx" && end_by_index(file, position, length) > file.size()) found.cut_off = true;
        position += length;
    }
    if (!index_seen || !data_seen) found.cut_off = true;
    if (found.fragmented) found.faststart = false;
}

/// An EBML number: the leading zero bits of its first byte give its length.
struct Number {
    std::uint64_t value = 0;
    std::size_t bytes = 0;
    bool unknown = false;
};
Number ebml_size(Bytes& file, std::uint64_t position) {
    const auto first = static_cast<unsigned char>(file.at(position, 1).front());
    Number number;
    for (number.bytes = 1; number.bytes <= 8 && !(first & (0x80 >> (number.bytes - 1)));) ++number.bytes;
    if (number.bytes > 8) return {};
    const std::uint64_t mask = (std::uint64_t{1} << (7 * number.bytes)) - 1;
    number.value = file.big_endian(position, number.bytes) & mask;
    number.unknown = number.value == mask;
    return number;
}

void walk_matroska(Bytes& file, Structure& found) {
    std::uint64_t position = 4;
    const Number header = ebml_size(file, position);
    if (header.bytes == 0 || header.value > file.size()) return;
    position += header.bytes + header.value;
    if (file.at(position, 4) != "\x18\x53\x80\x67") return;  // Not a segment: the demuxer will judge.
    const Number segment = ebml_size(file, position + 4);
    if (segment.bytes == 0 || segment.unknown) return;
    const std::uint64_t begin = position + 4 + segment.bytes;
    found.cut_off = begin > file.size() || segment.value > file.size() - begin;
}

constexpr std::string_view ebml_magic = "\x1a\x45\xdf\xa3";

}  // namespace

bool ends_before_its_index(const std::string& path, Slice part) {
    Bytes file(path);
    const auto end = static_cast<std::uint64_t>(part.end);
    auto position = static_cast<std::uint64_t>(part.begin);
    for (int boxes = 0; position + 8 <= end && boxes < 100'000; ++boxes) {
        const auto length = file.big_endian(position, 4);
        if (length < 8 || length > end - position) return false;
        if (file.at(position + 4, 4) == "sidx" && end_by_index(file, position, length) > end) return true;
        position += length;
    }
    return false;
}

bool looks_like_mp4(const std::string& path) {
    Bytes file(path);
    return file.size() >= 8 && is_box_name(file.at(4, 4));
}

bool is_webm(const std::string& path) {
    Bytes file(path);
    const std::string head = file.at(0, 64);
    return head.starts_with(ebml_magic) && head.find("webm") != std::string::npos;
}

Structure read_structure(const std::string& path) {
    Structure found;
    Bytes file(path);
    if (file.at(0, 4) == ebml_magic) {
        walk_matroska(file, found);
    } else if (looks_like_mp4(path)) {
        found.mp4 = true;
        walk_mp4(file, found);
    }
    return found;
}

}  // namespace jobruntime::helper
