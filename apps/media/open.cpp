// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "open.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string_view>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <boost/json/array.hpp>

#include "structure.hpp"

namespace jobruntime::helper {
namespace {

// What a post's page can serve. Audio containers are here so that they answer NO_VIDEO.
constexpr const char* formats =
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,flv,avi,mpeg,ogg,mp3,aac,wav,flac,asf";

Error not_media(std::string why) {
    return Error{
        Errc::corrupt, "NOT_MEDIA",
        "the download is not a video file: " + why + "; the page may have served an error page instead"};
}

/// The first bytes, for telling apart what no demuxer of ours wants.
std::string head_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::string head(512, '\0');
    file.read(head.data(), static_cast<std::streamsize>(head.size()));
    head.resize(static_cast<std::size_t>(std::max<std::streamsize>(0, file.gcount())));
    return head;
}

Error unknown_format(const std::string& path) {
    const std::string head = head_of(path);
    if (head.starts_with("#EXTM3U") || head.starts_with("ffconcat") || head.find("<MPD") != std::string::npos)
        return Error{Errc::unsupported, "UNSUPPORTED_SOURCE",
                     "the download is a playlist and not a video file; it is not followed from a local copy"};
    if (looks_like_mp4(path))
        return Error{Errc::corrupt, "TRUNCATED",
                     "the MP4 file has no usable index: it was cut off or is damaged; download it again"};
    return not_media("no known container begins like it");
}

std::string video_or_other(AVMediaType type) {
    const char* name = av_get_media_type_string(type);
    return name ? name : "unknown";
}

bool is_still_picture(const AVStream& stream) {
    constexpr int still = AV_DISPOSITION_ATTACHED_PIC | AV_DISPOSITION_TIMED_THUMBNAILS;
    return (stream.disposition & still) != 0;
}

int best_video(AVFormatContext& file) {
    int best = -1;
    std::int64_t most = -1;
    for (unsigned i = 0; i < file.nb_streams; ++i) {
        const AVStream& stream = *file.streams[i];
        if (stream.codecpar->codec_type != AVMEDIA_TYPE_VIDEO || is_still_picture(stream)) continue;
        const std::int64_t pixels = std::int64_t{stream.codecpar->width} * stream.codecpar->height;
        if (pixels > most) {
            most = pixels;
            best = static_cast<int>(i);
        }
    }
    return best;
}

}  // namespace

std::string Media::container() const {
    const std::string_view name = file->iformat->name;
    if (name.starts_with("mov,")) {
        const auto* brand = av_dict_get(file->metadata, "major_brand", nullptr, 0);
        return brand && std::string_view(brand->value) == "qt  " ? "mov" : "mp4";
    }
    if (name.starts_with("matroska,")) return is_webm(path) ? "webm" : "matroska";
    return std::string(name);
}

double Media::seconds() const {
    return file->duration == AV_NOPTS_VALUE ? 0 : static_cast<double>(file->duration) / AV_TIME_BASE;
}

std::unique_ptr<SliceReader> SliceReader::open(const std::string& path, Slice slice) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return nullptr;
    std::unique_ptr<SliceReader> reader(new SliceReader(fd, slice));
    constexpr int buffer_bytes = 64 * 1024;
    auto* buffer = static_cast<unsigned char*>(av_malloc(buffer_bytes));
    if (buffer)
        reader->io_ = avio_alloc_context(buffer, buffer_bytes, 0, reader.get(), &read, nullptr, &seek);
    if (!reader->io_) {
        av_free(buffer);
        return nullptr;
    }
    return reader;
}

SliceReader::~SliceReader() {
    if (io_) {
        av_freep(&io_->buffer);  // libav may have taken another one for its own.
        avio_context_free(&io_);
    }
    ::close(fd_);
}

int SliceReader::read(void* self, std::uint8_t* into, int bytes) {
    auto& reader = *static_cast<SliceReader*>(self);
    const auto left = reader.slice_.end - reader.slice_.begin - reader.at_;
    if (left <= 0) return AVERROR_EOF;
    const auto want = static_cast<std::size_t>(std::min<std::int64_t>(bytes, left));
    while (true) {
        const auto got = ::pread(reader.fd_, into, want, reader.slice_.begin + reader.at_);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return AVERROR(errno);
        if (got == 0) return AVERROR_EOF;
        reader.at_ += got;
        return static_cast<int>(got);
    }
}

std::int64_t SliceReader::seek(void* self, std::int64_t offset, int whence) {
    auto& reader = *static_cast<SliceReader*>(self);
    const auto size = reader.slice_.end - reader.slice_.begin;
    if (whence == AVSEEK_SIZE) return size;
    const auto base = whence == SEEK_CUR ? reader.at_ : whence == SEEK_END ? size : 0;
    if (base + offset < 0 || base + offset > size) return AVERROR(EINVAL);
    return reader.at_ = base + offset;
}

Result<Media> open_head(const std::string& path, Slice slice) {
    struct stat facts {};
    if (::stat(path.c_str(), &facts) != 0 || !S_ISREG(facts.st_mode))
        return Error{Errc::not_found, "MEDIA_IO",
                     "cannot read the downloaded file " + path + ": " + std::strerror(errno)};
    if (facts.st_size == 0) return not_media("it is empty");

    Media media;
    media.path = path;
    media.bytes = facts.st_size;
    if (slice.end > 0) {
        slice.end = std::min<std::int64_t>(slice.end, facts.st_size);
        media.bytes = slice.end - slice.begin;
        if (media.bytes <= 0) return not_media("a part of it is missing");
        media.slice = SliceReader::open(path, slice);
        if (!media.slice) return Error{Errc::unavailable, "MEDIA_IO", "cannot read a part of " + path};
    }
    AVFormatContext* raw = avformat_alloc_context();
    if (!raw) return Error{Errc::full, "MEDIA_MEMORY", "no memory to open the file"};
    if (media.slice) raw->pb = media.slice->io();  // Which makes it AVFMT_FLAG_CUSTOM_IO: ours to close.
    raw->format_whitelist = av_strdup(formats);
    raw->protocol_whitelist = av_strdup("file");
    raw->max_streams = 64;
    raw->flags |= AVFMT_FLAG_GENPTS;
    // The prefix keeps a path with a colon in it from being read as a protocol's name.
    const int opened = avformat_open_input(&raw, ("file:" + path).c_str(), nullptr, nullptr);
    media.file.reset(opened < 0 ? nullptr : raw);
    if (opened == AVERROR(ENOMEM))
        return Error{Errc::full, "MEDIA_MEMORY", "the file's index needs more memory than allowed"};
    if (opened < 0) return unknown_format(path);
    media.video = best_video(*raw);
    return media;
}

Result<Media> open_media(const std::string& path, Slice slice) {
    // Pictures that stand for seconds are not told within the first few; most films need not be looked at for longer.
    for (const std::int64_t looked_at : {std::int64_t{0}, std::int64_t{60} * AV_TIME_BASE}) {
        auto media = open_head(path, slice);
        if (!media) return media;
        media->file->max_analyze_duration = looked_at;
        if (avformat_find_stream_info(media->file.get(), nullptr) < 0) return unknown_format(path);
        media->video = best_video(*media->file);
        const auto* video = media->video_stream();
        if (!video || video->codecpar->width > 0 || looked_at > 0) return media;
    }
    return unknown_format(path);
}

Result<void> refuse_encrypted(const Media& media) {
    const Error refused{Errc::unsupported, "DRM_PROTECTED",
                        "the video is encrypted (DRM); jobrt does not circumvent protection"};
    const bool transport = media.container() == "mpegts";
    for (unsigned i = 0; i < media.file->nb_streams; ++i) {
        const AVStream& stream = *media.file->streams[i];
        const auto tag = stream.codecpar->codec_tag;
        if (av_stream_get_side_data(&stream, AV_PKT_DATA_ENCRYPTION_INIT_INFO, nullptr)) return refused;
        if (av_dict_get(stream.metadata, "enc_key_id", nullptr, 0)) return refused;  // Matroska says it here.
        if (tag == MKTAG('e', 'n', 'c', 'v') || tag == MKTAG('e', 'n', 'c', 'a')) return refused;
        // The stream types of HLS SAMPLE-AES: H.264, AAC, AC-3, E-AC-3.
        if (transport && (tag == 0xdb || tag == 0xcf || tag == 0xc1 || tag == 0xc2)) return refused;
    }
    return {};
}

Result<void> refuse_encrypted(const AVPacket& packet) {
    if (av_packet_get_side_data(&packet, AV_PKT_DATA_ENCRYPTION_INFO, nullptr))
        return Error{Errc::unsupported, "DRM_PROTECTED",
                     "the video is encrypted (DRM); jobrt does not circumvent protection"};
    return {};
}

Result<void> refuse_without_video(const Media& media) {
    if (media.video >= 0) return {};
    return Error{Errc::corrupt, "NO_VIDEO", "the file has no moving picture, only other streams"};
}

boost::json::object describe(const Media& media) {
    boost::json::array streams;
    boost::json::object answer{
        {"container", media.container()}, {"seconds", media.seconds()}, {"bytes", media.bytes}};
    for (unsigned i = 0; i < media.file->nb_streams; ++i) {
        const AVStream& stream = *media.file->streams[i];
        const AVCodecParameters& codec = *stream.codecpar;
        boost::json::object entry{{"type", video_or_other(codec.codec_type)},
                                  {"codec", avcodec_get_name(codec.codec_id)}};
        if (stream.start_time != AV_NOPTS_VALUE)
            entry["startSeconds"] = static_cast<double>(stream.start_time) * av_q2d(stream.time_base);
        if (codec.codec_type == AVMEDIA_TYPE_VIDEO) {
            entry["width"] = codec.width;
            entry["height"] = codec.height;
            entry["still"] = is_still_picture(stream);
            if (stream.avg_frame_rate.num > 0 && stream.avg_frame_rate.den > 0)
                entry["fps"] = av_q2d(stream.avg_frame_rate);
        }
        streams.push_back(std::move(entry));
    }
    if (const AVStream* video = media.video_stream()) {
        answer["width"] = video->codecpar->width;
        answer["height"] = video->codecpar->height;
    }
    answer["streams"] = std::move(streams);
    return answer;
}

}  // namespace jobruntime::helper
