// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <boost/json/object.hpp>
#include <jobruntime/extractor.hpp>

#include "extract/host_vetter.hpp"

// From what an external program says to a MediaInfo that may be handed on.
namespace jobruntime::extract {

/// media_info_from, and what only a whole yt-dlp info dict has: entries of a playlist (the nth video), formats
/// without a picture or protected by DRM left out, the best of those without a picture put to those without sound,
/// timestamps, cookies; a duration counts as stated unless the dict says otherwise; sources ranked by sound and
/// picture together, height, bit rate, files before playlists. Errors: EXTRACTOR_PROTOCOL; NO_MEDIA; DRM_PROTECTED.
Result<MediaInfo> info_from_dict(const boost::json::object& dict, int nth);

/// yt-dlp writes a format's cookies as Set-Cookie lines in one: "a=1; Domain=.x.org; Path=/; b=2; …". One without a
/// domain is for the format's own host.
std::vector<Cookie> cookies_in(std::string_view text, const std::string& host);

/// An address rebuilt under the grammar, its host vetted. Errors as net::parse_url and HostVetter::check_url.
Result<std::string> vetted_url(const std::string& text, HostVetter& vetter, Deadline deadline, const std::stop_token& stop);

/// Rebuilds every URL of `info` under the grammar and vets its host; a file must lie below `tmp_dir`. Drops
/// sources that fail; the first failure when none is left. Errc::canceled.
Result<void> vet_info(MediaInfo& info, const ExtractRequest& request, HostVetter& vetter, Deadline deadline,
                      const std::stop_token& stop);

/// Seconds since 1970 as ISO 8601; empty when that makes no sense.
std::string iso_time(double seconds);

/// The kind of error that a name of the extractors' stands for.
Errc errc_of(std::string_view code);

}  // namespace jobruntime::extract
