// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "media/work_folder.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <vector>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace jobruntime::media {
namespace {

/// Other attempts' folders of this job, oldest first.
Result<std::vector<net::Attempt>> attempts_of(const Fd& parent, JobId job) {
    std::vector<net::Attempt> found;
    JR_TRY(net::each_name(parent, [&](const std::string& name) {
        const auto attempt = net::parse_attempt(name);
        if (attempt && attempt->job == job) found.push_back(*attempt);
    }));
    std::ranges::sort(found, {}, &net::Attempt::fence);
    return found;
}

/// What an earlier attempt was making is half-made; what it had fetched is not.
void remove_outputs_left(const Fd& folder) {
    (void)net::each_name(folder, [&](const std::string& name) {
        if (name.starts_with(output_prefix)) (void)net::remove_name(folder, name);
    });
}

}  // namespace

Claimed lock_folder(const Fd& parent, const std::string& name) {
    auto folder = net::open_folder(parent, name);
    if (!folder) return {};
    if (::flock(folder->get(), LOCK_EX | LOCK_NB) != 0) return {};
    // Between opening and locking somebody else may have renamed or removed it.
    struct stat ours {};
    struct stat there {};
    const bool same = ::fstat(folder->get(), &ours) == 0 &&
                      ::fstatat(parent.get(), name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 &&
                      ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
    return {std::move(*folder), same};
}

void remove_tree(const std::string& path) {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
}

WorkFolder::~WorkFolder() {
    if (folder_ && !kept_) remove_tree(path_);
}

Result<WorkFolder> Publisher::claim_work_folder(JobId job, Fence fence) const {
    auto root = net::open_root(options_.root);
    if (!root) return root.error();
    auto parent = net::make_folder(*root, std::string(work_folders), 0700);
    if (!parent) return parent.error();
    std::error_code wrong;
    const std::string parent_path =
        (std::filesystem::canonical(options_.root, wrong) / work_folders).string();
    if (wrong) return net::folder_error(wrong.value(), "find the download folder");
    const std::string name = net::attempt_name(job, fence);

    auto others = attempts_of(*parent, job);
    if (!others) return others.error();
    if (!others->empty() && others->back().fence > fence)
        return Error{Errc::conflict, "a newer attempt of job " + job.str() + " has its work folder already"};
    for (auto it = others->rbegin(); it != others->rend(); ++it) {
        const std::string old = net::attempt_name(job, it->fence);
        if (old == name) break;  // Ours, from before: the same attempt asks again.
        const Claimed claimed = lock_folder(*parent, old);
        if (!claimed.ok) continue;  // Its late worker lives and may still write there.
        // RENAME_NOREPLACE lets only the newest become ours; what is older goes.
        if (::renameat2(parent->get(), old.c_str(), parent->get(), name.c_str(), RENAME_NOREPLACE) == 0) {
            remove_outputs_left(claimed.folder);
        } else {
            remove_tree(parent_path + "/" + old);
        }
    }
    auto made = net::make_folder(*parent, name, 0700);
    if (!made) return made.error();
    Claimed own = lock_folder(*parent, name);
    if (!own.ok)
        return Error{Errc::conflict,
                     "the work folder of job " + job.str() + " is in use by another thread or process"};
    return WorkFolder(parent_path + "/" + name, std::move(own.folder));
}

}  // namespace jobruntime::media
