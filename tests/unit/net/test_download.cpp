// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <doctest/doctest.h>

#include <jobruntime/net.hpp>

#include "support/mostly.hpp"
#include "unit/net/test_server.hpp"

using namespace jobruntime;
using namespace jobruntime::net;
using namespace jobruntime::test;
using namespace std::chrono_literals;
using std::chrono::steady_clock;
namespace fs = std::filesystem;

namespace {

/// A folder, a server and a fetcher that may reach it.
struct Bench {
    Bench() {
        std::string name = (fs::temp_directory_path() / "jobruntime-net-XXXXXX").string();
        folder = ::mkdtemp(name.data());
    }
    ~Bench() { fs::remove_all(folder); }

    fs::path target() const { return folder / "clip.mp4"; }
    DownloadRequest request(const std::string& path) const {
        return {.url = server.url(path), .target = target()};
    }
    Result<Downloaded> get(const std::string& path) {
        return fetcher.download(request(path), {}, {}, &facts);
    }
    std::string saved() const { return read(target()); }
    std::string part() const { return read(folder / "clip.mp4.part"); }
    std::size_t files() const {
        return static_cast<std::size_t>(
            std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
    }
    static std::string read(const fs::path& path) {
        std::ifstream file(path, std::ios::binary);
        return {std::istreambuf_iterator<char>(file), {}};
    }

    fs::path folder;
    TestServer server;
    Fetcher fetcher{{.allow_nets = Network::parse_list("127.0.0.0/8").value()}};
    TransferFacts facts;
};

const std::string movie = pattern(300'000);

}  // namespace

TEST_CASE("a file arrives whole, with progress, and nothing else is left") {
    Bench bench;
    bench.server.on("/v", serve({.bytes = movie}));
    std::vector<std::pair<std::uint64_t, std::uint64_t>> seen;
    const auto done = bench.fetcher.download(
        bench.request("/v?sig=1"), [&](auto bytes, auto total) { seen.emplace_back(bytes, total); });
    REQUIRE(done);
    CHECK(done->bytes == movie.size());
    CHECK(done->resumed_from == 0);
    CHECK(done->content_type == "video/mp4");
    CHECK(done->final_url == bench.server.url("/v?sig=1"));
    CHECK(bench.saved() == movie);
    CHECK(bench.files() == 1);
    REQUIRE_FALSE(seen.empty());
    CHECK(seen.back() == std::pair<std::uint64_t, std::uint64_t>(movie.size(), movie.size()));
    CHECK(std::is_sorted(seen.begin(), seen.end()));
    CHECK(bench.server.requests().at(0).header("accept-encoding") == "identity");
}

TEST_CASE("a connection that breaks in the middle is taken up where it ended") {
    Bench bench;
    bench.server.on("/v", drop_after({.bytes = movie}, 100'001));
    const auto done = bench.get("/v");
    REQUIRE(done);
    CHECK(bench.saved() == movie);
    const auto asked = bench.server.requests();
    REQUIRE(asked.size() == 3);
    CHECK(asked[0].header("range").empty());
    CHECK(asked[1].header("range") == "bytes=100001-");
    CHECK(asked[1].header("if-range") == "\"v1\"");
    CHECK(asked[2].header("range") == "bytes=200002-");
}

TEST_CASE("after too many breaks the error says so, and the next call goes on") {
    Bench bench;
    bench.server.on("/v", drop_after({.bytes = movie}, 50'000));
    const auto broken = bench.get("/v?sig=old");
    REQUIRE_FALSE(broken);
    CHECK(broken.error().name == "NETWORK");
    CHECK(bench.server.requests().size() == 4);  // The first and three resumes.
    CHECK(bench.part() == movie.substr(0, 200'000));
    CHECK_FALSE(fs::exists(bench.target()));

    bench.server.on("/v", serve({.bytes = movie}));
    const auto done = bench.get("/v?sig=new");  // Another signature, the same file.
    REQUIRE(done);
    CHECK(done->resumed_from == 200'000);
    CHECK(bench.saved() == movie);
    CHECK(bench.files() == 1);
}

TEST_CASE("a file that has changed meanwhile starts from its first byte") {
    Bench bench;
    bench.server.on("/v", drop_after({.bytes = movie}, 50'000));
    REQUIRE_FALSE(bench.get("/v"));
    const std::string newer = "new" + movie;
    bench.server.on("/v", serve({.bytes = newer, .etag = "\"v2\""}));
    const auto done = bench.get("/v");
    REQUIRE(done);
    CHECK(done->resumed_from == 0);
    CHECK(bench.saved() == newer);
}

TEST_CASE("a server that ignores Range, or answers with another part, harms nothing") {
    Bench bench;
    bench.server.on("/v", drop_after({.bytes = movie}, 50'000));
    REQUIRE_FALSE(bench.get("/v"));
    SUBCASE("ignores it") { bench.server.on("/v", serve({.bytes = movie, .ranges = false})); }
    SUBCASE("says it is not satisfiable") {
        bench.server.on("/v", [](const ServedConnection& connection, const ServedRequest& request) {
            if (request.header("range").empty())
                serve({.bytes = movie})(connection, request);
            else
                status(416, "Content-Range: bytes */9\r\n")(connection, request);
        });
    }
    SUBCASE("sends another part") {
        bench.server.on("/v", [](const ServedConnection& connection, const ServedRequest& request) {
            if (request.header("range").empty())
                serve({.bytes = movie})(connection, request);
            else
                status(206, "Content-Range: bytes 5-9/300000\r\nETag: \"v1\"\r\n", "12345")(connection,
                                                                                            request);
        });
    }
    SUBCASE("sends a part of a file of another size") {
        bench.server.on("/v", [](const ServedConnection& connection, const ServedRequest& request) {
            if (request.header("range").empty())
                serve({.bytes = movie})(connection, request);
            else
                status(206, "Content-Range: bytes 200000-200004/200005\r\n", "12345")(connection, request);
        });
    }
    SUBCASE("sends a part and does not say which") {
        bench.server.on("/v", [](const ServedConnection& connection, const ServedRequest& request) {
            if (request.header("range").empty())
                serve({.bytes = movie})(connection, request);
            else
                status(206, "", "12345")(connection, request);
        });
    }
    const auto done = bench.get("/v");
    REQUIRE(done);
    CHECK(done->resumed_from == 0);
    CHECK(bench.saved() == movie);
    CHECK(bench.files() == 1);
}

TEST_CASE("a server that ignores Range and cuts each answer takes away nothing of what came before") {
    Bench bench;
    std::size_t answers = 0;
    std::vector<std::size_t> cuts;
    const ServedFile file{.bytes = movie, .ranges = false};
    bench.server.on("/v", [&](const ServedConnection& connection, const ServedRequest& request) {
        drop_after(file, cuts.at(answers++))(connection, request);
    });
    SUBCASE("each answer longer than the one before") {
        cuts = {60'000, 120'000, 180'000, 300'000};
        const auto done = bench.get("/v");
        REQUIRE_MESSAGE(done, done.error().message);
        CHECK(done->resumed_from == 0);
        CHECK(bench.saved() == movie);
        CHECK(answers == 4);
    }
    SUBCASE("one that brings nothing new ends the call") {
        cuts = {120'000, 50'000, 120'000, 300'000};
        const auto broken = bench.get("/v");
        REQUIRE_FALSE(broken);
        CHECK(broken.error().name == "NETWORK");
        CHECK_MESSAGE(broken.error().message.find("from its first byte") != std::string::npos, broken.error().message);
        CHECK(answers == 2);
        CHECK(bench.part() == movie.substr(0, 120'000));
        CHECK_FALSE(bench.get("/v"));
        CHECK(answers == 3);
        CHECK(bench.part() == movie.substr(0, 120'000));
        REQUIRE(bench.get("/v"));
        CHECK(bench.saved() == movie);
    }
    SUBCASE("no call reads more than four answers") {
        cuts = {10'000, 20'000, 30'000, 40'000, 50'000};
        CHECK(bench.get("/v").error().name == "NETWORK");
        CHECK(answers == 4);
        CHECK(bench.part() == movie.substr(0, 40'000));
    }
    CHECK(bench.files() <= 2);
}

TEST_CASE("other bytes under the same validator are no continuation of what came before") {
    Bench bench;
    // In one chunk, which says nothing of the whole; cut off, or with its end.
    const auto chunk = [](const std::string& bytes, bool whole) {
        char size[32];
        std::snprintf(size, sizeof size, "%zx\r\n", bytes.size() + (whole ? 0 : 9));
        return say("HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Type: video/mp4\r\nTransfer-Encoding: chunked\r\n"
                   "Connection: close\r\n\r\n" + (size + bytes) + (whole ? "\r\n0\r\n\r\n" : ""));
    };
    std::string other = movie;
    SUBCASE("of the same length") {
        bench.server.on("/v", drop_after({.bytes = movie}, 50'000));
        REQUIRE_FALSE(bench.get("/v"));
        REQUIRE(bench.part().size() == 200'000);
        other[150'000] = static_cast<char>(other[150'000] + 1);
        bench.server.on("/v", serve({.bytes = other, .ranges = false}));
    }
    SUBCASE("shorter, and of a length that nobody says") {
        bench.server.on("/v", chunk(movie.substr(0, 200'000), false));
        REQUIRE_FALSE(bench.get("/v"));
        REQUIRE(bench.part().size() == 200'000);
        other.resize(100'000);
        bench.server.on("/v", chunk(other, true));
    }
    const auto done = bench.get("/v");
    REQUIRE_MESSAGE(done, done.error().message);
    CHECK(done->resumed_from == 0);
    CHECK(bench.saved() == other);
    CHECK(bench.files() == 1);
}

TEST_CASE("without a strong validator nothing is resumed") {
    Bench bench;
    SUBCASE("none") { bench.server.on("/v", drop_after({.bytes = movie, .etag = ""}, 50'000)); }
    SUBCASE("a weak one") { bench.server.on("/v", drop_after({.bytes = movie, .etag = "W/\"v1\""}, 50'000)); }
    SUBCASE("a date of just now") {
        bench.server.on("/v", drop_after({.bytes = movie,
                                          .etag = "",
                                          .more = "Date: Tue, 02 Jan 2024 00:00:59 GMT\r\n"
                                                  "Last-Modified: Tue, 02 Jan 2024 00:00:00 GMT\r\n"},
                                         50'000));
    }
    CHECK(bench.get("/v").error().name == "NETWORK");
    CHECK(bench.get("/v").error().name == "NETWORK");
    const auto asked = bench.server.requests();
    REQUIRE(asked.size() == 2);
    CHECK(asked[1].header("range").empty());
}

TEST_CASE("an old enough date is a validator") {
    Bench bench;
    const std::string date = "Tue, 02 Jan 2024 00:00:00 GMT";
    bench.server.on(
        "/v", drop_after({.bytes = movie,
                          .etag = "",
                          .more = "Date: Tue, 02 Jan 2024 00:01:00 GMT\r\nLast-Modified: " + date + "\r\n"},
                         100'000));
    CHECK_FALSE(
        bench.get("/v"));  // This server compares If-Range with its ETag only, so each try starts anew.
    CHECK(bench.server.requests().at(1).header("if-range") == date);
}

TEST_CASE("what an earlier try left is used only when it can be trusted") {
    Bench bench;
    bench.server.on("/v", drop_after({.bytes = movie}, 50'000));
    REQUIRE_FALSE(bench.get("/v"));
    const auto info = bench.folder / "clip.mp4.part.info";
    REQUIRE(fs::exists(info));
    auto request = bench.request("/v");
    SUBCASE("the info is gone") { fs::remove(info); }
    SUBCASE("the info is damaged") { std::ofstream(info) << "jobruntime partial download 1\nhttp://x/\n"; }
    SUBCASE("the info is of another version") {
        std::ofstream(info) << "jobruntime partial download 2\na\nb\n3\n";
    }
    SUBCASE("the part is longer than the file") { fs::resize_file(bench.folder / "clip.mp4.part", 300'001); }
    SUBCASE("it is another file's") {
        bench.server.on("/w", serve({.bytes = movie}));
        request.url = bench.server.url("/w");
    }
    SUBCASE("the caller does not want it") { request.resume = false; }
    bench.server.on("/v", serve({.bytes = movie}));
    const auto done = bench.fetcher.download(request);
    REQUIRE(done);
    CHECK(done->resumed_from == 0);
    CHECK(bench.server.requests().back().header("range").empty());
    CHECK(bench.saved() == movie);
}

TEST_CASE("a part that is complete already is published without asking") {
    Bench bench;
    bench.server.on("/v", drop_after({.bytes = movie}, 50'000));
    REQUIRE_FALSE(bench.get("/v"));
    std::ofstream(bench.folder / "clip.mp4.part", std::ios::binary) << movie;
    const auto before = bench.server.requests().size();
    CHECK(bench.get("/v").value().bytes == movie.size());
    CHECK(bench.server.requests().size() == before);
    CHECK(bench.saved() == movie);
}

TEST_CASE("a stall ends by its own clock and keeps what came") {
    Bench bench;
    auto request = bench.request("/v");
    request.stall_timeout = 1s;  // Of what comes nothing is so late, on a busy machine neither.
    SUBCASE("in the middle") {
        bench.server.on("/v", stall_after({.bytes = movie}, 70'000));
        const auto before = steady_clock::now();
        const auto stalled = bench.fetcher.download(request);
        CHECK(steady_clock::now() - before < 10s);  // Of the thirty that are usual.
        CHECK(stalled.error().name == "DOWNLOAD_STALLED");
        CHECK(stalled.error().code == Errc::timed_out);
        CHECK(bench.part() == movie.substr(0, 70'000));
    }
    SUBCASE("before the first byte") {
        bench.server.on("/v", silence());
        CHECK(bench.fetcher.download(request).error().name == "DOWNLOAD_STALLED");
    }
    SUBCASE("slow is not stalled") {
        bench.server.on("/v", slowly({.bytes = pattern(100)}, 5, 100ms));  // Two seconds in all.
        CHECK(bench.fetcher.download(request).has_value());
    }
}

TEST_CASE("a stop ends a download within 200 ms, and its partial file can be discarded") {
    Bench bench;
    bench.server.on("/v", stall_after({.bytes = movie}, 70'000));
    CHECK(tests::mostly_within(200ms, [&] {
        std::stop_source source;
        steady_clock::time_point asked;
        const auto done = bench.fetcher.download(
            bench.request("/v"),
            [&](auto, auto) {
                asked = steady_clock::now();
                source.request_stop();
            },
            source.get_token());
        const auto ended = steady_clock::now();
        CHECK(done.error().code == Errc::canceled);
        CHECK(bench.files() == 2);
        discard_partial(bench.target());
        CHECK(bench.files() == 0);
        CHECK(bench.fetcher.download(bench.request("/v"), {}, source.get_token()).error().code == Errc::canceled);
        CHECK(bench.files() == 0);
        return ended - asked;
    }));
}

TEST_CASE("sizes are limited, announced or not") {
    Bench bench;
    bench.server.on("/v", serve({.bytes = movie}));
    bench.server.on("/endless", endless());
    auto request = bench.request("/v");
    request.max_bytes = movie.size() - 1;
    CHECK(bench.fetcher.download(request).error().name == "TOO_LARGE");
    CHECK(bench.part().empty());
    request.url = bench.server.url("/endless");
    CHECK(bench.fetcher.download(request).error().name == "TOO_LARGE");
    CHECK(bench.part().size() < movie.size());
    request.url = bench.server.url("/v");
    request.max_bytes = movie.size();
    CHECK(bench.fetcher.download(request).has_value());
}

TEST_CASE("what is no media file is refused by name") {
    Bench bench;
    for (const auto* type :
         {"text/html", "TEXT/HTML; charset=utf-8", "application/json", "application/vnd.apple.mpegurl",
          "application/x-mpegURL", "application/dash+xml", "application/problem+json", "text/xml"}) {
        CAPTURE(type);
        bench.server.on("/v", serve({.bytes = "<html>", .type = type}));
        CHECK(bench.get("/v").error().name == "UNSUPPORTED_SOURCE");
        CHECK_FALSE(fs::exists(bench.target()));
    }
    bench.server.on("/v", serve({.bytes = "", .type = "video/mp4"}));
    CHECK(bench.get("/v").error().name == "UNSUPPORTED_SOURCE");
    bench.server.on("/v", serve({.bytes = "x", .more = "Content-Encoding: gzip\r\n"}));
    CHECK(bench.get("/v").error().name == "UNSUPPORTED_SOURCE");
    bench.server.on("/v", serve({.bytes = "{}", .type = "application/json"}));
    auto request = bench.request("/v");
    request.media = false;
    CHECK(bench.fetcher.download(request).has_value());
}

TEST_CASE("statuses become named errors, with what the server asked for") {
    Bench bench;
    bench.server.on("/429", status(429, "Retry-After: 30\r\n", "slow down"));
    bench.server.on("/503", status(503, "Retry-After: 5\r\n"));
    bench.server.on("/500", status(500));
    bench.server.on("/410", status(410));
    CHECK(bench.get("/429").error().name == "RATE_LIMITED");
    CHECK(bench.facts.status == 429);
    CHECK(bench.facts.retry_after == 30s);
    CHECK(bench.get("/503").error().name == "RATE_LIMITED");
    CHECK(bench.get("/500").error().name == "NETWORK");
    CHECK(bench.facts.retry_after == std::nullopt);
    CHECK(bench.get("/410").error().name == "VIDEO_UNAVAILABLE");
    CHECK(bench.get("/absent").error().name == "VIDEO_UNAVAILABLE");
    CHECK(bench.facts.status == 404);
    CHECK(bench.server.requests().size() == 5);  // None was repeated.
}

TEST_CASE("a length that is a lie is found out") {
    Bench bench;
    SUBCASE("too long") {
        bench.server.on("/v", say("HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: "
                                  "1000\r\nConnection: close\r\n\r\nshort"));
        CHECK(bench.get("/v").error().name == "NETWORK");
    }
    SUBCASE("a chunked body without its end") {
        bench.server.on("/v", say("HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nTransfer-Encoding: "
                                  "chunked\r\n\r\n5\r\nshort\r\n"));
        CHECK(bench.get("/v").error().name == "NETWORK");
    }
    SUBCASE("too short: only what was announced counts") {
        bench.server.on("/v", say("HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: "
                                  "4\r\nConnection: close\r\n\r\nshort"));
        CHECK(bench.get("/v").value().bytes == 4);
        CHECK(bench.saved() == "shor");
    }
}

TEST_CASE("the guard stands before downloads and their redirects") {
    Bench bench;
    CHECK(Fetcher().download(bench.request("/v")).error().name == "SSRF_BLOCKED");
    bench.server.on("/v", redirect("http://10.0.0.1/v.mp4"));
    CHECK(bench.get("/v").error().name == "SSRF_BLOCKED");
    bench.server.on("/v", redirect("file:///etc/passwd"));
    CHECK(bench.get("/v").error().name == "INVALID_URL");
    TestServer other;
    other.on("/w", serve({.bytes = movie}));
    bench.server.on("/v", redirect(other.url("/w")));
    auto request = bench.request("/v");
    request.headers = {{"Cookie", "a=b"}, {"Referer", "http://page/"}};
    CHECK(bench.fetcher.download(request).value().final_url == other.url("/w"));
    CHECK(other.requests().at(0).header("cookie").empty());
    CHECK(other.requests().at(0).header("referer") == "http://page/");
    CHECK(bench.saved() == movie);
}

TEST_CASE("an existing file is replaced only by a whole one") {
    Bench bench;
    std::ofstream(bench.target()) << "older";
    bench.server.on("/v", drop_after({.bytes = movie, .etag = ""}, 10));
    CHECK_FALSE(bench.get("/v"));
    CHECK(bench.saved() == "older");
    bench.server.on("/v", serve({.bytes = movie}));
    CHECK(bench.get("/v"));
    CHECK(bench.saved() == movie);
}

TEST_CASE("a link planted in the place of the partial file is not followed") {
    Bench bench;
    std::ofstream(bench.folder / "victim") << "precious";
    fs::create_symlink(bench.folder / "victim", bench.folder / "clip.mp4.part");
    bench.server.on("/v", serve({.bytes = movie}));
    CHECK(bench.get("/v").error().code == Errc::internal);
    CHECK(Bench::read(bench.folder / "victim") == "precious");
    auto nowhere = bench.request("/v");
    nowhere.target = bench.folder / "absent" / "clip.mp4";
    CHECK(bench.fetcher.download(nowhere).error().code == Errc::internal);
}

TEST_CASE("a disk that is full is said to be full") {
    Bench bench;
    bench.server.on("/v", serve({.bytes = movie}));
    // A limit on file sizes stands in for the full disk: write fails in the middle, with EFBIG.
    struct rlimit before {};
    ::getrlimit(RLIMIT_FSIZE, &before);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    const struct rlimit small { 100'000, before.rlim_max };
    ::setrlimit(RLIMIT_FSIZE, &small);
    const auto done = bench.get("/v");
    ::setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
    REQUIRE_FALSE(done);
    CHECK(done.error().name == "DISK_FULL");
    CHECK(done.error().code == Errc::full);
    CHECK(bench.get("/v").value().resumed_from == 100'000);
    CHECK(bench.saved() == movie);
}
