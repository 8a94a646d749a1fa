// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "codes.hpp"

#include <array>

namespace jobruntime::host {
namespace {

constexpr std::array table{
    media::CodeInfo{"NO_MEDIA", false, "The page has no video; check the URL in a browser"},
    media::CodeInfo{"VIDEO_UNAVAILABLE", false, "The post is gone, private or not public in this country; nothing to be done here"},
    media::CodeInfo{"AUTH_REQUIRED", false,
             "Log the worker's browser in: jobrt auth bootstrap x (or tiktok), then jobrt jobs retry ID"},
    media::CodeInfo{"BOT_CHALLENGE", false,
             "The site asks for a person: jobrt auth bootstrap x (or tiktok), or run a worker with PLAYWRIGHT_HEADLESS=false"},
    media::CodeInfo{"RATE_LIMITED", true, "The site asks to slow down; it is tried again by itself"},
    media::CodeInfo{"GEO_BLOCKED", false, "The site does not serve this country; run a worker elsewhere"},
    media::CodeInfo{"EXTRACTION_TIMEOUT", true,
             "The page took too long; if it asks for a log-in run jobrt auth bootstrap x (or tiktok), else raise "
             "EXTRACTION_TIMEOUT_MS, or timeoutMs of its extractor (docs/configuration.md)"},
    media::CodeInfo{"SSRF_BLOCKED", false,
             "Let a private network through only if you trust every page that is submitted"},
    media::CodeInfo{"BROWSER_LAUNCH_FAILED", false, "Run jobrt doctor: it says what is missing and how to install it"},
    media::CodeInfo{"BROWSER_PROFILE_IN_USE", false,
             "Close the other program that uses the profile, or set PLAYWRIGHT_USER_DATA_DIR to another folder"},
    media::CodeInfo{"EXTRACTOR_CRASHED", true, "The browser went down; it is tried again by itself"},
    media::CodeInfo{"EXTRACTOR_PROTOCOL", false,
             "The extractor's program does not keep to the protocol; try it with jobrt extractor check, see docs/extractors.md"},
    media::CodeInfo{"EXTRACTOR_NOT_FOUND", false,
             "Install the extractor's program, or correct its path in the configuration file (JOBRT_CONFIG)"},
    media::CodeInfo{"NETWORK", true, "The network or the site failed; it is tried again by itself"},
    media::CodeInfo{"DOWNLOAD_STALLED", true, "The server stopped sending; it is tried again by itself and resumes"},
    media::CodeInfo{"DOWNLOAD_INCOMPLETE", true, "The file ended early; it is tried again by itself and resumes"},
    media::CodeInfo{"PLATFORM_DISABLED", false, "Switch the platform on in the settings, then retry the job"},
    media::CodeInfo{"INVALID_URL", false, "Submit the address of one post, beginning with http:// or https://"},
    media::CodeInfo{"CRASH_LIMIT", false, "The job took its process down again and again; please report the URL"},
    media::CodeInfo{"DEADLINE", true, "The attempt took too long; it is tried again by itself"},
};
constexpr media::CodeInfo unknown{};

}  // namespace

const media::CodeInfo& code_info(std::string_view code) {
    for (const auto& row : table)
        if (row.code == code) return row;
    for (const auto& row : media::codes())
        if (row.code == code) return row;
    return unknown;
}

}  // namespace jobruntime::host
