// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include <sys/stat.h>

#include <jobruntime/export.hpp>
#include <jobruntime/result.hpp>
#include <jobruntime/subprocess.hpp>

// Every way below the download root goes through open folders, one name at a time and never
// through a symbolic link. A name is one component: it has been checked to hold no '/'.
namespace jobruntime::net {

/// The root as an open folder; made when missing.
JOBRUNTIME_API Result<Fd> open_root(const std::string& path);

/// A folder inside an open one. PATH_REFUSED when it is a link or no folder.
JOBRUNTIME_API Result<Fd> open_folder(const Fd& parent, const std::string& name);
/// The same, made when missing.
JOBRUNTIME_API Result<Fd> make_folder(const Fd& parent, const std::string& name, mode_t mode);

/// Calls `visit` with every name in the folder but "." and "..".
JOBRUNTIME_API Result<void> each_name(const Fd& folder, const std::function<void(const std::string&)>& visit);

/// Removes one file (or the link itself). True when it was there.
JOBRUNTIME_API Result<bool> remove_name(const Fd& folder, const std::string& name);

JOBRUNTIME_API Result<void> sync_folder(const Fd& folder);

/// The error that an errno of a write below the root is, and whom it concerns.
JOBRUNTIME_API Error folder_error(int code, const std::string& what);
JOBRUNTIME_API Error path_refused(const std::string& what);

}  // namespace jobruntime::net
