// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Who asked for a change stands in what is written with it, also when no event of the audit ever is.
#include "api_fixture.hpp"

using namespace api_test;

namespace {

/// Tokens named like who has them; everybody may operate.
ApiOptions named() {
    ApiOptions options;
    options.authenticate = [](std::string_view token) -> std::optional<Caller> {
        return Caller{"id-" + std::string(token), std::string(token), Role::operate};
    };
    return options;
}

Answer ask(Api& api, const std::string& who, std::string method, std::string target, std::string body = {}, Headers more = {}) {
    Request request{std::move(method), std::move(target), std::move(more), std::move(body), "192.0.2.9"};
    request.headers.emplace_back("host", "localhost");
    request.headers.emplace_back("authorization", "Bearer " + who);
    if (!request.body.empty()) request.headers.emplace_back("content-type", "application/json");
    Answer answer{api.router.handle(request)};
    answer.status = answer.response.status;
    if (const auto* json = std::get_if<std::string>(&answer.response.body); json && !json->empty())
        answer.body = boost::json::parse(*json).as_object();
    return answer;
}

std::string create(Api& api, const std::string& who, const std::string& body = R"({"kind":"demo.echo"})", Headers more = {}) {
    const auto answer = ask(api, who, "POST", "/api/jobs", body, std::move(more));
    REQUIRE(answer.status == 201);
    return text(answer.body.at("job").at("id"));
}

std::vector<Event> events_of(Api& api, const std::string& id) {
    EventFilter filter;
    filter.job = JobId::parse(id).value();
    return api.store.events(EventId{0}, filter, 100)->events;
}

/// The newest event of a job, if that person asked for what it tells; else what it says.
std::string last_by(Api& api, const std::string& id, const std::string& who) {
    const auto events = events_of(api, id);
    REQUIRE_FALSE(events.empty());
    const auto& fields = events.back().fields;
    const bool said = fields.contains("caller") && text(fields.at("caller")) == who && text(fields.at("tokenId")) == "id-" + who &&
                      text(fields.at("from")) == "192.0.2.9";
    return said ? events.back().name : boost::json::serialize(fields);
}

}  // namespace

TEST_CASE("each way to change a job leaves who asked for it in the event that is written with the change") {
    Api api(named());
    const auto id = create(api, "ada");
    CHECK(last_by(api, id, "ada") == "jobs.create.queued");
    const auto path = "/api/jobs/" + id;
    CHECK(ask(api, "bob", "POST", path + "/cancel").status == 200);
    CHECK(last_by(api, id, "bob") == "worker.job.canceled");
    CHECK(ask(api, "eve", "POST", path + "/retry").status == 200);
    CHECK(last_by(api, id, "eve") == "jobs.retried");
    const auto job = api.claim(api.beat(1));
    CHECK_FALSE(events_of(api, id).back().fields.contains("caller"));
    CHECK(ask(api, "bob", "POST", path + "/cancel").status == 202);
    CHECK(last_by(api, id, "bob") == "jobs.cancel.requested");
    api.settle(job, Verdict::canceled);
    CHECK_FALSE(events_of(api, id).back().fields.contains("caller"));
    CHECK(ask(api, "ada", "DELETE", path).status == 200);
    CHECK(last_by(api, id, "ada") == "jobs.deleted");
}

TEST_CASE("each way to change many does so for each of them") {
    for (const bool told : {false, true}) {
        CAPTURE(told);
        auto options = named();
        if (told) options.deleted = [](const Job&, const RouteMatch&) {};
        Api api(options);
        const auto one = create(api, "ada"), two = create(api, "ada");
        const std::string which[] = {R"("ids":[")" + one + R"(",")" + two + R"("])", R"("filter":{"kind":["demo.echo"]},"expectedCount":2)",
                                     R"("filter":{"text":"echo"},"expectedCount":2)"};
        std::size_t round = 0;
        for (const auto& jobs : which) {
            CAPTURE(jobs);
            const auto who = "who-" + std::to_string(++round);
            for (const auto& [action, event] : {std::pair("cancel", "worker.job.canceled"), std::pair("retry", "jobs.retried")}) {
                CHECK(ask(api, who, "POST", "/api/jobs/bulk", R"({"action":")" + std::string(action) + "\"," + jobs + "}").body.at("done") == 2);
                for (const auto& id : {one, two}) CHECK(last_by(api, id, who) == event);
            }
        }
        for (const auto& jobs : which) {
            CAPTURE(jobs);
            auto ids = std::pair(one, two);
            auto body = R"({"action":"delete",)" + jobs + "}";
            if (jobs != which[0]) {
                ids = {create(api, "ada"), create(api, "ada")};
            }
            CHECK(ask(api, "eve", "POST", "/api/jobs/bulk", body).body.at("done") == 2);
            CHECK(last_by(api, ids.first, "eve") == "jobs.deleted");
            CHECK(last_by(api, ids.second, "eve") == "jobs.deleted");
        }
    }
}

TEST_CASE("a repeated request leaves the name of who came first, and one that has a finished job run again its own") {
    Api api(named());
    const auto id = create(api, "ada", R"({"kind":"demo.echo"})", {{"idempotency-key", "k"}});
    CHECK(create(api, "bob", R"({"kind":"demo.echo"})", {{"idempotency-key", "k"}}) == id);
    CHECK(events_of(api, id).size() == 1);
    CHECK(last_by(api, id, "ada") == "jobs.create.queued");

    CreateRules rules;
    rules.requeue = [](const Job&) { return true; };
    api.router.add({"POST", "/again", Role::operate, "Creates.", {}, [&](const Request& request, const RouteMatch& match) {
                        JobSpec spec;
                        spec.kind = "demo.echo";
                        spec.options.unique = "the-one";
                        spec.options.unique_states = {JobState::canceled};
                        return api.router.create_job(request, match, spec, rules);
                    }});
    const auto again = [&](const std::string& who) { return text(ask(api, who, "POST", "/again").body.at("job").at("id")); };
    const auto one = again("ada");
    CHECK(last_by(api, one, "ada") == "jobs.create.queued");
    CHECK(ask(api, "ada", "POST", "/api/jobs/" + one + "/cancel").status == 200);
    CHECK(again("eve") == one);
    CHECK(last_by(api, one, "eve") == "jobs.retried");
}

TEST_CASE("the record of a queue says who paused it, when, and to what; a program that does not say so is not taken for the last who did") {
    Api api(named());
    const auto settings = [&] { return boost::json::parse(api.store.records("queue/default")->front().value).as_object(); };
    CHECK(ask(api, "ada", "POST", "/api/queues/default/pause").status == 200);
    CHECK(settings() == boost::json::object{{"paused", true},
                                            {"changed", {{"caller", "ada"}, {"tokenId", "id-ada"}, {"from", "192.0.2.9"}, {"paused", true},
                                                         {"at", to_iso(api.clock.wall())}}}});
    CHECK(*api.queue.paused() == std::vector<std::string>{"default"});
    CHECK(ask(api, "bob", "POST", "/api/queues/default/resume").status == 200);
    CHECK(settings().at("changed").at("caller") == "bob");
    CHECK(settings().at("changed").at("paused") == false);
    CHECK(api.queue.paused()->empty());
    REQUIRE(api.queue.pause("default"));
    CHECK(settings() == boost::json::object{{"paused", true}});
}

TEST_CASE("the session of a worker by HTTP says whose token began it, whoever beats for it later and through whichever API") {
    Api api(named());
    const std::string kinds = R"("kinds":["demo.echo"])";
    const auto session = text(ask(api, "ada", "POST", "/api/worker/beat", "{" + kinds + "}").body.at("session"));
    const auto beat = R"({"session":")" + session + "\"," + kinds + "}";
    const boost::json::object ada{{"caller", "ada"}, {"tokenId", "id-ada"}, {"from", "192.0.2.9"}};
    const auto details = [&] { return api.store.sessions()->at(0).facts.details; };
    CHECK(details() == ada);
    CHECK(ask(api, "bob", "POST", "/api/worker/beat", beat).status == 200);
    CHECK(details() == ada);
    auto options = named();
    options.clock = &api.clock;
    ApiRouter other(api.queue, options);
    Request request{"POST", "/api/worker/beat", {{"host", "localhost"}, {"authorization", "Bearer eve"}, {"content-type", "application/json"}}, beat, "192.0.2.1"};
    CHECK(other.handle(request).status == 200);
    CHECK(details() == ada);
}
