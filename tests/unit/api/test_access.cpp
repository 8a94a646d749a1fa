// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "api_fixture.hpp"

#include <atomic>
#include <stdexcept>

using namespace api_test;

namespace {

/// Tokens named like their roles.
ApiOptions guarded() {
    ApiOptions options;
    options.authenticate = [](std::string_view token) -> std::optional<Caller> {
        if (const auto role = parse_role(token)) return Caller{"id-" + std::string(token), "the-" + std::string(token), *role};
        return std::nullopt;
    };
    return options;
}

Headers bearer(const std::string& token) { return {{"authorization", "Bearer " + token}}; }
Headers form() { return {{"content-type", "application/x-www-form-urlencoded"}}; }

}  // namespace

TEST_CASE("every route asks for its role: no token, a wrong one, and each role") {
    Api api(guarded());
    const std::pair<std::string, Role> tokens[] = {
        {"", Role::anyone}, {"wrong", Role::anyone}, {"read", Role::read}, {"operate", Role::operate}, {"admin", Role::admin}};
    std::size_t refused = 0;
    // A route for admins, which core has none of.
    api.router.add({"PATCH", "/settings", Role::admin, "A program's own.", {},
                    [](const Request&, const RouteMatch&) { return Response::json(200, {{"ok", true}}); }});
    for (const auto& route : api.router.routes()) {
        for (const auto& [token, role] : tokens) {
            for (const bool as_cookie : {false, true}) {
                CAPTURE(route.method + " " + route.path);
                CAPTURE(token);
                CAPTURE(as_cookie);
                Headers headers;
                if (!token.empty() && as_cookie) headers = {{"cookie", "a=b; jobrt_token=" + token + "; c=d"}};
                if (!token.empty() && !as_cookie) headers = bearer(token);
                Request request{route.method, route.path, headers, "", "192.0.2.1"};
                request.headers.emplace_back("host", "localhost");
                const auto response = api.router.handle(request);
                const auto challenge = Answer{response}.header("www-authenticate");
                if (role >= route.role) {
                    // POST /login judges the token in its body instead.
                    if (route.path != "/login") CHECK(response.status != 401);
                    CHECK(response.status != 403);
                } else {
                    ++refused;
                    CHECK(response.status == (role == Role::anyone ? 401 : 403));
                    CHECK(challenge.starts_with("Bearer realm=\"jobrt\""));
                    CHECK((challenge.find("invalid_token") != std::string::npos) == (token == "wrong"));
                    CHECK((challenge.find("insufficient_scope") != std::string::npos) == (role != Role::anyone));
                    CHECK(std::get<std::string>(response.body).find("jobrt token create") != std::string::npos);
                }
            }
        }
    }
    CHECK(refused > 40);
}

TEST_CASE("without tokens everyone is the local admin, and nobody is asked to log in") {
    Api api;
    CHECK_FALSE(api.router.is_guarded());
    const auto session = api.get("/api/session");
    CHECK(session.status == 200);
    CHECK(session.body.at("role") == "admin");
    CHECK(session.body.at("guarded") == false);
    CHECK(session.body.at("tokenId").is_null());
    CHECK(api.get("/login").status == 303);
    CHECK(api.call("GET", "/api/jobs", "", bearer("whatever")).status == 200);
}

TEST_CASE("the header goes before the cookie, another scheme is not ours, and a query never counts") {
    Api api(guarded());
    const auto status = [&](const Headers& headers, const char* target = "/api/jobs") {
        return api.call("GET", target, "", headers).status;
    };
    CHECK(status({{"authorization", "bearer   read "}}) == 200);
    CHECK(status({{"authorization", "Basic read"}}) == 401);
    CHECK(status({{"authorization", "Basic x"}, {"cookie", "jobrt_token=read"}}) == 200);
    CHECK(status({{"authorization", "Bearer wrong"}, {"cookie", "jobrt_token=read"}}) == 401);
    CHECK(status({{"cookie", "xjobrt_token=read"}}) == 401);
    CHECK(status({{"cookie", "jobrt_tokenx=read"}}) == 401);
    CHECK(status({{"cookie", "a=1"}, {"cookie", "jobrt_token=read"}}) == 200);
    CHECK(status({}, "/api/jobs?token=read") == 401);
    const auto named = api.call("GET", "/api/jobs?access_token=jrt_canary", "", bearer("read"));
    CHECK(named.status == 400);
    CHECK(std::get<std::string>(named.response.body).find("canary") == std::string::npos);
    CHECK(status({{"sec-fetch-mode", "navigate"}}) == 303);
    // Relative, so that it stays below the path that a proxy has put us under.
    CHECK(api.call("GET", "/api/jobs?tag=a/b", "", {{"sec-fetch-mode", "navigate"}}).header("location") == "../login");
    CHECK(api.call("GET", "/metrics", "", {{"sec-fetch-mode", "navigate"}}).header("location") == "login");
    CHECK(status({}, "/nowhere") == 404);
}

TEST_CASE("a page of another origin that may read does not act with the cookie of whoever looks at it") {
    auto options = guarded();
    options.cors_origins = {"http://localhost:3000", "http://localhost:3001"};
    options.allowed_origins = {"http://localhost:3001"};
    Api api(options);
    const auto status = [&](const char* method, Headers headers) {
        headers.emplace_back("sec-fetch-site", "same-site");
        headers.emplace_back("host", "localhost:4000");
        return api.call(method, "/api/jobs", method == std::string("POST") ? R"({"kind":"demo.echo"})" : "", headers).status;
    };
    const std::pair<std::string, std::string> cookie{"cookie", "jobrt_token=operate"}, token{"authorization", "Bearer operate"};
    CHECK(status("POST", {cookie, {"origin", "http://localhost:3000"}}) == 401);
    CHECK(status("GET", {cookie, {"origin", "http://LOCALHOST:3000"}}) == 401);
    CHECK(status("POST", {cookie, token, {"origin", "http://localhost:3000"}}) == 201);
    // One that may do as ours does, our own, and a program.
    CHECK(status("POST", {cookie, {"origin", "http://localhost:3001"}}) == 201);
    CHECK(api.post("/api/jobs", R"({"kind":"demo.echo"})", {cookie, {"origin", "http://127.0.0.1:4000"}}).status == 201);
    CHECK(api.post("/api/jobs", R"({"kind":"demo.echo"})", {cookie}).status == 201);
    const auto refused = api.post("/api/jobs", "{}", {cookie, {"origin", "http://localhost:3000"}});
    CHECK(refused.header("www-authenticate").find("invalid_token") == std::string::npos);
}

TEST_CASE("what a program's own check of tokens throws ends no thread of the host: it is a 500, and the end of a stream") {
    std::atomic<bool> broken = false;
    ApiOptions options;
    std::string logged;
    options.log = [&](std::string_view line) { logged += line; };
    options.authenticate = [&](std::string_view) -> std::optional<Caller> {
        if (broken) throw std::runtime_error("the directory is gone");
        return Caller{"id", "ada", Role::admin};
    };
    Api api(options);
    const Request change{"POST", "/api/jobs", {{"host", "localhost"}, {"content-type", "application/json"}, {"authorization", "Bearer x"}},
                         R"({"kind":"demo.echo"})", "192.0.2.9"};
    const Request follow{"GET", "/api/telemetry/stream", {{"host", "localhost"}, {"authorization", "Bearer x"}}, "", "192.0.2.9"};
    const auto stream = api.router.handle(follow);
    const auto& described = std::get<EventStream>(stream.body);
    CHECK(described.still_allowed());
    broken = true;
    CHECK_FALSE(described.still_allowed());
    for (const auto& refused : {std::optional(api.router.handle(change)), api.router.refuse_early(change), api.router.refuse_late(change, true)}) {
        REQUIRE(refused);
        CHECK(refused->status == 500);
        CHECK(std::get<std::string>(refused->body).find("INTERNAL") != std::string::npos);
        CHECK(std::get<std::string>(refused->body).find("directory") == std::string::npos);
    }
    CHECK(logged.find("the directory is gone") != std::string::npos);
}

TEST_CASE("the log-in page trades a token for a cookie that scripts and other sites do not get") {
    Api api(guarded());
    const auto page = [&](const char* target) {
        Request request{"GET", target, {{"host", "localhost"}}, "", ""};
        return api.router.handle(request);
    };
    const auto shown = page("/login");
    CHECK(shown.status == 200);
    CHECK(std::get<std::string>(shown.body).find("<form method=\"post\" action=\"login\">") != std::string::npos);
    CHECK(std::get<std::string>(shown.body).find("wrong") == std::string::npos);
    CHECK(Answer{shown}.header("content-security-policy").find("form-action 'self'") != std::string::npos);
    CHECK(Answer{shown}.header("referrer-policy") == "same-origin");
    CHECK(std::get<std::string>(page("/login?failed=1").body).find("wrong") != std::string::npos);

    const auto in = api.call("POST", "/login", "token=operate%0D%0A", form());
    CHECK(in.status == 303);
    CHECK(in.header("location") == "api/status");  // The program has no page of its own here.
    CHECK(in.header("set-cookie") == "jobrt_token=operate; Path=/; HttpOnly; SameSite=Strict");
    const auto wrong = api.call("POST", "/login", "token=nonsense", form());
    CHECK(wrong.header("location") == "login?failed=1");
    CHECK(wrong.header("set-cookie").empty());
    CHECK(api.call("POST", "/login", "token=read%3B%20Domain%3Dx", form()).header("set-cookie").empty());

    const auto json = api.call("POST", "/login", R"({"token":"admin"})", {{"x-forwarded-proto", "https"}});
    CHECK(json.status == 200);
    CHECK(json.body.at("role") == "admin");
    CHECK(json.header("set-cookie").find("; Secure") != std::string::npos);
    const auto refused = api.call("POST", "/login", R"({"token":"nonsense"})");
    CHECK(refused.code() == "UNAUTHORIZED");
    CHECK(refused.header("www-authenticate") == "Bearer realm=\"jobrt\"");
    for (const auto* body : {"{}", R"({"token":1})", R"({"token":"read","more":1})"})
        CHECK(api.call("POST", "/login", body).code() == "INVALID_ARGUMENT");

    const auto out = api.call("POST", "/logout", "", form());
    CHECK(out.header("set-cookie").find("jobrt_token=; ") == 0);
    CHECK(out.header("set-cookie").find("Max-Age=0") != std::string::npos);
    // No page of another origin logs anybody in or out, and no other route takes a form.
    for (const auto* target : {"/login", "/logout"})
        CHECK(api.call("POST", target, "token=read", {{"content-type", "application/x-www-form-urlencoded"}, {"sec-fetch-site", "cross-site"}}).status == 403);
    CHECK(api.call("POST", "/api/jobs", "kind=demo.echo", {{"content-type", "application/x-www-form-urlencoded"}, {"cookie", "jobrt_token=admin"}}).status == 415);
}

namespace {

/// Keeps what it gets.
class Ears final : public TelemetrySink {
public:
    void emit(const Event& event, bool logged) noexcept override {
        CHECK_FALSE(logged);
        heard.push_back(event);
    }
    bool has_room() noexcept override { return room; }
    std::vector<Event> heard;
    bool room = true;
};

}  // namespace

TEST_CASE("every change leaves an audit event: who, what, from where, result") {
    Ears ears;
    auto options = guarded();
    options.sink = &ears;
    Api api(options);
    api.router.add({"POST", "/boom", Role::operate, "Fails.", {},
                    [](const Request&, const RouteMatch&) -> Response { throw std::runtime_error("secret"); }});
    const auto change = [&](const char* method, const std::string& target, const std::string& body, const std::string& token) {
        Request request{method, target, {{"host", "localhost"}, {"content-type", "application/json"}, {"x-forwarded-for", "198.51.100.7"}}, body, "192.0.2.9"};
        if (!token.empty()) request.headers.emplace_back("authorization", "Bearer " + token);
        ears.heard.clear();
        return api.router.handle(request).status;
    };
    CHECK(change("POST", "/api/jobs?x=1", "{}", "operate") == 400);
    REQUIRE(ears.heard.size() == 1);
    CHECK(ears.heard[0].name == "api.change.refused");
    CHECK(ears.heard[0].fields.at("path") == "/api/jobs");

    CHECK(change("POST", "/api/jobs", R"({"kind":"demo.echo"})", "operate") == 201);
    REQUIRE(ears.heard.size() == 1);
    const Event made = ears.heard[0];
    CHECK(made.name == "api.change.done");
    CHECK(made.level == Level::info);
    CHECK(made.job);
    CHECK(made.trace_id.size() == 32);
    CHECK(made.fields == boost::json::object{{"caller", "the-operate"}, {"tokenId", "id-operate"}, {"callerRole", "operate"},
                                             {"from", "192.0.2.9"}, {"forwardedFor", "198.51.100.7"}, {"method", "POST"},
                                             {"path", "/api/jobs"}, {"status", 201}});
    const auto job = "/api/jobs/" + made.job.str();
    const std::tuple<const char*, std::string, std::string, int, std::string> rows[] = {
        {"POST", job + "/cancel", "operate", 200, ""},
        {"POST", job + "/cancel", "admin", 409, "INVALID_STATE"},
        {"POST", job + "/retry", "read", 403, "FORBIDDEN"},
        {"POST", job + "/retry", "admin", 200, ""},
        {"DELETE", job, "operate", 200, ""},
        {"DELETE", job, "operate", 404, "JOB_NOT_FOUND"},
        {"POST", "/boom", "operate", 500, "INTERNAL"},
    };
    for (const auto& [method, target, token, status, code] : rows) {
        CAPTURE(target);
        CHECK(change(method, target, "", token) == status);
        REQUIRE(ears.heard.size() == 1);
        const Event& event = ears.heard[0];
        CHECK(event.name == (status < 400 ? "api.change.done" : "api.change.refused"));
        CHECK(event.fields.at("status") == status);
        CHECK(text(event.fields.at("caller")) == "the-" + token);
        CHECK(event.fields.contains("code") == !code.empty());
        if (!code.empty()) CHECK(text(event.fields.at("code")) == code);
        if (target.starts_with(job)) CHECK(event.job == made.job);
    }
    CHECK(change("POST", "/api/worker/beat", R"({"kinds":["demo.echo"]})", "read") == 403);
    CHECK(ears.heard.size() == 1);
    // Looking is no change, and who has no token at all does not fill the log.
    CHECK(change("GET", "/api/jobs", "", "read") == 200);
    CHECK(ears.heard.empty());
    CHECK(change("POST", "/api/jobs", R"({"kind":"demo.echo"})", "") == 401);
    CHECK(ears.heard.empty());
    for (const auto* path : {"/login", "/logout"}) {
        CAPTURE(path);
        const bool in = std::string_view(path) == "/login";
        CHECK(change("POST", path, in ? R"({"token":"read"})" : "", in ? "" : "read") == 200);
        REQUIRE(ears.heard.size() == 1);
        CHECK(ears.heard[0].name == "api.change.done");
        CHECK(ears.heard[0].fields.at("caller") == "the-read");
        CHECK(ears.heard[0].fields.at("from") == "192.0.2.9");
        CHECK(ears.heard[0].fields.at("path") == path);
    }
}

TEST_CASE("no change is made whose event would be lost") {
    Ears ears;
    auto options = guarded();
    options.sink = &ears;
    Api api(options);
    const std::string job = R"({"kind":"demo.echo"})";
    const auto id = text(api.post("/api/jobs", job, bearer("operate")).body.at("job").at("id"));
    ears.room = false;
    for (const auto& [method, target] : {std::pair("POST", std::string("/api/jobs")), std::pair("DELETE", "/api/jobs/" + id),
                                         std::pair("POST", "/api/jobs/" + id + "/cancel"), std::pair("POST", std::string("/login"))}) {
        CAPTURE(target);
        const auto body = target == "/api/jobs" ? job : target == "/login" ? R"({"token":"read"})" : "";
        const auto refused = api.call(method, target, body, bearer("operate"));
        CHECK(refused.status == 503);
        CHECK(refused.code() == "OVERLOADED");
        CHECK_FALSE(refused.header("retry-after").empty());
    }
    const auto jobs = api.call("GET", "/api/jobs", "", bearer("read"));
    CHECK(jobs.status == 200);
    REQUIRE(jobs.body.at("jobs").as_array().size() == 1);
    CHECK(jobs.body.at("jobs").at(0).at("status") == "queued");
    // A worker that could not beat would lose its jobs.
    CHECK(api.post("/api/worker/beat", R"({"kinds":["demo.echo"]})", bearer("operate")).status < 300);
    ears.room = true;
    CHECK(api.call("DELETE", "/api/jobs/" + id, "", bearer("operate")).status == 200);
}

TEST_CASE("health looks at no token, which could keep it waiting") {
    int asked = 0;
    ApiOptions options;
    options.authenticate = [&](std::string_view) -> std::optional<Caller> {
        ++asked;
        return std::nullopt;
    };
    Api api(options);
    for (const auto* path : {"/api/health", "/api/worker/health"}) {
        CHECK(api.call("GET", path, "", bearer("any")).status == 200);
        CHECK(api.call("HEAD", path, "", {{"cookie", "jobrt_token=any"}}).status == 200);
        CHECK(asked == 0);
    }
    CHECK(api.call("GET", "/api/jobs", "", bearer("any")).status == 401);
    CHECK(asked == 1);
}

TEST_CASE("what a worker does by HTTP is told where it counts: its session, its jobs and steps, and how attempts end") {
    Ears ears;
    auto options = guarded();
    options.sink = &ears;
    Api api(options);
    const auto ask = [&](const std::string& what, const std::string& body) {
        Request request{"POST", "/api/worker/" + what, {{"host", "localhost"}, {"content-type", "application/json"}}, body, "192.0.2.9"};
        request.headers.emplace_back("authorization", "Bearer operate");
        ears.heard.clear();
        const auto response = api.router.handle(request);
        return boost::json::parse(std::get<std::string>(response.body)).as_object();
    };
    const auto told = [&] {
        REQUIRE(ears.heard.size() == 1);
        const auto& event = ears.heard[0];
        CHECK(event.name == "api.change.done");
        CHECK(event.fields.at("caller") == "the-operate");
        CHECK(event.fields.at("from") == "192.0.2.9");
        return event;
    };
    const std::string kinds = R"("kinds":["demo.echo"])";
    const auto session = text(ask("beat", "{" + kinds + "}").at("session"));
    CHECK(text(told().fields.at("workerId")) == session);
    const auto mine = R"({"session":")" + session + "\"," + kinds;
    (void)ask("beat", mine + "}");
    CHECK(ears.heard.empty());
    api.call("POST", "/api/jobs", R"({"kind":"demo.echo"})", bearer("operate"));
    const auto claimed = ask("claim", mine + "}").at("jobs").at(0);
    const auto took = told();
    CHECK(took.job.str() == text(claimed.at("id")));
    CHECK(took.fields.at("jobIds") == boost::json::array{claimed.at("id")});
    CHECK(text(took.fields.at("workerId")) == session);
    CHECK(took.fields.at("tokenId") == "id-operate");
    (void)ask("claim", mine + "}");
    CHECK(ears.heard.empty());
    const auto held = R"({"jobId":")" + text(claimed.at("id")) + R"(","fence":")" + text(claimed.at("fence")) + "\"";
    (void)ask("note", held + R"(,"log":["half way"]})");
    CHECK(ears.heard.empty());
    (void)ask("note", held + R"(,"step":{"name":"paid","value":{"n":2}}})");
    const auto kept = told();
    CHECK(kept.job.str() == text(claimed.at("id")));
    CHECK(kept.fields.at("step") == "paid");
    CHECK(text(kept.fields.at("workerId")) == session);
    (void)ask("settle", held + R"(,"outcome":"completed"})");
    const auto ended = told();
    // With another's token under the same session: it says whose.
    for (int i = 0; i < 2; ++i) api.call("POST", "/api/jobs", R"({"kind":"demo.echo"})", bearer("operate"));
    ears.heard.clear();
    const auto stolen = api.call("POST", "/api/worker/claim", mine + R"(,"limit":2})", bearer("admin"));
    REQUIRE(ears.heard.size() == 1);
    CHECK(ears.heard[0].fields.at("caller") == "the-admin");
    CHECK(text(ears.heard[0].fields.at("workerId")) == session);
    CHECK_FALSE(ears.heard[0].job);
    CHECK(ears.heard[0].fields.at("jobIds").as_array().size() == 2);
    CHECK(ears.heard[0].fields.at("jobIds").at(1) == stolen.body.at("jobs").at(1).at("id"));
    CHECK(ended.job.str() == text(claimed.at("id")));
    CHECK(ended.fields.at("outcome") == "completed");
    (void)ask("beat", mine + R"(,"stopped":true})");
    CHECK(told().fields.at("stopped") == true);
    CHECK(text(told().fields.at("workerId")) == session);
}

TEST_CASE("wrong tokens are told of with few events, however many are tried") {
    Ears ears;
    auto options = guarded();
    options.sink = &ears;
    auto api = std::make_unique<Api>(options);
    const auto attempt = [&](const std::string& from, const char* method, const std::string& target, const std::string& body) {
        Request request{method, target, {{"host", "localhost"}, {"content-type", "application/json"}}, body, from};
        if (body.empty()) request.headers.emplace_back("authorization", "Bearer wrong");
        return api->router.handle(request).status;
    };
    CHECK(attempt("192.0.2.1", "POST", "/login", R"({"token":"nonsense"})") == 401);
    REQUIRE(ears.heard.size() == 1);
    CHECK(ears.heard[0].name == "api.login.refused");
    CHECK(ears.heard[0].level == Level::warn);
    CHECK(ears.heard[0].trace_id.size() == 32);
    CHECK(ears.heard[0].fields == boost::json::object{{"from", "192.0.2.1"}, {"method", "POST"}, {"path", "/login"}, {"tries", 1}});
    // Whoever else comes is told of, too, but not each of a thousand.
    CHECK(attempt("192.0.2.2", "GET", "/api/jobs?x=1", "") == 401);
    REQUIRE(ears.heard.size() == 2);
    CHECK(ears.heard[1].fields.at("path") == "/api/jobs");
    for (int i = 0; i < 1000; ++i) attempt("198.51.100." + std::to_string(i), "DELETE", "/api/jobs/x", "");
    CHECK(ears.heard.size() == 8);
    // A minute later their number is, with whatever is asked.
    api->clock.advance(Duration{59'999});
    api->get("/api/health");
    CHECK(ears.heard.size() == 8);
    api->clock.advance(Duration{1});
    api->get("/api/health");
    REQUIRE(ears.heard.size() == 9);
    CHECK(ears.heard[8].fields.at("tries") == 994);
    CHECK(ears.heard[8].fields.at("from") == "198.51.100.999");
    api->get("/api/health");
    CHECK(ears.heard.size() == 9);
    // And so begins a new one; what is counted at the end is told then.
    for (int i = 0; i < 3; ++i) attempt("192.0.2.1", "POST", "/login", R"({"token":"nonsense"})");
    CHECK(ears.heard.size() == 10);
    api.reset();
    REQUIRE(ears.heard.size() == 11);
    CHECK(ears.heard[10].fields.at("tries") == 2);
}

TEST_CASE("a token that is sent shows nowhere but in the cookie that it asked for") {
    const std::string canary = "jrt_01234567_" + std::string(64, 'c');
    const auto secret = std::string(64, 'c');
    Ears ears;
    std::string log;
    ApiOptions options;
    options.sink = &ears;
    options.log = [&](std::string_view line) { log += line; };
    options.authenticate = [&](std::string_view token) -> std::optional<Caller> {
        if (token == canary) return Caller{"01234567", "ada", Role::admin};
        return std::nullopt;
    };
    Api api(options);
    api.router.add({"POST", "/boom", Role::operate, "Fails.", {}, [](const Request& request, const RouteMatch&) -> Response {
                        throw std::runtime_error(std::string(request.header("authorization")));
                    }});
    std::string seen;
    const auto send = [&](const char* method, const std::string& target, const std::string& body, Headers headers) {
        const auto answer = api.call(method, target, body, headers);
        if (const auto* text = std::get_if<std::string>(&answer.response.body)) seen += *text;
        for (const auto& [name, value] : answer.response.headers)
            if (name != "set-cookie") seen += value;
    };
    for (const auto& token : {canary, canary + "0"}) {
        const Headers with{{"authorization", "Bearer " + token}, {"x-trace-id", token}, {"x-forwarded-for", token}};
        send("POST", "/api/jobs", R"({"kind":"demo.echo"})", with);
        send("POST", "/api/jobs/" + token + "/cancel", "", with);
        send("GET", "/api/jobs?token=" + token, "", with);
        send("GET", "/api/jobs?cursor=" + token, "", with);
        send("GET", "/" + token, "", with);
        send("POST", "/boom", "", with);
        send("POST", "/login", "{\"token\":\"" + token + "\"}", {});
        send("GET", "/api/session", "", {{"cookie", "jobrt_token=" + token}});
    }
    for (const auto& event : ears.heard) seen += boost::json::serialize(to_json(event));
    const auto events = api.store.events(0, {}, 1000);
    REQUIRE(events);
    for (const auto& event : events->events) seen += boost::json::serialize(to_json(event));
    CHECK_FALSE(ears.heard.empty());
    CHECK_FALSE(log.empty());
    CHECK(seen.find(secret) == std::string::npos);
    CHECK(log.find(secret) == std::string::npos);
}
