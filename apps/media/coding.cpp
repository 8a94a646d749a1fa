// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "coding.hpp"

#include <cstring>
#include <string_view>
#include <utility>

#include "muxer.hpp"

namespace jobruntime::helper {
namespace {

/// The AudioSpecificConfig (ISO 14496-3, 1.6.2.1) has in its first sixteen bits the object type, the rate, the
/// channels and the length of a frame; then some encoders write that there is no extension, others nothing.
std::string_view said_by(const Coding& coding) {
    const std::string_view head = coding.head;
    if (coding.codec != AV_CODEC_ID_AAC || head.size() < 2) return head;
    const auto byte = [&](int i) { return static_cast<unsigned char>(head[static_cast<std::size_t>(i)]); };
    const int object = byte(0) >> 3;
    const int rate = (byte(0) & 7) << 1 | byte(1) >> 7;
    const int channels = byte(1) >> 3 & 15;
    return object == 2 && rate != 15 && channels != 0 ? head.substr(0, 2) : head;  // Of the others there is more to say.
}

constexpr int h264_idr = 5, h264_parameters = 7;  // nal_unit_type (ISO 14496-10, table 7-1).

/// Whether a packet of H.264 has such a unit; it is one with start codes.
bool has_unit(const AVPacket& packet, int type) {
    const std::string_view bytes(reinterpret_cast<const char*>(packet.data), static_cast<std::size_t>(packet.size));
    constexpr std::string_view start_code("\0\0\1", 3);
    for (auto at = bytes.find(start_code); at != std::string_view::npos; at = bytes.find(start_code, at + 3))
        if (at + 3 < bytes.size() && (bytes[at + 3] & 31) == type) return true;
    return false;
}

}  // namespace

Coding coding_of(const Media& media, unsigned index) {
    const auto& codec = *media.file->streams[index]->codecpar;
    Coding coding{codec.codec_type, codec.codec_id, codec.codec_type == AVMEDIA_TYPE_VIDEO ? codec.format : -1, {}};
    if (std::string_view(media.file->iformat->name).starts_with("mov,") && codec.extradata_size > 0)
        coding.head.assign(reinterpret_cast<const char*>(codec.extradata), static_cast<std::size_t>(codec.extradata_size));
    return coding;
}

bool go_together(const Coding& one, const Coding& other) {
    if (one.type != other.type || one.codec != other.codec) return false;
    if (one.format >= 0 && other.format >= 0 && one.format != other.format) return false;
    return InBand::fits(one) == InBand::fits(other) && (InBand::fits(one) || said_by(one) == said_by(other));
}

Error other_coding() {
    return Error{Errc::unsupported, "UNSUPPORTED_SOURCE",
                 "the stream changes its coding halfway (an inserted film, say); such a stream cannot be "
                 "saved as one file"};
}

bool InBand::fits(const Coding& coding) {
    // Both boxes, avcC and hvcC, begin with their version.
    return (coding.codec == AV_CODEC_ID_H264 || coding.codec == AV_CODEC_ID_HEVC) && coding.head.starts_with('\1');
}

Result<void> InBand::open(const AVStream& from, bool follows) {
    must_clear_ = follows;
    const char* name = from.codecpar->codec_id == AV_CODEC_ID_H264 ? "h264_mp4toannexb" : "hevc_mp4toannexb";
    const auto* kind = av_bsf_get_by_name(name);
    if (!kind) return Error{Errc::unsupported, "UNSUPPORTED_SOURCE", std::string("libav was built without ") + name};
    AVBSFContext* raw = nullptr;
    if (const int code = av_bsf_alloc(kind, &raw); code < 0) return write_error(code);
    filter_.reset(raw);
    if (const int code = avcodec_parameters_copy(raw->par_in, from.codecpar); code < 0) return write_error(code);
    raw->time_base_in = from.time_base;
    if (const int code = av_bsf_init(raw); code < 0) return write_error(code);
    // By its other name H.265 may have them within the stream; the muxer would take them out.
    if (from.codecpar->codec_id == AV_CODEC_ID_HEVC) raw->par_out->codec_tag = MKTAG('h', 'e', 'v', '1');
    return {};
}

Result<void> InBand::rewrite(AVPacket& packet) {
    const auto position = packet.pos;
    int code = av_bsf_send_packet(filter_.get(), &packet);
    if (code >= 0) code = av_bsf_receive_packet(filter_.get(), &packet);
    if (code < 0) return write_error(code);
    packet.pos = position;
    if (parameters().codec_id != AV_CODEC_ID_H264) return {};
    if (std::exchange(must_clear_, false) && !has_unit(packet, h264_idr)) return other_coding();
    return packet.flags & AV_PKT_FLAG_KEY ? tell_h264(packet) : Result<void>();
}

/// libav's filter leaves out the key frames that do not clear the decoder. Whoever seeks to one out of another run
/// would decode it by what that has said.
Result<void> InBand::tell_h264(AVPacket& packet) const {
    const auto& told = parameters();
    if (told.extradata_size <= 0 || has_unit(packet, h264_parameters)) return {};
    const int size = packet.size;
    if (const int code = av_grow_packet(&packet, told.extradata_size); code < 0) return write_error(code);
    std::memmove(packet.data + told.extradata_size, packet.data, static_cast<std::size_t>(size));
    std::memcpy(packet.data, told.extradata, static_cast<std::size_t>(told.extradata_size));
    return {};
}

}  // namespace jobruntime::helper
