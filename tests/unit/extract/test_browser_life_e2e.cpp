// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Real Chromium: its life, its end, and what it leaves behind.
#include <atomic>
#include <fstream>
#include <future>
#include <string>

#include <signal.h>

#include <doctest/doctest.h>

#include "browser_fixture.hpp"

using namespace extract_test;

namespace {

bool gone_within(const std::string& profile, std::chrono::milliseconds time) {
    const auto until = std::chrono::steady_clock::now() + time;
    while (!processes_of(profile).empty()) {
        if (std::chrono::steady_clock::now() >= until) return false;
        std::this_thread::sleep_for(10ms);
    }
    return true;
}

/// Waits until the server was asked for the page: the extraction is then well under way.
void wait_for_hit(const PageServer& server, const std::string& path, int hits = 1) {
    const auto until = std::chrono::steady_clock::now() + 20s;
    while (server.hits(path) < hits && std::chrono::steady_clock::now() < until)
        std::this_thread::sleep_for(5ms);
    REQUIRE(server.hits(path) >= hits);
}

}  // namespace

TEST_CASE("one browser serves twenty extractions, two at a time, and keeps no process for them") {
    const TempFolder folder;
    PageServer server;
    server.file("/clip.mp4", "video/mp4", clip());
    server.page("/v",
                "<video src=/clip.mp4></video><iframe src='" + server.url("/f", "localhost") + "'></iframe>");
    server.page("/f", "framed");
    jx::Browser browser(browser_options(folder));
    jx::BrowserExtractor extractor(browser, extract_options());
    const auto begin = std::chrono::steady_clock::now();
    REQUIRE(browser.start());
    const auto started = std::chrono::steady_clock::now();
    const auto millis = [](auto time) {
        return std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
    };
    MESSAGE("launched in " << millis(started - begin) << " ms");
    const int pid = browser.status().pid;
    const auto resting = [&] { return processes_of(folder / "profile").size(); };
    std::atomic<int> found = 0;
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 2; ++thread) {
        threads.emplace_back([&] {
            for (int i = 0; i < 10; ++i) {
                const auto one = std::chrono::steady_clock::now();
                if (extractor.extract(request(server.url("/v")), {})) ++found;
                if (i == 9)
                    MESSAGE("warm, two at once: " << millis(std::chrono::steady_clock::now() - one) << " ms");
            }
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(found == 20);
    CHECK(browser.status().pid == pid);
    CHECK(browser.status().launches == 1);
    CHECK(browser.status().active == 0);
    // Browser, zygotes, GPU, storage, one blank page, a spare renderer or two: no page is left open.
    const auto until = std::chrono::steady_clock::now() + 10s;
    while (resting() > 12 && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(50ms);
    CHECK(resting() <= 12);
    // Pages of Chromium's own interface would cost every start a renderer's time, and its memory; so would a program
    // of its own for the network.
    for (const int process : processes_of(folder / "profile")) {
        std::ifstream line("/proc/" + std::to_string(process) + "/cmdline", std::ios::binary);
        std::string words;
        std::getline(line, words);  // Stays empty when the process has just ended.
        CHECK(words.find("--top-chrome-webui") == std::string::npos);
        CHECK(words.find("network.mojom.NetworkService") == std::string::npos);
    }
    browser.close();
    CHECK(processes_of(folder / "profile").empty());
}

TEST_CASE("a cancel ends an extraction within two seconds, and closing leaves no process") {
    const TempFolder folder;
    PageServer server;
    server.add("/silent", [](auto&, auto&) { return Reply{.silent = true}; });
    {
        jx::Browser browser(browser_options(folder));
        jx::BrowserExtractor extractor(browser, extract_options());
        std::stop_source stop;
        auto running = std::async(std::launch::async, [&] {
            return extractor.extract(request(server.url("/silent")), stop.get_token());
        });
        wait_for_hit(server, "/silent");
        const auto begin = std::chrono::steady_clock::now();
        stop.request_stop();
        const auto info = running.get();
        CHECK(std::chrono::steady_clock::now() - begin < 2s);
        REQUIRE_FALSE(info);
        CHECK(info.error().code == jobruntime::Errc::canceled);
    }
    CHECK(processes_of(folder / "profile").empty());
}

TEST_CASE("time-outs are kept: a silent server, a page that never ends, a page that hangs") {
    const TempFolder folder;
    PageServer server;
    server.file("/clip.mp4", "video/mp4", clip());
    server.add("/silent", [](auto&, auto&) { return Reply{.silent = true}; });
    server.add("/endless", [](auto&, auto&) {
        return Reply{.body = "<title>x</title><p>" + std::string(5000, 'x'), .hang = true};
    });
    server.add("/endless-video", [](auto&, auto&) {
        return Reply{.body = "<video src=/clip.mp4></video>" + std::string(5000, ' '), .hang = true};
    });
    server.page("/loop", "<script>for(;;);</script>");
    jx::Browser browser(browser_options(folder));
    auto options = extract_options();
    options.nav_timeout = 1500ms;
    jx::BrowserExtractor extractor(browser, options);
    REQUIRE(browser.start());
    for (const char* path : {"/silent", "/endless", "/loop"}) {
        CAPTURE(path);
        const auto begin = std::chrono::steady_clock::now();
        const auto info = extractor.extract(request(server.url(path)), {});
        CHECK(std::chrono::steady_clock::now() - begin < 12s);
        REQUIRE_FALSE(info);
        CHECK(info.error().name == "EXTRACTION_TIMEOUT");
    }
    CHECK(extractor.extract(request(server.url("/endless-video")), {}));
    // Slow pages are their own fault. One that hangs leaves a browser that nobody can be sure of: it is replaced.
    CHECK(browser.status().launches >= 2);
    auto hasty = request(server.url("/silent"));
    hasty.timeout = 300ms;
    const auto begin = std::chrono::steady_clock::now();
    CHECK(extractor.extract(hasty, {}).error().name == "EXTRACTION_TIMEOUT");
    CHECK(std::chrono::steady_clock::now() - begin < 2s);
}

TEST_CASE("a browser that is killed ends its extraction by name, and the next one has a new browser") {
    const TempFolder folder;
    PageServer server;
    server.file("/clip.mp4", "video/mp4", clip());
    server.page("/v", "<video src=/clip.mp4></video>");
    server.add("/silent", [](auto&, auto&) { return Reply{.silent = true}; });
    jx::Browser browser(browser_options(folder));
    jx::BrowserExtractor extractor(browser, extract_options());
    auto running =
        std::async(std::launch::async, [&] { return extractor.extract(request(server.url("/silent")), {}); });
    wait_for_hit(server, "/silent");
    ::kill(browser.status().pid, SIGKILL);
    const auto info = running.get();
    REQUIRE_FALSE(info);
    CHECK(info.error().name == "EXTRACTOR_CRASHED");
    const auto next = extractor.extract(request(server.url("/v")), {});
    REQUIRE_MESSAGE(next, (next ? "" : next.error().message));
    CHECK(browser.status().launches == 2);
    // One that dies while idle is reaped and replaced as well.
    ::kill(browser.status().pid, SIGKILL);
    CHECK(extractor.extract(request(server.url("/v")), {}));
}

TEST_CASE("a page whose renderer crashes is tried twice, and named") {
    const TempFolder folder;
    PageServer server;
    server.add("/endless", [](auto&, auto&) {
        return Reply{.body = "<title>x</title><p>" + std::string(5000, 'x'), .hang = true};
    });
    jx::Browser browser(browser_options(folder));
    jx::BrowserExtractor extractor(browser, extract_options());
    auto running = std::async(std::launch::async,
                              [&] { return extractor.extract(request(server.url("/endless")), {}); });
    wait_for_hit(server, "/endless");
    while (running.wait_for(300ms) != std::future_status::ready) {
        for (const int pid : processes_of(folder / "profile")) {
            const auto command = read_file("/proc/" + std::to_string(pid) + "/cmdline");
            if (command.find("--type=renderer") != std::string::npos) ::kill(pid, SIGKILL);
        }
    }
    const auto info = running.get();
    REQUIRE_FALSE(info);
    CHECK(info.error().name == "EXTRACTOR_CRASHED");
    CHECK(browser.status().active == 0);
}

TEST_CASE("idle browsers are closed, worn ones replaced, and a profile is one browser's") {
    const TempFolder folder;
    PageServer server;
    server.page("/text", "words");
    auto options = browser_options(folder);
    options.idle_close = 200ms;
    options.recycle_after = 1;
    jx::Browser browser(options);
    auto quick = extract_options();
    quick.settle = 50ms;
    jx::BrowserExtractor extractor(browser, quick);
    CHECK(extractor.extract(request(server.url("/text")), {}).error().name == "NO_MEDIA");
    jx::Browser second(browser_options(folder));
    const auto held = second.start();
    if (!held) CHECK(held.error().name == "BROWSER_PROFILE_IN_USE");
    CHECK(gone_within(folder / "profile", 8s));
    second.close();
    CHECK(extractor.extract(request(server.url("/text")), {}).error().name == "NO_MEDIA");
    CHECK(extractor.extract(request(server.url("/text")), {}).error().name == "NO_MEDIA");
    CHECK(browser.status().launches == 3);
}

TEST_CASE("a browser that does not answer its protocol is replaced, and the next extraction has a new one") {
    const TempFolder folder;
    PageServer server;
    server.file("/clip.mp4", "video/mp4", clip());
    server.page("/v", "<video src=/clip.mp4></video>");
    jx::Browser browser(browser_options(folder));
    jx::BrowserExtractor extractor(browser, extract_options());
    REQUIRE(extractor.extract(request(server.url("/v")), {}));
    CHECK(browser.status().launches == 1);
    const int frozen = browser.status().pid;
    REQUIRE(::kill(frozen, SIGSTOP) == 0);
    auto hasty = request(server.url("/v"));
    hasty.timeout = 500ms;
    const auto late = extractor.extract(hasty, {});
    REQUIRE_FALSE(late);
    CHECK(late.error().code == jobruntime::Errc::timed_out);
    const auto next = extractor.extract(request(server.url("/v")), {});
    REQUIRE_MESSAGE(next, (next ? "" : next.error().message));
    CHECK(browser.status().launches == 2);
    CHECK(browser.status().pid != frozen);
    CHECK(::kill(frozen, 0) != 0);
}

TEST_CASE("a browser is replaced after its number of extractions, not before, and not in the middle of one") {
    const TempFolder folder;
    PageServer server;
    server.file("/clip.mp4", "video/mp4", clip());
    server.page("/v", "<video src=/clip.mp4></video>");
    auto options = browser_options(folder);
    options.recycle_after = 3;
    jx::Browser browser(options);
    jx::BrowserExtractor extractor(browser, extract_options());
    for (int done = 1; done <= 6; ++done) {
        CAPTURE(done);
        REQUIRE(extractor.extract(request(server.url("/v")), {}));
        CHECK(browser.status().launches == (done + 2) / 3);
    }
    // Whoever comes next ends the old one. If that does not answer, a cancel does not wait for it.
    const int frozen = browser.status().pid;
    REQUIRE(::kill(frozen, SIGSTOP) == 0);
    std::stop_source stop;
    std::chrono::steady_clock::time_point asked;
    std::jthread stopper([&] {
        std::this_thread::sleep_for(300ms);
        asked = std::chrono::steady_clock::now();
        stop.request_stop();
    });
    const auto canceled = extractor.extract(request(server.url("/v")), stop.get_token());
    const auto over = std::chrono::steady_clock::now();
    stopper.join();
    REQUIRE_FALSE(canceled);
    CHECK(canceled.error().code == jobruntime::Errc::canceled);
    CHECK(over - asked < 2s);
    CHECK(::kill(frozen, 0) != 0);
    REQUIRE(extractor.extract(request(server.url("/v")), {}));
    CHECK(browser.status().launches == 3);
    CHECK(browser.status().windows <= 1);  // The one in reserve.
}

TEST_CASE("what cannot start says why") {
    const TempFolder folder;
    auto options = browser_options(folder);
    options.program = folder / "no-such-browser";
    CHECK(jx::Browser(options).start().error().message.find("JOBRT_BROWSER") != std::string::npos);
    options.program = "/bin/false";
    const auto ended = jx::Browser(options).start();
    REQUIRE_FALSE(ended);
    CHECK(ended.error().name == "BROWSER_LAUNCH_FAILED");
    options = browser_options(folder);
    options.headless = false;
    CHECK(jx::Browser(options).start().error().message.find("DISPLAY") != std::string::npos);
    options.environment.emplace_back("DISPLAY=:4711");  // Nobody is there.
    const auto dark = jx::Browser(options).start();
    REQUIRE_FALSE(dark);
    CHECK(dark.error().name == "BROWSER_LAUNCH_FAILED");
    MESSAGE(dark.error().message);
}
