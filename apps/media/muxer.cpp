// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "muxer.hpp"

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include <unistd.h>

namespace jobruntime::helper {
namespace {

// Handed over many at a time, so that waking the writer costs little; what waits is bounded.
constexpr std::size_t batch_packets = 64;
constexpr std::int64_t batch_bytes = std::int64_t{512} << 10;
constexpr std::int64_t most_waiting_bytes = std::int64_t{8} << 20;
// About what libav and the allocator keep beside a packet's bytes: a million empty packets are not nothing.
constexpr std::int64_t packet_overhead = 512;

void copy_rotation(const AVStream& from, AVStream& to) {
    std::size_t bytes = 0;
    const auto* matrix = av_stream_get_side_data(&from, AV_PKT_DATA_DISPLAYMATRIX, &bytes);
    if (!matrix) return;
    if (auto* copy = av_stream_new_side_data(&to, AV_PKT_DATA_DISPLAYMATRIX, bytes))
        std::copy_n(matrix, bytes, copy);
}

}  // namespace

Error write_error(int code) {
    if (code == AVERROR(ENOSPC) || code == AVERROR(EDQUOT))
        return Error{Errc::full, "DISK_FULL",
                     "no space left while writing the video; free some and retry the job"};
    if (code == AVERROR(EFBIG))
        return Error{Errc::full, "TOO_LARGE", "the video is larger than the configured limit"};
    if (code == AVERROR(ENOMEM))
        return Error{Errc::full, "MEDIA_MEMORY", "the video needs more memory than allowed"};
    return Error{Errc::corrupt, "MEDIA_DAMAGED",
                 "the streams cannot be copied into another container: " + av_text(code)};
}

Muxer::~Muxer() {
    (void)end_writer(false);
    output_.reset();
    if (!path_.empty() && !finished_) ::unlink(path_.c_str());
}

Result<void> Muxer::open(const char* format, const std::string& path) {
    AVFormatContext* raw = nullptr;
    if (const int code = avformat_alloc_output_context2(&raw, nullptr, format, ("file:" + path).c_str());
        code < 0)
        return write_error(code);
    output_.reset(raw);
    raw->protocol_whitelist = av_strdup("file");
    path_ = path;
    return {};
}

Result<int> Muxer::add(const AVStream& from, const AVCodecParameters& codec) {
    Lane& lane = lanes_.emplace_back();
    lane.out = avformat_new_stream(output_.get(), nullptr);
    if (!lane.out) return write_error(AVERROR(ENOMEM));
    if (const int code = avcodec_parameters_copy(lane.out->codecpar, &codec); code < 0)
        return write_error(code);
    // A tag of the old container stays only where it means the same in the new one.
    if (!output_->oformat->codec_tag ||
        av_codec_get_id(output_->oformat->codec_tag, codec.codec_tag) != codec.codec_id)
        lane.out->codecpar->codec_tag = 0;
    lane.out->time_base = from.time_base;
    lane.out->avg_frame_rate = from.avg_frame_rate;
    lane.out->sample_aspect_ratio = from.sample_aspect_ratio;
    copy_rotation(from, *lane.out);
    if (const auto* language = av_dict_get(from.metadata, "language", nullptr, 0))
        av_dict_set(&lane.out->metadata, "language", language->value, 0);
    return static_cast<int>(lanes_.size()) - 1;
}

Result<void> Muxer::begin() {
    AVFormatContext* raw = output_.get();
    if (const int code = avio_open2(&raw->pb, raw->url, AVIO_FLAG_WRITE, nullptr, nullptr); code < 0)
        return Error{Errc::unavailable, "MEDIA_IO", "cannot write " + path_ + ": " + av_text(code)};
    AVDictionary* options = nullptr;
    av_dict_set(&options, "movflags", "+faststart", 0);  // Another muxer leaves it alone.
    const int code = avformat_write_header(raw, &options);
    av_dict_free(&options);
    if (code < 0) return write_error(code);
    try {
        writer_ = std::thread([this] { work(); });
    } catch (const std::system_error&) {
        // No thread left: each packet is written by who brings it.
    }
    return {};
}

Result<void> Muxer::write(AVPacket& packet, int lane, AVRational time_base) {
    if (!writer_.joinable()) {
        const int code = write_now(packet, lane, time_base);
        return code < 0 ? Result<void>(write_error(code)) : Result<void>();
    }
    Taken taken{Packet(av_packet_alloc()), lane, time_base};
    if (!taken.packet || av_packet_make_refcounted(&packet) < 0) return write_error(AVERROR(ENOMEM));
    av_packet_move_ref(taken.packet.get(), &packet);
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return failure_ < 0 || waiting_bytes_ < most_waiting_bytes; });
    if (failure_ < 0) return write_error(failure_);
    waiting_bytes_ += taken.packet->size + packet_overhead;
    waiting_.push_back(std::move(taken));
    if (waiting_.size() >= batch_packets || waiting_bytes_ >= batch_bytes) changed_.notify_all();
    return {};
}

void Muxer::work() noexcept {
    std::vector<Taken> batch;
    while (true) {
        {
            std::unique_lock lock(mutex_);
            changed_.wait(lock, [this] {
                return ended_ || waiting_.size() >= batch_packets || waiting_bytes_ >= batch_bytes;
            });
            if (abandoned_ || waiting_.empty()) return;
            batch.swap(waiting_);
            waiting_bytes_ = 0;
        }
        changed_.notify_all();
        for (auto& taken : batch) {
            const int code = write_now(*taken.packet, taken.lane, taken.time_base);
            if (code >= 0) continue;
            const std::lock_guard lock(mutex_);
            failure_ = code;
            changed_.notify_all();
            return;
        }
        batch.clear();
    }
}

/// Afterwards nobody but the caller uses the output. A negative code when something could not be written.
int Muxer::end_writer(bool write_rest) {
    if (!writer_.joinable()) return 0;
    {
        const std::lock_guard lock(mutex_);
        ended_ = true;
        abandoned_ = !write_rest;
    }
    changed_.notify_all();
    writer_.join();
    return failure_;
}

int Muxer::write_now(AVPacket& packet, int lane_index, AVRational time_base) {
    Lane& lane = lanes_[static_cast<std::size_t>(lane_index)];
    av_packet_rescale_ts(&packet, time_base, lane.out->time_base);
    // Some files repeat or turn back a decoding time; containers cannot say that.
    if (packet.dts == AV_NOPTS_VALUE)
        packet.dts = lane.last_dts ? *lane.last_dts + std::max<std::int64_t>(1, packet.duration) : packet.pts;
    if (packet.dts == AV_NOPTS_VALUE) packet.dts = 0;
    if (lane.last_dts && packet.dts <= *lane.last_dts) packet.dts = *lane.last_dts + 1;
    if (packet.pts == AV_NOPTS_VALUE || packet.pts < packet.dts) packet.pts = packet.dts;
    lane.last_dts = packet.dts;
    packet.stream_index = lane.out->index;
    packet.pos = -1;
    return av_interleaved_write_frame(output_.get(), &packet);
}

Result<void> Muxer::finish() {
    if (const int code = end_writer(true); code < 0) return write_error(code);
    if (const int code = av_write_trailer(output_.get()); code < 0) return write_error(code);
    const int code = avio_closep(&output_->pb);  // The last bytes leave the buffer here.
    if (code < 0) return write_error(code);
    finished_ = true;
    return {};
}

}  // namespace jobruntime::helper
