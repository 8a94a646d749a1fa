// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <filesystem>
#include <vector>

#include <jobruntime/media.hpp>
#include <jobruntime/net.hpp>

#include "clips.hpp"
#include "unit/net/test_server.hpp"

using namespace jobruntime;
using namespace jobruntime::media;
using media_test::read_file;
using media_test::TempDir;
using media_test::write_file;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

const JobId loaded_job = *JobId::parse("0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f");

struct LoaderBench {
    TempDir root;
    test::TestServer server;
    net::Fetcher fetcher{{.allow_nets = *net::Network::parse_list("127.0.0.0/8")}};
    Publisher publisher{{.root = root.path("downloads")}};
    Downloader downloader{fetcher};
    std::string bytes = test::pattern(200'000);

    WorkFolder work(std::uint64_t fence) {
        auto folder = publisher.claim_work_folder(loaded_job, Fence{fence});
        REQUIRE(folder);
        return std::move(*folder);
    }
    MediaInfo info(const std::vector<std::string>& paths) const {
        MediaInfo found;
        for (const auto& path : paths) found.sources.push_back({.url = server.url(path)});
        return found;
    }
};

}  // namespace

TEST_CASE("the best source is fetched, with the page's headers but its own ranges") {
    LoaderBench bench;
    bench.server.on("/best.mp4", test::serve({.bytes = bench.bytes}));
    MediaInfo info = bench.info({"/best.mp4", "/worse.mp4"});
    info.sources[0].http_headers = {
        {"Referer", "https://x.com/"}, {"Range", "bytes=5-"}, {"host", "evil.example"}};
    const WorkFolder work = bench.work(1);
    std::uint64_t seen = 0;
    const auto got = bench.downloader.download(info, work, {}, [&](const Progress& at) {
        CHECK(at.stage == "download");
        CHECK(at.bytes >= seen);
        CHECK(at.percent <= 100);
        seen = at.bytes;
    });
    REQUIRE(got);
    CHECK(got->source == 0);
    CHECK(got->bytes == bench.bytes.size());
    CHECK(seen == bench.bytes.size());
    CHECK(fs::path(got->path).parent_path() == work.path());
    CHECK(read_file(got->path) == bench.bytes);
    const auto requests = bench.server.requests();
    REQUIRE(requests.size() == 1);
    CHECK(requests[0].header("referer") == "https://x.com/");
    CHECK(requests[0].header("range").empty());
    CHECK(requests[0].header("host") == "127.0.0.1:" + std::to_string(bench.server.port()));
}

TEST_CASE("a source that cannot be had gives way to the next") {
    LoaderBench bench;
    bench.server.on("/page.mp4", test::serve({.bytes = "<html></html>", .type = "text/html"}));
    bench.server.on("/large.mp4", test::serve({.bytes = bench.bytes + bench.bytes}));
    bench.server.on("/good.mp4", test::serve({.bytes = bench.bytes}));
    MediaInfo info = bench.info({"/hls", "/dash", "/gone.mp4", "/page.mp4", "/large.mp4", "/good.mp4"});
    info.sources[0].protocol = MediaProtocol::hls;
    info.sources[1].protocol = MediaProtocol::dash;
    info.sources.insert(info.sources.begin() + 2, MediaSource{.url = "http://192.0.2.1/blocked.mp4"});
    const WorkFolder work = bench.work(1);
    const auto got = bench.downloader.download(info, work, {.max_bytes = bench.bytes.size() + 1});
    REQUIRE_MESSAGE(got, got.error().message);
    CHECK(got->source == 6);
    CHECK(std::distance(fs::directory_iterator(work.path()), {}) == 1);  // Nothing is left of the others.
}

TEST_CASE("when every source fails, the most telling error is given") {
    LoaderBench bench;
    bench.server.on("/busy.mp4", [](const test::ServedConnection& connection, const test::ServedRequest&) {
        connection.send(
            "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 0\r\nConnection: "
            "close\r\n\r\n");
    });
    struct Row {
        std::vector<std::string> paths;
        const char* code;
    };
    bench.server.on("/live.mpd", test::status(200, "", "<MPD type=\"dynamic\"></MPD>"));
    const Row table[] = {{{}, "UNSUPPORTED_SOURCE"},
                         {{"/live.mpd"}, "UNSUPPORTED_SOURCE"},
                         {{"/gone.mp4"}, "VIDEO_UNAVAILABLE"},
                         {{"/gone.mpd"}, "VIDEO_UNAVAILABLE"},
                         {{"/live.mpd", "/gone.mp4"}, "UNSUPPORTED_SOURCE"},
                         {{"/gone.mp4", "/busy.mp4"}, "RATE_LIMITED"},
                         {{"/busy.mp4", "/gone.mp4"}, "RATE_LIMITED"}};
    std::uint64_t fence = 0;
    for (const Row& row : table) {
        MediaInfo info = bench.info(row.paths);
        for (auto& source : info.sources)
            if (source.url.ends_with("mpd")) source.protocol = MediaProtocol::dash;
        const auto got = bench.downloader.download(info, bench.work(++fence), {});
        REQUIRE_FALSE(got);
        CHECK(got.error().name == row.code);
    }
    net::TransferFacts facts;
    CHECK_FALSE(
        bench.downloader.download(bench.info({"/busy.mp4"}), bench.work(++fence), {}, {}, {}, &facts));
    CHECK(facts.retry_after == 7s);
}

TEST_CASE("the next attempt resumes a broken download, also under a new signature") {
    LoaderBench bench;
    bench.server.on("/film.mp4", test::stall_after({.bytes = bench.bytes}, 120'000));
    {
        WorkFolder work = bench.work(1);
        const auto broken = bench.downloader.download(bench.info({"/film.mp4?sig=1", "/other.mp4"}), work,
                                                      {.stall_timeout = 1s});
        REQUIRE_FALSE(broken);
        CHECK(broken.error().name == "DOWNLOAD_STALLED");  // And not the 404 of the source after it.
        work.keep();
    }
    bench.server.on("/film.mp4", test::serve({.bytes = bench.bytes}));
    WorkFolder work = bench.work(2);
    const auto got = bench.downloader.download(bench.info({"/film.mp4?sig=2", "/other.mp4"}), work, {});
    REQUIRE(got);
    CHECK(got->resumed_from == 120'000);
    CHECK(read_file(got->path) == bench.bytes);
    CHECK(bench.server.requests().back().header("range") == "bytes=120000-");

    // Fetched whole already: nobody is asked.
    const auto asked = bench.server.requests().size();
    const auto again = bench.downloader.download(bench.info({"/film.mp4?sig=3"}), work, {});
    REQUIRE(again);
    CHECK(again->path == got->path);
    CHECK(bench.server.requests().size() == asked);
}

TEST_CASE("a stop ends the download at once and leaves nothing") {
    LoaderBench bench;
    bench.server.on("/film.mp4", test::stall_after({.bytes = bench.bytes}, 1'000));
    std::stop_source stop;
    std::chrono::steady_clock::time_point asked;
    {
        const WorkFolder work = bench.work(1);
        const auto got = bench.downloader.download(
            bench.info({"/film.mp4", "/other.mp4"}), work, {},
            [&](const Progress&) {
                asked = std::chrono::steady_clock::now();
                stop.request_stop();
            },
            stop.get_token());
        CHECK(std::chrono::steady_clock::now() - asked < 5s);  // Of the two minutes of a stall.
        REQUIRE_FALSE(got);
        CHECK(got.error().code == Errc::canceled);
    }
    CHECK(fs::is_empty(bench.root.path("downloads/.jobrt-tmp")));
}

TEST_CASE("an extractor's file is taken from its folder and from nowhere else") {
    LoaderBench bench;
    const TempDir extractor;
    const TempDir outside;
    write_file(outside.path("precious.mp4"), "precious");
    const auto take = [&](const std::string& path, const std::string& folder, std::uint64_t fence) {
        MediaInfo info;
        info.sources.push_back({.url = path, .protocol = MediaProtocol::file});
        const WorkFolder work = bench.work(fence);
        auto got = bench.downloader.download(info, work, {.max_bytes = 100, .extractor_dir = folder});
        if (got) CHECK(read_file(got->path) == "video");
        return got ? std::string("ok") : got.error().name;
    };
    const auto make = [&](const std::string& name) { write_file(extractor.path(name), "video"); };
    make("v.mp4");
    CHECK(take("v.mp4", extractor.path(), 1) == "ok");
    make("v.mp4");
    CHECK(take(extractor.path("v.mp4"), extractor.path(), 2) == "ok");
    make("v.mp4");
    CHECK(take("v.mp4", "", 3) == "PATH_REFUSED");
    CHECK(take("v.mp4", extractor.path("gone"), 4) == "MEDIA_IO");
    fs::create_symlink(outside.path("precious.mp4"), extractor.path("link.mp4"));
    write_file(extractor.path("large.mp4"), std::string(101, 'x'));
    const std::pair<std::string, std::string> table[] = {
        {outside.path("precious.mp4"), "PATH_REFUSED"},
        {"../" + fs::path(outside.path()).filename().string() + "/precious.mp4", "PATH_REFUSED"},
        {"link.mp4", "PATH_REFUSED"},
        {".", "PATH_REFUSED"},
        {"gone.mp4", "MEDIA_IO"},
        {"large.mp4", "TOO_LARGE"}};
    std::uint64_t fence = 10;
    for (const auto& [path, code] : table) {
        CAPTURE(path);
        CHECK(take(path, extractor.path(), ++fence) == code);
    }
    CHECK(read_file(outside.path("precious.mp4")) == "precious");
}
