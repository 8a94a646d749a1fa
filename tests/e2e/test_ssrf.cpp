// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>

#include "e2e/hostile_addresses.hpp"
#include "e2e/support.hpp"

// Hostile addresses by every door that an address can come in: nobody who is not allowed is reached, and the
// control shows that he would be.
namespace jobruntime::e2e {
namespace {

using extract_test::Canary;

/// A runtime's: the networks that it may reach, and the names that the tests give away.
Variables reaching(const std::string& nets, Variables more = {}) {
    more["JOBRT_ALLOW_NETS"] = nets;
    more["LD_PRELOAD"] = tests::program("libe2e_false_names.so");
    return more;
}

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
    return reaching(nets, {{"JOBRT_CONFIG", folder / "page.json"}, {"JOBRT_CONCURRENCY", "4"}});
}

/// A runtime whose extractor is a program that answers what the test has written down.
struct Told {
    Told(const Folder& folder, const std::string& nets, const char* concurrency = "4")
        : answers(folder / "answers"), variables(environment(folder)) {
        std::filesystem::create_directory(answers);
        std::ofstream(folder / "mine.sh") << "#!/bin/sh\nread -r request\nn=${request##*?n=}\ncat \"" + answers +
                                                 "/${n%%[!a-z0-9-]*}\"\n";
        std::filesystem::permissions(folder / "mine.sh", std::filesystem::perms::owner_all);
        std::ofstream(folder / "mine.json")
            << R"({"extractors":{"mine":{"command":["./mine.sh"]}},"platforms":{"web":{"extractors":["mine"]}}})";
        for (const auto& [name, value] :
             reaching(nets, {{"JOBRT_CONFIG", folder / "mine.json"}, {"JOBRT_CONCURRENCY", concurrency}}))
            variables[name] = value;
        runtime.emplace(folder, false, variables);
    }
    std::string save(const test::TestServer& site, const std::string& name, const boost::json::object& info) {
        std::ofstream(answers + "/" + name) << boost::json::serialize(info) << "\n";
        return runtime->save(site.url("/post?n=" + name));
    }
    /// What is known of a post whose answer is written down already.
    boost::json::object extract(const test::TestServer& site, const std::string& name) const {
        const auto ended = jobrt({"extract", site.url("/post?n=" + name), "--extractor", "mine"}, variables, answers);
        CHECK_MESSAGE(ended.status.success(), ended.err);
        return ended.status.success() ? boost::json::parse(ended.out).as_object() : boost::json::object();
    }
    std::string answers;
    Variables variables;
    std::optional<Runtime> runtime;
};

boost::json::object one_source(const std::string& url, const char* protocol, const std::string& thumbnail) {
    return {{"title", "hostile"},
            {"thumbnail", thumbnail},
            {"formats", {{{"url", url}, {"protocol", protocol}, {"ext", "mp4"}, {"height", 100}}}}};
}

/// A playlist or manifest with one hostile address in it.
struct Listing {
    std::string place;
    std::string text;
    bool dash = false;
    std::string name(const std::string& prefix, std::size_t i) const {
        return prefix + place + "-" + std::to_string(i) + (dash ? ".mpd" : ".m3u8");
    }
};

/// Where an address can stand in HLS and DASH: each place with `at(place)` in it. What is fetched beside it says nothing,
/// so that the hostile address decides.
std::vector<Listing> listings_with(const std::function<std::string(const std::string& place)>& at) {
    const std::string begin = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:4\n";
    const std::string piece = "#EXTINF:4,\n/clip.ts\n#EXT-X-ENDLIST\n";
    const auto manifest = [](const std::string& base, const std::string& attributes) {
        return "<MPD mediaPresentationDuration=\"PT4S\"><Period>" + base +
               "<AdaptationSet mimeType=\"video/mp4\"><SegmentTemplate duration=\"2\" " + attributes +
               "/><Representation/></AdaptationSet></Period></MPD>";
    };
    return {{"segment", begin + "#EXTINF:4,\n" + at("segment") + "\n#EXT-X-ENDLIST\n"},
            {"key", begin + "#EXT-X-KEY:METHOD=AES-128,URI=\"" + at("key") + "\"\n" + piece},
            {"map", begin + "#EXT-X-MAP:URI=\"" + at("map") + "\"\n" + piece},
            {"variant", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000000,RESOLUTION=320x180\n" + at("variant") + "\n"},
            {"rendition", "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",DEFAULT=YES,URI=\"" + at("rendition") +
                              "\"\n#EXT-X-STREAM-INF:BANDWIDTH=1000000,AUDIO=\"a\"\n/clip.m3u8\n"},
            {"base", manifest("<BaseURL>" + escaped(at("base")) + "/</BaseURL>", "media=\"$Number$\""), true},
            {"template", manifest("", "media=\"" + escaped(at("template")) + "?$Number$\""), true},
            {"init", manifest("", "initialization=\"" + escaped(at("init")) + "\" media=\"/clip.ts?$Number$\""), true}};
}

constexpr const char* playlist_type = "Content-Type: application/vnd.apple.mpegurl\r\n";

/// Patient where this machine's own address is allowed. What only looks up a name that nobody has takes long everywhere.
bool names_this_machine(const Row& row) { return row.patient && row.text.find("video.invalid") == std::string::npos; }

/// The jobs of a row by all that a stream is made of: its address as the playlist and as the manifest, in every place of
/// both, and there also behind a redirect of the site's own.
std::vector<std::string> stream_jobs(Told& told, test::TestServer& site, const Canary& canary, std::size_t i,
                                     const std::string& thumbnail) {
    const auto number = std::to_string(i);
    const auto at = [&](const std::string& place) { return written(table()[i], canary, "/" + place + "-" + number); };
    std::vector<std::string> jobs{
        told.save(site, "list-" + number, one_source(at("list"), "m3u8_native", thumbnail)),
        told.save(site, "manifest-" + number, one_source(at("manifest"), "http_dash_segments", thumbnail))};
    site.on("/clip.ts", test::silence());
    site.on("/clip.m3u8", test::status(200, playlist_type, "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n/clip.ts\n#EXT-X-ENDLIST\n"));
    const auto add = [&](const std::string& prefix, const std::vector<Listing>& listings) {
        for (const auto& listing : listings) {
            const auto name = listing.name(prefix, i);
            const auto* type = listing.dash ? "Content-Type: application/dash+xml\r\n" : playlist_type;
            site.on("/" + name, test::status(200, type, listing.text));
            const auto answer = prefix + listing.place + "-" + number;
            const auto* protocol = listing.dash ? "http_dash_segments" : "m3u8_native";
            jobs.push_back(told.save(site, answer, one_source(site.url("/" + name), protocol, thumbnail)));
        }
    };
    add("", listings_with(at));
    add("moved-", listings_with([&](const std::string& place) {
        const auto moved = "/moved-" + place + "-" + number;
        site.on(place == "base" ? moved + "/1" : moved, test::redirect(at("moved-" + place)));
        return moved;
    }));
    return jobs;
}

/// The jobs of one row: its address as the file, as the sound, in all that a stream is made of; each time also as the thumbnail.
std::vector<std::string> media_jobs(Told& told, test::TestServer& site, const Canary& canary, std::size_t i) {
    const auto number = std::to_string(i);
    const auto at = [&](const std::string& place) { return written(table()[i], canary, "/" + place + "-" + number); };
    const auto thumbnail = at("thumbnail");
    std::vector<std::string> jobs{told.save(site, "file-" + number, one_source(at("file"), "https", thumbnail))};
    if (table()[i].patient) return jobs;
    auto sound = one_source(site.url("/clip.mp4"), "https", thumbnail);
    sound["formats"].as_array()[0].as_object()["sound"] = {{"url", at("sound")}, {"protocol", "https"}};
    jobs.push_back(told.save(site, "sound-" + number, sound));
    for (auto& id : stream_jobs(told, site, canary, i, thumbnail)) jobs.push_back(std::move(id));
    return jobs;
}

TEST_CASE("submitted addresses, redirects of pages, and what pages ask for reach nobody who is not allowed") {
    const Canary canary;
    test::TestServer site;
    serve_pages(site, canary, [&] { return has_asked_all(site); });
    const Folder folder;
    Runtime runtime(folder, false, reaching(only_site, {{"PLAYWRIGHT_SETTLE_MS", "1000"}}));
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

TEST_CASE("files, playlists, manifests, what stands in them, and sounds reach nobody who is not allowed") {
    const Canary canary;
    test::TestServer site;
    site.on("/clip.mp4", test::serve({.bytes = made_clip()}));
    const Folder folder, other_folder;
    Told told(folder, only_site);
    test::TestServer other("127.0.0.3");  // There this machine's own names are refused, which is told at once.
    Told patient(other_folder, only_other_site, "64");
    std::vector<std::pair<Row, std::string>> jobs, waiting;
    const auto picture = other.url("/picture.jpg");  // A hostile one might be all that is seen of a row.
    for (std::size_t i = 0; i < table().size(); ++i)
        if (names_this_machine(table()[i]))
            for (auto& id : stream_jobs(patient, other, canary, i, picture)) waiting.emplace_back(table()[i], std::move(id));
    for (std::size_t i = 0; i < table().size(); ++i)
        for (auto& id : media_jobs(told, site, canary, i)) jobs.emplace_back(table()[i], std::move(id));
    int blocked = 0;
    for (const auto& [row, id] : jobs) {
        const auto job = tried(*told.runtime, id);
        INFO(text_of(job));
        CHECK_FALSE(text(job, "errorCode").empty());
        if (row.code != nullptr) CHECK(text(job, "errorCode") == row.code);
        if (text(job, "errorCode") != "SSRF_BLOCKED") continue;
        ++blocked;
        const auto error = text(job, "error");
        const auto setting = error.find("JOBRT_ALLOW_NETS");
        CHECK((setting != std::string::npos && setting == error.rfind("JOBRT_ALLOW_NETS")));
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
        for (const std::string prefix : {"", "moved-"})
            for (const auto& listing : listings_with([](const auto& place) { return place; })) {
                const auto list = "/" + listing.name(prefix, i);
                if (names_this_machine(table()[i]))
                    CHECK_MESSAGE(std::any_of(read.begin(), read.end(), [&](const auto& one) { return one.target == list; }), list);
            }
    none_reached(canary);
}

TEST_CASE("a thumbnail's address is kept where its network is allowed, and fetched by nobody even there") {
    const Canary canary;
    test::TestServer site("127.0.0.3");
    site.on("/clip.mp4", test::serve({.bytes = made_clip()}));
    std::map<std::string, std::vector<std::string>> kept;  // By network.
    for (const auto* nets : {only_other_site, with_canary}) {
        const Folder folder;
        Told told(folder, nets);
        std::vector<std::string> jobs;
        for (std::size_t i = 0; i < table().size(); ++i) {
            const auto name = "thumbnail-" + std::to_string(i);
            jobs.push_back(told.save(site, name, one_source(site.url("/clip.mp4"), "https", written(table()[i], canary, "/" + name))));
            kept[nets].push_back(text(told.extract(site, name), "thumbnail"));
        }
        for (const auto& id : jobs) {
            const auto job = tried(*told.runtime, id);
            INFO(text_of(job));
            CHECK(text(job, "status") == "completed");
        }
        none_reached(canary);  // The picture is taken from the video.
    }
    int dropped = 0;
    for (std::size_t i = 0; i < table().size(); ++i) {
        const auto& row = table()[i];
        CAPTURE(row.text);
        const auto& guarded = kept[only_other_site][i];
        CAPTURE(guarded);
        // A name that nobody has may stay, and one that leads elsewhere, too: whoever fetches vets what he dials.
        const bool harmless = guarded.empty() || guarded.starts_with("http://video.invalid") ||
                              row.text == mixed_name || row.text == turning_name;
        CHECK(harmless);
        if (guarded.empty() && !kept[with_canary][i].empty()) ++dropped;
    }
    CHECK(dropped >= 8);  // The others are no addresses for us, or private in every network.
}

TEST_CASE("control: every door leads to the canary when its network is allowed") {
    const Canary canary;
    test::TestServer site;
    serve_pages(site, canary, [&] { return has_seen_page(canary); });
    const std::size_t each_way[] = {0, row_of(private_name)};  // An address, and a name.
    const auto sees = [&](const std::string& path) {
        const bool seen = eventually(20s, [&] { return canary.seen().contains(path); });
        CHECK_MESSAGE(seen, path << " is not among " << canary.seen_text());
    };
    {
        const Folder folder;
        Runtime runtime(folder, false, reaching(with_canary));
        runtime.save(site.url("/inside"));
        for (const auto i : each_way) {
            const auto number = std::to_string(i);
            runtime.save(site.url("/moved-" + number));
            runtime.save(written(table()[i], canary, "/api-" + number));
            sees("/api-" + number);
            sees("/moved-" + number);
        }
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
        for (const auto i : each_way) {
            for (const auto& page : embedding_pages(site, canary, i)) runtime.save(page);
            for (const auto* place : {"/oembed-", "/frame-", "/embedded-", "/moved-oembed-", "/moved-frame-"})
                sees(place + std::to_string(i));
        }
    }
    const Folder folder;
    Told told(folder, with_canary, "64");  // The canary's answers are no media, which is tried again for long.
    site.on("/clip.mp4", test::serve({.bytes = made_clip()}));
    const auto sees_streams = [&](std::size_t i) {
        const auto number = std::to_string(i);
        for (const auto& place : {"/list-" + number, "/manifest-" + number, "/base-" + number + "/1"}) sees(place);
        for (const auto& listing : listings_with([](const auto& place) { return place; })) {
            if (listing.place != "base") sees("/" + (listing.place + "-" + number));
            sees("/moved-" + (listing.place + "-" + number));
        }
    };
    for (const auto i : each_way) {
        media_jobs(told, site, canary, i);
        sees("/file-" + std::to_string(i));
        sees("/sound-" + std::to_string(i));
        sees_streams(i);
    }
    // What makes a name look harmless does not keep it from leading there.
    for (const auto* name : {mixed_name, turning_name}) {
        const auto i = row_of(name);
        media_jobs(told, site, canary, i);
        stream_jobs(told, site, canary, i, site.url("/picture.jpg"));
        sees("/file-" + std::to_string(i));
        sees_streams(i);
    }
}

}  // namespace
}  // namespace jobruntime::e2e
