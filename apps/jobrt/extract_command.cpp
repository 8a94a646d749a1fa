// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "commands.hpp"

#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <mutex>
#include <optional>
#include <thread>

#include <boost/json/array.hpp>
#include <jobruntime/extract.hpp>

#include "extractors.hpp"
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


int extract_url(const Invocation& in) {
    const auto nth = in.number("nth", 1, 999);
    if (!nth) return host::exit_usage;
    auto sites = host::MediaConfig::from(in.config);
    auto nets = host::allowed_networks(in.config);
    auto url = net::parse_url(in.text("URL"));
    for (const auto* error : {sites ? nullptr : &sites.error(), nets ? nullptr : &nets.error(), url ? nullptr : &url.error()})
        if (error != nullptr) return fail(in, *error);
    net::FetcherOptions fetching;
    fetching.allow_nets = *nets;
    const net::Fetcher fetcher(std::move(fetching));
    auto post = host::find_post(*url, sites->rules(), fetcher, 15s);
    if (!post) return fail(in, post.error());
    auto known = host::make_extractors(in.config, *sites, fetcher);
    if (!known) return fail(in, known.error());

    std::optional<extract::Browser> browser;
    std::optional<host::ProfileSlot> slot;
    const auto wanted = in.text("extractor");
    const auto* platform = sites->find(post->platform);
    const bool may_browse = wanted.empty() ? in.text("command").empty() && platform != nullptr : wanted == "browser";
    if (may_browse) {
        auto taken = host::ProfileSlot::take(in.config.profile_dir);
        if (!taken) return fail(in, taken.error());
        slot.emplace(*std::move(taken));
        extract::BrowserOptions options;
        options.program = in.config.browser;
        options.profile_dir = slot->path();
        options.headless = in.config.headless;
        options.no_sandbox = in.config.browser_no_sandbox;
        options.environment = host::child_environment();
        options.allow_nets = *nets;
        browser.emplace(std::move(options));
        extract::ExtractOptions extracting;
        extracting.nav_timeout = in.config.nav_timeout;
        extracting.settle = in.config.settle;
        extracting.manual_solve_timeout = in.config.manual_solve;
        if (auto rules = host::page_rules(in.config, *sites)) extracting.rules = *std::move(rules);
        (*known)["browser"] = std::make_shared<extract::BrowserExtractor>(*browser, std::move(extracting));
    }
    std::shared_ptr<Extractor> whom;
    if (const auto command = in.text("command"); !command.empty()) {
        whom = host::make_command(command_at(command), *nets);
    } else if (!wanted.empty()) {
        const auto found = known->find(wanted);
        if (found == known->end())
            return fail(in, {Errc::invalid_argument, "INVALID_ARGUMENT",
                             "there is no extractor \"" + wanted + "\"; jobrt config show names them"});
        whom = found->second;
    } else {
        whom = std::make_shared<host::ExtractorChain>(std::vector<std::shared_ptr<Extractor>>{}, *known, *sites);
    }
    const Folder folder;
    const auto cookies = host::cookies_path(in.config.profile_dir);
    ExtractRequest request;
    request.url = post->canonical;
    request.platform = post->platform;
    request.post_id = post->post_id;
    request.timeout = in.config.extraction_timeout;
    request.tmp_dir = folder.path();
    request.nth = *nth > 1 ? static_cast<int>(*nth) : host::nth_of(*url, *post);
    if (std::filesystem::exists(cookies)) request.cookies_file = cookies;
    request.log = [](std::string_view line) { std::cerr << line << "\n"; };
    auto info = whom->extract(request, {});
    if (!info) return fail(in, info.error());
    // Cookies are secrets of a profile; what is printed ends in bug reports.
    const net::CookieJar jar(info->cookies);
    for (auto& source : info->sources) {
        const auto address = net::parse_url(source.url, net::max_fetch_url);
        const auto own = address ? jar.header_for(*address) : std::string();
        if (in.has("cookies") && !own.empty()) source.http_headers["Cookie"] = own;
        if (!in.has("cookies"))
            std::erase_if(source.http_headers, [](const auto& header) { return header.first.size() == 6 && (header.first[0] | 32) == 'c' && header.first.substr(1) == "ookie"; });
    }
    print_json(to_json(*info));
    return host::exit_ok;
}

/// One question of `extractor check`.
struct Check {
    std::string name;
    bool good = false;
    std::string detail;
};

/// Asks the program once; with `stop_after` it is asked to stop so long after its start.
Result<MediaInfo> run_once(const extract::CommandExtractor& program, const std::string& url, std::chrono::milliseconds timeout,
                           std::optional<std::chrono::milliseconds> stop_after, extract::CommandFacts& facts) {
    const Folder folder;
    ExtractRequest request;
    request.url = url;
    request.platform = "web";
    request.job_id = "check";
    request.timeout = timeout;
    request.tmp_dir = folder.path();
    request.log = [](std::string_view line) { std::cerr << line << "\n"; };
    std::stop_source source;
    std::jthread stopper([&](const std::stop_token& ended) {
        if (!stop_after) return;
        std::mutex mutex;
        std::condition_variable_any never;
        std::unique_lock lock(mutex);
        never.wait_for(lock, ended, *stop_after, [] { return false; });
        source.request_stop();
    });
    return program.extract(request, source.get_token(), facts);
}

std::string seconds_since(steady_clock::time_point begin) {
    return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - begin).count()) + " ms";
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

    extract::CommandFacts facts;
    auto begin = steady_clock::now();
    const auto answer = run_once(*program, url, timeout, std::nullopt, facts);
    const std::string said = answer ? "a result" : answer.error().name + ": " + answer.error().message;
    if (!facts.status) return fail(in, answer ? Error{Errc::internal, "no status"} : answer.error());
    const bool in_time = answer || answer.error().name != "EXTRACTION_TIMEOUT";
    checks.push_back({"answer", facts.answers >= 1 && (answer || answer.error().name != "EXTRACTOR_CRASHED"), said});
    checks.push_back({"hang", in_time, in_time ? "it ended after " + seconds_since(begin) : "no answer within " + std::to_string(*limit) + " ms"});
    checks.push_back({"garbage", !facts.garbage, facts.garbage ? said : "every line is a message"});
    checks.push_back({"two results", facts.answers <= 1, std::to_string(facts.answers) + " answers"});
    checks.push_back({"flood", !facts.flooded, facts.flooded ? said : std::to_string(facts.lines) + " lines"});

    begin = steady_clock::now();
    const auto stopped = run_once(*program, url, timeout, 200ms, facts);
    const bool obeyed = !facts.killed && (stopped || stopped.error().name != "EXTRACTION_TIMEOUT");
    checks.push_back({"cancel", obeyed,
                      facts.killed ? "it ignored SIGTERM and was killed after five seconds"
                                   : "gone " + seconds_since(begin) + " after its start, asked to stop after 200 ms"});
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
             {{"URL", "The post's address."},
              {"--extractor NAME", "Ask this one only: page, browser, yt-dlp, or one of the configuration file."},
              {"--command PROGRAM", "Ask this program, without configuring it."},
              {"--nth N", "Which video of the post.", "1"},
              {"--cookies", "Show cookies, too; they are secrets."},
              {"--json", "Print errors as JSON."}},
             {"jobrt extract https://x.com/somebody/status/1234567890", "jobrt extract https://example.org/talk/1 --command ./my.py"},
             extract_url},
            {"extractor check", "Tries a program that is to serve as an extractor: answer, hang, garbage, two results, flood, cancel.",
             {{"PROGRAM", "The program."},
              {"--url URL", "The post to ask it for.", "https://example.org/"},
              {"--timeout MS", "How long one answer may take.", "30000"},
              {"--json", "Print JSON."}},
             {"jobrt extractor check ./my.py --url https://example.org/talk/1"}, check_extractor}};
}

}  // namespace jobruntime::jobrt
