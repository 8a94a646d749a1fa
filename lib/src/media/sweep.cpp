// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <cerrno>
#include <ctime>
#include <filesystem>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jobruntime/media.hpp>

#include "media/folders.hpp"
#include "media/names.hpp"
#include "media/work_folder.hpp"

namespace jobruntime::media {
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

int sweep_files(const Fd& root, const std::string& folder_name, const Judge& judge) {
    int removed = 0;
    auto folder = open_folder(root, folder_name);
    if (!folder) return 0;  // A file or a link of the operator's own.
    std::vector<std::string> names;
    (void)each_name(*folder, [&](const std::string& name) { names.push_back(name); });
    for (const auto& name : names) {
        const auto file = FileName::parse(name);
        if (!file || judge(file->job, file->fence, false) != Verdict::dead) continue;
        if (const auto gone = remove_name(*folder, name); gone && *gone) ++removed;
    }
    return removed;
}

bool unchanged_for(const Fd& parent, const std::string& name, std::chrono::seconds age) {
    struct stat facts {};
    if (::fstatat(parent.get(), name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) return false;
    return facts.st_mtim.tv_sec + age.count() < std::time(nullptr);
}

int sweep_work_folders(const Fd& root, const std::string& root_path, std::chrono::seconds forgotten_after,
                       const Judge& judge) {
    auto parent = open_folder(root, std::string(work_folders));
    if (!parent) return 0;
    std::vector<std::string> names;
    (void)each_name(*parent, [&](const std::string& name) { names.push_back(name); });
    int removed = 0;
    for (const auto& name : names) {
        const auto attempt = parse_attempt(name);
        if (!attempt) continue;
        const Verdict verdict = judge(attempt->job, attempt->fence, true);
        if (verdict == Verdict::keep) continue;
        if (verdict == Verdict::unknown && !unchanged_for(*parent, name, forgotten_after)) continue;
        const Claimed claimed = lock_folder(*parent, name);
        if (!claimed.ok) continue;
        remove_tree(root_path + "/" + std::string(work_folders) + "/" + name);
        ++removed;
    }
    return removed;
}

}  // namespace

Result<bool> Publisher::has_file(JobId job, std::string_view output_path) const {
    auto path = own_path(job, output_path);
    if (!path) return path.error();
    auto folder = folder_of(options_.root, path->folder);
    if (!folder) return folder.error();
    struct stat facts {};
    return *folder &&
           ::fstatat((*folder)->get(), path->file.str().c_str(), &facts, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(facts.st_mode);
}

Result<int> Publisher::remove_files(JobId job, std::string_view output_path) const {
    auto path = own_path(job, output_path);
    if (!path) return path.error();
    auto folder = folder_of(options_.root, path->folder);
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

Result<int> Publisher::sweep(const Judge& judge) const {
    auto root = open_root(options_.root);
    if (!root) return root.error();
    std::error_code wrong;
    const auto root_path = std::filesystem::canonical(options_.root, wrong);
    if (wrong) return folder_error(wrong.value(), "find the download folder");
    std::vector<std::string> names;
    JR_TRY(each_name(*root, [&](const std::string& name) { names.push_back(name); }));
    int removed = 0;
    for (const auto& name : names)
        if (is_slug(name)) removed += sweep_files(*root, name, judge);
    return removed + sweep_work_folders(*root, root_path.string(), options_.forgotten_after, judge);
}

}  // namespace jobruntime::media
