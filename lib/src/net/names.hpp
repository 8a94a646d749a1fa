// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <jobruntime/export.hpp>
#include <jobruntime/id.hpp>

namespace jobruntime::net {

/// Extensions that a published video may have.
JOBRUNTIME_API bool is_container_ext(std::string_view ext);

/// "<jobId>-<fence>", the name of a work folder.
JOBRUNTIME_API std::string attempt_name(JobId job, Fence fence);

struct Attempt {
    JobId job;
    Fence fence = Fence::none;
};
JOBRUNTIME_API std::optional<Attempt> parse_attempt(std::string_view text);

/// True for what net::slug() can return: one folder name, never ".", ".." or our work folders'.
JOBRUNTIME_API bool is_slug(std::string_view text);

/// A file of ours below the download root: `<slug>/<jobId>-<fence>[-<nth>].<ext>`.
struct JOBRUNTIME_API FileName {
    JobId job;
    Fence fence = Fence::none;
    int nth = 0;      ///< 2 … 999 for the further videos of a post; 0 for the first.
    std::string ext;  ///< mp4 and other containers, jpg, json.
    std::string str() const;
    /// Reads exactly what str() writes; nothing for every other name.
    static std::optional<FileName> parse(std::string_view text);
    bool operator==(const FileName&) const = default;
};

/// The parts of "<slug>/<file>". Nothing unless both are names that publish() could have made.
struct PublishedPath {
    std::string folder;
    FileName file;
};
JOBRUNTIME_API std::optional<PublishedPath> parse_published(std::string_view path);

}  // namespace jobruntime::net
