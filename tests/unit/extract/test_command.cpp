// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <algorithm>
#include <thread>

#include <boost/json.hpp>
#include <jobruntime/extract.hpp>

#include "canary.hpp"
#include "extract/child_run.hpp"
#include "extract/info_dict.hpp"
#include "page_server.hpp"

using namespace jobruntime;
using namespace std::chrono_literals;
using extract_test::TempFolder;

namespace {

/// A program of the operator's, its folder, and what its runs said.
struct Bench {
    TempFolder folder;
    std::string tmp = folder / "tmp";
    std::vector<std::string> log;
    std::vector<std::string> progress;
    extract::CommandFacts facts;
    std::chrono::milliseconds linger{5000};

    Bench() { std::filesystem::create_directory(tmp); }

    std::string program(const std::string& text, const std::string& name = "program") {
        const auto path = folder / name;
        std::ofstream(path) << text;
        std::filesystem::permissions(path, std::filesystem::perms::owner_all);
        return path;
    }
    extract::CommandExtractor extractor(const std::string& path) const {
        extract::CommandOptions options;
        options.name = "mine";
        options.argv = {path};
        options.environment = {"PATH=/usr/local/bin:/usr/bin:/bin", "GIVEN=yes"};
        options.allow_nets = net::Network::parse_list("127.0.0.0/8").value();
        options.linger = linger;
        return extract::CommandExtractor(std::move(options));
    }
    Result<MediaInfo> run(const std::string& path, std::chrono::milliseconds timeout = 20s,
                          std::stop_token stop = {}) {
        ExtractRequest request;
        request.url = "https://example.org/talk/1";
        request.platform = "web";
        request.post_id = "7";
        request.job_id = "the-job";
        request.timeout = timeout;
        request.tmp_dir = tmp;
        request.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        request.log = [this](std::string_view line) { log.emplace_back(line); };
        request.progress = [this](std::optional<double> percent, std::string_view message) {
            progress.push_back((percent ? std::to_string(static_cast<int>(*percent)) : "-") + " " + std::string(message));
        };
        return extractor(path).extract(request, stop, facts);
    }
    Result<MediaInfo> shell(const std::string& text, std::chrono::milliseconds timeout = 20s) {
        return run(program("#!/bin/sh\n" + text + "\n"), timeout);
    }
};

const std::string one_format = R"("formats":[{"url":"http://127.0.0.1/a.mp4","ext":"mp4"}])";
std::string say(const std::string& line) { return "printf '%s\\n' '" + line + "'"; }

/// A zombie counts as gone: where no init reaps orphans, it stays for ever.
bool gone(int pid) {
    const auto stat = extract_test::read_file("/proc/" + std::to_string(pid) + "/stat");
    const auto state = stat.rfind(") ");
    return state == std::string::npos || stat[state + 2] == 'Z';
}

/// Of a yt-dlp that notes its arguments and what it is traced by, and then does what `script` says.
Result<MediaInfo> ask_yt_dlp(Bench& bench, const std::string& script, ExtractRequest request) {
    extract::YtDlpOptions options;
    options.program = bench.program("#!/bin/sh\nprintf '%s\\n' \"$@\" > arguments\nprintf %s \"$TRACEPARENT\" > trace\n" + script + "\n");
    options.environment = {"PATH=/usr/bin:/bin"};
    options.allow_nets = net::Network::parse_list("127.0.0.0/8").value();
    request.timeout = 10s;
    request.tmp_dir = bench.tmp;
    return extract::YtDlpExtractor(options).extract(request, {});
}

}  // namespace

TEST_CASE("a program gets one request line and its result becomes sources, best first") {
    Bench bench;
    auto info = bench.shell(
        "cat > request\n" + say(R"({"type":"progress","percent":40,"message":"half way"})") + "\n" +
        say(R"({"type":"log","message":"hello"})") + "\necho on stderr >&2\necho $GIVEN $TMPDIR $PWD $TRACEPARENT > seen\n" +
        say(R"({"type":"result","title":"Talk","uploader":"ada","timestamp":1700000000,"formats":[)"
            R"({"url":"http://127.0.0.1/low.mp4","height":240,"http_headers":{"Referer":"http://127.0.0.1/","Bad":"a\r\nb"}},)"
            R"({"url":"http://127.0.0.1/audio.m4a","vcodec":"none"},)"
            R"({"url":"http://127.0.0.1/high.mp4#x","height":720,"cookies":"sid=1; Domain=.x.org; Path=/; b=2"}]})"));
    REQUIRE_MESSAGE(info.has_value(), info.error().message);
    CHECK(info->title == "Talk");
    CHECK(info->author == "ada");
    CHECK(info->published == "2023-11-14T22:13:20.000Z");
    REQUIRE(info->sources.size() == 2);
    CHECK(info->sources[0].url == "http://127.0.0.1/high.mp4");
    CHECK_FALSE(info->sources[0].http_headers.contains("Cookie"));
    // Each for its own host: the first is not for the one that serves the file.
    REQUIRE(info->cookies.size() == 2);
    CHECK(info->cookies[0] == Cookie{"x.org", true, "/", false, false, 0, "sid", "1"});
    CHECK(info->cookies[1] == Cookie{"127.0.0.1", false, "/", false, false, 0, "b", "2"});
    CHECK(info->sources[1].url == "http://127.0.0.1/low.mp4");
    CHECK(info->sources[1].http_headers == std::map<std::string, std::string>{{"Referer", "http://127.0.0.1/"}});
    CHECK(bench.progress == std::vector<std::string>{"40 half way"});
    std::sort(bench.log.begin(), bench.log.end());
    CHECK(bench.log == std::vector<std::string>{"mine: hello", "mine: on stderr"});
    CHECK(bench.facts.answers == 1);
    const auto request = boost::json::parse(extract_test::read_file(bench.tmp + "/request")).as_object();
    CHECK(request == boost::json::object{{"v", 1}, {"jobId", "the-job"}, {"url", "https://example.org/talk/1"},
                                         {"postId", "7"}, {"timeoutMs", 20000}, {"tmpDir", bench.tmp}});
    CHECK(extract_test::read_file(bench.tmp + "/seen") == "yes " + bench.tmp + " " + bench.tmp + " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n");
}

TEST_CASE("what a program may answer, and what each answer means") {
    struct Row {
        const char* what;
        std::string script;
        std::string error;  // Empty = a result.
    };
    const std::string result = say(R"({"type":"result",)" + one_format + "}");
    const Row rows[] = {
        {"a bare info dict", say("{" + one_format + "}"), ""},
        {"a bare info dict with one url", say(R"({"url":"http://127.0.0.1/a.mp4"})"), ""},
        {"its own error", say(R"({"type":"error","code":"NO_MEDIA","message":"text only"})"), "NO_MEDIA"},
        {"an error, and exit 1", say(R"({"type":"error","code":"AUTH_REQUIRED","message":"log in"})") + "; exit 1",
         "AUTH_REQUIRED"},
        {"an error without a code", say(R"({"type":"error","message":"hm"})"), "EXTRACTOR_PROTOCOL"},
        {"two results", result + "; " + result, "EXTRACTOR_PROTOCOL"},
        {"a result and an error", result + "; " + say(R"({"type":"error","code":"NETWORK"})"), "EXTRACTOR_PROTOCOL"},
        {"garbage", "echo Looking for the video...", "EXTRACTOR_PROTOCOL"},
        {"garbage after the result", result + "; echo done", "EXTRACTOR_PROTOCOL"},
        {"bytes that are no text", "printf '\\377\\376\\000\\n'", "EXTRACTOR_PROTOCOL"},
        {"an unknown type", say(R"({"type":"video","url":"http://127.0.0.1/a.mp4"})"), "EXTRACTOR_PROTOCOL"},
        {"a result of the wrong shape", say(R"({"type":"result","formats":{"a":1}})"), "EXTRACTOR_PROTOCOL"},
        {"a result without anything", say(R"({"type":"result","title":"x"})"), "EXTRACTOR_PROTOCOL"},
        {"only formats under DRM", say(R"({"formats":[{"url":"http://127.0.0.1/a.mp4","has_drm":true}]})"), "DRM_PROTECTED"},
        {"no answer", "exit 0", "EXTRACTOR_CRASHED"},
        {"a crash", "kill -SEGV $$", "EXTRACTOR_CRASHED"},
        {"a result, then exit 3", result + "; exit 3", "EXTRACTOR_CRASHED"},
        {"one endless line", "head -c 2000000 /dev/zero | tr '\\0' x", "EXTRACTOR_PROTOCOL"},
        {"endless lines", "yes '{\"type\":\"log\",\"message\":\"again and again and again\"}'", "EXTRACTOR_PROTOCOL"},
        {"only private addresses", say(R"({"url":"http://10.0.0.1/a.mp4"})"), "SSRF_BLOCKED"},
        {"an address that parsers read differently", say(R"({"url":"http://a@127.0.0.1/a.mp4"})"), "INVALID_URL"},
        {"a file of the machine", say(R"({"type":"result","file":"/etc/passwd"})"), "EXTRACTOR_PROTOCOL"},
        {"a file above its folder", "echo x > ../up.mp4; " + say(R"({"type":"result","file":"../up.mp4"})"),
         "EXTRACTOR_PROTOCOL"},
        {"a link out of its folder", "ln -s /etc/passwd a.mp4; " + say(R"({"type":"result","file":"a.mp4"})"),
         "EXTRACTOR_PROTOCOL"},
        {"a file that is not there", say(R"({"type":"result","file":"none.mp4"})"), "EXTRACTOR_PROTOCOL"},
        {"a file", "echo x > a.mp4; " + say(R"({"type":"result","file":"a.mp4"})"), ""},
    };
    for (const auto& row : rows) {
        CAPTURE(row.what);
        Bench bench;
        const auto info = bench.shell(row.script);
        if (row.error.empty()) {
            CHECK_MESSAGE(info.has_value(), info.error().message);
            if (info) CHECK(info->sources.size() == 1);
        } else {
            REQUIRE_FALSE(info.has_value());
            CHECK_MESSAGE(info.error().name == row.error, info.error().message);
            CHECK_FALSE(info.error().message.empty());
        }
        CHECK_FALSE(bench.facts.killed);
    }
}

TEST_CASE("a bad source is dropped and the good ones stay") {
    Bench bench;
    auto info = bench.shell(say(R"({"formats":[{"url":"http://192.168.1.1/a.mp4"},{"url":"http://127.0.0.1/b.mp4"},{"url":"ftp://127.0.0.1/c"}],)"
                                R"("thumbnail":"http://10.0.0.1/t.jpg","webpage_url":"file:///etc/passwd"})"));
    REQUIRE(info.has_value());
    REQUIRE(info->sources.size() == 1);
    CHECK(info->sources[0].url == "http://127.0.0.1/b.mp4");
    CHECK(info->thumbnail.empty());
    CHECK(info->webpage_url == "https://example.org/talk/1");
}

TEST_CASE("stop ends a program that obeys SIGTERM at once, its children too") {
    Bench bench;
    const auto path = bench.program("#!/bin/sh\nsleep 1000 & echo $! > child\necho $$ > me\nmv me pid\nwait\n");
    std::stop_source stop;
    std::jthread stopper([&] {
        while (extract_test::read_file(bench.tmp + "/pid").empty()) std::this_thread::sleep_for(5ms);
        stop.request_stop();
    });
    const auto begin = std::chrono::steady_clock::now();
    const auto info = bench.run(path, 60s, stop.get_token());
    REQUIRE_FALSE(info.has_value());
    CHECK(info.error().code == Errc::canceled);
    CHECK(std::chrono::steady_clock::now() - begin < 4s);
    CHECK_FALSE(bench.facts.killed);
    CHECK(gone(std::stoi(extract_test::read_file(bench.tmp + "/pid"))));
    CHECK(gone(std::stoi(extract_test::read_file(bench.tmp + "/child"))));
}

TEST_CASE("one that ignores SIGTERM is over within two seconds of a stop or of its time-out, its children too") {
    enum class Ended { command_stopped, yt_dlp_stopped, command_out_of_time };
    for (const auto ended : {Ended::command_stopped, Ended::yt_dlp_stopped, Ended::command_out_of_time}) {
        CAPTURE(static_cast<int>(ended));
        const auto once = [&] {
            Bench bench;
            // What a shell ignores its children ignore, too.
            const auto path = bench.program("#!/bin/sh\ntrap '' TERM\nsleep 1000 & echo $! > child\necho $$ > me\nmv me pid\n"
                                            "while :; do wait; done\n");
            const auto asleep = [&] { return !extract_test::read_file(bench.tmp + "/pid").empty(); };
            const bool stopped = ended != Ended::command_out_of_time;
            std::stop_source stop;
            // Out of time not before the program is there, on a busy machine neither.
            const std::chrono::milliseconds timeout = stopped ? 60s : 8s;
            std::chrono::steady_clock::time_point asked;
            std::jthread stopper([&](const std::stop_token& done) {
                while (!asleep() && !done.stop_requested()) std::this_thread::sleep_for(5ms);
                if (!stopped) return;
                asked = std::chrono::steady_clock::now();
                stop.request_stop();
            });
            Result<MediaInfo> info = Error{};
            if (ended == Ended::yt_dlp_stopped) {
                extract::YtDlpOptions options{.program = path, .environment = {"PATH=/usr/bin:/bin"}};
                options.allow_nets = net::Network::parse_list("127.0.0.0/8").value();
                ExtractRequest request{.url = "http://127.0.0.1/post", .timeout = 60s, .tmp_dir = bench.tmp};
                info = extract::YtDlpExtractor(options).extract(request, stop.get_token());
            } else {
                if (!stopped) asked = std::chrono::steady_clock::now() + timeout;
                info = bench.run(path, timeout, stop.get_token());
                CHECK(bench.facts.killed);
            }
            const auto over = std::chrono::steady_clock::now();
            stopper.request_stop();
            stopper.join();
            REQUIRE(asleep());
            REQUIRE_FALSE(info.has_value());
            CHECK(info.error().code == (stopped ? Errc::canceled : Errc::timed_out));
            CHECK(info.error().name == (stopped ? "" : "EXTRACTION_TIMEOUT"));
            CHECK(gone(std::stoi(extract_test::read_file(bench.tmp + "/pid"))));
            CHECK(gone(std::stoi(extract_test::read_file(bench.tmp + "/child"))));
            return over - asked;
        };
        // A busy machine may need another try.
        CHECK((once() < 2s || once() < 2s || once() < 2s));
    }
}

TEST_CASE("one that does not leave after its answer is ended, and the answer counts") {
    Bench bench;
    bench.linger = 300ms;
    const auto info = bench.shell(say("{" + one_format + "}") + "\nexec sleep 1000");
    CHECK_MESSAGE(info.has_value(), info.error().message);
    CHECK_FALSE(bench.facts.killed);
}

TEST_CASE("a flood on stderr neither blocks the program nor fills the job's log") {
    Bench bench;
    const auto info = bench.shell("yes complaint | head -n 100000 >&2; head -c 300000 /dev/zero >&2; " +
                                  say("{" + one_format + "}"));
    CHECK_MESSAGE(info.has_value(), info.error().message);
    CHECK(bench.log.size() == 200);
}

TEST_CASE("a program that is not there says what to check") {
    Bench bench;
    const auto info = bench.run(bench.folder / "missing");
    REQUIRE_FALSE(info.has_value());
    CHECK(info.error().name == "EXTRACTOR_NOT_FOUND");
    CHECK(info.error().code == Errc::unsupported);
}

TEST_CASE("of very many pictures without sound the best get it, and the others are not kept") {
    boost::json::array formats{{{"url", "http://127.0.0.1/s.m4a"}, {"vcodec", "none"}, {"http_headers", {{"X-Long", std::string(50'000, 'x')}}}}};
    for (int i = 1; i <= 5'000; ++i)
        formats.push_back({{"url", "http://127.0.0.1/" + std::to_string(i)}, {"ext", "mp4"}, {"acodec", "none"}, {"height", i}});
    const auto info = extract::info_from_dict({{"formats", std::move(formats)}}, 1);
    REQUIRE_MESSAGE(info, info.error().message);
    REQUIRE(info->sources.size() == 32);
    CHECK(info->sources.front().height == 5'000);
    CHECK(info->sources.back().height == 4'969);
    for (const auto& source : info->sources) CHECK(source.sound);
}

TEST_CASE("a program's duration counts as the site's own, unless it says otherwise, and stays so in the store") {
    struct Row {
        const char* what;
        const char* members;
        std::optional<double> seconds;
        bool stated;
    };
    const Row rows[] = {{"a duration", R"("duration":7.5,)", 7.5, true},
                        {"one that it is not sure of", R"("duration":7.5,"duration_stated":false,)", 7.5, false},
                        {"one that it is sure of", R"("duration":7.5,"duration_stated":true,)", 7.5, true},
                        {"none", "", std::nullopt, false},
                        {"none, and a word on it", R"("duration_stated":true,)", std::nullopt, false}};
    Bench bench;
    for (const Row& row : rows) {
        CAPTURE(row.what);
        const auto info = bench.shell(say("{" + std::string(row.members) + R"("url":"http://127.0.0.1/a.mp4"})"));
        REQUIRE_MESSAGE(info, info.error().message);
        CHECK(info->duration == row.seconds);
        CHECK(info->duration_stated == row.stated);
        const auto stored = media_info_from(to_json(*info));
        REQUIRE(stored);
        CHECK(stored->duration == row.seconds);
        CHECK(stored->duration_stated == row.stated);
    }
    // Of other JSON nobody says so.
    CHECK_FALSE(media_info_from({{"url", "http://127.0.0.1/a.mp4"}, {"duration", 7}})->duration_stated);
    CHECK_FALSE(media_info_from({{"url", "http://127.0.0.1/a.mp4"}, {"duration", 7}, {"duration_stated", "yes"}}));
}

TEST_CASE("lines for logs are cut, valid and without control characters") {
    CHECK(extract::clean_line("a\tb\x01\r") == "a b");
    CHECK(extract::clean_line("\xc3\xa4\xff\xc3") == "\xc3\xa4??");
    CHECK(extract::clean_line("\xe2\x82\xac\xf0\x9f\x98\x80\xc0\xaf") == "\xe2\x82\xac\xf0\x9f\x98\x80??");
    CHECK(extract::clean_line("abcdef", 3) == "abc");
}

TEST_CASE("yt-dlp is asked without its user's settings, and what it says is understood") {
    struct Row {
        const char* what;
        std::string script;
        std::string outcome;
    };
    const Row rows[] = {
        {"an info dict", R"(printf '%s\n' '{"title":"T","formats":[{"url":"http://127.0.0.1/lo.mp4","height":240},{"url":"http://127.0.0.1/hi.mp4","height":720,"vcodec":"h264","acodec":"aac"}]}')",
         "http://127.0.0.1/hi.mp4"},
        {"the first of a list", say(R"({"_type":"playlist","entries":[{"url":"http://127.0.0.1/1.mp4"},{"url":"http://127.0.0.1/2.mp4"}]})"),
         "http://127.0.0.1/1.mp4"},
        {"a private address", say(R"({"url":"http://10.0.0.1/a.mp4"})"), "SSRF_BLOCKED"},
        {"null and a log-in", "echo null; echo 'ERROR: [x] 1: Log in to see this' >&2; exit 1", "AUTH_REQUIRED"},
        {"no video", "echo null; echo 'ERROR: [x] 1: No video could be found in this tweet' >&2; exit 1", "NO_MEDIA"},
        {"too many requests", "echo null; echo 'ERROR: HTTP Error 429: Too Many Requests' >&2; exit 1", "RATE_LIMITED"},
        {"a log-in by its status", "echo null; echo 'ERROR: [generic] a: Unable to download webpage: HTTP Error 401: Unauthorized (caused by <HTTPError 401>)' >&2; exit 1",
         "AUTH_REQUIRED"},
        {"words in the address", "echo null; echo 'ERROR: [generic] private-drm-removed: Unable to download webpage: HTTP Error 404: Not Found' >&2; exit 1",
         "VIDEO_UNAVAILABLE"},
        {"words of a status", "echo null; echo 'ERROR: [x] 1: Unable to download JSON metadata: HTTP Error 503: Service Unavailable' >&2; exit 1",
         "NETWORK"},
        {"a challenge", "echo null; echo 'ERROR: [generic] Got HTTP Error 403 caused by Cloudflare anti-bot challenge; try again with' >&2; exit 1",
         "BOT_CHALLENGE"},
        {"an address that it cannot get", "echo null; echo 'ERROR: [x] 1: Unable to download webpage: <urlopen error [Errno 111] Connection refused>' >&2; exit 1",
         "NETWORK"},
        {"a picture of its number", "echo null; echo 'ERROR: [twitter] 1: Media #2 is not a video' >&2; exit 1", "NO_MEDIA"},
        {"a site it does not know", "echo null; echo 'ERROR: Unsupported URL: x' >&2; exit 1", "UNSUPPORTED_SOURCE"},
        {"one that is too old", "echo 'yt-dlp: error: no such option: --no-plugin-dirs' >&2; exit 2", "EXTRACTOR_PROTOCOL"},
        {"a crash", "exit 2", "EXTRACTOR_CRASHED"},
        {"something else", "echo hello", "EXTRACTOR_PROTOCOL"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.what);
        Bench bench;
        ExtractRequest request;
        request.url = "http://127.0.0.1/-post";
        request.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        const auto info = ask_yt_dlp(bench, row.script, request);
        CHECK(extract_test::read_file(bench.tmp + "/trace") == request.traceparent);
        CHECK((info ? info->sources.front().url : info.error().name) == row.outcome);
        CHECK(extract_test::read_file(bench.tmp + "/arguments") ==
              "--ignore-config\n--no-plugin-dirs\n--no-cache-dir\n--no-playlist\n--no-warnings\n-q\n-J\n--\nhttp://127.0.0.1/-post\n");
    }
    for (const auto& [nth, answer, outcome] :
         {std::tuple(1, R"({"entries":[{"url":"http://127.0.0.1/1.mp4","playlist_index":1}]})", "http://127.0.0.1/1.mp4"),
          std::tuple(3, R"({"entries":[{"url":"http://127.0.0.1/3.mp4","playlist_index":3}],"playlist_count":4})", "http://127.0.0.1/3.mp4"),
          std::tuple(2, R"({"entries":[{"url":"http://127.0.0.1/1.mp4"},{"url":"http://127.0.0.1/2.mp4"}]})", "http://127.0.0.1/2.mp4"),
          std::tuple(9, R"({"entries":[],"playlist_count":4})", "NO_MEDIA")}) {
        CAPTURE(nth);
        Bench bench;
        ExtractRequest request;
        request.url = "http://127.0.0.1/post";
        request.nth = nth;
        const auto info = ask_yt_dlp(bench, say(answer), std::move(request));
        CHECK((info ? info->sources.front().url : info.error().name) == outcome);
        if (!info) CHECK(info.error().message == "the post has 4 videos, and number 9 was asked for");
        CHECK(extract_test::read_file(bench.tmp + "/arguments").find("-J\n--playlist-items\n" + std::to_string(nth) + "\n--\n") != std::string::npos);
    }
    // One that it was not asked for by that number: nothing says that it is the one.
    for (const auto& [nth, path, outcome] :
         {std::tuple(1, "/post", "http://127.0.0.1/1.mp4"), std::tuple(2, "/post", "NO_MEDIA"), std::tuple(2, "/i/status/7/video/2", "http://127.0.0.1/1.mp4"),
          std::tuple(2, "/talk/7?part=2", "http://127.0.0.1/1.mp4"), std::tuple(2, "/talk/7?a=2&part=3", "http://127.0.0.1/1.mp4"),
          std::tuple(3, "/i/status/7/video/2", "NO_MEDIA"), std::tuple(2, "/show/7/part-2/", "http://127.0.0.1/1.mp4"), std::tuple(2, "/show/7/part-12", "NO_MEDIA"), std::tuple(2, "/talk/7?part=21", "NO_MEDIA"), std::tuple(7, "/talk/7", "NO_MEDIA"),
          std::tuple(2, "/talk/12", "NO_MEDIA")}) {
        CAPTURE(nth);
        CAPTURE(path);
        Bench bench;
        ExtractRequest request;
        request.url = "http://127.0.0.1" + std::string(path);
        request.post_id = "7";
        request.nth = nth;
        const auto info = ask_yt_dlp(bench, say(R"({"url":"http://127.0.0.1/1.mp4"})"), std::move(request));
        CHECK((info ? info->sources.front().url : info.error().name) == outcome);
        if (!info) CHECK(info.error().message.starts_with("yt-dlp knows only one video of the post, and number " + std::to_string(nth)));
    }
    Bench bench;
    extract::YtDlpOptions options;
    options.program = bench.folder / "missing";
    ExtractRequest request;
    request.url = "http://127.0.0.1/a";
    request.tmp_dir = bench.tmp;
    CHECK(extract::YtDlpExtractor(options).extract(request, {}).error().name == "SSRF_BLOCKED");
    options.allow_nets = net::Network::parse_list("127.0.0.0/8").value();
    CHECK(extract::YtDlpExtractor(options).extract(request, {}).error().name == "EXTRACTOR_NOT_FOUND");
}

TEST_CASE("yt-dlp asks through the address guard, follows no redirect past it, and gets a copy of the cookies") {
    extract_test::PageServer site;
    const extract_test::Canary canary;
    Bench bench;
    extract::YtDlpOptions options;
    // As yt-dlp does it: redirects are followed, proxies are the environment's, the jar is written back.
    options.program = bench.program(
        "#!/usr/bin/env python3\n"
        "import json, os, stat, sys, urllib.request\n"
        "url = sys.argv[-1]\n"
        "if '--cookies' in sys.argv:\n"
        "    jar = sys.argv[sys.argv.index('--cookies') + 1]\n"
        "    json.dump([jar, stat.S_IMODE(os.stat(jar).st_mode), open(jar).read()], open('jar', 'w'))\n"
        "    open(jar, 'w').write('rewritten by a stranger')\n"
        "open('command', 'w').write(open('/proc/self/cmdline').read())\n"
        "try:\n"
        "    body = urllib.request.urlopen(url).read().decode()\n"
        "except Exception as e:\n"
        "    print('ERROR: [generic] Unable to download webpage: %s' % e, file=sys.stderr)\n"
        "    sys.exit(1)\n"
        "print(json.dumps({'title': body, 'url': 'http://127.0.0.1/a.mp4'}))\n");
    options.environment = {"PATH=/usr/local/bin:/usr/bin:/bin", "NO_PROXY=*", "https_proxy=http://10.0.0.1"};
    options.allow_nets = net::Network::parse_list("127.0.0.1").value();
    site.add("/fine", [](auto&, auto&) { return extract_test::Reply{.body = "hello"}; });
    for (const auto& [path, where] : {std::pair{"/four", canary.v4()}, {"/six", canary.v6()}})
        site.add(path, [where = where](auto&, auto&) {
            return extract_test::Reply{.status = 302, .headers = {"Location: http://" + where}};
        });
    const auto cookies = bench.folder / "cookies.txt";
    const std::string jar = "# Netscape HTTP Cookie File\n.x.com\tTRUE\t/\tTRUE\t0\ta\tb\n";
    std::ofstream(cookies) << jar;
    ExtractRequest request;
    request.timeout = 20s;
    request.tmp_dir = bench.tmp;
    request.cookies_file = cookies;
    const auto ask = [&](const std::string& path) {
        request.url = site.url(path);
        return extract::YtDlpExtractor(options).extract(request, {});
    };
    const auto fine = ask("/fine");
    REQUIRE_MESSAGE(fine, fine.error().message);
    CHECK(fine->title == "hello");
    const auto command = extract_test::read_file(bench.tmp + "/command");
    CHECK_MESSAGE(command.find("127.0.0.1:" + std::to_string(site.port())) != std::string::npos, command);
    CHECK(command.find("jobruntime:") == std::string::npos);  // Its credential is nobody's business.
    const auto seen = boost::json::parse(extract_test::read_file(bench.tmp + "/jar")).as_array();
    CHECK(seen[0].as_string().starts_with(bench.tmp + "/"));
    CHECK(seen[1] == 0600);
    CHECK(seen[2] == boost::json::string(jar));
    CHECK(extract_test::read_file(cookies) == jar);
    CHECK_FALSE(std::filesystem::exists(std::string(seen[0].as_string())));
    for (const auto* path : {"/four", "/six"}) {
        const auto refused = ask(path);
        REQUIRE_FALSE(refused);
        CHECK_MESSAGE(refused.error().name == "SSRF_BLOCKED", refused.error().message);
    }
    CHECK_MESSAGE(canary.connections() == 0, canary.seen_text());
    options.allow_nets = net::Network::parse_list("127.0.0.0/8 ::1").value();
    CHECK(ask("/four"));
    CHECK(canary.connections() == 1);
}

TEST_CASE("formats without sound get it from those without a picture") {
    Bench bench;
    const auto info = bench.shell(say(
        R"({"formats":[)"
        R"({"url":"http://127.0.0.1/board","protocol":"mhtml","vcodec":"none","acodec":"none"},)"
        R"({"url":"http://127.0.0.1/low.m4a","ext":"m4a","vcodec":"none","acodec":"mp4a","tbr":48},)"
        R"({"url":"http://127.0.0.1/high.m4a","ext":"m4a","vcodec":"none","acodec":"mp4a","tbr":128,"http_headers":{"Referer":"r"},"cookies":"a=1"},)"
        R"({"url":"http://127.0.0.1/high.webm","ext":"webm","vcodec":"none","acodec":"opus","tbr":160},)"
        R"({"url":"http://127.0.0.1/foreign.m4a","ext":"m4a","vcodec":"none","acodec":"mp4a","tbr":256,"language_preference":-1},)"
        R"({"url":"http://127.0.0.1/360.mp4","ext":"mp4","vcodec":"avc1","acodec":"mp4a","height":360},)"
        R"({"url":"http://127.0.0.1/1080.mp4","ext":"mp4","vcodec":"avc1","acodec":"none","height":1080,"tbr":4000},)"
        R"({"url":"http://127.0.0.1/720.webm","ext":"webm","vcodec":"vp9","acodec":"none","height":720},)"
        R"({"url":"http://127.0.0.1/480.m3u8","protocol":"m3u8_native","vcodec":"avc1","acodec":"none","height":480},)"
        R"({"url":"http://127.0.0.1/locked.mp4","vcodec":"avc1","acodec":"none","height":2160,"has_drm":true}]})"));
    REQUIRE_MESSAGE(info.has_value(), info.error().message);
    std::string seen;
    for (const auto& source : info->sources) {
        seen += source.url.substr(17) + "=" + (source.sound ? source.sound->url.substr(17) : std::string("-")) + " ";
        if (source.height == 1080) {
            CHECK(source.tbr == 4128);
            CHECK(source.sound->http_headers == std::map<std::string, std::string>{{"Referer", "r"}});
        }
    }
    REQUIRE(info->cookies.size() == 1);
    CHECK(info->cookies[0] == Cookie{"127.0.0.1", false, "/", false, false, 0, "a", "1"});
    CHECK(seen == "1080.mp4=high.m4a 720.webm=high.webm 480.m3u8=high.m4a 360.mp4=- ");
    const auto copy = media_info_from(to_json(*info));
    REQUIRE(copy.has_value());
    CHECK(copy->sources == info->sources);

    // What yt-dlp chose, where nothing else is listed; a silent film, which is all there is; a sound that is private.
    const auto first = [&](const std::string& dict) {
        const auto found = bench.shell(say(dict));
        if (!found) return found.error().name;
        return found->sources[0].url.substr(17) + "=" + (found->sources[0].sound ? found->sources[0].sound->url.substr(17) : std::string("-"));
    };
    CHECK(first(R"({"requested_formats":[{"url":"http://127.0.0.1/v.mp4","acodec":"none","vcodec":"avc1"},)"
                R"({"url":"http://127.0.0.1/a.m4a","vcodec":"none","acodec":"mp4a"}]})") == "v.mp4=a.m4a");
    CHECK(first(R"({"formats":[{"url":"http://127.0.0.1/v.mp4","acodec":"none","vcodec":"avc1"}]})") == "v.mp4=-");
    CHECK(first(R"({"formats":[{"url":"http://127.0.0.1/v.mp4","acodec":"none","vcodec":"avc1"},)"
                R"({"url":"http://10.0.0.1/a.m4a","vcodec":"none","acodec":"mp4a"}]})") == "SSRF_BLOCKED");
}
