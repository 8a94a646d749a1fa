// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <boost/json.hpp>
#include <jobruntime/extract.hpp>

#include "host/src/extractor_chain.hpp"
#include "host/src/platform_config.hpp"
#include "unit/extract/page_server.hpp"

using namespace jobruntime;
using namespace jobruntime::host;
using namespace std::chrono_literals;

namespace {

Result<MediaConfig> read(const std::string& file, const std::vector<std::string>& own = {}) {
    Config config;
    config.config_file = "/etc/jobrt/jobrt.json";
    config.structure = boost::json::parse(file).as_object();
    return MediaConfig::from(config, own);
}

/// Answers what it is told to, and counts. "conflict CODE" is one that no waiting ends.
class Fake final : public Extractor {
public:
    Fake(std::string its_name, std::vector<std::string> codes) : name_(std::move(its_name)), codes_(std::move(codes)) {}
    std::string_view name() const override { return name_; }
    Result<MediaInfo> extract(const ExtractRequest& request, std::stop_token) override {
        timeout = request.timeout;
        const std::string conflict = "conflict ";
        auto code = codes_[std::min(static_cast<std::size_t>(asked++), codes_.size() - 1)];
        const bool conflicts = code.starts_with(conflict);
        if (conflicts) code.erase(0, conflict.size());
        if (!code.empty()) return Error{conflicts ? Errc::conflict : Errc::unavailable, code, name_ + " says " + code};
        MediaInfo info;
        info.sources.push_back({.url = "https://example.org/a.mp4"});
        return info;
    }
    int asked = 0;
    std::chrono::milliseconds timeout{0};

private:
    const std::string name_;
    const std::vector<std::string> codes_;
};

std::string outcome(const std::string& list, std::shared_ptr<Fake> page, std::shared_ptr<Fake> browser) {
    auto config = read(R"({"platforms":{"x":{"extractors":)" + list + "}}}");
    REQUIRE_MESSAGE(config.has_value(), config.error().message);
    ExtractorChain chain({}, {{"page", page}, {"browser", browser}}, *config);
    ExtractRequest request;
    request.platform = "x";
    request.timeout = 5s;
    const auto info = chain.extract(request, {});
    return info ? info->extractor : info.error().name;
}

}  // namespace

TEST_CASE("without a file the platforms are ours, each with its extractors") {
    const auto config = read("{}");
    REQUIRE(config.has_value());
    std::string ids;
    for (const auto& platform : config->platforms) {
        ids += platform.id + " ";
        REQUIRE(platform.extractors.size() == 2);
        CHECK(platform.extractors[0].name == "page");
        CHECK(platform.extractors[1].name == "browser");
        CHECK(platform.extractors[0].timeout == 30s);  // Or a silent site would take the browser's time, too.
        CHECK_FALSE(platform.extractors[1].timeout);
    }
    CHECK(ids == "x tiktok web ");
}

TEST_CASE("a file adds platforms, programs and orders of its own") {
    const auto config = read(R"({
        "extractors": {"mine": {"command": ["./my.py", "--fast"], "environment": ["MY_KEY"]}},
        "platforms": {
            "talks": {"hosts": ["talks.example.org"], "posts": ["/t/{id}", "/@{handle}/{id}.html"],
                      "canonical": "https://talks.example.org/t/{id}", "shortLinks": ["go.talks.example.org/{id}"],
                      "extractors": ["mine", {"use": "browser", "timeoutMs": 5000, "attempts": 2, "nextOn": ["NETWORK"]}]},
            "web": {"enabled": false}}})");
    REQUIRE_MESSAGE(config.has_value(), config.error().message);
    REQUIRE(config->commands.size() == 1);
    CHECK(config->commands[0].argv == std::vector<std::string>{"/etc/jobrt/my.py", "--fast"});
    CHECK(config->platforms.back().id == "web");
    CHECK_FALSE(config->platforms.back().enabled);
    const auto* talks = config->find("talks");
    REQUIRE(talks != nullptr);
    CHECK(talks->extractors[1].timeout == 5000ms);
    CHECK(talks->extractors[1].attempts == 2);
    const auto post = [&](const char* url) {
        auto found = net::identify(net::parse_url(url).value(), config->rules());
        return found ? found->platform + " " + found->unique_key + " " + found->canonical + (found->short_link ? " short" : "")
                     : found.error().name;
    };
    CHECK(post("https://talks.example.org/t/Abc-1?x=1#y") == "talks talks:Abc-1 https://talks.example.org/t/Abc-1");
    CHECK(post("https://www.talks.example.org/@Ada/7.html") == "talks talks:7 https://talks.example.org/t/7");
    CHECK(post("https://go.talks.example.org/zz") ==
          "talks https://go.talks.example.org/zz https://go.talks.example.org/zz short");
    CHECK(post("https://talks.example.org/about/us/all") == "INVALID_URL");
    CHECK(post("https://talks.example.org/t/a%2fb") == "INVALID_URL");
    CHECK(post("https://other.example.org/t/1").starts_with("web "));
    CHECK(post("https://x.com/Ada/status/20").starts_with("x x:20 "));
}

TEST_CASE("what is wrong in a file is named with the file, the place and what it must be") {
    struct Row {
        const char* file;
        const char* says;
    };
    const Row rows[] = {
        {R"({"platforms":[]})", "platforms must be an object"},
        {R"({"platforms":{"X!":{"hosts":["a.org"],"posts":["/{id}"]}}})", "platforms.X! must be named with"},
        {R"({"platforms":{"a":{"posts":["/{id}"]}}})", "platforms.a.hosts must be the names of its hosts"},
        {R"({"platforms":{"a":{"hosts":["a.org"]}}})", "platforms.a.posts must be patterns"},
        {R"({"platforms":{"a":{"hosts":["a.org"],"canonical":"https://a.org/{id}"}}})", "platforms.a.canonical must be left out where there are no posts"},
        {R"({"platforms":{"a":{"hosts":["a.org"],"posts":["{id}"]}}})", "platforms.a.posts must be patterns"},
        {R"({"platforms":{"a":{"hosts":["a.org"],"posts":["/{name}"]}}})", "platforms.a.posts must be patterns"},
        {R"({"platforms":{"a":{"hosts":["a.org"],"posts":["/{id}/{nth}"],"nthCanonical":"https://a.org/{id}/{nth}"}}})",
         "platforms.a.canonical must be given where posts have {nth}"},
        {R"({"platforms":{"a":{"hosts":["a.org"],"posts":["/{id}/{nth}"],"canonical":"https://a.org/{id}"}}})",
         "platforms.a.nthCanonical must be given where posts have {nth}"},
        {R"({"platforms":{"a":{"hosts":["a.org"],"posts":["/{id}/{nth}"],"canonical":"https://a.org/{id}","nthCanonical":"https://a.org/{id}/2"}}})",
         "platforms.a.nthCanonical must be given where posts have {nth}"},
        {R"({"platforms":{"a":{"hosts":["a.org"],"posts":["/{id}/{nth}"],"canonical":"https://a.org/{id}/{nth}"}}})",
         "platforms.a.canonical must be the address of the post itself, without {nth}"},
        {R"({"platforms":{"a":{"hosts":["a.org"],"posts":["/{id}"],"nthCanonical":"https://a.org/{id}/{nth}"}}})",
         "platforms.a.nthCanonical must be left out where none of the posts has {nth}"},
        {R"({"platforms":{"x":{"nthCanonical":"https://x.com/{id}/{nth}"}}})", "platforms.x.nthCanonical must be left out where there are no posts"},
        {R"({"platforms":{"a":{"hosts":["a.org"],"posts":["/{id}/{nth}"],"canonical":"https://a.org/{id}","nthCanonical":"https://a.org/{handle}/{nth}"}}})",
         "platforms.a.nthCanonical must be made of names that every post with {nth} has; one of them has no {handle}"},
        {R"({"platforms":{"a":{"hosts":["a.org"],"posts":["/{id}/{nth}"],"canonical":"https://a.org/{id}","nthCanonical":"https://a.org/{id}/v/{nth}"}}})",
         "platforms.a.nthCanonical must be an address that one of the posts' patterns with {nth} reads back"},
        {R"({"platforms":{"a":{"hosts":["a.org"],"posts":["/{id}/{nth}"],"canonical":"https://a.org/{id}","nthCanonical":"https://b.org/{id}/{nth}"}}})",
         "platforms.a.nthCanonical must be an address that one of the posts' patterns with {nth} reads back"},
        {R"({"platforms":{"a":{"hosts":["a.org"],"posts":["/{nth}/{nth}"]}}})", "platforms.a.posts must be patterns"},
        {R"({"platforms":{"a":{"hosts":["a.org"],"posts":["/{id}?n={id}"]}}})", "platforms.a.posts must be patterns"},
        {R"({"platforms":{"a":{"hosts":["a.org"],"posts":["/{id}?n={nth}&m=1"]}}})", "platforms.a.posts must be patterns"},
        {R"({"platforms":{"a":{"hosts":["a.org"],"posts":["/{id}"],"shortLinks":["/s/{id}/{nth}"]}}})", "platforms.a.shortLinks must be without {nth}"},
        {R"({"platforms":{"x":{"host":["a.org"]}}})", "platforms.x.host must be left out; what is known here: enabled, hosts"},
        {R"({"platforms":{"x":{"enabled":"yes"}}})", "platforms.x.enabled must be true or false"},
        {R"({"platforms":{"x":{"extractors":[]}}})", "platforms.x.extractors must be an array with at least one"},
        {R"({"platforms":{"x":{"extractors":[{"use":"mine","nextOn":["no media"]}]}}})", "platforms.x.extractors.nextOn names \"no media\""},
        {R"({"platforms":{"x":{"extractors":[{"use":"page","attempts":0}]}}})", "platforms.x.extractors.attempts must be a whole number"},
        {R"({"platforms":{"x":{"extractors":[{"use":"page","nextOn":["NETWORK","RATE_LIMITD"]}]}}})",
         "platforms.x.extractors.nextOn names \"RATE_LIMITD\", which must be a code that page may say: one of a rule in pages, or NO_MEDIA, "},
        {R"({"extractors":{"mine":{"command":["./my.py"]}},"platforms":{"x":{"extractors":[{"use":"mine","nextOn":["no media"]}]}}})",
         "platforms.x.extractors.nextOn names \"no media\", which must be a code like NO_MEDIA"},
        {R"({"extractors":{"mine":{"command":"./my.py"}}})", "extractors.mine.command must be an array"},
        {R"({"extractors":{"page":{"command":["./my.py"]}}})", "extractors.page must be named otherwise"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.file);
        const auto config = read(row.file);
        REQUIRE_FALSE(config.has_value());
        CHECK(config.error().name == "INVALID_CONFIGURATION");
        CHECK_MESSAGE(config.error().message.starts_with("/etc/jobrt/jobrt.json: " + std::string(row.says)), config.error().message);
        CHECK(config.error().message.find("docs/configuration.md") != std::string::npos);
    }
}

TEST_CASE("the list of a platform is asked in order, as its codes say") {
    const auto fake = [](const char* name, std::vector<std::string> codes) { return std::make_shared<Fake>(name, std::move(codes)); };
    CHECK(outcome(R"(["page","browser"])", fake("page", {""}), fake("browser", {""})) == "page");
    CHECK(outcome(R"(["browser","page"])", fake("page", {""}), fake("browser", {""})) == "browser");
    CHECK(outcome(R"(["page","browser"])", fake("page", {"AUTH_REQUIRED"}), fake("browser", {""})) == "browser");
    CHECK(outcome(R"(["page","browser"])", fake("page", {"NO_MEDIA"}), fake("browser", {""})) == "NO_MEDIA");
    CHECK(outcome(R"([{"use":"page","nextOn":["NO_MEDIA"]},"browser"])", fake("page", {"NO_MEDIA"}), fake("browser", {""})) == "browser");
    CHECK(outcome(R"(["page","browser"])", fake("page", {"RATE_LIMITED"}), fake("browser", {"UNSUPPORTED_SOURCE"})) == "RATE_LIMITED");
    const auto flaky = fake("page", {"NETWORK", ""});
    CHECK(outcome(R"([{"use":"page","attempts":2,"timeoutMs":1500}])", flaky, fake("browser", {""})) == "page");
    CHECK(flaky->asked == 2);
    CHECK(flaky->timeout == 1500ms);
    const auto certain = fake("page", {"VIDEO_UNAVAILABLE"});
    CHECK(outcome(R"([{"use":"page","attempts":5}])", certain, fake("browser", {""})) == "VIDEO_UNAVAILABLE");
    CHECK(certain->asked == 1);
}

TEST_CASE("codes that a program or a rule for pages has of its own lead on, too") {
    CHECK(read(R"({"extractors":{"mine":{"command":["./my.py"]}},"platforms":{"x":{"extractors":[{"use":"mine","nextOn":["MY_CODE"]},"page"]}}})"));
    const std::string list = R"("platforms":{"x":{"extractors":[{"use":"page","nextOn":["PAY_WALL"]},"browser"]}})";
    CHECK(read(R"({"pages":{"a":{"ways":[{"steps":[{"get":"{url}","statuses":{"402":"PAY_WALL"}}]}]}},)" + list + "}"));
    CHECK_FALSE(read("{" + list + "}"));
}

TEST_CASE("a site that asks to be left alone is, before the same extractor tries again") {
    struct Busy final : Extractor {
        explicit Busy(std::chrono::seconds its_wait) : wait(its_wait) {}
        std::string_view name() const override { return "page"; }
        Result<MediaInfo> extract(const ExtractRequest& request, std::stop_token) override {
            asked.push_back(std::chrono::steady_clock::now());
            if (asked.size() > 1) return MediaInfo{};
            request.asked_to_wait(wait);
            return Error{Errc::unavailable, "RATE_LIMITED", "slow down"};
        }
        const std::chrono::seconds wait;
        std::vector<std::chrono::steady_clock::time_point> asked;
    };
    const auto config = read(R"({"platforms":{"x":{"extractors":[{"use":"page","attempts":3}]}}})");
    REQUIRE_MESSAGE(config.has_value(), config.error().message);
    std::chrono::seconds passed_on{0};
    ExtractRequest request;
    request.platform = "x";
    request.timeout = 60s;
    request.asked_to_wait = [&](std::chrono::seconds wait) { passed_on = wait; };
    const auto ask = [&](const std::shared_ptr<Busy>& page, std::stop_token stop = {}) {
        ExtractorChain chain({}, {{"page", page}}, *config);
        const auto info = chain.extract(request, stop);
        return info ? std::string("found") : info.error().code == Errc::canceled ? "canceled" : info.error().name;
    };
    const auto soon = std::make_shared<Busy>(1s);
    CHECK(ask(soon) == "found");
    REQUIRE(soon->asked.size() == 2);
    CHECK(soon->asked[1] - soon->asked[0] >= 1s);
    CHECK(passed_on == 1s);
    // Too long for a worker to sit by: the job is put off, who is told for how long.
    const auto late = std::make_shared<Busy>(77s);
    CHECK(ask(late) == "RATE_LIMITED");
    CHECK(late->asked.size() == 1);
    CHECK(passed_on == 77s);
    request.timeout = 5s;
    const auto beyond = std::make_shared<Busy>(8s);
    CHECK(ask(beyond) == "RATE_LIMITED");
    CHECK(beyond->asked.size() == 1);
    // A job that is stopped meanwhile does not wait to the end.
    request.timeout = 60s;
    std::stop_source stopped;
    request.log = [&](std::string_view line) {
        if (line.find("as the site asks") != std::string_view::npos) stopped.request_stop();
    };
    const auto begin = std::chrono::steady_clock::now();
    const auto patient = std::make_shared<Busy>(10s);
    CHECK(ask(patient, stopped.get_token()) == "canceled");
    CHECK(patient->asked.size() == 1);
    CHECK(std::chrono::steady_clock::now() - begin < 8s);
}

TEST_CASE("a site of one's own has the page without a video shown by the browser, as any site of the web has") {
    const auto config = read(R"({"platforms":{
        "talks":{"hosts":["talks.example.org"],"posts":["/{id}"]},
        "films":{"hosts":["films.example.org"],"posts":["/{id}"],"extractors":["page",{"use":"page","timeoutMs":60000},"browser"]},
        "x":{"extractors":["page","browser"]}}})");
    REQUIRE_MESSAGE(config.has_value(), config.error().message);
    for (const auto& [platform, wanted] : {std::pair("talks", "browser"), std::pair("films", "browser"), std::pair("web", "browser"), std::pair("x", "NO_MEDIA")}) {
        CAPTURE(platform);
        const auto page = std::make_shared<Fake>("page", std::vector<std::string>{"NO_MEDIA"});
        ExtractorChain chain({}, {{"page", page}, {"browser", std::make_shared<Fake>("browser", std::vector<std::string>{""})}}, *config);
        ExtractRequest request;
        request.platform = platform;
        request.timeout = 180s;
        const auto info = chain.extract(request, {});
        CHECK((info ? info->extractor : info.error().name) == wanted);
        CHECK(page->timeout == (std::string_view(platform) == "films" ? 60s : 30s));
    }
}

TEST_CASE("a program's own extractor has its place, time and tries where a list names it, and is asked first elsewhere") {
    const struct {
        const char* list;
        std::vector<std::string> mine, other, page;  // What they say, one after the other; empty = a video.
        const char* outcome;
        int asked_mine, asked_other, asked_page;
    } rows[] = {
        {R"(["page"])", {"UNSUPPORTED_SOURCE"}, {"UNSUPPORTED_SOURCE"}, {""}, "page", 1, 1, 1},
        {R"(["page"])", {"NETWORK"}, {""}, {""}, "NETWORK", 1, 0, 0},
        {R"(["page","mine"])", {""}, {"UNSUPPORTED_SOURCE"}, {""}, "page", 0, 1, 1},
        {R"(["page","mine"])", {""}, {"UNSUPPORTED_SOURCE"}, {"NETWORK"}, "mine", 1, 1, 1},
        {R"(["mine","page"])", {"NETWORK"}, {"UNSUPPORTED_SOURCE"}, {""}, "page", 1, 1, 1},
        {R"([{"use":"mine","nextOn":["MY_CODE"]},"page"])", {"MY_CODE"}, {"UNSUPPORTED_SOURCE"}, {""}, "page", 1, 1, 1},
        {R"([{"use":"mine","nextOn":[]},"page"])", {"NETWORK"}, {"UNSUPPORTED_SOURCE"}, {""}, "NETWORK", 1, 1, 0},
        {R"([{"use":"mine","attempts":3,"timeoutMs":700}])", {"NETWORK", "NETWORK", ""}, {"UNSUPPORTED_SOURCE"}, {""}, "mine", 3, 1, 0},
        {R"(["other",{"use":"mine","timeoutMs":700}])", {""}, {"NETWORK"}, {""}, "mine", 1, 1, 0},
    };
    for (const auto& row : rows) {
        CAPTURE(row.list);
        const auto config = read(R"({"platforms":{"x":{"extractors":)" + std::string(row.list) + "}}}", {"mine", "other"});
        REQUIRE_MESSAGE(config.has_value(), config.error().message);
        const auto mine = std::make_shared<Fake>("mine", row.mine), other = std::make_shared<Fake>("other", row.other),
                   page = std::make_shared<Fake>("page", row.page);
        ExtractorChain chain({mine, other}, {{"page", page}}, *config);
        ExtractRequest request;
        request.platform = "x";
        request.timeout = 5s;
        const auto info = chain.extract(request, {});
        CHECK((info ? info->extractor : info.error().name) == row.outcome);
        CHECK(mine->asked == row.asked_mine);
        CHECK(other->asked == row.asked_other);
        CHECK(page->asked == row.asked_page);
        if (std::string_view(row.list).find("timeoutMs") != std::string_view::npos) CHECK(mine->timeout == 700ms);
        // Where the list has no such name, nothing has changed.
        request.platform = "tiktok";
        mine->asked = other->asked = 0;
        (void)chain.extract(request, {});
        CHECK(mine->asked == 1);
    }
}

TEST_CASE("a list may name what another program has, and whoever runs extractors refuses it by name") {
    const auto shared = read(R"({"extractors":{"ours":{"command":["./my.py"]}},"platforms":{"x":{"extractors":["ours",{"use":"nobody","nextOn":["THEIR_CODE"]}]}}})",
                             {"mine"});
    REQUIRE_MESSAGE(shared.has_value(), shared.error().message);
    CHECK(shared->find("x")->extractors.size() == 2);
    CHECK(shared->check_extractors("tiktok").has_value());
    for (const auto* platform : {"x", ""}) {
        const auto unknown = shared->check_extractors(platform);
        REQUIRE_FALSE(unknown.has_value());
        CHECK(unknown.error().name == "INVALID_CONFIGURATION");
        for (const auto* part : {"/etc/jobrt/jobrt.json: platforms.x.extractors names \"nobody\"", "page, browser, yt-dlp, mine or a member of extractors",
                                 "a program of your own", "ROLE=api"})
            CHECK_MESSAGE(unknown.error().message.find(part) != std::string::npos, unknown.error().message);
    }
    const auto known = read(R"({"platforms":{"x":{"extractors":["mine","page"]}}})", {"mine"});
    REQUIRE(known.has_value());
    CHECK(known->check_extractors().has_value());
}

TEST_CASE("two extractors of a program have two names, and neither is one of ours") {
    CHECK(check_names({}).has_value());
    CHECK(check_names({"mine", "Mine"}).has_value());
    const auto twice = check_names({"mine", "other", "mine"});
    REQUIRE_FALSE(twice.has_value());
    CHECK(twice.error().code == Errc::invalid_argument);
    CHECK(twice.error().message == "two extractors of this program are named \"mine\"; give it another name() in the program");
    CHECK(check_names({"yt-dlp"}).error().message.find("\"yt-dlp\", as one that is built in") != std::string::npos);
    CHECK(check_names({"mine", ""}).error().message.find("no name") != std::string::npos);
}

TEST_CASE("a site that stays silent leaves the browser its time") {
    extract_test::PageServer server;
    server.add("/silent", [](const std::string&, const std::string&) { return extract_test::Reply{.silent = true}; });
    const net::Fetcher fetcher({.allow_nets = net::Network::parse_list("127.0.0.0/8").value(), .user_agent = {}});
    const auto page = std::make_shared<extract::PageExtractor>(fetcher, extract::PageRules::parse(extract::default_page_rules()).value(), extract::PageOptions{});
    const auto browser = std::make_shared<Fake>("browser", std::vector<std::string>{""});
    const auto config = read(R"({"platforms":{"web":{"extractors":[{"use":"page","timeoutMs":300},"browser"]}}})");
    REQUIRE_MESSAGE(config.has_value(), config.error().message);
    ExtractorChain chain({}, {{"page", page}, {"browser", browser}}, *config);
    ExtractRequest request;
    request.url = server.url("/silent");
    request.platform = "web";
    request.timeout = 60s;
    const auto info = chain.extract(request, {});
    REQUIRE_MESSAGE(info.has_value(), info.error().message);
    CHECK(info->extractor == "browser");
    CHECK(browser->timeout > 30s);
}

TEST_CASE("a short link is followed under the guard before its post is known") {
    extract_test::PageServer server;
    const auto port = std::to_string(server.port());
    // Two names for the same loopback: the shortener's host and the site's.
    const auto config = read(R"({"platforms":{"talks":{"hosts":["127.0.0.1","localhost"],"posts":["127.0.0.1/t/{id}"],"canonical":"http://127.0.0.1:)" +
                             port + R"(/t/{id}","shortLinks":["localhost/{id}"]}}})");
    REQUIRE_MESSAGE(config.has_value(), config.error().message);
    const auto redirect = [&](const std::string& to) {
        return [=](const std::string&, const std::string&) { return extract_test::Reply{.status = 301, .headers = {"Location: " + to}}; };
    };
    server.add("/good", redirect(server.url("/t/42?from=share")));
    server.add("/private", redirect("http://10.0.0.1/t/42"));
    server.add("/circle", redirect(server.url("/circle", "localhost")));
    server.add("/getonly", [&](const std::string&, const std::string& request) {
        if (request.starts_with("HEAD")) return extract_test::Reply{.status = 405};
        return extract_test::Reply{.status = 302, .headers = {"Location: " + server.url("/t/43")}};
    });
    server.page("/t/42", "a talk");
    server.page("/t/43", "a talk");
    net::FetcherOptions options;
    options.allow_nets = net::Network::parse_list("127.0.0.0/8").value();
    const net::Fetcher open(options);
    const auto key = [&](const net::Fetcher& fetcher, const std::string& path) {
        const auto post = find_post(net::parse_url(server.url(path, "localhost")).value(), config->rules(), fetcher, 3s);
        return post ? post->unique_key : post.error().name;
    };
    CHECK(key(open, "/good") == "talks:42");
    CHECK(key(open, "/getonly") == "talks:43");
    for (const auto* path : {"/private", "/circle", "/gone"}) CHECK(key(open, path) == server.url(path, "localhost"));
    const auto before = server.hits("/good");
    CHECK(key(net::Fetcher(), "/good") == server.url("/good", "localhost"));
    CHECK(server.hits("/good") == before);
}

TEST_CASE("the address of a post may name one of its videos") {
    const auto config = read(R"({"platforms":{
        "talks": {"hosts": ["talks.example.org"], "posts": ["/t/{id}", "/t/{id}/{*}", "/t/{id}/part-{nth}", "/@{handle}/{id}/{nth}"],
                  "canonical": "https://talks.example.org/t/{id}", "nthCanonical": "https://talks.example.org/t/{id}/part-{nth}"},
        "pics": {"hosts": ["pics.example.org"], "posts": ["/p/{id}", "/p/{id}?img_index={nth}"], "shortLinks": ["/s/{id}"],
                 "canonical": "https://pics.example.org/p/{id}", "nthCanonical": "https://pics.example.org/p/{id}?img_index={nth}"},
        "days": {"hosts": ["days.example.org"], "posts": ["/today/{nth}"],
                 "canonical": "https://days.example.org/today/1", "nthCanonical": "https://days.example.org/today/{nth}"}}})");
    REQUIRE_MESSAGE(config.has_value(), config.error().message);
    struct Row {
        const char* url;
        int nth;
        const char* key;
        const char* canonical;
    };
    const Row rows[] = {
        {"https://x.com/ada/status/20/video/2", 2, "x:20#2", "https://x.com/ada/status/20/video/2"},
        {"https://x.com/ada/status/20/video/1", 0, "x:20", "https://x.com/ada/status/20"},
        {"https://x.com/ada/status/20/photo/2", 0, "x:20", "https://x.com/ada/status/20"},
        {"https://x.com/ada/status/20", 0, "x:20", "https://x.com/ada/status/20"},
        {"https://www.tiktok.com/@ada/video/7", 0, "tiktok:7", "https://www.tiktok.com/@ada/video/7"},
        {"https://example.org/video/3", 0, "https://example.org/video/3", "https://example.org/video/3"},
        {"https://talks.example.org/t/7", 0, "talks:7", "https://talks.example.org/t/7"},
        {"https://talks.example.org/t/7/part-1", 0, "talks:7", "https://talks.example.org/t/7"},
        {"https://talks.example.org/t/7/part-12?x=1#y", 12, "talks:7#12", "https://talks.example.org/t/7/part-12"},
        {"https://talks.example.org/@Ada/7/3", 3, "talks:7#3", "https://talks.example.org/t/7/part-3"},
        {"https://talks.example.org/@Ada/7/03", -1, "INVALID_URL", ""},
        {"https://talks.example.org/@Ada/7/0", -1, "INVALID_URL", ""},
        {"https://talks.example.org/@Ada/7/1000", -1, "INVALID_URL", ""},
        {"https://talks.example.org/t/7/part-x", 0, "talks:7", "https://talks.example.org/t/7"},
        {"https://pics.example.org/p/7", 0, "pics:7", "https://pics.example.org/p/7"},
        {"https://pics.example.org/p/7?img_index=1&utm_source=a", 0, "pics:7", "https://pics.example.org/p/7"},
        {"https://pics.example.org/p/7?a=b&img_index=2", 2, "pics:7#2", "https://pics.example.org/p/7?img_index=2"},
        {"https://pics.example.org/p/7?ximg_index=2&img_index", 0, "pics:7", "https://pics.example.org/p/7"},
        {"https://days.example.org/today/4", 4, "https://days.example.org/today/4", "https://days.example.org/today/4"},
        {"https://days.example.org/today/1", 0, "https://days.example.org/today/1", "https://days.example.org/today/1"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.url);
        const auto post = net::identify(net::parse_url(row.url).value(), config->rules());
        if (row.nth < 0) {
            REQUIRE_FALSE(post.has_value());
            CHECK(post.error().name == row.key);
            continue;
        }
        REQUIRE_MESSAGE(post.has_value(), post.error().message);
        CHECK(post->nth == row.nth);
        CHECK(post->unique_key == row.key);
        CHECK(post->canonical == row.canonical);
        // A worker reads the canonical address again.
        auto again = net::identify(net::parse_url(post->canonical).value(), config->rules()).value();
        again.handle_slug = post->handle_slug;
        CHECK(again == *post);
    }
}

TEST_CASE("each extractor of a platform is told which video of the post is meant") {
    extract_test::PageServer server;
    server.page("/p/7", "<video src=/a.mp4></video><video src=/b.mp4></video>");
    const auto host = server.url("");
    const auto config = read(R"({"platforms":{"pics":{"hosts":["127.0.0.1"],"posts":["/p/{id}?v={nth}"],"canonical":")" + host +
                             R"(/p/{id}","nthCanonical":")" + host + R"(/p/{id}?v={nth}"}}})");
    REQUIRE_MESSAGE(config.has_value(), config.error().message);
    const auto post = net::identify(net::parse_url(server.url("/p/7?from=share&v=2")).value(), config->rules());
    REQUIRE_MESSAGE(post.has_value(), post.error().message);
    ExtractRequest request;
    request.url = post->canonical;
    request.platform = post->platform;
    request.post_id = post->post_id;
    request.nth = post->nth;
    request.timeout = 30s;
    const auto nets = net::Network::parse_list("127.0.0.0/8").value();
    const net::Fetcher fetcher({.allow_nets = nets, .user_agent = {}});
    const auto page = std::make_shared<extract::PageExtractor>(fetcher, extract::PageRules::parse(extract::default_page_rules()).value(),
                                                               extract::PageOptions{.allow_nets = nets});
    ExtractorChain chain({}, {{"page", page}}, *config);
    const auto info = chain.extract(request, {});
    REQUIRE_MESSAGE(info.has_value(), info.error().message);
    CHECK(info->sources.front().url == server.url("/b.mp4"));
}

TEST_CASE("of several extractors' errors the job's is the one that tells most") {
    struct Row {
        const char* page;
        const char* browser;
        const char* told;
    };
    const Row rows[] = {
        {"AUTH_REQUIRED", "NO_MEDIA", "AUTH_REQUIRED"},
        {"AUTH_REQUIRED", "BROWSER_LAUNCH_FAILED", "AUTH_REQUIRED"},
        {"AUTH_REQUIRED", "UNSUPPORTED_SOURCE", "AUTH_REQUIRED"},
        {"AUTH_REQUIRED", "BOT_CHALLENGE", "BOT_CHALLENGE"},
        {"NETWORK", "NO_MEDIA", "NETWORK"},
        {"NETWORK", "BROWSER_LAUNCH_FAILED", "NETWORK"},
        {"RATE_LIMITED", "UNSUPPORTED_SOURCE", "RATE_LIMITED"},
        {"RATE_LIMITED", "AUTH_REQUIRED", "RATE_LIMITED"},
        {"EXTRACTOR_CRASHED", "conflict BROWSER_PROFILE_IN_USE", "EXTRACTOR_CRASHED"},
        // Held by another of our processes, which ends: the job comes back and asks the browser then.
        {"AUTH_REQUIRED", "BROWSER_PROFILE_IN_USE", "BROWSER_PROFILE_IN_USE"},
        {"NETWORK", "BROWSER_PROFILE_IN_USE", "BROWSER_PROFILE_IN_USE"},
        {"RATE_LIMITED", "BROWSER_PROFILE_IN_USE", "BROWSER_PROFILE_IN_USE"},
        {"AUTH_REQUIRED", "conflict BROWSER_PROFILE_IN_USE", "AUTH_REQUIRED"},
        {"AUTH_REQUIRED", "EXTRACTION_TIMEOUT", "EXTRACTION_TIMEOUT"},
        {"NETWORK", "EXTRACTION_TIMEOUT", "EXTRACTION_TIMEOUT"},
        {"NETWORK", "VIDEO_UNAVAILABLE", "VIDEO_UNAVAILABLE"},
        {"EXTRACTION_TIMEOUT", "DRM_PROTECTED", "DRM_PROTECTED"},
        {"BROWSER_LAUNCH_FAILED", "NO_MEDIA", "BROWSER_LAUNCH_FAILED"},
        {"TOO_LARGE", "NO_MEDIA", "TOO_LARGE"},
        {"UNSUPPORTED_SOURCE", "NO_MEDIA", "NO_MEDIA"},
        {"UNSUPPORTED_SOURCE", "UNSUPPORTED_SOURCE", "UNSUPPORTED_SOURCE"},
        {"EXTRACTOR_PROTOCOL", "A_CODE_OF_ITS_OWN", "A_CODE_OF_ITS_OWN"},
        {"NO_MEDIA", "", "NO_MEDIA"},  // It is final on X: the browser is not asked.
        {"AUTH_REQUIRED", "", "browser"},
        {"TOO_LARGE", "", "browser"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.page);
        CAPTURE(row.browser);
        CHECK(outcome(R"(["page","browser"])", std::make_shared<Fake>("page", std::vector<std::string>{row.page}),
                      std::make_shared<Fake>("browser", std::vector<std::string>{row.browser})) == row.told);
    }
}
