// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "commands.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <mutex>
#include <optional>
#include <thread>

#include <strings.h>

#include <boost/json/array.hpp>
#include <jobruntime/extract.hpp>
#include <jobruntime/telemetry_sink.hpp>

#include "extractors.hpp"
#include "left_behind.hpp"
#include "profile_slot.hpp"

namespace jobruntime::jobrt {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

/// A private folder that goes with the object.
class Folder {
public:
    Folder() {
        std::string name = (std::filesystem::temp_directory_path() / "jobrt-extract-XXXXXX").string();
        if (::mkdtemp(name.data()) != nullptr) path_ = name;
    }
    ~Folder() {
        std::error_code ignored;
        if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

/// The program that --command or an argument names. With a '/' it is a path from here; else PATH has it.
host::CommandConfig command_at(const std::string& given) {
    const bool path = given.find('/') != std::string::npos;
    return {std::filesystem::path(given).filename().string(), {path ? std::filesystem::absolute(given).lexically_normal().string() : given}, {}};
}

/// Cookies, and what authorises, are secrets of a profile; what is printed ends in bug reports.
void drop_secrets(MediaInfo& info) {
    const auto drop = [](auto& headers) {
        std::erase_if(headers, [](const auto& header) {
            for (const auto* secret : {"cookie", "authorization", "proxy-authorization"})
                if (::strcasecmp(header.first.c_str(), secret) == 0) return true;
            return false;
        });
    };
    for (auto& source : info.sources) {
        drop(source.http_headers);
        if (source.sound) drop(source.sound->http_headers);
    }
}

/// For who asks: beside each address what a client would send there.
void show_cookies(MediaInfo& info) {
    const net::CookieJar jar(info.cookies);
    const auto show = [&jar](const std::string& url, auto& headers) {
        const auto address = net::parse_url(url, net::max_fetch_url);
        const auto own = address ? jar.header_for(*address) : std::string();
        if (!own.empty()) headers["Cookie"] = own;
    };
    for (auto& source : info.sources) {
        show(source.url, source.http_headers);
        if (source.sound) show(source.sound->url, source.sound->http_headers);
    }
}

/// Everything that one extraction needs, and that lives as long as it.
struct Extraction {
    host::MediaConfig sites;
    std::vector<net::Network> nets;
    std::optional<net::Fetcher> fetcher;
    std::optional<extract::Recording> recording;
    std::optional<host::ProfileSlot> slot;
    std::optional<extract::Browser> browser;
    std::shared_ptr<Extractor> whom;
    ExtractRequest request;
    std::string alone;  ///< The extractor that is asked alone, or empty.
};

/// The post: from its address, or as the recording has it.
Result<void> find_question(const Invocation& in, Extraction& made) {
    auto sites = host::MediaConfig::from(in.config);
    if (!sites) return std::move(sites).error();
    auto nets = host::allowed_networks(in.config);
    if (!nets) return std::move(nets).error();
    made.sites = *std::move(sites);
    made.nets = *std::move(nets);
    made.fetcher.emplace(net::FetcherOptions{.allow_nets = made.nets, .user_agent = {}});
    auto& request = made.request;
    request.timeout = in.config.extraction_timeout;
    request.log = [](std::string_view line) { std::cerr << redact(line) << "\n"; };
    if (const auto folder = in.text("replay"); !folder.empty()) {
        auto recording = extract::Recording::open(folder);
        if (!recording) return std::move(recording).error();
        made.recording.emplace(*std::move(recording));
        const auto& asked = made.recording->asked();
        request.url = asked.url;
        request.platform = asked.platform;
        request.post_id = asked.post_id;
        request.nth = asked.nth;
        made.alone = asked.extractor;
        return {};
    }
    if (const auto folder = in.text("record"); !folder.empty()) {
        JR_TRY(extract::Recording::check_folder(folder));
        made.recording.emplace();
    }
    auto url = net::parse_url(in.text("URL"));
    if (!url) return std::move(url).error();
    auto post = host::find_post(*url, made.sites.rules(), *made.fetcher, 15s);
    if (!post) return std::move(post).error();
    request.url = post->canonical;
    request.platform = post->platform;
    request.post_id = post->post_id;
    request.nth = post->nth;
    const auto cookies = host::cookies_path(first_profile(in));
    if (std::filesystem::exists(cookies)) request.cookies_file = cookies;
    made.alone = in.text("extractor");
    return {};
}

/// The browser on its profile; in a replay on a new one, and with no way out.
Result<std::shared_ptr<Extractor>> make_browser(const Invocation& in, const Folder& folder, Extraction& made) {
    extract::BrowserOptions options;
    options.offline = made.recording && made.recording->replays();
    if (options.offline) {
        options.profile_dir = folder.path() + "/profile";
    } else {
        auto taken = host::ProfileSlot::take(in.config.profile_dir);
        if (!taken) return std::move(taken).error();
        made.slot.emplace(*std::move(taken));
        options.profile_dir = made.slot->path();
    }
    options.program = in.config.browser;
    options.headless = in.config.headless;
    options.no_sandbox = in.config.browser_no_sandbox;
    options.environment = host::child_environment();
    options.allow_nets = made.nets;
    made.browser.emplace(std::move(options));
    extract::ExtractOptions extracting;
    extracting.nav_timeout = in.config.nav_timeout;
    extracting.settle = in.config.settle;
    extracting.manual_solve_timeout = in.config.manual_solve;
    if (auto rules = host::page_rules(in.config, made.sites)) extracting.rules = *std::move(rules);
    extracting.recording = made.recording ? &*made.recording : nullptr;
    return std::shared_ptr<Extractor>(std::make_shared<extract::BrowserExtractor>(*made.browser, std::move(extracting)));
}

Result<void> find_extractor(const Invocation& in, const Folder& folder, Extraction& made) {
    auto* recording = made.recording ? &*made.recording : nullptr;
    if (const auto command = in.text("command"); !command.empty()) {
        auto program = command_at(command);
        made.alone = program.name;
        made.whom = host::make_command(program, made.nets, recording);
        return {};
    }
    auto known = host::make_extractors(in.config, made.sites, *made.fetcher, recording);
    if (!known) return std::move(known).error();
    // A program that was named by --command is known to the recording alone.
    if (recording != nullptr && recording->replays() && !made.alone.empty() && made.alone != "browser" && !known->contains(made.alone))
        (*known)[made.alone] = host::make_command({made.alone, {made.alone}, {}}, made.nets, recording);
    const auto* platform = made.sites.find(made.request.platform);
    if (made.alone.empty() ? platform != nullptr : made.alone == "browser") {
        auto browser = make_browser(in, folder, made);
        if (!browser) return std::move(browser).error();
        (*known)["browser"] = *std::move(browser);
    }
    if (made.alone.empty()) {
        if (!recording || !recording->replays()) JR_TRY(made.sites.check_extractors(made.request.platform));
        made.whom = std::make_shared<host::ExtractorChain>(std::vector<std::shared_ptr<Extractor>>{}, *known, made.sites);
        return {};
    }
    const auto found = known->find(made.alone);
    if (found == known->end())
        return Error{Errc::invalid_argument, "INVALID_ARGUMENT",
                     "there is no extractor \"" + made.alone + "\"; jobrt config show names them"};
    made.whom = found->second;
    return {};
}

Result<void> keep_recording(const Invocation& in, const Extraction& made, const Result<MediaInfo>& info) {
    const auto folder = in.text("record");
    if (folder.empty()) return {};
    boost::json::object answer;
    if (info) {
        auto shown = *info;
        drop_secrets(shown);
        answer = to_json(shown);
    } else {
        answer["error"] = {{"code", info.error().name}, {"message", info.error().message}};
    }
    const auto& asked = made.request;
    JR_TRY(made.recording->save(folder, {asked.url, asked.platform, asked.post_id, asked.nth, made.alone, std::move(answer)}));
    std::cerr << "recorded in " << folder << "; read it before you give it away: what pages say is in it as it came\n";
    return {};
}

/// What a recording knows only the names of: whoever replays it must have them set up, too.
Error with_hint(const Extraction& made, Error error) {
    const bool unknown = error.name == "RECORDING_INCOMPLETE" || error.name == "UNSUPPORTED_SOURCE";
    if (unknown && made.recording && made.recording->replays())
        error.message += "; a case that a configuration file's platforms, rules or programs had a part in is replayed "
                         "with the same file (JOBRT_CONFIG)";
    return error;
}

int extract_url(const Invocation& in) {
    const auto nth = in.text("nth").empty() ? std::optional(0L) : in.number("nth", 1, 999);
    if (!nth) return host::exit_usage;
    if (in.text("URL").empty() == in.text("replay").empty() || (in.has("record") && in.has("replay"))) {
        std::cerr << "jobrt: extract wants the address of a post, or --replay DIR; --record DIR goes with an address\n";
        return host::exit_usage;
    }
    const Folder folder;
    const Folder workplace;
    Extraction made;
    auto ready = find_question(in, made);
    if (ready && *nth > 0) made.request.nth = static_cast<int>(*nth);
    if (ready) ready = find_extractor(in, folder, made);
    if (!ready) return fail(in, ready.error());
    made.request.tmp_dir = workplace.path();
    auto info = made.whom->extract(made.request, {});
    if (auto kept = keep_recording(in, made, info); !kept) return fail(in, kept.error());
    if (!info) return fail(in, with_hint(made, info.error()));
    if (in.has("cookies"))
        show_cookies(*info);
    else
        drop_secrets(*info);
    print_json(to_json(*info));
    return host::exit_ok;
}

/// One question of `extractor check`.
struct Check {
    std::string name;
    bool good = false;
    std::string detail;
};

/// One run of the program, and what became of it.
struct Tried {
    Result<MediaInfo> answer;
    extract::CommandFacts facts;
    std::chrono::milliseconds took{0};
    std::chrono::milliseconds gone_after{0};  ///< From being asked to stop, where it was.
    std::vector<std::string> left;            ///< Names of processes that it has left behind. They are ended.
};

std::chrono::milliseconds since(steady_clock::time_point begin) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - begin);
}

std::string shown(std::chrono::milliseconds time) { return std::to_string(time.count()) + " ms"; }

/// Asks the program once; with `stop_after` it is asked to stop so long after its start.
Tried run_once(const extract::CommandExtractor& program, const std::string& url, std::chrono::milliseconds timeout,
               std::optional<std::chrono::milliseconds> stop_after) {
    const Folder folder;
    ExtractRequest request;
    request.url = url;
    request.platform = "web";
    request.job_id = "check";
    request.timeout = timeout;
    request.tmp_dir = folder.path();
    request.log = [](std::string_view line) { std::cerr << redact(line) << "\n"; };
    std::stop_source source;
    std::atomic<steady_clock::time_point> stopped{steady_clock::time_point::max()};
    std::jthread stopper([&](const std::stop_token& ended) {
        if (!stop_after) return;
        std::mutex mutex;
        std::condition_variable_any never;
        std::unique_lock lock(mutex);
        never.wait_for(lock, ended, *stop_after, [] { return false; });
        stopped = steady_clock::now();
        source.request_stop();
    });
    Tried tried{Error{Errc::internal, ""}, {}};
    const auto begin = steady_clock::now();
    tried.answer = program.extract(request, source.get_token(), tried.facts);
    tried.took = since(begin);
    if (stopped.load() != steady_clock::time_point::max()) tried.gone_after = since(stopped);
    tried.left = end_left_behind();
    return tried;
}

/// Asks it to stop while it works. One that is quick is asked sooner, at last at once: it is to be seen for whatever answers.
Tried run_and_cancel(const extract::CommandExtractor& program, const std::string& url, std::chrono::milliseconds timeout,
                     std::chrono::milliseconds answers_after, std::chrono::milliseconds& asked_after) {
    asked_after = std::min(std::chrono::milliseconds(200), answers_after / 2);
    while (true) {
        auto tried = run_once(program, url, timeout, asked_after);
        if ((!tried.answer && tried.answer.error().code == Errc::canceled) || asked_after == 0ms) return tried;
        asked_after /= 2;
    }
}

Check cancel_check(const Tried& tried, std::chrono::milliseconds asked_after) {
    const auto asked = "asked to stop " + shown(asked_after) + " after its start, ";
    if (tried.facts.killed) return {"cancel", false, asked + "it ignored SIGTERM and was killed a second later"};
    // It may have had its last word in that very moment.
    return {"cancel", tried.gone_after < 2s, asked + "it was gone " + shown(tried.gone_after) + " later"};
}

Check processes_check(std::vector<std::string> left, const std::vector<std::string>& later) {
    for (const auto& name : later)
        if (std::ranges::find(left, name) == left.end()) left.push_back(name);
    std::string names;
    for (const auto& name : left) names += (names.empty() ? "" : ", ") + name;
    return {"processes", left.empty(), left.empty() ? "none is left" : "left behind, outside of its process group: " + names};
}

int check_extractor(const Invocation& in) {
    const auto limit = in.number("timeout", 100, 600'000);
    if (!limit) return host::exit_usage;
    auto nets = host::allowed_networks(in.config);
    if (!nets) return fail(in, nets.error());
    const auto program = host::make_command(command_at(in.text("PROGRAM")), *nets);
    const auto url = in.text("url");
    std::vector<Check> checks;
    const auto timeout = std::chrono::milliseconds(*limit);
    adopt_orphans();

    const auto first = run_once(*program, url, timeout, std::nullopt);
    const auto& [answer, facts, took, gone_after, left] = first;
    const std::string said = answer ? "a result" : answer.error().name + ": " + answer.error().message;
    if (!facts.status) return fail(in, answer ? Error{Errc::internal, "no status"} : answer.error());
    const bool in_time = answer || answer.error().name != "EXTRACTION_TIMEOUT";
    checks.push_back({"answer", facts.answers >= 1 && (answer || answer.error().name != "EXTRACTOR_CRASHED"), said});
    checks.push_back({"hang", in_time, in_time ? "it ended after " + shown(took) : "no answer within " + shown(timeout)});
    checks.push_back({"garbage", !facts.garbage, facts.garbage ? said : "every line is a message"});
    checks.push_back({"two results", facts.answers <= 1, std::to_string(facts.answers) + " answers"});
    checks.push_back({"flood", !facts.flooded, facts.flooded ? said : std::to_string(facts.lines) + " lines"});
    std::chrono::milliseconds asked_after{};
    const auto stopped = run_and_cancel(*program, url, timeout, took, asked_after);
    checks.push_back(cancel_check(stopped, asked_after));
    checks.push_back(processes_check(left, stopped.left));

    bool good = true;
    boost::json::array rows;
    for (const auto& check : checks) {
        good = good && check.good;
        if (in.has("json"))
            rows.push_back({{"check", check.name}, {"ok", check.good}, {"detail", check.detail}});
        else
            std::cout << (check.good ? "ok    " : "FAILS ") << check.name << ": " << check.detail << "\n";
    }
    if (in.has("json")) print_json({{"ok", good}, {"checks", std::move(rows)}});
    return good ? host::exit_ok : host::exit_failed;
}

}  // namespace

std::vector<Command> extract_commands() {
    return {{"extract", "Finds the video of a post and prints what is known of it as JSON; downloads nothing.",
             {{"[URL]", "The post's address."},
              {"--extractor NAME", "Ask this one only: page, browser, yt-dlp, or one of the configuration file."},
              {"--command PROGRAM", "Ask this program, without configuring it."},
              {"--nth N", "Which video of the post, in its own order; unset: the one its address names, or the best."},
              {"--cookies", "Show cookies and authorizations, too; they are secrets."},
              {"--record DIR", "Write all that was fetched into this new folder, as an offline test case without secrets."},
              {"--replay DIR", "Answer from such a folder, without any network; takes the place of URL."},
              {"--json", "Print errors as JSON."}},
             {"jobrt extract https://x.com/somebody/status/1234567890", "jobrt extract https://example.org/talk/1 --command ./my.py",
              "jobrt extract https://example.org/talk/1 --record talk-1", "jobrt extract --replay talk-1"},
             extract_url},
            {"extractor check", "Tries a program that is to serve as an extractor: answer, hang, garbage, two results, flood, cancel, processes left.",
             {{"PROGRAM", "The program."},
              {"--url URL", "The post to ask it for.", "https://example.org/"},
              {"--timeout MS", "How long one answer may take.", "30000"},
              {"--json", "Print JSON."}},
             {"jobrt extractor check ./my.py --url https://example.org/talk/1"}, check_extractor}};
}

}  // namespace jobruntime::jobrt
