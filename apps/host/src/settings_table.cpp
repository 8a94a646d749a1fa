// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "settings.hpp"

#include <array>

namespace jobruntime::host {
namespace {

using Type = Setting::Type;

constexpr bool live = true;  // SIGHUP takes it over.

constexpr std::array table{
    Setting{"role", "ROLE", "PROCESS_ROLE", "combined", "all", Type::text,
            "What this process does: combined, api or worker."},
    Setting{"store", "JOBRT_STORE", "", "", "all", Type::text,
            "Where the jobs live: sqlite:PATH or mongodb://… Combined without it uses sqlite:jobrt.db; the split roles "
            "must be told."},
    Setting{"mongodb-uri", "MONGODB_URI", "MONGO_URI", "", "all", Type::text,
            "The same thing under the old name, for MongoDB only."},
    Setting{"port", "PORT", "", "4000", "api", Type::number, "HTTP port; 0 picks a free one and prints it."},
    Setting{"host", "JOBRT_HOST", "", "", "api", Type::text,
            "Addresses to bind, separated by commas; unset is loopback, IPv4 and IPv6; unix:/PATH is a Unix socket. An address "
            "that is not loopback needs JOBRT_TOKEN_FILE."},
    Setting{"socket-mode", "JOBRT_SOCKET_MODE", "", "600", "api", Type::text,
            "Mode of Unix sockets, in octal: who may use the API through them."},
    Setting{"max-connections", "JOBRT_MAX_CONNECTIONS", "", "1024", "api", Type::number,
            "Connections at once besides event streams and waiting requests; a further one takes the place of the longest idle, else gets a 503.", live},
    Setting{"max-streams", "JOBRT_MAX_STREAMS", "", "1000", "api", Type::number,
            "Event streams and waiting requests at once; a further one gets a 503.", live},
    Setting{"client-connections", "JOBRT_CLIENT_CONNECTIONS", "", "256", "api", Type::number,
            "Connections of one client; like the next two, not for this machine's own and not for trusted proxies.", live},
    Setting{"client-streams", "JOBRT_CLIENT_STREAMS", "", "100", "api", Type::number, "Event streams and waiting requests of one client.", live},
    Setting{"rate-limit", "JOBRT_RATE_LIMIT", "", "200", "api", Type::number,
            "Requests a second of one client, health apart; further ones get a 429; 0 is no limit.", live},
    Setting{"max-rate", "JOBRT_MAX_RATE", "", "0", "api", Type::number,
            "Requests a second of all clients together, this machine's too, health apart; further ones get a 503; 0 is no limit.", live},
    Setting{"trusted-proxies", "JOBRT_TRUSTED_PROXIES", "", "", "api", Type::text,
            "Proxies whose X-Forwarded-For says who the client is: addresses, networks, or unix, separated by commas.", live},
    Setting{"token-file", "JOBRT_TOKEN_FILE", "", "", "api", Type::text,
            "Access tokens, hashed, as jobrt token create makes them; set, every route but health asks for one."},
    Setting{"api-token-file", "JOBRT_API_TOKEN_FILE", "", "", "all", Type::text,
            "File that holds the token which commands send to the API that --api names."},
    Setting{"allowed-hosts", "JOBRT_ALLOWED_HOSTS", "", "", "api", Type::text,
            "Further Host names that requests may carry, separated by commas.", live},
    Setting{"allowed-origins", "JOBRT_ALLOWED_ORIGINS", "", "", "api", Type::text,
            "Further origins that may send changes, separated by commas.", live},
    Setting{"cors-origins", "JOBRT_CORS_ORIGINS", "", "", "api", Type::text,
            "Origins whose pages may use the API with a token of their own, separated by commas; unset is none.", live},
    Setting{"telemetry-sink", "TELEMETRY_SINK", "", "store", "all", Type::text,
            "store (also mongodb, mongo, sqlite), or memory to keep progress and log lines out of the store."},
    Setting{"enable-x", "ENABLE_X", "", "", "all", Type::boolean, "Platform X; false is final for this process.", live},
    Setting{"enable-tiktok", "ENABLE_TIKTOK", "", "", "all", Type::boolean,
            "Platform TikTok; false is final for this process.", live},
    Setting{"enable-web", "ENABLE_WEB", "", "", "all", Type::boolean,
            "Any other page; false is final for this process.", live},
    Setting{"download-dir", "JOBRT_DOWNLOAD_DIR", "", "downloads", "all", Type::text,
            "Finished files; served under /downloads/."},
    Setting{"allow-nets", "JOBRT_ALLOW_NETS", "", "", "all", Type::text,
            "Private address ranges that the guard lets through, e.g. 127.0.0.0/8 for tests, separated by commas."},
    Setting{"profile-dir", "PLAYWRIGHT_USER_DATA_DIR", "", "./.playwright-profile", "worker", Type::text,
            "Persistent browser profile; it holds log-ins. %i is the worker's slot: 0 for the first on a machine, 1 for the "
            "second, so that each has its own."},
    Setting{"headless", "PLAYWRIGHT_HEADLESS", "", "true", "worker", Type::boolean,
            "false shows the browser and lets a person solve challenges."},
    Setting{"manual-solve-timeout", "PLAYWRIGHT_MANUAL_SOLVE_TIMEOUT_MS", "", "90000", "worker", Type::duration_ms,
            "How long a visible browser waits for a person, in ms.", live},
    Setting{"nav-timeout", "PLAYWRIGHT_NAV_TIMEOUT_MS", "", "45000", "worker", Type::duration_ms,
            "Limit for one navigation, in ms.", live},
    Setting{"settle", "PLAYWRIGHT_SETTLE_MS", "", "3000", "worker", Type::duration_ms,
            "How long a loaded page may go on loading media, in ms.", live},
    Setting{"extraction-timeout", "EXTRACTION_TIMEOUT_MS", "", "180000", "worker", Type::duration_ms,
            "Limit for one extraction, in ms.", live},
    Setting{"download-timeout", "DOWNLOAD_TIMEOUT_MS", "", "120000", "worker", Type::duration_ms,
            "How long a download may stand still, in ms.", live},
    Setting{"download-limit", "JOBRT_DOWNLOAD_LIMIT_MS", "", "21600000", "worker", Type::duration_ms,
            "Limit for one attempt to download a video, whatever sources it tries, in ms; the next attempt goes on with it.", live},
    Setting{"max-file-mb", "JOBRT_MAX_FILE_MB", "", "8192", "worker", Type::number,
            "Largest download, in MB of 1,000,000 bytes.", live},
    Setting{"max-duration", "JOBRT_MAX_DURATION_MS", "", "43200000", "worker", Type::duration_ms,
            "Longest video, live streams included, in ms.", live},
    Setting{"max-segments", "JOBRT_MAX_SEGMENTS", "", "100000", "worker", Type::number,
            "Most segments of a stream.", live},
    Setting{"max-height", "JOBRT_MAX_HEIGHT", "", "0", "worker", Type::number,
            "Tallest variant of a stream to take, in pixels; 0 takes the best.", live},
    Setting{"per-host", "JOBRT_PER_HOST", "", "16", "worker", Type::number,
            "Requests for media that a worker has open to one host at once, over all its jobs."},
    Setting{"parallel-segments", "JOBRT_PARALLEL_SEGMENTS", "", "16", "worker", Type::number,
            "Segments of one stream fetched at once.", live},
    Setting{"min-free-mb", "JOBRT_MIN_FREE_MB", "", "256", "worker", Type::number,
            "What downloads, and the rewriting of them, leave free on their disk, in MB of 1,000,000 bytes.", live},
    Setting{"browser", "JOBRT_BROWSER", "", "", "worker", Type::text,
            "Browser program; unset looks in Chromium's usual places."},
    Setting{"browser-no-sandbox", "JOBRT_BROWSER_NO_SANDBOX", "", "false", "worker", Type::boolean,
            "Give up the browser's sandbox; needed as root, a risk everywhere."},
    Setting{"browser-recycle", "JOBRT_BROWSER_RECYCLE", "", "200", "worker", Type::number,
            "Extractions after which the warm browser is replaced by a new one."},
    Setting{"yt-dlp", "YT_DLP_PATH", "", "yt-dlp", "worker", Type::text,
            "The yt-dlp program, for platforms whose list of extractors names it.", live},
    Setting{"ffmpeg", "FFMPEG_PATH", "", "", "worker", Type::text,
            "An ffmpeg program that rewrites files into MP4; unset, the libav that is built in does."},
    Setting{"concurrency", "JOBRT_CONCURRENCY", "", "0", "worker", Type::number,
            "Running jobs at once a queue; 0 is 2 for media and 2 × cores for others."},
    Setting{"heartbeat", "JOBRT_HEARTBEAT_MS", "", "10000", "all", Type::duration_ms,
            "Between two signs of life, in ms."},
    Setting{"lease", "JOBRT_LEASE_MS", "", "30000", "all", Type::duration_ms,
            "Silence after which a worker's jobs go to others, in ms; at least three heartbeats."},
    Setting{"stale", "JOBRT_STALE_MS", "", "120000", "all", Type::duration_ms,
            "Silence after which worker health says not ok, in ms."},
    Setting{"grace", "JOBRT_GRACE_MS", "", "30000", "all", Type::duration_ms,
            "How long running jobs may finish when the process is asked to stop, in ms."},
    Setting{"log-format", "JOBRT_LOG_FORMAT", "", "text", "all", Type::text, "Log lines on stderr: text or json."},
    Setting{"log-level", "JOBRT_LOG_LEVEL", "", "info", "all", Type::text,
            "Least weight of a log line that is written: info, warn or error.", live},
    Setting{"config", "JOBRT_CONFIG", "", "", "all", Type::text,
            "JSON file (comments allowed) with any of these settings by their flag's name, and with platforms, extractors and "
            "pages.", live},
};

}  // namespace

std::span<const Setting> settings_table() { return table; }

std::string_view to_string(Source source) {
    switch (source) {
        case Source::flag: return "flag";
        case Source::environment: return "environment";
        case Source::env_file: return ".env";
        case Source::file: return "file";
        case Source::fallback: return "default";
    }
    return "default";
}

std::string_view to_string(ProcessRole role) {
    switch (role) {
        case ProcessRole::combined: return "combined";
        case ProcessRole::api: return "api";
        case ProcessRole::worker: return "worker";
    }
    return "combined";
}

}  // namespace jobruntime::host
