// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "stream_bench.hpp"

// Servers that answer wrongly and politely: nothing on the wire tells that the file is not what it says. What
// a save makes of them, from the address to the published file.
using namespace jobruntime;
using namespace jobruntime::media;
using namespace jobruntime::media_test;
using namespace std::chrono_literals;

namespace {

/// Declares `length` bytes and sends those.
test::Behaviour declares(std::size_t length, const std::string& bytes,
                         const std::string& type = "video/mp4") {
    return test::status(200, "Content-Type: " + type + "\r\n", bytes.substr(0, length));
}
/// Says nothing of its length, and ends where it likes.
test::Behaviour ends_after(std::size_t length, const std::string& bytes) {
    return test::say("HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nConnection: close\r\n\r\n" +
                     bytes.substr(0, length));
}

/// Whatever was published, other than what attempts leave.
std::size_t published_files(const StreamBench& bench) {
    std::size_t count = 0;
    for (const auto& entry : fs::recursive_directory_iterator(bench.root.path("downloads")))
        count += entry.is_regular_file() ? 1 : 0;
    return count;
}

}  // namespace

TEST_CASE("a single file that is not what its server says is no success, or is taken for what it is") {
    if (helper_or_skip().empty()) return;
    const auto clip = [](const char* name) { return read_file(Clips::get()[name]); };
    const auto plain = clip("plain.mp4");
    const auto fast = clip("faststart.mp4");
    struct Row {
        const char* what;
        test::Behaviour server;
        const char* code;
        const char* ext = "";
    };
    const Row table[] = {
        {"the index is beyond the length it declares", declares(plain.size() / 2, plain), "TRUNCATED"},
        {"the pictures are beyond the length it declares", declares(fast.size() / 2, fast), "TRUNCATED"},
        {"no length, and an early end", ends_after(fast.size() / 2, fast), "TRUNCATED"},
        {"more than it sends", test::drop_after({.bytes = fast, .ranges = false}, fast.size() / 2),
         "NETWORK"},
        {"a page that says it is a video", declares(1'000, "<!doctype html><html>log in</html>"),
         "NOT_MEDIA"},
        {"noise", declares(50'000, test::pattern(50'000)), "NOT_MEDIA"},
        {"a video that says it is a page", declares(fast.size(), fast, "text/html"), "UNSUPPORTED_SOURCE"},
        {"a video that says it is compressed",
         test::status(200, "Content-Type: video/mp4\r\nContent-Encoding: gzip\r\n", fast),
         "UNSUPPORTED_SOURCE"},
        {"sound that says it is a video", declares(1u << 30, clip("audio.m4a")), "NO_VIDEO"},
        {"a playlist that says it is a video", declares(1'000, "#EXTM3U\n#EXTINF:1,\na.ts\n"),
         "UNSUPPORTED_SOURCE"},
        {"a video that says it is nothing", declares(fast.size(), fast, "application/octet-stream"), "ok",
         ".mp4"},
        {"WebM that says it is MP4", declares(1u << 30, clip("vp9.webm")), "ok", ".mp4"},
        {"a transport stream that says it is MP4", declares(1u << 30, clip("plain.ts")), "ok", ".mp4"}};
    std::uint64_t fence = 0;
    for (const Row& row : table) {
        CAPTURE(row.what);
        StreamBench bench;
        bench.server.on("/film.mp4", row.server);
        const auto saved = bench.save("/film.mp4", ++fence);
        CHECK_MESSAGE(saved.code == row.code, saved.message);
        if (saved.code == "ok") CHECK(saved.done.output_path.ends_with(row.ext));
        CHECK(bench.nothing_left());
        CHECK(published_files(bench) == (saved.code == "ok" ? 3 : 0));
    }
}

TEST_CASE("a stream whose parts are not what their server says is no success") {
    if (helper_or_skip().empty()) return;
    const auto folder = Streams::get().folder("ts");
    const auto segment = [&](int n) { return read_file(folder + "/index" + std::to_string(n) + ".ts"); };
    struct Row {
        const char* what;
        test::Behaviour fourth, last;
        const char* code;
    };
    const auto is = [](std::string bytes, const char* type = "video/mp2t") {
        return test::serve({.bytes = std::move(bytes), .type = type});
    };
    const Row table[] = {
        {"all is well", is(segment(4)), is(segment(5)), "ok"},
        {"of other types", is(segment(4), "text/plain"), is(segment(5), "image/png"), "ok"},
        {"much less than there is, declared so", is(segment(4).substr(0, 188 * 3)),
         is(segment(5).substr(0, 188 * 3)), "WRONG_DURATION"},
        {"a page with the type of a segment", is(segment(4)), is("<html>gone</html>"), "NOT_MEDIA"},
        {"JSON with the type of a segment", is(segment(4)), is("{\"error\":1}"), "NOT_MEDIA"},
        {"noise, half of it", is(test::pattern(90'000)), is(test::pattern(90'000)), "WRONG_DURATION"}};
    std::uint64_t fence = 0;
    for (const Row& row : table) {
        CAPTURE(row.what);
        StreamBench bench;
        serve_folder(bench.server, folder, "/v/");
        bench.server.on("/v/index4.ts", row.fourth);
        bench.server.on("/v/index5.ts", row.last);
        const auto saved = bench.save("/v/index.m3u8", ++fence);
        CHECK_MESSAGE(saved.code == row.code, saved.message);
        CHECK(bench.nothing_left());
        CHECK(published_files(bench) == (saved.code == "ok" ? 3 : 0));
    }
}

TEST_CASE("a server that does not know Range still gives the parts of an HLS stream's file") {
    if (helper_or_skip().empty()) return;
    const auto folder = Streams::get().folder("ranges");
    StreamBench bench;
    serve_folder(bench.server, folder, "/v/");
    for (const auto& entry : fs::directory_iterator(folder))
        if (entry.path().extension() != ".m3u8")
            bench.server.on("/v/" + entry.path().filename().string(),
                            test::serve({.bytes = read_file(entry.path().string()), .ranges = false}));
    const auto saved = bench.save("/v/index.m3u8");
    REQUIRE_MESSAGE(saved.code == "ok", saved.message);
    CHECK(video_md5(bench.finished(saved.done)) == video_md5(Clips::get()["plain.mp4"]));
}
