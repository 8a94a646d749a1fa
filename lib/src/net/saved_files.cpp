// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <optional>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>

#include <jobruntime/net.hpp>

#include "net/folders.hpp"
#include "net/names.hpp"

namespace jobruntime::net {
namespace {

Result<PublishedPath> own_path(JobId job, std::string_view path) {
    auto parts = parse_published(path);
    if (!parts || parts->file.job != job)
        return Error{Errc::conflict, "PATH_REFUSED",
                     "\"" + std::string(path.substr(0, 200)) + "\" is not a path that publishing job " +
                         job.str() + " can have made"};
    return std::move(*parts);
}

/// The folder of a published file; nothing when it is gone.
Result<std::optional<Fd>> folder_of(const std::string& root_path, const std::string& name) {
    auto root = open_root(root_path);
    if (!root) return root.error();
    auto folder = open_folder(*root, name);
    if (folder) return std::optional<Fd>(std::move(*folder));
    if (folder.error().code == Errc::not_found) return std::optional<Fd>();
    return folder.error();
}

}  // namespace

Result<bool> has_saved_file(const std::string& root, JobId job, std::string_view output_path) {
    auto path = own_path(job, output_path);
    if (!path) return path.error();
    auto folder = folder_of(root, path->folder);
    if (!folder) return folder.error();
    struct stat facts {};
    return *folder &&
           ::fstatat((*folder)->get(), path->file.str().c_str(), &facts, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(facts.st_mode);
}

Result<int> remove_saved_files(const std::string& root, JobId job, std::string_view output_path) {
    auto path = own_path(job, output_path);
    if (!path) return path.error();
    auto folder = folder_of(root, path->folder);
    if (!folder) return folder.error();
    if (!*folder) return 0;
    int removed = 0;
    for (const std::string& ext : {path->file.ext, std::string("jpg"), std::string("json")}) {
        FileName name = path->file;
        name.ext = ext;
        auto gone = remove_name(**folder, name.str());
        if (!gone) return gone.error();
        removed += *gone ? 1 : 0;
    }
    JR_TRY(sync_folder(**folder));
    return removed;
}

}  // namespace jobruntime::net
