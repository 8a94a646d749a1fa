// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <boost/json/object.hpp>

#include <jobruntime/result.hpp>

#include "av.hpp"

namespace jobruntime::helper {

/// A part of a file; an end of 0 = all of it.
struct Slice {
    std::int64_t begin = 0;
    std::int64_t end = 0;
};

/// Reads a part of a file for libav as if there were nothing else.
class SliceReader {
public:
    static std::unique_ptr<SliceReader> open(const std::string& path, Slice slice);
    ~SliceReader();
    SliceReader(const SliceReader&) = delete;
    SliceReader& operator=(const SliceReader&) = delete;
    AVIOContext* io() const noexcept { return io_; }

private:
    SliceReader(int fd, Slice slice) : fd_(fd), slice_(slice) {}
    static int read(void* self, std::uint8_t* into, int bytes);
    static std::int64_t seek(void* self, std::int64_t offset, int whence);

    int fd_;
    Slice slice_;
    std::int64_t at_ = 0;
    AVIOContext* io_ = nullptr;
};

/// An opened media file, its streams known.
struct Media {
    std::unique_ptr<SliceReader> slice;  ///< Before the file, which reads from it to its end.
    Input file;
    std::string path;
    std::int64_t bytes = 0;
    int video = -1;  ///< Index of the best moving picture; -1 = none.

    AVStream* video_stream() const { return video < 0 ? nullptr : file->streams[video]; }
    /// The container by our name: mp4, webm, matroska, mpegts, …
    std::string container() const;
    /// Seconds; 0 = the container does not say.
    double seconds() const;
};

/// Opens a local file with the demuxers of our list only; playlists of any kind are not
/// among them, so a hostile file cannot make libav open another one.
/// NOT_MEDIA: no demuxer of ours knows it (an HTML page, an empty file). TRUNCATED: its
/// beginning is a media file's, its index is missing. UNSUPPORTED_SOURCE: a playlist.
Result<Media> open_media(const std::string& path, Slice slice = {});
/// The same as far as the container's own head tells of the streams; no packet is read.
Result<Media> open_head(const std::string& path, Slice slice = {});

/// DRM_PROTECTED when a stream is marked as encrypted.
Result<void> refuse_encrypted(const Media& media);
/// The same for one packet: MP4 says it there.
Result<void> refuse_encrypted(const AVPacket& packet);
/// NO_VIDEO when there is no moving picture.
Result<void> refuse_without_video(const Media& media);

/// Container, duration and streams as JSON.
boost::json::object describe(const Media& media);

}  // namespace jobruntime::helper
