// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace jobruntime::media {

/// Whether a part of a stream ends where one may end: for answers whose length nobody has declared, which a
/// connection that breaks leaves looking whole. MPEG-TS (ISO/IEC 13818-1) is packets of 188 bytes; of MP4
/// (ISO/IEC 14496-12, 4.2) the outermost boxes say their length. Of anything else nothing is known.
class PieceShape {
public:
    void add(std::string_view bytes);
    bool is_ts() const noexcept { return kind_ == Kind::ts; }
    bool cut_off() const;

private:
    enum class Kind { unknown, ts, mp4 };
    void add_boxes(std::string_view bytes);

    Kind kind_ = Kind::unknown;
    bool decided_ = false;
    std::string head_;         // What is not enough yet to tell the kind, or the next box's length.
    std::uint64_t total_ = 0;  // Bytes so far.
    std::uint64_t left_ = 0;   // Of the present box.
    bool to_the_end_ = false;  // A box that reaches to the end, wherever that is.
};

}  // namespace jobruntime::media
