// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include <sys/stat.h>

#include <jobruntime/result.hpp>
#include <jobruntime/subprocess.hpp>

// Every way below the download root goes through open folders, one name at a time and never
// through a symbolic link. A name is one component: it has been checked to hold no '/'.
namespace jobruntime::media {

/// The root as an open folder; made when missing.
Result<Fd> open_root(const std::string& path);

/// A folder inside an open one. PATH_REFUSED when it is a link or no folder.
Result<Fd> open_folder(const Fd& parent, const std::string& name);
/// The same, made when missing.
Result<Fd> make_folder(const Fd& parent, const std::string& name, mode_t mode);

/// Calls `visit` with every name in the folder but "." and "..".
Result<void> each_name(const Fd& folder, const std::function<void(const std::string&)>& visit);

/// Removes one file (or the link itself). True when it was there.
Result<bool> remove_name(const Fd& folder, const std::string& name);

Result<void> sync_folder(const Fd& folder);

/// The error that an errno of a write below the root is, and whom it concerns.
Error folder_error(int code, const std::string& what);
Error refused(const std::string& what);

}  // namespace jobruntime::media
