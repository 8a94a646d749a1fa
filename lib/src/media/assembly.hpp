// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/array.hpp>

#include <jobruntime/media.hpp>
#include <jobruntime/result.hpp>

namespace jobruntime::media {

/// How a download that was put together from the pieces of a stream is to be read. It lies beside
/// the download as `<path>.parts`, written before the download gets its name.
struct Assembly {
    double seconds = 0;               ///< Promised by the playlist, gaps not counted.
    double tolerance = 0;             ///< Seconds that the promise may be off by its own rounding.
    double gap_seconds = 0;           ///< Of what the playlist itself says is not there.
    std::vector<std::uint64_t> runs;  ///< Where in the file each run of one clock and coding begins.
    std::vector<StreamPiece> pieces;  ///< Empty = a plain file, or one that an earlier version has put together.
    std::string audio;                ///< Name of the sound's own file, in the same folder; or empty.
    double audio_seconds = 0;
    std::vector<std::uint64_t> audio_runs;
    std::vector<StreamPiece> audio_pieces;
    bool audio_apart = false;  ///< Its clock is not the picture's.
};

inline constexpr std::string_view parts_suffix = ".parts";
inline constexpr std::string_view audio_suffix = ".audio";

/// [end, seconds, pause, exact] each, as in the description and in a request to the helper.
boost::json::array list_of(const std::vector<StreamPiece>& pieces);

/// Beside the download at `path`, synced. Errors as net::folder_error.
Result<void> write_assembly(const std::string& path, const Assembly& assembly);
/// Nothing when the download is a plain file; MEDIA_IO when the description cannot be read.
Result<std::optional<Assembly>> read_assembly(const std::string& path);
/// Removes the description and the sound of a download, and what an unfinished one has left.
void discard_stream(const std::string& path);

}  // namespace jobruntime::media
