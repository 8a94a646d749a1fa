// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <unistd.h>

#include <jobruntime/extract.hpp>

#include "page_server.hpp"

namespace extract_test {

using namespace std::chrono_literals;
namespace jx = jobruntime::extract;

/// Chromium as these tests run it: root only ever meets pages that the test itself serves.
inline jx::BrowserOptions browser_options(const TempFolder& folder) {
    jx::BrowserOptions options;
    options.profile_dir = folder / "profile";
    options.no_sandbox = ::geteuid() == 0;
    options.environment = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + (folder / "")};
    options.allow_nets = jobruntime::net::Network::parse_list("127.0.0.0/8").value();
    return options;
}

inline jx::ExtractOptions extract_options() {
    jx::ExtractOptions options;
    options.settle = 700ms;
    options.nav_timeout = 15s;
    return options;
}

inline jobruntime::ExtractRequest request(const std::string& url) {
    jobruntime::ExtractRequest asked;
    asked.url = url;
    asked.platform = "web";
    asked.timeout = 30s;
    return asked;
}

/// The page's clip, one for the whole program.
inline const std::string& clip() {
    static const TempFolder folder;
    static const std::string bytes =
        make_clip(folder, "clip.mp4", 320, 180, "-c:v libx264 -movflags +faststart");
    return bytes;
}
inline const std::string& webm() {
    static const TempFolder folder;
    static const std::string bytes = make_clip(folder, "clip.webm", 320, 180, "-c:v libvpx -b:v 200k");
    return bytes;
}

/// Processes whose command line names this profile; zombies have none.
inline std::vector<int> processes_of(const std::string& profile) {
    std::vector<int> found;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
        const auto pid = std::atoi(entry.path().filename().c_str());
        if (pid > 0 && pid != ::getpid() &&
            read_file(entry.path() / "cmdline").find(profile) != std::string::npos)
            found.push_back(pid);
    }
    return found;
}

}  // namespace extract_test
