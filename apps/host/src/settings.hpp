// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/object.hpp>
#include <jobruntime/clock.hpp>
#include <jobruntime/result.hpp>

namespace jobruntime::host {

/// One row of the table from which flags, environment, `--help`, the man page and
/// docs/configuration.md are made.
struct Setting {
    std::string_view key;       ///< Name in the configuration file, and the flag: "download-dir" → --download-dir.
    std::string_view variable;  ///< Environment variable.
    std::string_view alias;     ///< A second variable of the same meaning, or empty.
    std::string_view fallback;  ///< Default as text; empty = unset.
    std::string_view who;       ///< "all", "api" or "worker".
    enum class Type { text, number, boolean, duration_ms } type;
    std::string_view meaning;   ///< One sentence.
    bool live = false;          ///< A process that serves takes a new value over with SIGHUP; else it takes a restart.
};
std::span<const Setting> settings_table();

/// Where a value came from; a smaller one wins.
enum class Source { flag, environment, env_file, file, fallback };
std::string_view to_string(Source source);

/// What was given: every setting with its text and source, and what to warn of.
class Settings {
public:
    struct Value {
        std::string text;
        Source source = Source::fallback;
        std::string where;  ///< The variable, file or flag, for messages.
    };
    /// Unset (or empty, which counts as unset) when there is neither a value nor a default.
    const Value* find(std::string_view key) const;
    std::string text(std::string_view key) const;

    /// Sources in order of strength. `environment` is all of it; `env_file_path` is --env-file or empty, in which case
    /// ./.env and then ./server/.env are looked for in `directory`. Errc::invalid_argument names what is wrong and where.
    static Result<Settings> load(const std::map<std::string, std::string>& flags,
                                 const std::map<std::string, std::string>& environment,
                                 const std::string& env_file_path, const std::string& directory);
    /// What has structure in the configuration file: its members platforms, extractors and pages; and its absolute path.
    const boost::json::object& structure() const { return structure_; }
    const std::string& structure_file() const { return structure_file_; }
    /// The .env file that was read; empty when there was none.
    const std::string& env_file() const { return env_file_; }
    /// Lines for the log: old variables without effect, unknown JOBRT_ ones, notices.
    const std::vector<std::string>& warnings() const { return warnings_; }

private:
    void warn(std::string line);
    Result<void> add_layer(const std::map<std::string, std::string>& variables, Source source, const std::string& where);
    Result<void> add_file(const std::string& path);
    std::map<std::string, Value, std::less<>> values_;
    std::vector<std::string> warnings_;
    boost::json::object structure_;
    std::string structure_file_;
    std::string env_file_;
};

/// Reads KEY=VALUE lines as Node's dotenv does: CRLF, a BOM, `export`, single, double and back quotes, # comments.
Result<std::map<std::string, std::string>> parse_env_file(std::string_view text);

enum class ProcessRole { combined, api, worker };
std::string_view to_string(ProcessRole role);

/// All of it, typed and checked.
struct Config {
    ProcessRole role = ProcessRole::combined;
    std::string store;              ///< "sqlite:/absolute/path" or "mongodb://…".
    std::string store_variable = "JOBRT_STORE";  ///< Who said so, for messages: "MONGODB_URI in /srv/.env", "JOBRT_STORE unset".
    bool memory_telemetry = false;  ///< Progress and log lines stay out of the store.
    std::string sink_warning;       ///< TELEMETRY_SINK named another store's kind.
    int port = 4000;
    std::vector<std::string> bind_addresses;  ///< Empty = loopback, v4 and v6.
    unsigned socket_mode = 0600;
    int max_connections = 1'024, max_streams = 1'000;
    int client_connections = 256, client_streams = 100, rate_limit = 200, max_rate = 0;
    std::vector<std::string> trusted_proxies;
    std::vector<std::string> allowed_hosts, allowed_origins, cors_origins;
    std::string token_file;         ///< Absolute; empty = no tokens are asked for.
    std::string api_token_file;     ///< Absolute, or empty.
    std::string download_dir;       ///< Absolute.
    std::vector<std::string> allow_nets;
    std::optional<bool> enable_x, enable_tiktok, enable_web;
    std::string profile_dir;        ///< Absolute.
    bool headless = true;
    Duration manual_solve{90'000}, nav_timeout{45'000}, settle{3'000};
    Duration extraction_timeout{180'000}, download_timeout{120'000};
    Duration download_limit{21'600'000}, max_duration{43'200'000};
    std::uint64_t max_file_bytes = 8'192'000'000, min_free_bytes = 256'000'000;
    std::size_t max_segments = 100'000;
    int max_height = 0;             ///< 0 = the best.
    int per_host = 16, parallel_segments = 16;
    std::string browser;
    bool browser_no_sandbox = false;
    int browser_recycle = 200;      ///< Extractions.
    int concurrency = 0;            ///< 0 = 2 for media, 2 × cores for others.
    Duration heartbeat{10'000}, lease{30'000}, stale{120'000}, grace{30'000};
    std::string log_format = "text", log_level = "info";
    std::string yt_dlp = "yt-dlp";  ///< A path, or a name in PATH.
    std::string ffmpeg;             ///< A path, or a name in the usual places; empty = the built-in libav.
    std::string config_file;        ///< Absolute, or empty.
    boost::json::object structure;  ///< Its members platforms, extractors and pages, as they stand there.

    /// Errc::invalid_argument names the variable, the value and what is accepted.
    static Result<Config> from(const Settings& settings, const std::string& directory);
};

}  // namespace jobruntime::host
