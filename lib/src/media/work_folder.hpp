// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>

#include <jobruntime/media.hpp>

#include "net/folders.hpp"
#include "net/names.hpp"

namespace jobruntime::media {

/// The folder of all work folders, below the root.
inline constexpr std::string_view work_folders = ".jobrt-tmp";

/// Names in a work folder: what was fetched, and what is being made of it. Only the first is
/// of use to the job's next attempt.
inline constexpr std::string_view download_prefix = "source-";
inline constexpr std::string_view output_prefix = "out.";

/// An open work folder whose lock we hold. Not ok while its worker lives.
struct Claimed {
    Fd folder;
    bool ok = false;
};
Claimed lock_folder(const Fd& parent, const std::string& name);

/// Removes a work folder with all that is in it, never through a link.
void remove_tree(const std::string& path);

}  // namespace jobruntime::media
