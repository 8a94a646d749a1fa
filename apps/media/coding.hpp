// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>

#include <jobruntime/result.hpp>

#include "open.hpp"

// What a decoder must be told before a stream's first packet, and what of it may change from run to run.
namespace jobruntime::helper {

struct Coding {
    AVMediaType type = AVMEDIA_TYPE_UNKNOWN;
    AVCodecID codec = AV_CODEC_ID_NONE;
    int format = -1;   ///< Of the samples: bits and colours of a picture; -1 = not known.
    std::string head;  ///< Of MP4, which keeps the decoder's parameters there and nowhere else.
    bool operator==(const Coding&) const = default;
};
Coding coding_of(const Media& media, unsigned index);

/// Whether one track can hold both: equal but for what InBand says within the stream, another size of the picture
/// included, or for the words at the end of an AAC head that change nothing.
bool go_together(const Coding& one, const Coding& other);

/// What is said of a stream whose runs no track can hold.
Error other_coding();

/// Puts the parameters of H.264 and H.265 in front of each key frame of a stream from MP4, as a transport stream has
/// them there, so that another run with others may follow in the same track.
class InBand {
public:
    static bool fits(const Coding& coding);
    /// `follows` = behind a run that may have others.
    Result<void> open(const AVStream& from, bool follows);
    /// What the track is to be told in place of the stream's own.
    const AVCodecParameters& parameters() const { return *filter_->par_out; }
    /// UNSUPPORTED_SOURCE when a run of H.264 that follows does not begin with a picture that clears the decoder (IDR):
    /// before one the parameters may not change (ISO 14496-10, 7.4.1.2.1), and decoders drop what follows.
    Result<void> rewrite(AVPacket& packet);

private:
    Result<void> tell_h264(AVPacket& packet) const;

    Filter filter_;
    bool must_clear_ = false;  // The next packet.
};

}  // namespace jobruntime::helper
