// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <optional>
#include <thread>

#include <unistd.h>

#include <boost/json/array.hpp>
#include <jobruntime/extract.hpp>
#include <jobruntime/job_queue.hpp>
#include <jobruntime/media.hpp>
#include <jobruntime/net.hpp>
#include <jobruntime/worker.hpp>

#include "codes.hpp"
#include "demo_kinds.hpp"
#include "disks.hpp"
#include "extractors.hpp"
#include "logins.hpp"
#include "media_kind.hpp"
#include "media_save.hpp"
#include "parts.hpp"
#include "platforms.hpp"
#include "profile_slot.hpp"
#include "sweeper.hpp"

namespace jobruntime::host {
namespace {

constexpr std::string_view helper_name = "jobrt-media";

/// jobrt-media beside this program, else the first that PATH has, with its whole path; its bare name when it is nowhere.
std::string helper_program() {
    std::error_code code;
    const auto self = std::filesystem::read_symlink("/proc/self/exe", code);
    const auto beside = self.parent_path() / helper_name;
    if (!code && std::filesystem::exists(beside, code)) return beside.string();
    const char* path = std::getenv("PATH");
    for (std::string_view rest = path ? path : "/usr/local/bin:/usr/bin:/bin"; !rest.empty();) {
        const auto end = std::min(rest.find(':'), rest.size());
        const auto found = std::filesystem::path(rest.substr(0, end)) / helper_name;
        // No working directory, however PATH names it: what is there may be anybody's.
        if (found.is_absolute() && std::filesystem::is_regular_file(found, code) && ::access(found.c_str(), X_OK) == 0)
            return found.string();
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return std::string(helper_name);
}

Result<void> make_download_dir(const Config& config) {
    std::error_code code;
    std::filesystem::create_directories(config.download_dir, code);
    if (!code) return {};
    return Error{Errc::invalid_argument, "DOWNLOAD_DIR_UNUSABLE",
                 "cannot make the download folder " + config.download_dir + ": " + code.message() + "; set JOBRT_DOWNLOAD_DIR"};
}

/// The sites of the configuration's file, when this program has all extractors that it names for them.
Result<MediaConfig> runnable_sites(const Config& config, const Setup& setup) {
    auto sites = MediaConfig::from(config, names_of(setup.extractors));
    if (!sites) return sites;
    if (auto known = sites->check_extractors(); !known) return std::move(known).error();
    return sites;
}

class WorkerPart final : public Part {
public:
    /// With `only`, which waits in `queue`: see make_job_worker.
    explicit WorkerPart(Process& process, JobId only = {}, std::string queue = {})
        : process_(process), config_(process.in.config), only_(only), only_queue_(std::move(queue)),
          flags_(process.store, config_),
          publisher_({.root = config_.download_dir, .helper = helper_options(config_), .forgotten_after = std::chrono::hours(24)}) {}

    Result<void> start() override {
        auto nets = allowed_networks(config_);
        if (!nets) return std::move(nets).error();
        JR_TRY(make_download_dir(config_));
        net::FetcherOptions fetching;
        fetching.allow_nets = *nets;
        fetcher_.emplace(std::move(fetching));
        auto sites = runnable_sites(config_, process_.in.setup);
        if (!sites) return std::move(sites).error();
        auto known = make_extractors(config_, *sites, *fetcher_);
        if (!known) return std::move(known).error();
        auto profile = ProfileSlot::take(config_.profile_dir);
        if (!profile) return std::move(profile).error();
        profile_.emplace(*std::move(profile));
        browser_.emplace(browser_options(*nets));
        missing_ = missing_programs(config_);
        for (const auto& line : missing_) process_.in.log.warn(line);
        auto options = save_options(config_, *sites, *std::move(known));
        live_ = std::make_shared<const Live>(Live{{*fetcher_, publisher_, std::move(options)}, *std::move(sites), config_.min_free_bytes});
        worker_.emplace(process_.store, worker_options());
        worker_->on(media_kind, [this](JobContext& job) { return live()->save(job); },
                    {.deadline = std::nullopt, .backoff = {}, .max_prefetch = 0});
        if (only_) return worker_->start();
        register_demo_kinds(*worker_);
        if (process_.in.setup.handlers) process_.in.setup.handlers(*worker_);
        JR_TRY(worker_->start());
        sweeper_ = std::jthread([this](std::stop_token stop) { sweep_hourly(stop); });
        reporter_ = std::jthread([this](std::stop_token stop) { keep_facts(stop); });
        return {};
    }

    void stop() override {
        if (!worker_) return;
        sweeper_ = {};
        reporter_ = {};
        worker_->stop();
        browser_->close();
    }
    void stop_now() override {
        if (worker_) worker_->stop_now();
    }
    bool busy() override { return worker_ && worker_->stats().running > 0; }
    std::uint64_t pulse() override { return worker_->heartbeat().rounds(); }

    Result<std::function<void()>> prepare(const Config& fresh) override {
        auto sites = runnable_sites(fresh, process_.in.setup);
        if (!sites) return std::move(sites).error();
        if (auto nets = allowed_networks(fresh); !nets) return std::move(nets).error();
        // The networks that the guard lets through and the browser stay those of the start.
        auto changed = fresh;
        changed.allow_nets = config_.allow_nets;
        changed.ffmpeg = config_.ffmpeg;
        auto known = make_extractors(changed, *sites, *fetcher_);
        if (!known) return std::move(known).error();
        auto options = save_options(changed, *sites, *std::move(known));
        auto next = std::make_shared<const Live>(Live{live()->save.with(std::move(options)), *std::move(sites), fresh.min_free_bytes});
        return std::function<void()>([this, fresh, next = std::move(next)] {
            flags_.take(fresh);
            const std::lock_guard lock(mutex_);
            live_ = next;
        });
    }

private:
    /// What a reload replaces, as a whole.
    struct Live {
        MediaSave save;
        MediaConfig sites;
        std::uint64_t min_free_bytes;
    };
    /// As it is now; a job keeps what it began with.
    std::shared_ptr<const Live> live() {
        const std::lock_guard lock(mutex_);
        return live_;
    }

    /// What the session says besides and changes by itself: who is logged in, and the room for downloads.
    void add_facts(boost::json::object& details) {
        const auto now = live();
        details["logins"] = login_facts(now->sites, profile_->path());
        details["disks"] = disk_facts("downloads", config_.download_dir, now->min_free_bytes);
    }

    /// Looks as often as the session says it.
    void keep_facts(const std::stop_token& stop) {
        Wakeup nobody_rings;
        while (process_.clock.wait_until(process_.clock.steady() + config_.heartbeat, nobody_rings, stop) != Woken::stopped) {
            boost::json::object fresh;
            add_facts(fresh);
            worker_->heartbeat().update([&](SessionFacts& facts) {
                for (auto& item : fresh) facts.details[item.key()] = std::move(item.value());
            });
        }
    }

    /// Removes what dead attempts have left below the download folder.
    void sweep_hourly(const std::stop_token& stop) {
        Wakeup nobody_rings;
        do {
            auto swept = publisher_.sweep([this](JobId job, Fence fence, bool work_folder) {
                return judge_attempt(process_.store, job, fence, work_folder);
            });
            if (!swept) process_.in.log.warn("cannot tidy the download folder: " + swept.error().message);
            if (swept && *swept > 0)
                process_.in.log.info("removed " + std::to_string(*swept) + " files and folders of dead attempts");
        } while (process_.clock.wait_until(process_.clock.steady() + std::chrono::hours(1), nobody_rings, stop) !=
                 Woken::stopped);
    }

    static media::HelperOptions helper_options(const Config& config) {
        media::HelperOptions options;
        options.program = helper_program();
        options.ffmpeg = config.ffmpeg;
        return options;
    }

    extract::BrowserOptions browser_options(const std::vector<net::Network>& nets) const {
        extract::BrowserOptions options;
        options.program = config_.browser;
        options.profile_dir = profile_->path();
        options.headless = config_.headless;
        options.no_sandbox = config_.browser_no_sandbox;
        options.recycle_after = config_.browser_recycle;
        options.environment = child_environment();
        options.allow_nets = nets;
        options.tabs = std::clamp(config_.concurrency == 0 ? 2 : config_.concurrency, 1, 2);
        options.log = [&log = process_.in.log](std::string_view line) { log.info(line); };
        return options;
    }

    MediaSave::Options save_options(const Config& config, const MediaConfig& sites, ExtractorChain::Known known) {
        extract::ExtractOptions extracting;
        extracting.nav_timeout = config.nav_timeout;
        extracting.settle = config.settle;
        extracting.manual_solve_timeout = config.manual_solve;
        extracting.rules = page_rules(config, sites).value_or(extract::PageRules());  // They were read before.
        extracting.on_waiting_for_human = [this](const ExtractRequest& request, const Error& why, auto limit) {
            Event event;
            event.at = process_.clock.wall();
            event.name = "worker.job.extraction.waiting_for_human";
            event.level = Level::warn;
            if (auto id = JobId::parse(request.job_id)) event.job = *id;
            event.fields = {{"code", why.name}, {"error", why.message}, {"limitMs", limit.count()}};
            process_.sink.emit(event, false);
        };
        MediaSave::Options options;
        known["browser"] = std::make_shared<extract::BrowserExtractor>(*browser_, std::move(extracting));
        options.extractors = {std::make_shared<ExtractorChain>(process_.in.setup.extractors, std::move(known), sites)};
        options.identify = [this, rules = sites.rules()](const net::Url& url, std::stop_token stop) {
            return find_post(url, rules, *fetcher_, std::chrono::seconds(15), std::move(stop));
        };
        options.ffmpeg = config.ffmpeg;
        options.cookies_file = cookies_path(profile_->path());
        options.extraction_timeout = config.extraction_timeout;
        options.download.stall_timeout = config.download_timeout;
        options.download.time_limit = config.download_limit;
        options.download.max_bytes = config.max_file_bytes;
        options.download.max_duration = config.max_duration;
        options.download.max_segments = config.max_segments;
        options.download.max_height = config.max_height;
        options.per_host = config.per_host;
        options.download.parallel = config.parallel_segments;
        options.download.min_free_bytes = config.min_free_bytes;
        options.enabled = [this](std::string_view platform) {
            auto flag = flags_.get(platform);
            return !flag || flag->enabled;  // A store that does not answer now is no reason to refuse.
        };
        return options;
    }

    WorkerOptions worker_options() {
        WorkerOptions options;
        options.queues = {{"default", config_.concurrency},
                          {std::string(media_queue), config_.concurrency == 0 ? 2 : config_.concurrency}};
        if (only_) options.queues = {{only_queue_, 1}};
        options.only = only_;
        options.grace = config_.grace;
        options.clock = &process_.clock;
        options.sink = &process_.sink;
        options.store_progress = !config_.memory_telemetry;
        options.retention.keep = {std::string(media_kind)};
        options.heartbeat.beat = config_.heartbeat;
        options.heartbeat.lease = config_.lease;
        options.heartbeat.facts.role = only_ ? "cli" : std::string(to_string(config_.role));
        options.heartbeat.facts.version = JOBRUNTIME_VERSION;
        const boost::json::array missing(missing_.begin(), missing_.end());
        std::string sentences;
        for (const auto& line : missing_) sentences += (sentences.empty() ? "" : "; ") + line;
        options.started["version"] = JOBRUNTIME_VERSION;
        if (!missing_.empty()) options.started["missing"] = sentences;
        options.heartbeat.facts.details = {{"store", store_name(config_)},
                                           {"telemetrySink", sink_name(config_)},
                                           {"downloadDir", config_.download_dir},
                                           {"missing", missing}};
        add_facts(options.heartbeat.facts.details);
        options.log = [&log = process_.in.log](std::string_view line) { log.info(line); };
        options.on_thread_lost = [this](int lost) {
            process_.in.log.error("a handler ignored its stop; threads lost so far: " + std::to_string(lost));
            if (lost >= 2) process_.quit(exit_lost_threads);
        };
        return options;
    }

    Process& process_;
    const Config& config_;
    const JobId only_;
    const std::string only_queue_;
    std::vector<std::string> missing_;
    PlatformFlags flags_;
    media::Publisher publisher_;
    std::optional<net::Fetcher> fetcher_;
    std::optional<ProfileSlot> profile_;  // Before the browser that lives in it.
    std::optional<extract::Browser> browser_;
    std::mutex mutex_;
    std::shared_ptr<const Live> live_;  // Guarded by mutex_.
    std::optional<Worker> worker_;  // After all that its handlers use.
    std::jthread sweeper_, reporter_;
};

}  // namespace

std::vector<std::string> missing_programs(const Config& config) {
    std::vector<std::string> missing;
    if (auto browser = extract::find_browser(config.browser); !browser) missing.push_back(browser.error().message);
    if (helper_program() == helper_name)
        missing.push_back("jobrt-media is neither beside this program nor in PATH; install jobrt's programs together");
    if (!config.ffmpeg.empty())
        if (auto ffmpeg = media::find_ffmpeg(config.ffmpeg); !ffmpeg)
            missing.push_back(ffmpeg.error().message + "; " + std::string(code_info("FFMPEG_NOT_FOUND").remedy));
    if (!config.headless && !std::getenv("DISPLAY") && !std::getenv("WAYLAND_DISPLAY"))
        missing.push_back("PLAYWRIGHT_HEADLESS=false needs a display; set DISPLAY (xvfb-run works) or leave it true");
    if (geteuid() == 0 && !config.browser_no_sandbox)
        missing.push_back("Chromium does not start as root with its sandbox; run as another user, or set "
                          "JOBRT_BROWSER_NO_SANDBOX=1 if you accept the risk");
    return missing;
}

std::unique_ptr<Part> make_worker_part(Process& process) { return std::make_unique<WorkerPart>(process); }

Result<void> check_job_worker(const Process& process) {
    const auto& config = process.in.config;
    JR_TRY(make_download_dir(config));
    auto nets = allowed_networks(config);
    if (!nets) return std::move(nets).error();
    const auto sites = runnable_sites(config, process.in.setup);
    if (!sites) return sites.error();
    net::FetcherOptions fetching;
    fetching.allow_nets = *std::move(nets);
    net::Fetcher fetcher(std::move(fetching));
    const auto known = make_extractors(config, *sites, fetcher);
    if (!known) return known.error();
    const auto profile = ProfileSlot::take(config.profile_dir);
    if (!profile) return profile.error();
    return {};
}

std::unique_ptr<Part> make_job_worker(Process& process, JobId job, std::string queue) {
    return std::make_unique<WorkerPart>(process, job, std::move(queue));
}

}  // namespace jobruntime::host
