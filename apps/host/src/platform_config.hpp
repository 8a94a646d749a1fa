// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/object.hpp>
#include <jobruntime/extractor.hpp>
#include <jobruntime/net.hpp>

#include "settings.hpp"

namespace jobruntime::host {

/// One extractor in a platform's list.
struct ExtractorUse {
    std::string name;                                 ///< "page", "browser", "yt-dlp", one of `extractors` or of the program's own.
    std::optional<std::chrono::milliseconds> timeout;  ///< Unset = what is left of EXTRACTION_TIMEOUT_MS.
    int attempts = 1;                                 ///< Tries within one attempt of the job, for what may pass by itself.
    std::vector<std::string> next_on;                 ///< Codes after which the next extractor is asked.
};

/// A site whose posts are known by their addresses, and who is asked about them.
struct PlatformConfig {
    std::string id;
    bool enabled = true;
    net::Platform rule;
    std::vector<ExtractorUse> extractors;
    std::string login_page;                  ///< For `auth bootstrap`; may be empty.
    std::vector<std::string> login_cookies;  ///< "auth_token@x.com": there while somebody is logged in.
};

/// A program that serves as an extractor.
struct CommandConfig {
    std::string name;
    std::vector<std::string> argv;         ///< The first is absolute when it has a '/'.
    std::vector<std::string> environment;  ///< Names of variables that it may see besides the usual ones.
};

/// What has structure in the configuration file: `platforms`, `extractors`, `pages`, laid over our defaults.
struct MediaConfig {
    std::vector<PlatformConfig> platforms;  ///< In the order in which they are asked; one without hosts is last.
    std::vector<CommandConfig> commands;
    std::vector<std::string> own;           ///< Names of the program's own extractors.
    boost::json::object pages;              ///< Rules of the page extractor, those of the file in front of ours.
    std::string file;                       ///< Where it stands, for complaints.

    /// INVALID_CONFIGURATION names file, member and what it must be. `own`: names of the program's own extractors, which
    /// lists may have, too. A list may have names that nobody here knows: another program of the operator's that reads the
    /// same file may register them.
    static Result<MediaConfig> from(const Config& config, const std::vector<std::string>& own = {});
    /// For whoever runs extractors: INVALID_CONFIGURATION when the list of `platform`, or of any, names one that nobody
    /// here knows.
    Result<void> check_extractors(std::string_view platform = {}) const;
    std::vector<net::Platform> rules() const;
    const PlatformConfig* find(std::string_view id) const;
    /// As the file would say it, for `config show`.
    boost::json::object shown() const;
};

/// What lists in the file may call a program's own extractors.
std::vector<std::string> names_of(const std::vector<std::shared_ptr<Extractor>>& extractors);

/// A list, an answer and a recording know extractors by their names. INVALID_ARGUMENT when two of a program's own have the
/// same one, or one has none or a built-in one's.
Result<void> check_names(const std::vector<std::string>& own);

/// The platforms' ids in a file, with the flag each has there; for those who need no more.
std::optional<bool> enabled_by_file(const Config& config, std::string_view platform);

/// The post of a URL; a short link is followed under the fetcher's guard first, and stays what it is when it leads
/// to no post within `limit`.
Result<net::Post> find_post(const net::Url& url, const std::vector<net::Platform>& platforms, const net::Fetcher& fetcher,
                            std::chrono::milliseconds limit, std::stop_token stop = {});

}  // namespace jobruntime::host
