// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <atomic>
#include <filesystem>
#include <limits>
#include <thread>
#include <vector>

#include <jobruntime/media.hpp>
#include <jobruntime/net.hpp>

#include "clips.hpp"
#include "unit/net/test_server.hpp"

// Single files from servers that do not behave, and the limits that a download keeps whatever they do.
using namespace jobruntime;
using namespace jobruntime::media;
using media_test::read_file;
using media_test::TempDir;
using namespace std::chrono_literals;
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

namespace {

const JobId job = *JobId::parse("0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e60");

struct Bench {
    TempDir root;
    test::TestServer server;
    net::Fetcher fetcher{{.allow_nets = *net::Network::parse_list("127.0.0.0/8")}};
    Publisher publisher{{.root = root.path("downloads")}};
    DownloadOptions options{.stall_timeout = 60s, .first_pause = 10ms};
    net::TransferFacts facts;

    Result<Downloaded> fetch(const Downloader& downloader, std::uint64_t fence = 1,
                             const std::string& path = "/film.mp4",
                             MediaProtocol protocol = MediaProtocol::https) {
        auto work = publisher.claim_work_folder(job, Fence{fence});
        REQUIRE(work);
        MediaInfo info;
        info.sources.push_back({.url = server.url(path), .protocol = protocol});
        auto got = downloader.download(info, *work, options, {}, {}, &facts);
        if (got) bytes = read_file(got->path);
        return got;
    }
    std::string bytes;  // Of the last download that succeeded.
};

/// `first` once, then the whole file.
test::Behaviour once(const test::Behaviour& first, const test::ServedFile& file) {
    auto asked = std::make_shared<std::atomic<int>>(0);
    return [=](const test::ServedConnection& to, const test::ServedRequest& request) {
        (asked->fetch_add(1) == 0 ? first : test::serve(file))(to, request);
    };
}

}  // namespace

TEST_CASE("what servers do to a single file, and what comes of it") {
    const test::ServedFile film{.bytes = test::pattern(50'000)};
    struct Row {
        std::string what;
        test::Behaviour server;
        std::string code;
        std::size_t requests;
    };
    const Row table[] = {
        {"a byte now and then", test::slowly(film, 1, 100ms), "DOWNLOAD_TIMEOUT", 1},
        {"no answer", test::silence(), "DOWNLOAD_TIMEOUT", 1},
        {"a stand-still", test::stall_after(film, 20'000), "DOWNLOAD_TIMEOUT", 1},
        {"403 once", once(test::status(403), film), "ok", 2},
        {"500 once", once(test::status(500), film), "ok", 2},
        {"503 with a short wait", once(test::status(503, "Retry-After: 1\r\n"), film), "ok", 2},
        {"503 with a long wait", once(test::status(503, "Retry-After: 600\r\n"), film), "RATE_LIMITED", 1},
        {"403 for good", test::status(403), "AUTH_REQUIRED", 2},
        {"500 for good", test::status(500), "NETWORK", 2},
        {"404", test::status(404), "VIDEO_UNAVAILABLE", 1},
        {"410", test::status(410), "VIDEO_UNAVAILABLE", 1},
        {"400", test::status(400), "UNSUPPORTED_SOURCE", 1},
        {"429", test::status(429, "Retry-After: 7\r\n"), "RATE_LIMITED", 1},
        {"broken once", once(test::drop_after(film, 20'000), film), "ok", 2},
        {"broken, and then no Range", once(test::drop_after(film, 20'000), {.bytes = film.bytes, .ranges = false}), "ok", 2},
        {"broken for good", test::drop_after({.bytes = film.bytes, .ranges = false}, 20'000), "NETWORK", 2},
        {"a redirect to a private address", test::redirect("http://10.0.0.1/film.mp4"), "SSRF_BLOCKED", 1},
        {"a redirect to another protocol", test::redirect("file:///etc/passwd"), "INVALID_URL", 1},
        {"a redirect in a circle", test::redirect("/film.mp4"), "UNSUPPORTED_SOURCE", 6},
        {"a page", test::status(200, "Content-Type: text/html\r\n", "<html>log in"), "UNSUPPORTED_SOURCE", 1},
        {"without end", test::endless(), "TOO_LARGE", 1},
        {"nothing", test::status(200), "UNSUPPORTED_SOURCE", 1}};
    for (const Row& row : table) {
        CAPTURE(row.what);
        Bench bench;
        bench.options.time_limit = row.code == "DOWNLOAD_TIMEOUT" ? 1'000ms : 60'000ms;
        bench.options.max_bytes = 200'000;
        bench.server.on("/film.mp4", row.server);
        const auto begun = Clock::now();
        const auto got = bench.fetch(Downloader(bench.fetcher));
        CHECK(Clock::now() - begun < 20s);
        CHECK(std::string(got ? "ok" : got.error().name) == row.code);
        if (got) CHECK(bench.bytes == film.bytes);
        CHECK(bench.server.requests().size() == row.requests);
        CHECK(fs::is_empty(bench.root.path("downloads/.jobrt-tmp")));
    }
}

TEST_CASE("the facts that are told belong to the error that is told") {
    Bench bench;
    bench.server.on("/busy.mp4", test::status(429, "Retry-After: 7\r\n"));
    auto work = bench.publisher.claim_work_folder(job, Fence{1});
    REQUIRE(work);
    MediaInfo info;
    for (const char* path : {"/busy.mp4", "/gone.mp4"}) info.sources.push_back({.url = bench.server.url(path)});
    const auto got = Downloader(bench.fetcher).download(info, *work, bench.options, {}, {}, &bench.facts);
    REQUIRE_FALSE(got);
    CHECK(got.error().name == "RATE_LIMITED");
    CHECK(bench.facts.retry_after == 7s);
    bench.server.on("/v.m3u8", test::status(429, "Retry-After: 500\r\n"));
    CHECK_FALSE(bench.fetch(Downloader(bench.fetcher), 2, "/v.m3u8", MediaProtocol::hls));
    CHECK(bench.facts.retry_after == 500s);
}

TEST_CASE("the limit of time is one for all the sources that a download tries") {
    Bench bench;
    auto work = bench.publisher.claim_work_folder(job, Fence{1});
    REQUIRE(work);
    MediaInfo info;
    for (const char* path : {"/a.mp4", "/b.mp4", "/c.m3u8", "/d.mp4"}) {
        bench.server.on(path, test::silence());
        info.sources.push_back({.url = bench.server.url(path)});
    }
    bench.options.stall_timeout = 600ms;
    bench.options.time_limit = 900ms;
    const auto begun = Clock::now();
    const auto got = Downloader(bench.fetcher).download(info, *work, bench.options, {}, {}, &bench.facts);
    REQUIRE_FALSE(got);
    CHECK_MESSAGE(got.error().name == "DOWNLOAD_TIMEOUT", got.error().message);
    CHECK(Clock::now() - begun < 5s);
    for (const auto& request : bench.server.requests()) CHECK_MESSAGE((request.target == "/a.mp4" || request.target == "/b.mp4"), request.target);
}

TEST_CASE("a disk with too little room is not asked for more, and the server not either") {
    for (const auto protocol : {MediaProtocol::https, MediaProtocol::hls}) {
        Bench bench;
        bench.server.on("/film.mp4", test::serve({.bytes = test::pattern(1'000)}));
        bench.options.min_free_bytes = std::numeric_limits<std::uint64_t>::max();
        const auto got = bench.fetch(Downloader(bench.fetcher), 1, "/film.mp4", protocol);
        REQUIRE_FALSE(got);
        CHECK(got.error().name == "DISK_FULL");
        CHECK(got.error().code == Errc::full);
        CHECK(bench.server.requests().empty());
    }
}

TEST_CASE("single files and playlists keep a host's limit too, over all downloads") {
    Bench bench;
    std::atomic<int> inside = 0, most = 0;
    const auto counted = [&](test::Behaviour answer) {
        return [&, answer](const test::ServedConnection& to, const test::ServedRequest& request) {
            const int now = ++inside;
            for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {}
            std::this_thread::sleep_for(30ms);
            --inside;
            answer(to, request);
        };
    };
    const std::string list = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n";
    const Downloader downloader(bench.fetcher, 1);
    std::vector<std::jthread> threads;
    std::atomic<int> good = 0;
    for (int i = 0; i < 4; ++i) {
        const auto path = "/film" + std::to_string(i) + (i < 3 ? ".mp4" : ".m3u8");
        bench.server.on(path, counted(i < 3 ? test::serve({.bytes = test::pattern(1'000)}) : test::status(200, "", list)));
        threads.emplace_back([&, i, path] {
            auto work = bench.publisher.claim_work_folder(
                *JobId::parse("0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e7" + std::to_string(i)), Fence{1});
            MediaInfo info;
            info.sources.push_back({.url = bench.server.url(path),
                                    .protocol = i < 3 ? MediaProtocol::https : MediaProtocol::hls});
            good += work && downloader.download(info, *work, bench.options) ? 1 : 0;
        });
    }
    threads.clear();
    CHECK(good == 3);  // The playlist's variant is not there.
    CHECK(most == 1);
}
