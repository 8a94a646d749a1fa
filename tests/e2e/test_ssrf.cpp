// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>

#include "e2e/support.hpp"
#include "unit/extract/canary.hpp"

// Hostile addresses by every door that an address can come in: nobody who is not allowed is reached, and the
// control shows that he would be.
namespace jobruntime::e2e {
namespace {

using extract_test::Canary;

/// One hostile address; P is the canary's port, N the place that the path tells. Where `control` says so, Chromium
/// goes to the canary with it once that is allowed.
struct Row {
    std::string text;
    bool control = false;
    bool patient = false;  // Its host is not refused but only not there, so that a stream is tried again for long.
    const char* code = nullptr;  // No canary can stand there: only the code tells that it was refused.
};

const std::vector<Row>& table() {
    static const std::vector<Row> rows = {
        {"http://127.0.0.2:PN", true},
        {"https://127.0.0.2:PN"},
        {"http://127.2:PN", true},
        {"http://2130706434:PN", true},
        {"http://0x7f.2:PN", true},
        {"http://0x7f000002:PN", true},
        {"http://0177.0.0.2:PN", true},
        {"http://127.0.0.2.:PN", true},
        {"http://%31%32%37.0.0.2:PN", true},
        {"http://\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.2:PN", true},  // Full-width digits.
        {"http://user@127.0.0.2:PN"},
        {"http://user:password@127.0.0.2:PN"},
        {"http://a@video.invalid@127.0.0.2:PN"},
        {"http://127.0.0.2:P\\@video.invalidN"},
        {"http://video.invalid\\@127.0.0.2:PN"},
        {"http://video.invalid#@127.0.0.2:PN", false, true},
        {"http://video.invalid?@127.0.0.2:PN", false, true},
        {"http://127.0.0.2:P#@video.invalidN"},
        {"http:\\\\127.0.0.2:PN", true},
        {"http:///127.0.0.2:PN", true},
        {"//127.0.0.2:PN", true},
        {"HTTP://127.0.0.2:PN", true},
        {"http://[::1]:PN"},
        {"http://[0:0:0:0:0:0:0:1]:PN"},
        {"http://[::ffff:127.0.0.2]:PN"},
        {"http://[::ffff:7f00:2]:PN"},
        {"http://[::127.0.0.2]:PN"},
        {"http://[64:ff9b::7f00:2]:PN"},
        {"http://[2002:7f00:2::1]:PN"},
        {"http://localhost:PN", false, true},
        {"http://LOCALHOST.:PN", false, true},
        {"http://a.localhost:PN", false, true},
        {"http://0:PN"},
        {"http://0.0.0.0:PN"},
        {"http://169.254.169.254/latest/meta-dataN", false, false, "SSRF_BLOCKED"},
        {"http://10.0.0.1:PN", false, false, "SSRF_BLOCKED"},
        {"ftp://127.0.0.2:PN"},
        {"gopher://127.0.0.2:PN"},
        {"file:///etc/passwd?N"},
        {"http://100.64.0.1:PN", false, false, "SSRF_BLOCKED"},
        {"http://[fe80::1]:PN", false, false, "INVALID_URL"},
    };
    return rows;
}

std::string written(const Row& row, const Canary& canary, const std::string& place) {
    std::string text = row.text;
    if (const auto at = text.find(":P"); at != std::string::npos) text.replace(at + 1, 1, std::to_string(canary.port()));
    return text.substr(0, text.size() - 1) + place;
}

/// Whom the browser may ask: the site alone, or the canary, too.
constexpr const char* only_site = "127.0.0.1/32";
constexpr const char* with_canary = "127.0.0.0/8,::1/128";

void none_reached(const Canary& canary) {
    CHECK_MESSAGE(canary.connections() == 0, canary.seen_text());
    CHECK(canary.datagrams() == 0);
}

bool has_asked_all(const test::TestServer& site) {
    const auto asked = site.requests();
    return std::any_of(asked.begin(), asked.end(), [](const auto& one) { return one.target == "/all-tried"; });
}

/// The place that the page of the control asks the canary for by row `i`.
std::string place_of(std::size_t i) { return "/page-" + std::to_string(i); }

bool has_seen_page(const Canary& canary) {
    const auto seen = canary.seen();
    if (!seen.contains("/@video.invalid/page-13")) return false;
    for (std::size_t i = 0; i < table().size(); ++i)
        if (table()[i].control && !seen.contains(place_of(i))) return false;
    return true;
}

/// Every row as an image, a request of a script and a frame of one page.
std::string page_of(const Canary& canary) {
    boost::json::array all;
    for (std::size_t i = 0; i < table().size(); ++i)
        all.emplace_back(written(table()[i], canary, place_of(i)));
    return "<!doctype html><title>hostile</title><body><script>const all=" + boost::json::serialize(all) +
           ";for(const u of all){try{new Image().src=u;fetch(u,{mode:'no-cors'}).catch(()=>{});"
           "const f=document.createElement('iframe');f.src=u;document.body.append(f)}catch(e){}}"
           "fetch('/all-tried')</script><script src=/parsed.js></script>";
}

void serve_pages(test::TestServer& site, const Canary& canary, std::function<bool()> seen_all) {
    site.on("/inside", test::status(200, "Content-Type: text/html; charset=utf-8\r\n", page_of(canary)));
    site.on("/all-tried", test::status(200));
    // A page is watched for a moment after it is parsed. Its last script puts that off until it was seen to ask for all.
    site.on("/parsed.js", [seen_all = std::move(seen_all)](const auto& to, const auto& request) {
        eventually(20s, seen_all);
        test::status(200, "Content-Type: text/javascript\r\n")(to, request);
    });
    for (std::size_t i = 0; i < table().size(); ++i) {
        const auto number = std::to_string(i);
        site.on("/moved-" + number, test::redirect(written(table()[i], canary, "/moved-" + number)));
    }
}

/// An address as the value of an attribute.
std::string escaped(const std::string& text) {
    std::string out;
    for (const char c : text) out += c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '"' ? "&quot;" : std::string(1, c);
    return out;
}

std::string text_of(const boost::json::object& job) { return boost::json::serialize(job); }

/// What a page embeds: its oEmbed endpoint, a frame, a frame that such an endpoint answers with, and the first two by
/// a redirect of the site's own. The addresses of their pages.
std::vector<std::string> embedding_pages(test::TestServer& site, const Canary& canary, std::size_t i) {
    const auto number = std::to_string(i);
    std::vector<std::string> pages;
    const auto at = [&](const std::string& place) { return written(table()[i], canary, "/" + place + "-" + number); };
    const auto page = [&](const std::string& place, const std::string& body) {
        site.on("/page-" + place + "-" + number,
                test::status(200, "Content-Type: text/html; charset=utf-8\r\n", "<!doctype html><title>embeds</title>" + body));
        pages.push_back(site.url("/page-" + place + "-" + number));
    };
    const auto endpoint = [](const std::string& url) {
        return "<link rel=alternate type=application/json+oembed href=\"" + escaped(url) + "\">";
    };
    const auto frame = [](const std::string& url) { return "<iframe src=\"" + escaped(url) + "\"></iframe>"; };
    page("oembed", endpoint(at("oembed")));
    page("frame", frame(at("frame")));
    site.on("/embed-" + number, test::status(200, "Content-Type: application/json\r\n",
                                             boost::json::serialize(boost::json::object{{"html", frame(at("embedded"))}})));
    page("embedded", endpoint("/embed-" + number));
    for (const auto* place : {"oembed", "frame"}) {
        const auto moved = std::string("moved-") + place;
        site.on("/" + moved + "-" + number, test::redirect(at(moved)));
        page(moved, (place[0] == 'o' ? endpoint : frame)("/" + moved + "-" + number));
    }
    return pages;
}

/// A runtime that asks nobody but the page extractor.
Variables page_alone(const Folder& folder, const std::string& nets) {
    std::ofstream(folder / "page.json") << R"({"platforms":{"web":{"extractors":["page"]}}})";
    return {{"JOBRT_ALLOW_NETS", nets}, {"JOBRT_CONFIG", folder / "page.json"}, {"JOBRT_CONCURRENCY", "4"}};
}

/// A runtime whose extractor is a program that answers what the test has written down.
struct Told {
    Told(const Folder& folder, const std::string& nets, const char* concurrency = "4") : answers(folder / "answers") {
        std::filesystem::create_directory(answers);
        std::ofstream(folder / "mine.sh") << "#!/bin/sh\nread -r request\nn=${request##*?n=}\ncat \"" + answers +
                                                 "/${n%%[!a-z0-9-]*}\"\n";
        std::filesystem::permissions(folder / "mine.sh", std::filesystem::perms::owner_all);
        std::ofstream(folder / "mine.json")
            << R"({"extractors":{"mine":{"command":["./mine.sh"]}},"platforms":{"web":{"extractors":["mine"]}}})";
        runtime.emplace(folder, false, Variables{{"JOBRT_ALLOW_NETS", nets},
                                                 {"JOBRT_CONFIG", folder / "mine.json"},
                                                 {"JOBRT_CONCURRENCY", concurrency}});
    }
    std::string save(const test::TestServer& site, const std::string& name, const boost::json::object& info) {
        std::ofstream(answers + "/" + name) << boost::json::serialize(info) << "\n";
        return runtime->save(site.url("/post?n=" + name));
    }
    std::string answers;
    std::optional<Runtime> runtime;
};

boost::json::object one_source(const std::string& url, const char* protocol, const std::string& thumbnail) {
    return {{"title", "hostile"},
            {"thumbnail", thumbnail},
            {"formats", {{{"url", url}, {"protocol", protocol}, {"ext", "mp4"}, {"height", 100}}}}};
}

/// DASH: its manifest with this base address, from which the segments are reckoned.
std::string manifest_at(const std::string& base) {
    return "<MPD mediaPresentationDuration=\"PT4S\"><Period><BaseURL>" + escaped(base) +
           "</BaseURL><AdaptationSet mimeType=\"video/mp4\"><SegmentTemplate duration=\"2\" media=\"$Number$\"/>"
           "<Representation/></AdaptationSet></Period></MPD>";
}

/// An HLS playlist's name, and what stands in it.
using Playlists = std::vector<std::pair<std::string, std::string>>;

/// Where an address can stand in HLS: each place with `at(place)` in it.
Playlists playlists_with(const std::function<std::string(const std::string& place)>& at) {
    const std::string begin = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:4\n";
    const std::string piece = "#EXTINF:4,\n/clip.ts\n#EXT-X-ENDLIST\n";
    return {{"segment", begin + "#EXTINF:4,\n" + at("segment") + "\n#EXT-X-ENDLIST\n"},
            {"key", begin + "#EXT-X-KEY:METHOD=AES-128,URI=\"" + at("key") + "\"\n" + piece},
            {"map", begin + "#EXT-X-MAP:URI=\"" + at("map") + "\"\n" + piece},
            {"variant", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000000,RESOLUTION=320x180\n" + at("variant") + "\n"},
            {"rendition", "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",DEFAULT=YES,URI=\"" + at("rendition") +
                              "\"\n#EXT-X-STREAM-INF:BANDWIDTH=1000000,AUDIO=\"a\"\n/clip.m3u8\n"}};
}

constexpr const char* playlist_type = "Content-Type: application/vnd.apple.mpegurl\r\n";

/// Patient where this machine's own address is allowed. What only looks up a name that nobody has takes long everywhere.
bool names_this_machine(const Row& row) { return row.patient && row.text.find("video.invalid") == std::string::npos; }

/// The jobs of a row that is tried again for long: its address as the playlist, and as what every stream has in it.
std::vector<std::string> patient_jobs(Told& told, test::TestServer& site, const Canary& canary, std::size_t i) {
    const auto number = std::to_string(i);
    const auto at = [&](const std::string& place) { return written(table()[i], canary, "/" + place + "-" + number); };
    const auto picture = site.url("/picture.jpg");  // A hostile one might be all that is seen of a row.
    std::vector<std::string> jobs{told.save(site, "list-" + number, one_source(at("list"), "m3u8_native", picture))};
    site.on("/clip.ts", test::silence());
    for (const auto& [place, list] : playlists_with(at)) {
        if (place != "segment" && place != "key") continue;
        const auto name = place + "-" + number;
        site.on("/" + name + ".m3u8", test::status(200, playlist_type, list));
        jobs.push_back(told.save(site, name, one_source(site.url("/" + name + ".m3u8"), "m3u8_native", picture)));
    }
    return jobs;
}

/// The jobs of one row: its address as the file, the playlist or manifest, what stands in them, and the sound; what
/// stands in playlists also behind a redirect of the site's own; and each time as the thumbnail.
std::vector<std::string> media_jobs(Told& told, test::TestServer& site, const Canary& canary, std::size_t i) {
    const auto number = std::to_string(i);
    const auto at = [&](const std::string& place) { return written(table()[i], canary, "/" + place + "-" + number); };
    const auto thumbnail = at("thumbnail");
    if (table()[i].patient) return {told.save(site, "file-" + number, one_source(at("file"), "https", thumbnail))};
    std::vector<std::string> jobs;
    const auto add = [&](const std::string& prefix, const Playlists& playlists) {
        for (const auto& [place, list] : playlists) {
            const auto name = prefix + place + "-" + number;
            site.on("/" + name + ".m3u8", test::status(200, playlist_type, list));
            jobs.push_back(told.save(site, name, one_source(site.url("/" + name + ".m3u8"), "m3u8_native", thumbnail)));
        }
    };
    // What is fetched beside the row's address says nothing, so that the row decides.
    site.on("/clip.ts", test::silence());
    site.on("/clip.m3u8", test::status(200, playlist_type, "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n/clip.ts\n#EXT-X-ENDLIST\n"));
    add("", playlists_with(at));
    add("moved-", playlists_with([&](const std::string& place) {
        const auto moved = "/moved-" + place + "-" + number;
        site.on(moved, test::redirect(at("moved-" + place)));
        return moved;
    }));
    site.on("/base-" + number + ".mpd",
            test::status(200, "Content-Type: application/dash+xml\r\n", manifest_at(at("base") + "/")));
    auto sound = one_source(site.url("/clip.mp4"), "https", thumbnail);
    sound["formats"].as_array()[0].as_object()["sound"] = {{"url", at("sound")}, {"protocol", "https"}};
    for (auto& id : {told.save(site, "file-" + number, one_source(at("file"), "https", thumbnail)),
                     told.save(site, "list-" + number, one_source(at("list"), "m3u8_native", thumbnail)),
                     told.save(site, "manifest-" + number, one_source(at("manifest"), "http_dash_segments", thumbnail)),
                     told.save(site, "base-" + number,
                               one_source(site.url("/base-" + number + ".mpd"), "http_dash_segments", thumbnail)),
                     told.save(site, "sound-" + number, sound)})
        jobs.push_back(id);
    return jobs;
}

TEST_CASE("submitted addresses, redirects of pages, and what pages ask for reach nobody who is not allowed") {
    const Canary canary;
    test::TestServer site;
    serve_pages(site, canary, [&] { return has_asked_all(site); });
    const Folder folder;
    Runtime runtime(folder, false, {{"JOBRT_ALLOW_NETS", only_site}, {"PLAYWRIGHT_SETTLE_MS", "1000"}});
    std::vector<std::pair<std::string, std::string>> jobs;
    for (std::size_t i = 0; i < table().size(); ++i) {
        const auto url = written(table()[i], canary, "/api-" + std::to_string(i));
        const auto answer = http(runtime.port(), "POST", "/api/jobs", boost::json::serialize(boost::json::object{{"url", url}}));
        INFO(url << ": " << answer.body);
        if (answer.status == 201)
            jobs.emplace_back(url, text(answer.json().at("job").get_object(), "id"));
        else
            CHECK(text(answer.json(), "code") == "INVALID_URL");
        jobs.emplace_back("redirect to " + url, runtime.save(site.url("/moved-" + std::to_string(i))));
    }
    jobs.emplace_back("inside", runtime.save(site.url("/inside")));
    int blocked = 0;
    for (const auto& [what, id] : jobs) {
        const auto job = tried(runtime, id);
        INFO(what << ": " << text_of(job));
        CHECK_FALSE(text(job, "errorCode").empty());
        if (text(job, "errorCode") == "SSRF_BLOCKED") ++blocked;
    }
    CHECK(blocked > 20);
    CHECK(has_asked_all(site));
    none_reached(canary);
}

TEST_CASE("oEmbed endpoints and frames of pages lead the page extractor to nobody who is not allowed") {
    const Canary canary;
    test::TestServer site;
    const Folder folder;
    Runtime runtime(folder, false, page_alone(folder, only_site));
    std::vector<std::string> jobs;
    for (std::size_t i = 0; i < table().size(); ++i)
        for (const auto& page : embedding_pages(site, canary, i)) jobs.push_back(runtime.save(page));
    for (const auto& id : jobs) {
        const auto job = tried(runtime, id);
        INFO(text_of(job));
        CHECK_FALSE(text(job, "errorCode").empty());
    }
    // It did follow what the site itself has.
    const auto asked = site.requests();
    for (const auto* own : {"/embed-0", "/moved-oembed-0", "/moved-frame-0"})
        CHECK_MESSAGE(std::any_of(asked.begin(), asked.end(), [&](const auto& one) { return one.target == own; }), own);
    none_reached(canary);
}

TEST_CASE("files, playlists, manifests, what stands in them, sounds and thumbnails reach nobody who is not allowed") {
    const Canary canary;
    test::TestServer site;
    site.on("/clip.mp4", test::serve({.bytes = made_clip()}));
    const Folder folder, other_folder;
    Told told(folder, only_site);
    // The site of these lies elsewhere, so that this machine's own names lead to nobody who is allowed, which is told at once.
    test::TestServer other("127.0.0.3");
    Told patient(other_folder, "127.0.0.3/32", "16");
    std::vector<std::pair<Row, std::string>> jobs, waiting;
    for (std::size_t i = 0; i < table().size(); ++i)
        if (names_this_machine(table()[i]))
            for (auto& id : patient_jobs(patient, other, canary, i)) waiting.emplace_back(table()[i], std::move(id));
    for (std::size_t i = 0; i < table().size(); ++i)
        for (auto& id : media_jobs(told, site, canary, i)) jobs.emplace_back(table()[i], std::move(id));
    int blocked = 0;
    for (const auto& [row, id] : jobs) {
        const auto job = tried(*told.runtime, id);
        INFO(text_of(job));
        CHECK_FALSE(text(job, "errorCode").empty());
        if (row.code != nullptr) CHECK(text(job, "errorCode") == row.code);
        if (text(job, "errorCode") == "SSRF_BLOCKED") ++blocked;
    }
    CHECK(blocked > 10);
    for (const auto& [row, id] : waiting) {
        const auto job = tried(*patient.runtime, id);
        INFO(row.text << ": " << text_of(job));
        CHECK_FALSE(text(job, "errorCode").empty());
        // Not all machines know names below localhost, and with a dot behind it is no address that is taken.
        if (row.text.find("//localhost") != std::string::npos) CHECK(text(job, "errorCode") == "SSRF_BLOCKED");
    }
    // They were read up to the addresses in them.
    const auto read = other.requests();
    for (std::size_t i = 0; i < table().size(); ++i)
        for (const std::string place : {"/segment-", "/key-"}) {
            const auto list = place + std::to_string(i) + ".m3u8";
            if (names_this_machine(table()[i]))
                CHECK_MESSAGE(std::any_of(read.begin(), read.end(), [&](const auto& one) { return one.target == list; }), list);
        }
    // A thumbnail's address is vetted and kept, but nobody fetches it: the picture is taken from the video.
    const auto saved = tried(*told.runtime, told.save(site, "thumbnail", one_source(site.url("/clip.mp4"), "https",
                                                                                   site.url("/picture.jpg"))));
    INFO(text_of(saved));
    CHECK(text(saved, "status") == "completed");
    const auto asked = site.requests();
    CHECK(std::none_of(asked.begin(), asked.end(), [](const auto& one) { return one.target == "/picture.jpg"; }));
    none_reached(canary);
}

TEST_CASE("control: every door leads to the canary when its network is allowed") {
    const Canary canary;
    test::TestServer site;
    serve_pages(site, canary, [&] { return has_seen_page(canary); });
    const auto sees = [&](const std::string& path) {
        const bool seen = eventually(20s, [&] { return canary.seen().contains(path); });
        CHECK_MESSAGE(seen, path << " is not among " << canary.seen_text());
    };
    {
        const Folder folder;
        Runtime runtime(folder, false, {{"JOBRT_ALLOW_NETS", with_canary}});
        runtime.save(site.url("/inside"));
        runtime.save(site.url("/moved-0"));
        runtime.save(written(table()[0], canary, "/api-0"));
        sees("/api-0");
        sees("/moved-0");
        // Chromium loads no part of a page from an address with a user name, but goes there as a redirect says.
        runtime.save(site.url("/moved-12"));
        sees("/moved-12");
        sees("/@video.invalid/page-13");
        for (std::size_t i = 0; i < table().size(); ++i)
            if (table()[i].control) {
                CAPTURE(table()[i].text);
                sees(place_of(i));
            }
    }
    {
        const Folder folder;
        Runtime runtime(folder, false, page_alone(folder, with_canary));
        for (const auto& page : embedding_pages(site, canary, 0)) runtime.save(page);
        for (const auto* place : {"/oembed-0", "/frame-0", "/embedded-0", "/moved-oembed-0", "/moved-frame-0"}) sees(place);
    }
    const Folder folder;
    Told told(folder, with_canary);
    site.on("/clip.mp4", test::serve({.bytes = made_clip()}));
    media_jobs(told, site, canary, 0);
    for (const auto* place : {"/file-0", "/list-0", "/manifest-0", "/base-0/1", "/sound-0"}) sees(place);
    for (const auto* place : {"segment-0", "key-0", "map-0", "variant-0", "rendition-0"}) {
        sees(std::string("/") + place);
        sees(std::string("/moved-") + place);
    }
    CHECK_FALSE(canary.seen().contains("/thumbnail-0"));
}

}  // namespace
}  // namespace jobruntime::e2e
