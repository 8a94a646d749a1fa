// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <sys/stat.h>

#include <boost/json.hpp>
#include <jobruntime/extract.hpp>

#include "extract/page_tape.hpp"
#include "page_server.hpp"

// Extractions that are taken down, and told again without their sites.
using namespace jobruntime;
using namespace std::chrono_literals;
using extract_test::PageServer;
using extract_test::read_file;
using extract_test::Reply;
using extract_test::TempFolder;

namespace {

const auto loopback = net::Network::parse_list("127.0.0.0/8").value();

/// Everything that a folder's files say.
std::string all_of(const std::string& folder) {
    std::string text;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) text += read_file(entry.path());
    return text;
}

std::string in_json(const Result<MediaInfo>& info) {
    return info ? boost::json::serialize(to_json(*info)) : info.error().name + ": " + info.error().message;
}

/// A site of several steps: a token, then a query that shows it, then what it says of a video.
struct Talks {
    PageServer server;
    TempFolder folder;
    std::string tmp = folder / "tmp";

    Talks() {
        std::filesystem::create_directory(tmp);
        server.add("/token", [](auto&, auto&) {
            return Reply{.type = "application/json",
                         .body = R"({"access":{"token":"tok-12345678"}})",
                         .headers = {"Set-Cookie: visitor=cookie-abcdef; Path=/"}};
        });
        server.add("/talk", [this](const std::string& target, const std::string& request) {
            if (target.find("access_token=tok-12345678") == std::string::npos ||
                request.find("authorization: Bearer tok-12345678") == std::string::npos)
                return Reply{.status = 403, .type = "application/json", .body = "{}"};
            return Reply{.type = "application/json",
                         .body = R"({"talk":{"name":"A talk","token":"tok-12345678","files":[{"href":")" +
                                 server.url("/talk.mp4") + R"("}]}})"};
        });
    }
    boost::json::object rules() const {
        const std::string text =
            R"({"talks":{"hosts":["127.0.0.1"],"ways":[{"cookies":true,"steps":[
            {"post":")" +
            server.url("/token") + R"(","keep":{"token":"access/token"}},
            {"get":")" +
            server.url("/talk") +
            R"(?id={id}&access_token={token}","headers":{"authorization":"Bearer {token}"}}],
            "read":{"root":"talk","title":"name","sources":[{"each":"files/*","url":"href"}]}}]}})";
        return boost::json::parse(text).as_object();
    }
    ExtractRequest request() const {
        ExtractRequest asked;
        asked.url = server.url("/t/7");
        asked.platform = "talks";
        asked.post_id = "7";
        asked.timeout = 10s;
        asked.tmp_dir = tmp;
        return asked;
    }
    /// A replay may not even know which networks are allowed.
    Result<MediaInfo> ask(extract::Recording* recording,
                          const std::vector<net::Network>& allowed = {}) const {
        const net::Fetcher fetcher({.allow_nets = loopback, .user_agent = {}});
        extract::PageExtractor page(fetcher, extract::PageRules::parse(rules()).value(),
                                    {.allow_nets = allowed, .recording = recording});
        return page.extract(request(), {});
    }
    extract::RecordedCase as_case(const Result<MediaInfo>& info) const {
        const auto asked = request();
        return {asked.url, asked.platform, asked.post_id,
                1,         "page",         info ? to_json(*info) : boost::json::object()};
    }
    int hits() const { return server.hits("/token") + server.hits("/talk"); }
};

}  // namespace

TEST_CASE("a page that was asked in several steps is told again without its server, and without secrets") {
    Talks site;
    extract::Recording taken;
    const auto live = site.ask(&taken, loopback);
    REQUIRE_MESSAGE(live.has_value(), live.error().message);
    REQUIRE(live->cookies.size() == 1);
    CHECK(live->cookies[0].value == "cookie-abcdef");
    CHECK(site.hits() == 2);
    const auto kept = taken.save(site.folder / "case", site.as_case(live));
    REQUIRE_MESSAGE(kept.has_value(), kept.error().message);
    const auto text = all_of(site.folder / "case");
    for (const char* secret : {"tok-12345678", "cookie-abcdef", "Bearer"})
        CHECK_MESSAGE(text.find(secret) == std::string::npos, text);
    CHECK(text.find("redacted-") != std::string::npos);

    auto recording = extract::Recording::open(site.folder / "case");
    REQUIRE_MESSAGE(recording.has_value(), recording.error().message);
    CHECK(recording->replays());
    CHECK(recording->asked().post_id == "7");
    auto replayed = site.ask(&*recording);
    REQUIRE_MESSAGE(replayed.has_value(), in_json(replayed));
    CHECK(site.hits() == 2);
    // The same but for what is secret.
    REQUIRE(replayed->cookies.size() == 1);
    CHECK(replayed->cookies[0].name == "visitor");
    CHECK(replayed->cookies[0].value.starts_with("redacted-"));
    CHECK(in_json(replayed) == in_json(live));
    CHECK(boost::json::serialize(recording->asked().answer) == in_json(replayed));
    // The control: without the recording the server hears of it.
    CHECK(site.ask(nullptr, loopback).has_value());
    CHECK(site.hits() == 4);
}

TEST_CASE("what a recording cannot answer is said, and what was refused is refused again") {
    Talks site;
    extract::Recording taken;
    CHECK(site.ask(&taken).error().name == "SSRF_BLOCKED");  // The video lies on a private address.
    REQUIRE(taken.save(site.folder / "case", site.as_case(Error{})).has_value());
    auto recording = extract::Recording::open(site.folder / "case");
    REQUIRE(recording.has_value());
    CHECK(site.ask(&*recording, loopback).error().name == "SSRF_BLOCKED");
    CHECK(taken.save(site.folder / "case", site.as_case(Error{})).error().name == "RECORDING_NOT_WRITTEN");
    CHECK(extract::Recording::check_folder(site.folder / "case").error().name == "RECORDING_NOT_WRITTEN");
    CHECK(extract::Recording::check_folder(site.folder / "case" + "/case.json").error().name == "RECORDING_NOT_WRITTEN");
    for (const auto& free : {site.tmp, site.folder / "nowhere"}) CHECK(extract::Recording::check_folder(free).has_value());

    const auto file = site.folder / "case" + "/case.json";
    auto text = read_file(file);
    for (auto at = text.find("/talk?"); at != std::string::npos; at = text.find("/talk?"))
        text.replace(at, 6, "/other?");
    std::ofstream(file) << text;
    auto other = extract::Recording::open(site.folder / "case");
    REQUIRE(other.has_value());
    CHECK(site.ask(&*other).error().name == "RECORDING_INCOMPLETE");
    CHECK(site.hits() == 2);
}

TEST_CASE("cookies that the requests' jar has are in no file, but those of other sites are words like others") {
    PageServer server;
    const TempFolder folder;
    server.add("/go", [](auto&, auto&) {
        return Reply{.status = 302,
                     .headers = {"Location: /watch", "Set-Cookie: hop=hop-secret-1; Path=/elsewhere",
                                 "Set-Cookie: session=new-secret-1; Path=/"}};
    });
    server.page("/watch", "<title>somebody's film</title><p>old-secret-1 hop-secret-1 new-secret-1 file-secret-1</p>"
                          "<video src=/clip.mp4></video>");
    std::ofstream(folder / "cookies.txt") << "127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\told-secret-1\n"
                                          << "127.0.0.1\tFALSE\t/members\tFALSE\t0\tmember\tfile-secret-1\n"
                                          << "other.example.org\tFALSE\t/\tFALSE\t0\twho\tsomebody\n";
    ExtractRequest asked;
    asked.url = server.url("/go");
    asked.platform = "web";
    asked.timeout = 10s;
    asked.tmp_dir = folder / "tmp";
    const net::Fetcher fetcher({.allow_nets = loopback, .user_agent = {}});
    const auto ask = [&](extract::Recording* recording) {
        extract::PageExtractor page(fetcher, extract::PageRules::parse(extract::default_page_rules()).value(),
                                    {.allow_nets = loopback, .recording = recording});
        return page.extract(asked, {});
    };
    asked.cookies_file = folder / "cookies.txt";
    extract::Recording taken;
    const auto live = ask(&taken);
    REQUIRE_MESSAGE(live.has_value(), live.error().message);
    CHECK(live->cookies.size() == 3);  // hop, session, member
    REQUIRE(taken.save(folder / "case", {asked.url, "web", {}, 1, "page", to_json(*live)}).has_value());
    const auto text = all_of(folder / "case");
    for (const char* secret : {"old-secret-1", "hop-secret-1", "new-secret-1", "file-secret-1"})
        CHECK_MESSAGE(text.find(secret) == std::string::npos, text);
    CHECK(text.find("somebody's film") != std::string::npos);

    asked.cookies_file.clear();
    auto recording = extract::Recording::open(folder / "case");
    REQUIRE(recording.has_value());
    CHECK(in_json(ask(&*recording)) == in_json(live));
}

TEST_CASE("cookies that a program gives for the download are in no file") {
    const TempFolder folder;
    std::ofstream(folder / "program")
        << "#!/bin/sh\necho '{\"type\":\"result\",\"title\":\"T\",\"formats\":[{\"url\":\"http://127.0.0.1/a.mp4\","
           "\"cookies\":\"sid=program-secret-1; Domain=.example.org; Path=/\","
           "\"http_headers\":{\"Authorization\":\"Bearer header-secret-1\"}}]}'\n";
    std::filesystem::permissions(folder / "program", std::filesystem::perms::owner_all);
    std::filesystem::create_directory(folder / "tmp");
    const auto ask = [&](extract::Recording* recording) {
        extract::CommandOptions options;
        options.name = "mine";
        options.argv = {folder / "program"};
        options.environment = {"PATH=/usr/local/bin:/usr/bin:/bin"};
        options.allow_nets = loopback;
        options.recording = recording;
        ExtractRequest request;
        request.url = "http://127.0.0.1/talk/1";
        request.platform = "web";
        request.timeout = 20s;
        request.tmp_dir = folder / "tmp";
        return extract::CommandExtractor(options).extract(request, {});
    };
    extract::Recording taken;
    const auto live = ask(&taken);
    REQUIRE_MESSAGE(live.has_value(), live.error().message);
    REQUIRE(live->cookies.size() == 1);
    CHECK(live->cookies[0].value == "program-secret-1");
    REQUIRE(taken.save(folder / "case", {"http://127.0.0.1/talk/1", "web", {}, 1, "mine", to_json(*live)}).has_value());
    const auto text = all_of(folder / "case");
    for (const char* secret : {"program-secret-1", "header-secret-1"})
        CHECK_MESSAGE(text.find(secret) == std::string::npos, text);
    auto recording = extract::Recording::open(folder / "case");
    REQUIRE(recording.has_value());
    const auto replayed = ask(&*recording);
    REQUIRE_MESSAGE(replayed.has_value(), in_json(replayed));
    REQUIRE(replayed->cookies.size() == 1);
    CHECK(replayed->cookies[0].value.starts_with("redacted-"));
}

TEST_CASE("a secret in quotes is found in every file, and one of digits leaves JSON what it is") {
    Talks site;
    site.server.add("/token", [](auto&, auto&) {
        return Reply{.type = "application/json",
                     .body = R"({"access":{"token":"tok-12345678"}})",
                     .headers = {R"(Set-Cookie: personal="v1_quoted=="; Path=/)", "Set-Cookie: slash=back\\secret; Path=/",
                                 "Set-Cookie: viewer=8321832183; Path=/"}};
    });
    site.server.add("/talk", [&](auto&, auto&) {
        return Reply{.type = "application/json",
                     .body = R"({"viewer":8321832183,"id":"v1_quoted==","said":"back\\secret","talk":{"name":"A talk",)"
                             R"("files":[{"href":")" + site.server.url("/talk.mp4") + R"("}]}})"};
    });
    extract::Recording taken;
    const auto live = site.ask(&taken, loopback);
    REQUIRE_MESSAGE(live.has_value(), live.error().message);
    CHECK(live->cookies.size() == 3);
    REQUIRE(taken.save(site.folder / "case", site.as_case(live)).has_value());
    const auto text = all_of(site.folder / "case");
    for (const char* secret : {"v1_quoted", "8321832183", "back"}) {
        CAPTURE(secret);
        CHECK_MESSAGE(text.find(secret) == std::string::npos, text);
    }
    auto recording = extract::Recording::open(site.folder / "case");
    REQUIRE_MESSAGE(recording.has_value(), recording.error().message);
    CHECK(in_json(site.ask(&*recording)) == in_json(live));
}

TEST_CASE("what is secret in the address that a redirect leads to is in no file") {
    PageServer server;
    const TempFolder folder;
    server.add("/go", [](auto&, auto&) {
        return Reply{.status = 302, .headers = {"Location: /watch?access_token=moved-secret-1"}};
    });
    server.page("/watch", "<title>a film</title><p>moved-secret-1</p><video src=/clip.mp4></video>");
    ExtractRequest asked;
    asked.url = server.url("/go");
    asked.platform = "web";
    asked.timeout = 10s;
    asked.tmp_dir = folder / "tmp";
    extract::Recording taken;
    const net::Fetcher fetcher({.allow_nets = loopback, .user_agent = {}});
    extract::PageExtractor page(fetcher, extract::PageRules::parse(extract::default_page_rules()).value(),
                                {.allow_nets = loopback, .recording = &taken});
    const auto live = page.extract(asked, {});
    REQUIRE_MESSAGE(live.has_value(), live.error().message);
    REQUIRE(taken.save(folder / "case", {asked.url, "web", {}, 1, "page", to_json(*live)}).has_value());
    const auto text = all_of(folder / "case");
    CHECK_MESSAGE(text.find("moved-secret-1") == std::string::npos, text);
    CHECK(text.find("access_token=redacted-") != std::string::npos);
}

TEST_CASE("what a program wrote about secrets is in no file, whatever became of its answer") {
    const std::string format = R"("cookies":"sid=\"format-secret-1\"; Domain=.example.org; Path=/watch-all",)"
                               R"("http_headers":{"Authorization":"Bearer header-secret-1","Cookie":"a=header-secret-2"})";
    struct Row {
        const char* by;
        std::string line;
        const char* more;
        const char* outcome;
    };
    const Row rows[] = {
        {"yt-dlp", R"({"formats":[{"url":"http://127.0.0.1/s","protocol":"mhtml",)" + format + "}]}", "", "NO_MEDIA"},
        {"yt-dlp", R"({"formats":[{"url":"http://127.0.0.1/a.mp4","has_drm":true,)" + format + "}]}", "", "DRM_PROTECTED"},
        {"yt-dlp", R"({"formats":[{"url":"http://127.0.0.1/a.mp4"},{"url":"http://127.0.0.1/s","protocol":"mhtml",)" + format + "}]}",
         "", "ok"},
        {"yt-dlp", R"({"formats":[{"url":"http://127.0.0.1/a.mp4",)" + format + "}]}", "echo '{}'", "EXTRACTOR_PROTOCOL"},
        {"mine", R"({"type":"result","formats":[{"url":"http://127.0.0.1/a.mp4",)" + format + "}]}", "exit 3", "EXTRACTOR_CRASHED"},
        {"mine", R"({"type":"result","formats":[{"url":"http://127.0.0.1/a.mp4",)" + format + "}]}", "echo '{\"type\":\"result\"}'",
         "EXTRACTOR_PROTOCOL"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.line);
        const TempFolder folder;
        std::ofstream(folder / "line") << row.line << "\n";
        std::ofstream(folder / "program") << "#!/bin/sh\ncat '" << folder / "line" << "'\n" << row.more << "\n";
        std::filesystem::permissions(folder / "program", std::filesystem::perms::owner_all);
        extract::Recording taken;
        ExtractRequest request;
        request.url = "http://127.0.0.1/talk/1";
        request.platform = "web";
        request.timeout = 20s;
        request.tmp_dir = folder / "tmp";
        std::filesystem::create_directory(request.tmp_dir);
        const auto ask = [&]() -> Result<MediaInfo> {
            if (row.by == std::string("mine")) {
                extract::CommandOptions options;
                options.name = row.by;
                options.argv = {folder / "program"};
                options.environment = {"PATH=/usr/local/bin:/usr/bin:/bin"};
                options.allow_nets = loopback;
                options.recording = &taken;
                return extract::CommandExtractor(options).extract(request, {});
            }
            extract::YtDlpOptions options;
            options.program = folder / "program";
            options.environment = {"PATH=/usr/local/bin:/usr/bin:/bin"};
            options.allow_nets = loopback;
            options.recording = &taken;
            return extract::YtDlpExtractor(options).extract(request, {});
        };
        const auto live = ask();
        CHECK((live ? "ok" : live.error().name) == row.outcome);
        REQUIRE(taken.save(folder / "case", {request.url, "web", {}, 1, row.by, {}}).has_value());
        const auto text = all_of(folder / "case");
        for (const char* secret : {"format-secret-1", "header-secret-1", "header-secret-2"})
            CHECK_MESSAGE(text.find(secret) == std::string::npos, text);
        // Where a cookie belongs is no secret.
        for (const char* word : {"example.org", "/watch-all"}) CHECK_MESSAGE(text.find(word) != std::string::npos, text);
    }
}

TEST_CASE("the beginnings of a page's media are fetched once, and only while there is time") {
    PageServer server;
    server.add("/slow.mp4", [](auto&, auto&) { return Reply{.type = "video/mp4", .body = "film", .hang = true}; });
    server.add("/quick.mp4", [](auto&, auto&) { return Reply{.type = "video/mp4", .body = "film"}; });
    extract::Recording taken;
    extract::PageTape tape(taken, [](auto, auto, auto) { return std::int64_t{1}; });
    int number = 0;
    const auto see = [&](const std::string& path) {
        const auto id = std::to_string(++number);
        extract::cdp::Message event;
        event.method = "Network.requestWillBeSent";
        event.params = {{"requestId", id}, {"type", "Media"}, {"request", {{"method", "GET"}, {"url", server.url(path)}}}};
        tape.on_event(event);
        event.method = "Network.responseReceived";
        event.params = {{"requestId", id}, {"type", "Media"}, {"response", {{"status", 200}}}};
        tape.on_event(event);
    };
    const auto take = [&](std::chrono::milliseconds time) {
        tape.take_media(loopback, std::chrono::steady_clock::now() + time, {});
    };
    see("/quick.mp4");
    take(60s);
    CHECK(server.hits("/quick.mp4") == 1);
    // A person has looked, and the page is judged anew.
    take(60s);
    CHECK(server.hits("/quick.mp4") == 1);
    see("/slow.mp4");
    see("/quick.mp4?again");
    const auto began = std::chrono::steady_clock::now();
    take(300ms);
    CHECK(std::chrono::steady_clock::now() - began < 8s);
    CHECK(server.hits("/slow.mp4") == 1);
    CHECK(server.hits("/quick.mp4") == 1);
}

TEST_CASE("a recording that cannot be read says which file is wrong") {
    const TempFolder folder;
    struct Row {
        const char* text;
        const char* why;
    };
    const Row rows[] = {
        {"", "is not JSON"},
        {R"({"v":3})", "another version"},
        {R"({"v":1,"exchanges":[7]})", "no object"},
        {R"({"v":1,"exchanges":[{"by":"page","body":"../secret"}]})", "no file of its folder"},
        {R"({"v":1,"exchanges":[{"by":"page","body":"001.html"}]})", "cannot be read"},
        {R"({"v":1,"exchanges":[{"by":"page","body":"link.html"}]})", "cannot be read"},
        {R"({"v":1,"exchanges":[{"by":"page","body":"pipe.html"}]})", "cannot be read"}};
    // A stranger's folder: what lies elsewhere is not read, and nobody waits for who writes into a pipe.
    std::filesystem::create_directory(folder / "case");
    std::filesystem::create_symlink("/etc/passwd", folder / "case" + "/link.html");
    REQUIRE(::mkfifo((folder / "case" + "/pipe.html").c_str(), 0600) == 0);
    CHECK(extract::Recording::open(folder / "nowhere").error().name == "RECORDING_UNREADABLE");
    std::filesystem::create_directory(folder / "piped");
    REQUIRE(::mkfifo((folder / "piped" + "/case.json").c_str(), 0600) == 0);
    const auto piped = extract::Recording::open(folder / "piped");
    REQUIRE_FALSE(piped.has_value());
    CHECK(piped.error().name == "RECORDING_UNREADABLE");
    CHECK_MESSAGE(piped.error().message.find("no plain file") != std::string::npos, piped.error().message);
    for (const auto& row : rows) {
        CAPTURE(row.text);
        std::ofstream(folder / "case" + "/case.json") << row.text;
        const auto opened = extract::Recording::open(folder / "case");
        REQUIRE_FALSE(opened.has_value());
        CHECK(opened.error().name == "RECORDING_UNREADABLE");
        CHECK_MESSAGE(opened.error().message.find(row.why) != std::string::npos, opened.error().message);
    }
}

TEST_CASE("recordings of the first version had number 1 where nobody had asked for one") {
    const TempFolder folder;
    std::filesystem::create_directory(folder / "case");
    struct Row {
        const char* text;
        int nth;
    };
    for (const Row& row : {Row{R"({"v":1,"nth":1})", 0}, Row{R"({"v":1,"nth":3})", 3}, Row{R"({"v":2,"nth":1})", 1}}) {
        std::ofstream(folder / "case" + "/case.json") << row.text;
        const auto opened = extract::Recording::open(folder / "case");
        REQUIRE_MESSAGE(opened.has_value(), opened.error().message);
        CHECK(opened->asked().nth == row.nth);
    }
}

TEST_CASE("a program's run is told again without the program: lines, complaints, files, its end") {
    struct Row {
        const char* script;
        const char* outcome;  // A source's address, or an error.
    };
    const Row rows[] = {
        {R"(echo looking >&2; echo '{"type":"result","title":"T","formats":[{"url":"http://127.0.0.1/a.mp4"}]}')",
         "http://127.0.0.1/a.mp4"},
        {R"(mkdir sub; echo film > sub/video.mp4; echo '{"type":"result","file":"sub/video.mp4"}')",
         "sub/video.mp4"},
        {R"(echo '{"type":"error","code":"NO_MEDIA","message":"text only"}')", "NO_MEDIA: text only"},
        {"echo hello", "EXTRACTOR_PROTOCOL: line 1 of the program's output is not a JSON object"},
        {"exit 3", "EXTRACTOR_CRASHED: mine ended with exit status 3 and gave no answer"},
        {"kill -KILL $$",
         "EXTRACTOR_CRASHED: mine was killed by signal 9 (Killed) and gave no answer"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.script);
        const TempFolder folder;
        const auto program = folder / "program";
        std::ofstream(program) << "#!/bin/sh\necho >> " << folder / "runs"
                               << "\n"
                               << row.script << "\n";
        std::filesystem::permissions(program, std::filesystem::perms::owner_all);
        std::vector<std::string> log;
        const auto ask = [&](extract::Recording* recording) {
            log.clear();
            const auto tmp = folder / "tmp";
            std::filesystem::remove_all(tmp);
            std::filesystem::create_directory(tmp);
            extract::CommandOptions options;
            options.name = "mine";
            options.argv = {program};
            options.environment = {"PATH=/usr/local/bin:/usr/bin:/bin"};
            if (!recording->replays()) options.allow_nets = loopback;
            options.recording = recording;
            ExtractRequest request;
            request.url = "http://127.0.0.1/talk/1";
            request.platform = "web";
            request.timeout = 20s;
            request.tmp_dir = tmp;
            request.log = [&](std::string_view line) { log.emplace_back(line); };
            const auto info = extract::CommandExtractor(options).extract(request, {});
            return info ? info->sources.front().url : info.error().name + ": " + info.error().message;
        };
        extract::Recording taken;
        const auto live = ask(&taken);
        CHECK_MESSAGE(live.starts_with(row.outcome), live);
        const auto said = log;
        REQUIRE(taken
                    .save(folder / "case", {.url = "http://127.0.0.1/talk/1",
                                            .platform = "web",
                                            .post_id = {},
                                            .extractor = "mine",
                                            .answer = {}})
                    .has_value());
        auto recording = extract::Recording::open(folder / "case");
        REQUIRE(recording.has_value());
        std::filesystem::remove(program);
        CHECK(ask(&*recording) == live);
        CHECK(log == said);
        CHECK(read_file(folder / "runs") == "\n");
        CHECK(ask(&*recording).starts_with("RECORDING_INCOMPLETE"));
    }
}

TEST_CASE("yt-dlp's words, and what its guard refused, are told again") {
    for (const bool denied : {false, true}) {
        CAPTURE(denied);
        const TempFolder folder;
        const auto program = folder / "yt-dlp";
        std::ofstream(program) << "#!/bin/sh\n"
                               << (denied ? "curl -s -m 5 http://127.0.0.1:1/ >/dev/null\n" : "")
                               << "echo 'ERROR: [x] 1: This video is private' >&2\nexit 1\n";
        std::filesystem::permissions(program, std::filesystem::perms::owner_all);
        const auto ask = [&](extract::Recording* recording) {
            extract::YtDlpOptions options;
            options.program = program;
            options.environment = {"PATH=/usr/local/bin:/usr/bin:/bin"};
            options.recording = recording;
            ExtractRequest request;
            request.url = "http://93.184.216.34/v/1";
            request.timeout = 20s;
            request.tmp_dir = folder / "tmp";
            std::filesystem::create_directory(request.tmp_dir);
            return extract::YtDlpExtractor(options).extract(request, {});
        };
        extract::Recording taken;
        const auto live = in_json(ask(&taken));
        CHECK_MESSAGE(live.starts_with(denied ? "SSRF_BLOCKED" : "AUTH_REQUIRED: yt-dlp says: "), live);
        REQUIRE(taken
                    .save(folder / "case", {.url = "http://93.184.216.34/v/1",
                                            .platform = "web",
                                            .post_id = {},
                                            .extractor = "yt-dlp",
                                            .answer = {}})
                    .has_value());
        auto recording = extract::Recording::open(folder / "case");
        REQUIRE(recording.has_value());
        std::filesystem::remove(program);
        CHECK(in_json(ask(&*recording)) == live);
    }
}
