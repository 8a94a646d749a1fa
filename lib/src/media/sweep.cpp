// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <ctime>
#include <filesystem>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jobruntime/media.hpp>

#include "media/work_folder.hpp"
#include "net/folders.hpp"
#include "net/names.hpp"

namespace jobruntime::media {
namespace {

int sweep_files(const Fd& root, const std::string& folder_name, const Judge& judge) {
    int removed = 0;
    auto folder = net::open_folder(root, folder_name);
    if (!folder) return 0;  // A file or a link of the operator's own.
    std::vector<std::string> names;
    (void)net::each_name(*folder, [&](const std::string& name) { names.push_back(name); });
    for (const auto& name : names) {
        const auto file = net::FileName::parse(name);
        if (!file || judge(file->job, file->fence, false) != Verdict::dead) continue;
        if (const auto gone = net::remove_name(*folder, name); gone && *gone) ++removed;
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
    auto parent = net::open_folder(root, std::string(work_folders));
    if (!parent) return 0;
    std::vector<std::string> names;
    (void)net::each_name(*parent, [&](const std::string& name) { names.push_back(name); });
    int removed = 0;
    for (const auto& name : names) {
        const auto attempt = net::parse_attempt(name);
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

Result<int> Publisher::sweep(const Judge& judge) const {
    auto root = net::open_root(options_.root);
    if (!root) return root.error();
    std::error_code wrong;
    const auto root_path = std::filesystem::canonical(options_.root, wrong);
    if (wrong) return net::folder_error(wrong.value(), "find the download folder");
    std::vector<std::string> names;
    JR_TRY(net::each_name(*root, [&](const std::string& name) { names.push_back(name); }));
    int removed = 0;
    for (const auto& name : names)
        if (net::is_slug(name)) removed += sweep_files(*root, name, judge);
    return removed + sweep_work_folders(*root, root_path.string(), options_.forgotten_after, judge);
}

}  // namespace jobruntime::media
