// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <optional>
#include <set>
#include <string>
#include <vector>

#include <boost/json/parse.hpp>

#include "api_document.hpp"

using namespace jobruntime;

namespace {

/// Keeps what it gets.
class Ears final : public TelemetrySink {
public:
    void emit(const Event& event, bool) noexcept override { heard.push_back(event); }
    std::vector<Event> heard;
};

/// What is asked of a route.
struct Asked {
    std::string target;
    std::string body;
};

class Machine {
public:
    explicit Machine(Ears& ears) : ears_(ears), table_(&ears) {
        session_ = text(ask("POST", {"/api/worker/beat", R"({"kinds":["demo.echo"]})"}), "session");
    }
    const std::vector<Route>& routes() const { return table_.router->routes(); }
    Store& store() { return *table_.store; }

    /// `status`: what it is answered; 0 = it is done, -1 = whatever.
    boost::json::object ask(const std::string& method, const Asked& asked, int status = 0) {
        Request request{method, asked.target, {{"host", "localhost"}}, asked.body, "192.0.2.9"};
        if (!asked.body.empty()) request.headers.emplace_back("content-type", "application/json");
        ears_.heard.clear();
        const auto response = table_.router->handle(request);
        CAPTURE(asked.target);
        if (status == 0) CHECK(response.status < 400);
        if (status > 0) CHECK(response.status == status);
        const auto* json = std::get_if<std::string>(&response.body);
        boost::system::error_code none;
        auto parsed = json ? boost::json::parse(*json, none) : boost::json::value();
        return parsed.is_object() ? parsed.get_object() : boost::json::object();
    }
    /// A request that this route, which changes something, does; nothing for a route that this test does not know.
    std::optional<Asked> change(const std::string& route) {
        const auto worker = [&](const std::string& more) { return R"({"session":")" + session_ + "\",\"kinds\":[\"demo.echo\"]" + more + "}"; };
        if (route == "POST /api/jobs") return Asked{"/api/jobs", R"({"kind":"demo.echo"})"};
        if (route == "POST /api/jobs/bulk") return Asked{"/api/jobs/bulk", R"({"action":"cancel","ids":[")" + new_job() + "\"]}"};
        if (route == "POST /api/jobs/:id/cancel") return Asked{"/api/jobs/" + new_job() + "/cancel", ""};
        if (route == "POST /api/jobs/:id/retry") return Asked{"/api/jobs/" + new_job() + "/retry", ""};
        if (route == "DELETE /api/jobs/:id") return Asked{"/api/jobs/" + new_job(), ""};
        if (route == "POST /api/queues/:name/pause") return Asked{"/api/queues/mail/pause", ""};
        if (route == "POST /api/queues/:name/resume") return Asked{"/api/queues/mail/resume", ""};
        if (route == "POST /api/worker/beat") return Asked{"/api/worker/beat", worker("")};
        if (route == "POST /api/worker/claim") {
            (void)ask("POST", {"/api/jobs", R"({"kind":"demo.echo"})"});
            return Asked{"/api/worker/claim", worker("")};
        }
        if (route == "POST /api/worker/note") return Asked{"/api/worker/note", "{" + claimed() + R"(,"log":["half way"]})"};
        if (route == "POST /api/worker/settle") return Asked{"/api/worker/settle", "{" + claimed() + R"(,"outcome":"completed"})"};
        if (route == "POST /login") return Asked{"/login", R"({"token":"any"})"};
        if (route == "POST /logout") return Asked{"/logout", ""};
        if (route == "PATCH /api/capabilities") return Asked{"/api/capabilities", R"({"platforms":{"x":false}})"};
        return std::nullopt;
    }

private:
    static std::string text(const boost::json::object& object, std::string_view name) {
        REQUIRE(object.contains(name));
        return std::string(object.at(name).as_string());
    }
    std::string new_job() {
        return text(ask("POST", {"/api/jobs", R"({"kind":"demo.sleep","delayMs":3600000})"}).at("job").as_object(), "id");
    }
    std::string claimed() {
        (void)ask("POST", {"/api/jobs", R"({"kind":"demo.echo"})"});
        const auto jobs = ask("POST", {"/api/worker/claim", R"({"session":")" + session_ + R"(","kinds":["demo.echo"]})"}).at("jobs");
        const auto& job = jobs.as_array().at(0).as_object();
        return R"("jobId":")" + text(job, "id") + R"(","fence":")" + text(job, "fence") + "\"";
    }

    Ears& ears_;
    api_document::Table table_;
    std::string session_;
};

/// A path of that row, with something in the place of each name.
std::string path_of(const Route& route) {
    std::string path;
    bool in_name = false;
    for (const char c : route.path) {
        if (c == '/') in_name = false;
        if (c == ':' || c == '*') path += "0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f";
        in_name = in_name || c == ':' || c == '*';
        if (!in_name) path += c;
    }
    return path;
}

}  // namespace

TEST_CASE("each route that changes something writes one audit event, done or refused; reading writes none") {
    // docs/api.md names these: a beat that neither begins nor ends a session, a note without a step.
    const std::set<std::string> silent{"POST /api/worker/beat", "POST /api/worker/note"};
    Ears ears;
    Machine machine(ears);
    std::set<std::string> kept_silent;
    std::size_t of_jobs = 0;
    for (const auto& route : machine.routes()) {
        const auto name = route.method + " " + route.path;
        CAPTURE(name);
        if (route.method == "GET") {
            for (const char* method : {"GET", "HEAD", "OPTIONS"}) {
                ears.heard.clear();
                (void)machine.ask(method, {path_of(route), ""}, -1);
                CHECK(ears.heard.empty());
            }
            continue;
        }
        const auto asked = machine.change(name);
        // A new route that changes something belongs into the list above.
        REQUIRE_MESSAGE(asked, name);
        const auto before = machine.store().events(std::nullopt, {}, 1)->next;
        (void)machine.ask(route.method, *asked);
        if (route.path.starts_with("/api/jobs")) {
            // The sink that hears of it may be too late: the event that is written with the change says so, too.
            const auto written = machine.store().events(before, {}, 100)->events;
            REQUIRE(written.size() == 1);
            CHECK(written[0].fields.at("caller") == "local");
            CHECK(written[0].fields.at("from") == "192.0.2.9");
            ++of_jobs;
        }
        if (silent.contains(name)) {
            CHECK(ears.heard.empty());
            kept_silent.insert(name);
        } else {
            REQUIRE(ears.heard.size() == 1);
            CHECK(ears.heard[0].name == "api.change.done");
            CHECK(std::string(ears.heard[0].fields.at("method").as_string()) == route.method);
            CHECK(std::string(ears.heard[0].fields.at("path").as_string()) == asked->target);
            CHECK(ears.heard[0].fields.at("from") == "192.0.2.9");
        }
        if (route.path == "/login") continue;  // Of wrong tokens there it tells in another way, and malformed ones are no try.
        (void)machine.ask(route.method, {asked->target + "?surprise=1", asked->body}, 400);
        REQUIRE(ears.heard.size() == 1);
        CHECK(ears.heard[0].name == "api.change.refused");
        CHECK(ears.heard[0].fields.at("code") == "INVALID_ARGUMENT");
    }
    CHECK(kept_silent == silent);
    CHECK(of_jobs == 5);
}
