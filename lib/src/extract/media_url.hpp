// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <jobruntime/extractor.hpp>

// What a URL and a media type say about a file. Pure functions over untrusted text.
namespace jobruntime::extract {

/// What a response, a tag or an address seems to be.
enum class MediaKind {
    none,    ///< Not media, or sound only.
    direct,  ///< One file with a picture.
    hls,
    dash,
    segment,  ///< A piece of a stream: useless alone.
};

/// Lower-case extension of the URL's path without the dot, or empty.
std::string url_extension(std::string_view url);
/// "host" of an absolute http(s) URL in lower case, without port; empty when it is none.
std::string url_host(std::string_view url);
/// The URL without its fragment.
std::string_view without_fragment(std::string_view url);
bool is_http_url(std::string_view url);
/// Longer ones that a page or its traffic names are passed over.
inline constexpr std::size_t max_url = 8192;

/// Judges what somebody names as a video by media type first, then by the extension. An unknown type and an unknown name
/// are `none`.
MediaKind classify_media(std::string_view url, std::string_view mime);
/// The same of what was merely seen on the network: there a name like "part1.mp4" is one of a stream's pieces.
MediaKind classify_sighting(std::string_view url, std::string_view mime);
/// Judges an answer by its type, else by how it begins, where the type says nothing of use: MP4 and QuickTime, Matroska
/// and WebM, a transport stream, HLS.
MediaKind classify_answer(std::string_view url, std::string_view mime, std::string_view bytes);
inline constexpr std::size_t sniffed_bytes = 512;  ///< So many are enough.
/// The container's name ("mp4", "webm", …) by media type, then by extension; empty when unknown.
std::string container_of(std::string_view url, std::string_view mime);
/// True when the path names a part of a stream ("seg-12.mp4", "chunk_3.m4s", "init.mp4").
bool looks_like_segment(std::string_view url);
/// The URL's path with every run of digits replaced by '#': segments of one stream share it.
std::string digit_pattern(std::string_view url);

std::string lower(std::string_view text);

}  // namespace jobruntime::extract
