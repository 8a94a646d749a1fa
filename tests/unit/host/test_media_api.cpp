// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <jobruntime/memory.hpp>
#include <stdlib.h>

#include "host/src/media_api.hpp"

using namespace jobruntime;
using namespace jobruntime::host;

namespace {

/// The API of jobrt on a memory store, without a socket.
struct Api {
    explicit Api(std::function<std::optional<Caller>(std::string_view)> authenticate = {})
        : store(memory::open()), queue(*store), flags(*store, config) {
        std::string pattern = (std::filesystem::temp_directory_path() / "jobrt-api-XXXXXX").string();
        root = mkdtemp(pattern.data());
        media = std::make_unique<MediaApi>(queue, flags, net::FetcherOptions{}, root);
        ApiOptions options;
        options.authenticate = std::move(authenticate);
        media->prepare(options);
        router = std::make_unique<ApiRouter>(queue, options);
        media->add_routes(*router);
    }
    ~Api() { std::filesystem::remove_all(root); }

    struct Answer {
        int status = 0;
        boost::json::object json;
        std::string code() const {
            const auto* found = json.if_contains("code");
            return found ? std::string(found->as_string()) : std::string();
        }
    };
    Answer call(const std::string& method, const std::string& target, const std::string& body = "") {
        Request request;
        request.method = method;
        request.target = target;
        request.headers = {{"host", "127.0.0.1:4000"}};
        if (!body.empty()) request.headers.emplace_back("content-type", "application/json");
        request.body = body;
        const auto response = router->handle(request);
        Answer answer{response.status, {}};
        if (const auto* text = std::get_if<std::string>(&response.body)) {
            boost::system::error_code ignored;
            auto parsed = boost::json::parse(*text, ignored);
            if (parsed.is_object()) answer.json = parsed.get_object();
        }
        return answer;
    }
    Answer submit(const std::string& url) { return call("POST", "/api/jobs", R"({"url":")" + url + R"("})"); }

    /// Claims the one queued media job and completes it with a file, as a worker would.
    std::string complete(bool with_file, const std::string& folder = "slug/") {
        const auto session = *SessionId::parse("0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f");
        const auto now = system_clock().wall();
        SessionFacts facts;
        facts.works = true;
        REQUIRE(store->beat(session, facts, now).has_value());
        const Want want{"media", {"media.save"}, 1};
        auto claimed = store->claim({&want, 1}, session, ClaimMode::ordinary, now);
        REQUIRE(claimed.has_value());
        REQUIRE(claimed->jobs.size() == 1);
        const auto& job = claimed->jobs.front();
        const auto path = folder + job.id.str() + "-" + std::to_string(static_cast<std::uint64_t>(job.fence)) + ".mp4";
        if (with_file) {
            std::filesystem::create_directories(root + "/slug");
            std::ofstream(root + "/" + path) << "film";
        }
        Settlement done;
        done.job = job.id;
        done.fence = job.fence;
        done.result = R"({"outputPath":")" + path + R"("})";
        REQUIRE(store->settle({&done, 1}, now).has_value());
        return path;
    }

    Config config;
    std::unique_ptr<Store> store;
    JobQueue queue;
    PlatformFlags flags;
    std::string root;
    std::unique_ptr<MediaApi> media;
    std::unique_ptr<ApiRouter> router;
};

std::string text(const boost::json::value& value) { return value.is_string() ? std::string(value.get_string()) : ""; }

}  // namespace

TEST_CASE("a post's URL becomes a media.save job with its canonical URL") {
    Api api;
    const auto made = api.submit("https://www.twitter.com/Ada/status/123?s=20");
    REQUIRE(made.status == 201);
    const auto& job = made.json.at("job").as_object();
    CHECK(text(job.at("kind")) == "media.save");
    CHECK(text(job.at("queue")) == "media");
    CHECK(text(job.at("canonicalUrl")) == "https://x.com/ada/status/123");
    CHECK(text(job.at("uniqueKey")) == "x:123");
    CHECK(job.at("maxAttempts") == 3);
    CHECK(job.at("outputPath").is_null());
    CHECK(text(made.json.at("traceId")) == text(job.at("traceId")));
    CHECK(api.call("POST", "/api/jobs", R"({"tweetUrl":"https://x.com/ada/status/124"})").status == 201);
}

TEST_CASE("the platforms say what each living worker says of its log-in, and no more") {
    Api api;
    const auto beat = [&](std::uint8_t n, bool logged_in, bool stopped, Duration ago = Duration{0}) {
        SessionFacts facts;
        facts.host = "box" + std::to_string(n);
        facts.works = true;
        facts.stopped = stopped;
        facts.details = {{"logins", {{"x", {{"loggedIn", logged_in}, {"expires", 1'767'225'600}, {"cookie", "canary"}}}, {"tiktok", "broken"}}}};
        SessionId session;
        session.bytes[0] = n;
        REQUIRE(api.store->beat(session, facts, system_clock().wall() - ago).has_value());
    };
    CHECK(api.call("GET", "/api/capabilities").json.at("platforms").at("x").at("logins").as_array().empty());
    beat(1, true, false);
    beat(2, false, false);
    beat(3, false, true);
    beat(4, true, false, std::chrono::minutes(10));  // Its machine has lost power.
    const auto shown = api.call("GET", "/api/capabilities").json.at("platforms").as_object();
    const auto& logins = shown.at("x").at("logins").as_array();
    REQUIRE(logins.size() == 2);
    CHECK(text(logins.at(0).at("host")) == "box1");
    CHECK(logins.at(0).at("loggedIn") == true);
    CHECK(text(logins.at(0).at("expiresAt")) == "2026-01-01T00:00:00.000Z");
    CHECK(logins.at(1).at("loggedIn") == false);
    CHECK(boost::json::serialize(shown).find("canary") == std::string::npos);
    CHECK(shown.at("tiktok").at("logins").as_array().empty());
}

TEST_CASE("what cannot be a post is refused with the right code") {
    Api api;
    const std::tuple<std::string, int, std::string> rows[] = {
        {R"({"url":"ftp://example.org/a"})", 400, "INVALID_URL"},
        {R"({"url":"https://x.com/home"})", 400, "INVALID_URL"},
        {R"({"url":"https://a@x.com@127.0.0.1/"})", 400, "INVALID_URL"},
        {R"({"url":"https://x.com\\@127.0.0.1/"})", 400, "INVALID_URL"},
        {R"({"url":"http://2130706433/"})", 400, "INVALID_URL"},
        {R"({"url":17})", 400, "INVALID_URL"},
        {R"({"url":"https://example.org/a","kind":"media.save"})", 400, "INVALID_ARGUMENT"},
        {R"({"url":"https://example.org/a","tweetUrl":"https://example.org/a"})", 400, "INVALID_ARGUMENT"},
        {R"({"url":"https://example.org/a","uniqueKey":"mine"})", 400, "INVALID_ARGUMENT"},
        {R"({"url":"https://example.org/a","surprise":1})", 400, "INVALID_ARGUMENT"},
        {R"({"kind":"media.save","payload":{}})", 400, "INVALID_URL"},
        {R"({"kind":"media.save","payload":{"url":"https://example.org/a","canonicalUrl":"x"}})", 400, "INVALID_ARGUMENT"},
    };
    for (const auto& [body, status, code] : rows) {
        CAPTURE(body);
        const auto answer = api.call("POST", "/api/jobs", body);
        CHECK(answer.status == status);
        CHECK(answer.code() == code);
    }
    CHECK(api.queue.list()->jobs.empty());
}

TEST_CASE("the same post is saved once") {
    Api api;
    const auto first = api.submit("https://x.com/ada/status/9");
    REQUIRE(first.status == 201);
    const auto id = text(first.json.at("job").as_object().at("id"));
    const auto again = api.submit("http://mobile.twitter.com/Somebody/status/9/photo/1");
    CHECK(again.status == 409);
    CHECK(again.code() == "DUPLICATE_ACTIVE_JOB");
    CHECK(text(again.json.at("existingJobId")) == id);
    CHECK(text(again.json.at("existingJobStatus")) == "queued");

    api.complete(true);
    const auto saved = api.submit("https://x.com/ada/status/9");
    CHECK(saved.status == 409);
    CHECK(saved.code() == "DUPLICATE_COMPLETED_JOB");
    CHECK(text(saved.json.at("existingJobId")) == id);
}

TEST_CASE("a completed job whose file is gone is run again under its own id") {
    Api api;
    const auto first = api.submit("https://example.org/talk");
    const auto id = text(first.json.at("job").as_object().at("id"));
    api.complete(false);
    const auto again = api.submit("https://example.org/talk");
    CHECK(again.status == 201);
    CHECK(again.json.at("requeued").as_bool());
    CHECK(text(again.json.at("job").as_object().at("id")) == id);
    CHECK(text(again.json.at("job").as_object().at("status")) == "queued");
}

TEST_CASE("deleting a job removes its file unless it is to be kept") {
    for (const bool keep : {false, true}) {
        Api api;
        const auto made = api.submit("https://example.org/film");
        const auto id = text(made.json.at("job").as_object().at("id"));
        const auto path = api.root + "/" + api.complete(true);
        const std::string target = "/api/jobs/" + id + (keep ? "?keepFiles=1" : "");
        CHECK(api.call("DELETE", target).status == 200);
        CHECK(std::filesystem::exists(path) == keep);
        CHECK(api.call("GET", "/api/jobs/" + id).status == 404);
    }
}

TEST_CASE("a platform switched off refuses its posts, and says who switched it off") {
    Api api;
    CHECK(api.call("PATCH", "/api/capabilities", R"({"platforms":{"x":false}})").status == 200);
    const auto shown = api.call("GET", "/api/capabilities");
    const auto& x = shown.json.at("platforms").as_object().at("x").as_object();
    CHECK_FALSE(x.at("enabled").as_bool());
    CHECK(text(x.at("source")) == "store");
    const auto refused = api.submit("https://x.com/ada/status/9");
    CHECK(refused.status == 403);
    CHECK(refused.code() == "PLATFORM_DISABLED");
    CHECK(api.submit("https://example.org/still-fine").status == 201);
    for (const auto* body : {R"({"platforms":{"y":true}})", R"({"platforms":{"x":1}})", R"({"x":true})", "{}"}) {
        CAPTURE(body);
        CHECK(api.call("PATCH", "/api/capabilities", body).status == 400);
    }
    CHECK(api.call("PATCH", "/api/capabilities", R"({"platforms":{"x":true}})").status == 200);
    CHECK(api.submit("https://x.com/ada/status/9").status == 201);
}

TEST_CASE("downloads serve what a result names and nothing else, however the path is written") {
    Api api;
    REQUIRE(api.submit("https://example.org/film").status == 201);
    const auto path = api.complete(true);
    const auto name = path.substr(5);
    CHECK(api.call("GET", "/downloads/" + path).status == 200);
    CHECK(api.call("GET", "/downloads/slug/%" + std::string("30") + name.substr(1)).status == 200);
    std::ofstream(api.root + "/slug/secret.txt") << "no";
    const auto id = name.substr(0, 36);
    std::ofstream(api.root + "/slug/" + id + "-1.txt") << "no";
    const auto other = "0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f-1.mp4";
    std::ofstream(api.root + "/slug/" + other) << "no";
    const std::string dots = "../../../../../../../..";
    const std::string refused[] = {
        "", "/", ".", "..", "slug", "slug/", "slug/.", "slug/..", "slug/secret.txt", "slug/" + id + "-1.txt",
        "slug/" + std::string(other), name, "other/" + name, "SLUG/" + name, "slug/" + id, "slug/" + id + "-", path + "/", path + "/.",
        path + "/..", path + ".", path + "%20", path + "%00", path + "%00.mp4", "%00" + path, "slug/%00" + name, path + "x",
        "/" + path, "//" + path, "./" + path, "slug/./" + name, "slug//" + name, "slug/../" + path, "x/../" + path,
        "../" + path, "slug/%2e%2e/" + path, "slug/%2E%2E/" + path, "%2e%2e%2f" + path, "slug/..%2f" + path, "slug%2f" + name,
        "slug%5c" + name, "slug\\" + name, "slug/..%5c" + path, "..\\" + path, "%252e%252e/" + path, "slug%252f" + name,
        "slug/%c0%ae%c0%ae/" + path, "slug/..%c0%af" + path, "slug/%e2%80%a5/" + path, "slug/..;/" + path, "slug;/" + name,
        path + ";x", "~/" + path, "..." + path, ".jobrt-tmp/x", dots + "/etc/passwd", "%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/etc/passwd", "%2fetc%2fpasswd", "file:///etc/passwd", "slug/" + id + "/../../../etc/passwd", "C:%5cwindows%5cwin.ini",
        "proc/self/environ", api.root + "/" + path, "%", "%2", "%zz", path + "%"};
    int tried = 0;
    for (const auto& target : refused) {
        CAPTURE(target);
        for (const auto* method : {"GET", "HEAD"}) {
            const auto answer = api.call(method, "/downloads/" + target);
            CHECK((answer.status == 404 || answer.status == 400));
            CHECK_FALSE(answer.code().empty());
        }
        ++tried;
    }
    CHECK(tried >= 60);
}

TEST_CASE("a result that names a file outside of the folder does not make it official") {
    Api api;
    const std::string outside = api.root + "-outside";
    std::filesystem::create_directories(outside);
    std::filesystem::create_directories(api.root + "/slug/folder");
    std::filesystem::create_directory_symlink(outside, api.root + "/link");
    int post = 0;
    for (const auto& folder : {"../" + std::filesystem::path(outside).filename().string() + "/", std::string("link/"), outside + "/",
                                     std::string("slug/../link/"), std::string("/etc/"), std::string("slug/folder/../../link/")}) {
        CAPTURE(folder);
        REQUIRE(api.submit("https://example.org/film/" + std::to_string(++post)).status == 201);
        const auto path = api.complete(false, folder);
        std::ofstream(outside + "/" + path.substr(folder.size())) << "no";
        CHECK(api.call("GET", "/downloads/" + path).status >= 400);
    }
    // The control: inside it is served.
    REQUIRE(api.submit("https://example.org/film/0").status == 201);
    const auto path = api.complete(false, "slug/folder/");
    std::ofstream(api.root + "/" + path) << "yes";
    CHECK(api.call("GET", "/downloads/" + path).status == 200);
    std::filesystem::remove_all(outside);
}

TEST_CASE("every route of jobrt asks for its role, by its own table") {
    Api api([](std::string_view token) -> std::optional<Caller> {
        if (const auto role = parse_role(token)) return Caller{"id", std::string(token), *role};
        return std::nullopt;
    });
    const std::pair<std::string, Role> tokens[] = {
        {"", Role::anyone}, {"wrong", Role::anyone}, {"read", Role::read}, {"operate", Role::operate}, {"admin", Role::admin}};
    int refused = 0;
    int let_in = 0;
    for (const auto& route : api.router->routes())
        for (const auto& [token, role] : tokens) {
            CAPTURE(route.method + " " + route.path);
            CAPTURE(token);
            Request request{route.method, route.path, {{"host", "localhost"}}, "", "192.0.2.1"};
            if (!token.empty()) request.headers.emplace_back("authorization", "Bearer " + token);
            const int status = api.router->handle(request).status;
            if (role < route.role) {
                CHECK(status == (role == Role::anyone ? 401 : 403));
                ++refused;
            } else {
                CHECK(status != 403);
                if (route.path != "/login") CHECK(status != 401);
                ++let_in;
            }
        }
    CHECK(refused >= 30);
    CHECK(let_in >= 30);
}

TEST_CASE("a result's path that leads outside by a symbolic link is not served") {
    Api api;
    REQUIRE(api.submit("https://example.org/film").status == 201);
    const auto path = api.complete(false);
    std::filesystem::create_directories(api.root + "/slug");
    std::filesystem::create_symlink("/etc/hostname", api.root + "/" + path);
    CHECK(api.call("GET", "/downloads/" + path).status == 404);
}
