// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>

#include <jobruntime/media.hpp>
#include <jobruntime/net.hpp>

#include "media/host_gate.hpp"

namespace jobruntime::media {

struct StreamRequest {
    std::string url;
    net::Headers headers;
    std::string target;  ///< Path of the finished download, in the work folder.
    net::CookieJar* cookies = nullptr;  ///< For every request, whatever its host; outlives the call.
};

/// Downloads what an HLS playlist or a DASH manifest lists: the video into `target`, separate sound into
/// `target`.audio, and how to read them into `target`.parts. An unfinished one leaves what the next try goes on with.
Result<Downloaded> download_stream(const net::Fetcher& fetcher, HostGate& gate, const StreamRequest& request,
                                   const DownloadOptions& options, const OnProgress& progress,
                                   const std::stop_token& stop, net::TransferFacts& facts);

/// True when an unfinished stream has left something worth going on with.
bool has_stream_part(const std::string& target);

}  // namespace jobruntime::media
