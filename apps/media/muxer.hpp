// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <jobruntime/result.hpp>

#include "av.hpp"

namespace jobruntime::helper {

/// What a failed write means.
Error write_error(int code);

/// The file being written. Packets come in decoding order; unless finish() was called nothing is left of it.
/// It writes on a thread of its own, where one can be had, while the next packets are read; an error may be told by
/// a later call.
class Muxer {
public:
    Muxer() = default;
    Muxer(const Muxer&) = delete;
    Muxer& operator=(const Muxer&) = delete;
    ~Muxer();

    /// `format` is libav's: "mp4" or "matroska".
    Result<void> open(const char* format, const std::string& path);
    /// A stream like this one; answers its lane.
    Result<int> add(const AVStream& from, const AVCodecParameters& codec);
    /// After all streams were added.
    Result<void> begin();
    /// A packet for a lane, its times in `time_base`, counted from the file's beginning. It is taken.
    Result<void> write(AVPacket& packet, int lane, AVRational time_base);
    Result<void> finish();

private:
    struct Lane {
        AVStream* out = nullptr;
        std::optional<std::int64_t> last_dts;
    };
    struct Taken {
        Packet packet;
        int lane = 0;
        AVRational time_base{};
    };
    int write_now(AVPacket& packet, int lane, AVRational time_base);
    void work() noexcept;
    int end_writer(bool write_rest);

    std::string path_;
    Output output_;            // With the lanes the writer's, from begin() to end_writer().
    std::vector<Lane> lanes_;
    bool finished_ = false;

    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<Taken> waiting_;  // These are guarded by mutex_.
    std::int64_t waiting_bytes_ = 0;
    bool ended_ = false, abandoned_ = false;
    int failure_ = 0;  // libav's code.
    std::thread writer_;
};

/// The span of time that packets really cover.
struct Span {
    double first = INFINITY;
    double last = -INFINITY;
    void add(const AVPacket& packet, const AVStream& stream) {
        const auto at = packet.pts != AV_NOPTS_VALUE ? packet.pts : packet.dts;
        if (at == AV_NOPTS_VALUE) return;
        const double begin = static_cast<double>(at) * av_q2d(stream.time_base);
        first = begin < first ? begin : first;
        const double end = begin + static_cast<double>(packet.duration) * av_q2d(stream.time_base);
        last = end > last ? end : last;
    }
    double seconds() const { return last > first ? last - first : 0; }
};

}  // namespace jobruntime::helper
