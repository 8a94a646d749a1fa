// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <jobruntime/media.hpp>

namespace jobruntime::media {

inline constexpr std::string_view work_folders = ".jobrt-tmp";

/// Extensions that a published video may have.
bool is_container_ext(std::string_view ext);

/// "<jobId>-<fence>", the name of a work folder.
std::string attempt_name(JobId job, Fence fence);

struct Attempt {
    JobId job;
    Fence fence = Fence::none;
};
std::optional<Attempt> parse_attempt(std::string_view text);

/// True for what net::slug() can return: one folder name, never ".", ".." or our work folders'.
bool is_slug(std::string_view text);

/// The parts of "<slug>/<file>". Nothing unless both are names that publish() could have made.
struct PublishedPath {
    std::string folder;
    FileName file;
};
std::optional<PublishedPath> parse_published(std::string_view path);

}  // namespace jobruntime::media
