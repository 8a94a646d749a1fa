// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "settings.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>

namespace jobruntime::host {
namespace {

/// Reads typed values and remembers the first thing that is wrong.
class Reader {
public:
    Reader(const Settings& settings, const std::string& directory) : settings_(settings), directory_(directory) {}

    std::string text(std::string_view key) const { return settings_.text(key); }
    /// Who gave it; when nobody did, the variable that could.
    std::string where(std::string_view key) const {
        if (const auto* value = settings_.find(key)) return value->where;
        for (const auto& setting : settings_table())
            if (setting.key == key) return std::string(setting.variable);
        return std::string(key);
    }

    std::vector<std::string> list(std::string_view key) const {
        std::vector<std::string> parts;
        std::string all = settings_.text(key);
        std::size_t begin = 0;
        while (begin <= all.size()) {
            auto end = std::min(all.find(',', begin), all.size());
            std::string part = all.substr(begin, end - begin);
            std::erase(part, ' ');
            if (!part.empty()) parts.push_back(part);
            begin = end + 1;
        }
        return parts;
    }

    /// Origins as browsers send them: one with a path, or a bare name, would never be met.
    std::vector<std::string> origins(std::string_view key) {
        auto all = list(key);
        for (const auto& origin : all) {
            const auto host = origin.find("://") + 3;
            if (host >= 4 && host < origin.size() && origin.find_first_of("/?#@*", host) == origin.npos) continue;
            refuse(*settings_.find(key),
                   "origins such as https://ops.example or http://localhost:5173, without a path, separated by commas");
        }
        return all;
    }

    long number(std::string_view key, long low, long high) {
        const auto* value = settings_.find(key);
        if (!value) return low;
        long parsed = 0;
        auto [end, code] = std::from_chars(value->text.data(), value->text.data() + value->text.size(), parsed);
        if (code == std::errc{} && end == value->text.data() + value->text.size() && parsed >= low && parsed <= high) return parsed;
        refuse(*value, "a whole number from " + std::to_string(low) + " to " + std::to_string(high));
        return low;  // The caller goes on, to name what else is wrong, and may calculate with it.
    }

    unsigned octal(std::string_view key) {
        const auto* value = settings_.find(key);
        if (!value) return 0;
        unsigned parsed = 0;
        const auto* last = value->text.data() + value->text.size();
        const auto [end, code] = std::from_chars(value->text.data(), last, parsed, 8);
        if (code == std::errc{} && end == last && parsed <= 0777) return parsed;
        refuse(*value, "a mode in octal digits, such as 600 or 660");
        return 0;
    }

    Duration duration(std::string_view key, long low = 1) { return Duration{number(key, low, 7L * 24 * 3600 * 1000)}; }

    std::optional<bool> flag(std::string_view key) {
        const auto* value = settings_.find(key);
        if (!value) return std::nullopt;
        std::string word = value->text;
        std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) { return std::tolower(c); });
        for (const auto* yes : {"1", "true", "yes", "on"})
            if (word == yes) return true;
        for (const auto* no : {"0", "false", "no", "off"})
            if (word == no) return false;
        refuse(*value, "1/true/yes/on or 0/false/no/off");
        return std::nullopt;
    }

    std::string path(std::string_view key) const { return absolute(settings_.text(key)); }

    std::string absolute(const std::string& given) const {
        if (given.empty()) return given;
        return (std::filesystem::path(directory_) / given).lexically_normal().string();
    }

    std::string word(std::string_view key, std::initializer_list<std::string_view> accepted) {
        const auto* value = settings_.find(key);
        if (!value) return std::string(*accepted.begin());
        if (std::find(accepted.begin(), accepted.end(), value->text) == accepted.end()) {
            std::string names;
            for (auto name : accepted) names += (names.empty() ? "" : ", ") + std::string(name);
            refuse(*value, "one of: " + names);
        }
        return value->text;
    }

    void refuse(const Settings::Value& value, const std::string& accepted) {
        if (!error) error = Error{Errc::invalid_argument, "INVALID_CONFIGURATION",
                                  value.where + " is \"" + value.text + "\"; it must be " + accepted};
    }
    void refuse(std::string message) {
        if (!error) error = Error{Errc::invalid_argument, "INVALID_CONFIGURATION", std::move(message)};
    }

    std::optional<Error> error;

private:
    const Settings& settings_;
    const std::string& directory_;
};

void read_store(Reader& reader, Config& config) {
    const auto ours = reader.text("store");
    const auto mongo = reader.text("mongodb-uri");
    const bool is_mongo = ours.starts_with("mongodb://") || ours.starts_with("mongodb+srv://");
    if (!mongo.empty() && !mongo.starts_with("mongodb://") && !mongo.starts_with("mongodb+srv://"))
        return reader.refuse(reader.where("mongodb-uri") +
                             " must begin with mongodb:// or mongodb+srv://; for SQLite set JOBRT_STORE");
    if (!ours.empty() && !mongo.empty() && ours != mongo)
        return reader.refuse("JOBRT_STORE and MONGODB_URI are both set and differ; set one of them");
    config.store_variable = reader.where(!mongo.empty() ? "mongodb-uri" : "store");
    if (!mongo.empty() || is_mongo) {
        config.store = mongo.empty() ? ours : mongo;
        return;
    }
    if (ours.empty()) {
        if (config.role != ProcessRole::combined)
            return reader.refuse("ROLE=" + std::string(to_string(config.role)) +
                                 " needs a store that it shares with the other role: set JOBRT_STORE (sqlite:PATH or "
                                 "mongodb://…) or MONGODB_URI, the same for both");
        config.store = "sqlite:" + reader.absolute("jobrt.db");
        config.store_variable = "JOBRT_STORE unset";
        return;
    }
    if (!ours.starts_with("sqlite:") || ours.size() == 7)
        return reader.refuse("JOBRT_STORE must be sqlite:PATH or mongodb://…");
    config.store = "sqlite:" + reader.absolute(ours.substr(7));
}

void read_http(Reader& reader, Config& config) {
    config.bind_addresses = reader.list("host");
    config.socket_mode = reader.octal("socket-mode");
    config.max_connections = static_cast<int>(reader.number("max-connections", 1, 1'000'000));
    config.max_streams = static_cast<int>(reader.number("max-streams", 0, 1'000'000));
    config.client_connections = static_cast<int>(reader.number("client-connections", 1, 1'000'000));
    config.client_streams = static_cast<int>(reader.number("client-streams", 0, 1'000'000));
    config.rate_limit = static_cast<int>(reader.number("rate-limit", 0, 1'000'000));
    config.max_rate = static_cast<int>(reader.number("max-rate", 0, 1'000'000));
    config.trusted_proxies = reader.list("trusted-proxies");
}

void read_telemetry(Reader& reader, Config& config) {
    const auto sink = reader.word("telemetry-sink", {"store", "sqlite", "mongodb", "mongo", "memory"});
    config.memory_telemetry = sink == "memory";
    const bool on_sqlite = config.store.starts_with("sqlite:");
    if ((sink == "sqlite" && !on_sqlite) || (sink.starts_with("mongo") && on_sqlite))
        config.sink_warning = "TELEMETRY_SINK=" + sink + " does not fit the store; events go to the store (" +
                              (on_sqlite ? "sqlite" : "mongodb") + ")";
}

}  // namespace

Result<Config> Config::from(const Settings& settings, const std::string& directory) {
    Reader reader(settings, directory);
    Config config;
    const auto role = reader.word("role", {"combined", "api", "worker"});
    config.role = role == "api" ? ProcessRole::api : role == "worker" ? ProcessRole::worker : ProcessRole::combined;
    read_store(reader, config);
    read_telemetry(reader, config);
    config.port = static_cast<int>(reader.number("port", 0, 65535));
    read_http(reader, config);
    config.allowed_hosts = reader.list("allowed-hosts");
    config.allowed_origins = reader.origins("allowed-origins");
    config.cors_origins = reader.origins("cors-origins");
    config.token_file = reader.path("token-file");
    config.api_token_file = reader.path("api-token-file");
    config.download_dir = reader.path("download-dir");
    config.allow_nets = reader.list("allow-nets");
    config.enable_x = reader.flag("enable-x");
    config.enable_tiktok = reader.flag("enable-tiktok");
    config.enable_web = reader.flag("enable-web");
    config.profile_dir = reader.path("profile-dir");
    config.headless = reader.flag("headless").value_or(true);
    config.manual_solve = reader.duration("manual-solve-timeout");
    config.nav_timeout = reader.duration("nav-timeout");
    config.settle = reader.duration("settle", 0);
    config.extraction_timeout = reader.duration("extraction-timeout");
    config.download_timeout = reader.duration("download-timeout");
    config.download_limit = reader.duration("download-limit");
    config.max_duration = reader.duration("max-duration");
    config.max_file_bytes = static_cast<std::uint64_t>(reader.number("max-file-mb", 1, 10'000'000)) * 1'000'000;
    config.min_free_bytes = static_cast<std::uint64_t>(reader.number("min-free-mb", 0, 100'000'000)) * 1'000'000;
    config.max_segments = static_cast<std::size_t>(reader.number("max-segments", 1, 1'000'000));
    config.max_height = static_cast<int>(reader.number("max-height", 0, 100'000));
    config.per_host = static_cast<int>(reader.number("per-host", 1, 1'000));
    config.parallel_segments = static_cast<int>(reader.number("parallel-segments", 1, 64));
    config.browser = reader.text("browser");
    config.browser_no_sandbox = reader.flag("browser-no-sandbox").value_or(false);
    config.browser_recycle = static_cast<int>(reader.number("browser-recycle", 1, 1'000'000));
    config.concurrency = static_cast<int>(reader.number("concurrency", 0, 4096));
    config.heartbeat = reader.duration("heartbeat", 10);
    config.lease = reader.duration("lease", 30);
    config.stale = reader.duration("stale");
    config.grace = reader.duration("grace", 0);
    config.log_format = reader.word("log-format", {"text", "json"});
    config.log_level = reader.word("log-level", {"info", "warn", "error"});
    config.yt_dlp = reader.text("yt-dlp");
    config.ffmpeg = reader.text("ffmpeg");
    if (config.ffmpeg.find('/') != std::string::npos) config.ffmpeg = reader.absolute(config.ffmpeg);
    config.config_file = settings.structure_file();
    config.structure = settings.structure();
    if (config.lease < 3 * config.heartbeat)
        reader.refuse("JOBRT_LEASE_MS must be at least three times JOBRT_HEARTBEAT_MS, so that one lost beat is no death");
    if (reader.error) return *std::move(reader.error);
    return config;
}

}  // namespace jobruntime::host
