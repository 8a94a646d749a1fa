// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <thread>

#include <doctest/doctest.h>

#include <jobruntime/mongo.hpp>

#include "e2e/stores.hpp"
#include "support/mongo_server.hpp"
#include "support/old_server.hpp"

// What operators do with a MongoDB server: take the old application's jobs over from it, measure it, and get told why
// it cannot be used.
namespace jobruntime::e2e {
namespace {

using tests::MongoServer;
using mongo::Doc;
using mongo::List;

boost::json::object output(const Ended& ended) {
    boost::system::error_code code;
    auto value = boost::json::parse(ended.out, code);
    CHECK_MESSAGE((!code && value.is_object()), ended.out << ended.err);
    return !code && value.is_object() ? value.get_object() : boost::json::object{};
}

Variables on_server(const Folder& folder, const std::string& uri) {
    auto variables = environment(folder);
    variables["JOBRT_STORE"] = "";
    variables["MONGODB_URI"] = uri;
    return variables;
}

/// Two documents of the old application, as its driver writes them; `export_of_both` is what mongoexport makes of them.
void insert_both(MongoServer& server, const std::string& database) {
    const Time begun{Duration{1'704'967'200'000}};  // 2024-01-11T10:00:00Z
    const auto with_id = [](const char* id) {
        Doc doc;
        bson_oid_t oid;
        bson_oid_init_from_string(&oid, id);
        BSON_APPEND_OID(doc.raw(), "_id", &oid);
        return doc;
    };
    auto saved = with_id("65a000000000000000000001");
    saved.text("tweetUrl", "https://twitter.com/Ada/status/1001").text("canonicalUrl", "https://x.com/ada/status/1001");
    saved.text("status", "completed").text("accountHandle", "Ada").text("accountSlug", "ada").text("traceId", "t-1");
    saved.time("createdAt", begun).time("completedAt", begun + Duration{60'000}).text("outputPath", "ada/1001.mp4");
    server.insert(database, "jobs", saved);
    auto broken = with_id("65a000000000000000000002");
    broken.text("tweetUrl", "https://x.com/bob/status/1002").text("canonicalUrl", "https://x.com/bob/status/1002");
    broken.text("status", "failed").text("error", "log in first").text("errorCode", "AUTH_REQUIRED").null("outputPath");
    broken.time("createdAt", begun + Duration{1'000}).time("completedAt", begun + Duration{2'000});
    server.insert(database, "jobs", broken);
}
constexpr std::string_view export_of_both =
    R"({"_id":{"$oid":"65a000000000000000000001"},"tweetUrl":"https://twitter.com/Ada/status/1001",)"
    R"("canonicalUrl":"https://x.com/ada/status/1001","status":"completed","accountHandle":"Ada","accountSlug":"ada",)"
    R"("traceId":"t-1","createdAt":{"$date":"2024-01-11T10:00:00.000Z"},)"
    R"("completedAt":{"$date":"2024-01-11T10:01:00.000Z"},"outputPath":"ada/1001.mp4"})"
    "\n"
    R"({"_id":{"$oid":"65a000000000000000000002"},"tweetUrl":"https://x.com/bob/status/1002",)"
    R"("canonicalUrl":"https://x.com/bob/status/1002","status":"failed","error":"log in first",)"
    R"("errorCode":"AUTH_REQUIRED","outputPath":null,"createdAt":{"$date":"2024-01-11T10:00:01.000Z"},)"
    R"("completedAt":{"$date":"2024-01-11T10:00:02.000Z"}})"
    "\n";

std::vector<std::string> old_jobs(const MongoServer& server, const std::string& database) {
    std::vector<std::string> all;
    for (const auto& doc : server.find(database, "jobs", Doc())) {
        char* text = bson_as_canonical_extended_json(doc.raw(), nullptr);
        all.emplace_back(text);
        bson_free(text);
    }
    return all;
}

/// All jobs as the API tells them.
std::string jobs_of(const Folder& folder, Variables variables) {
    variables["ROLE"] = "api";
    Service api(folder, variables);
    const auto answer = http(api.port(), "GET", "/api/jobs?limit=500").json();
    CHECK(answer.contains("jobs"));
    return answer.contains("jobs") ? boost::json::serialize(answer.at("jobs")) : std::string();
}

TEST_CASE("the old application's jobs are read from its database as from an export of it, and stay as they are there") {
    auto& server = MongoServer::shared();
    const auto database = server.fresh_database();
    insert_both(server, database);
    const auto before = old_jobs(server, database);
    REQUIRE(before.size() == 2);

    const Folder by_file, by_uri, by_variable;
    const auto prepare = [](const Folder& folder) {
        std::filesystem::create_directories(folder / "old/ada");
        std::ofstream(folder / "old/ada/1001.mp4") << "the film";
        std::ofstream(folder / "jobs.json") << export_of_both;
    };
    struct Row {
        const Folder& folder;
        Variables variables;
        std::vector<std::string> source;
    };
    const Row rows[] = {{by_file, environment(by_file), {"--file", "jobs.json"}},
                        {by_uri, environment(by_uri), {"--from", server.uri(database)}},
                        // Into the same database: its collections beside ours.
                        {by_variable, on_server(by_variable, server.uri(database)), {}}};
    std::vector<std::string> reports, again, jobs;
    for (const auto& row : rows) {
        CAPTURE(jobs.size());
        prepare(row.folder);
        std::vector<std::string> words{"import", "x-dl", "--downloads", "old", "--json"};
        words.insert(words.end(), row.source.begin(), row.source.end());
        auto dry = words;
        dry.push_back("--dry-run");
        CHECK(output(jobrt(dry, row.variables, row.folder.path())).at("completed") == 1);
        auto ended = jobrt(words, row.variables, row.folder.path());
        CHECK(ended.status.code == 0);
        reports.push_back(ended.out);
        jobs.push_back(jobs_of(row.folder, row.variables));
        ended = jobrt(words, row.variables, row.folder.path());
        CHECK(ended.status.code == 0);
        again.push_back(ended.out);
        CHECK(jobs_of(row.folder, row.variables) == jobs.back());
        CHECK(old_jobs(server, database) == before);
    }
    INFO(reports[0]);
    CHECK(reports[0].find(R"("documents":2,"completed":1,"failed":1)") != std::string::npos);
    CHECK(again[0].find(R"("completed":0,"failed":0,"canceled":0,"known":2)") != std::string::npos);
    INFO(jobs[0]);
    CHECK(jobs[0].find("2024-01-11T10:01:00.000Z") != std::string::npos);
    CHECK(jobs[0].find("AUTH_REQUIRED") != std::string::npos);
    for (std::size_t i = 1; i < jobs.size(); ++i) {
        CAPTURE(i);
        CHECK(reports[i] == reports[0]);
        CHECK(again[i] == again[0]);
        CHECK(jobs[i] == jobs[0]);
    }
    // Control: another document in the collection would be seen.
    Doc more;
    more.text("_id", "third").text("tweetUrl", "https://x.com/c/status/3").text("status", "queued");
    server.insert(database, "jobs", more);
    CHECK(old_jobs(server, database) != before);
}

TEST_CASE("bench measures a server and names it by what it says of itself") {
    auto& server = MongoServer::shared();
    const Folder folder;
    Program bench({tests::program("jobrt"), "bench", "--scale", "1", "--workload", "W1_bulk1000", "--store", server.uri("")},
                  environment(folder), folder.path());
    const auto ended = bench.wait(120s);
    REQUIRE(ended);
    CHECK_MESSAGE(ended->code == 0, bench.err());
    REQUIRE(eventually(30s, [&] { return bench.out().find('\n') != std::string::npos; }));
    const auto line = output({*ended, bench.out(), bench.err()});
    CHECK(text(line, "workload") == "W1_bulk1000");
    CHECK(text(line, "setting") == "mongodb-full");
    CHECK(line.at("n").to_number<long>() == 500);
    CHECK(line.at("value").to_number<double>() > 0);
    const auto name = text(line, "server");
    CAPTURE(name);
    if (server.port() != 0) {
        CHECK(name.starts_with("secantus "));
        CHECK(name.find("not MongoDB") != std::string::npos);
    } else {
        CHECK_FALSE(name.empty());
    }
    const auto database = "jobrt_bench_" + std::to_string(bench.pid()) + "_bulk";
    CHECK(server.find(database, "jobrt_jobs", Doc()).size() == 500);
    server.drop(database);

    const auto away = jobrt({"bench", "--workload", "W1_bulk1000", "--store", "mongodb://user:s3cret@127.0.0.1:1/"},
                            environment(folder), folder.path());
    CHECK(away.status.code == 1);
    CHECK(away.err.find("127.0.0.1:1") != std::string::npos);
    CHECK((away.out + away.err).find("s3cret") == std::string::npos);
}

void add_user(MongoServer& server, std::string_view name, std::string_view password, std::string_view role) {
    Doc command;
    command.text("createUser", name).text("pwd", password).list("roles", List().text(role).made());
    server.run("app", command);
}

void make_newer(MongoServer& server, const std::string& database) {
    Doc schema;
    schema.doc("_id", Doc().text("jobrt", "schema")).number("version", 99);
    server.insert(database, "jobrt_records", schema);
}

void put_index_in_the_way(MongoServer& server, const std::string& database) {
    Doc index, command;
    index.doc("key", Doc().integer("other", 1)).text("name", "jobrt_unique");
    command.text("createIndexes", "jobrt_jobs").list("indexes", List().doc(index).made());
    server.run(database, command);
}

TEST_CASE("a server that answers and cannot be used ends the start with 69, and says why, where and no secret") {
    const auto server = MongoServer::own();
    if (!server) {
        std::cout << "skipped: only a server of our own gets users from us; set JOBRT_STANDIN\n";
        return;
    }
    add_user(*server, "reader", "s3cret-1", "read");
    add_user(*server, "writer", "s3cret-2", "readWrite");
    make_newer(*server, "newer");
    put_index_in_the_way(*server, "indexed");
    const tests::OldServer old;
    const auto host = "127.0.0.1:" + std::to_string(server->port());
    const auto old_host = "127.0.0.1:" + std::to_string(old.port);
    struct Row {
        std::string what;
        bool auth;  ///< The server asks who one is.
        std::string who, host, database, said;
    };
    const Row rows[] = {
        {"newer database", false, "", host, "newer", "newer"},
        {"index conflict", false, "", host, "indexed", "index"},
        {"old protocol", false, "", old_host, "app", "4.2"},
        {"wrong password", true, "writer:s3cret-wrong@", host, "app", "password"},
        {"no such user", true, "nobody:s3cret-3@", host, "app", "password"},
        {"missing rights", true, "reader:s3cret-1@", host, "app", "readWrite"},
        {"nobody's rights", true, "", host, "app", "readWrite"},
    };
    bool asks = false;
    for (const auto& row : rows) {
        if (row.auth && !asks) {
            server->kill();
            server->start({"--auth"});
            asks = true;
        }
        for (const std::string role : {"api", "worker", ""}) {
            CAPTURE(row.what);
            CAPTURE(role);
            const Folder folder;
            auto variables = on_server(folder, "mongodb://" + row.who + row.host + "/" + row.database);
            variables["ROLE"] = role;
            const auto ended = jobrt({}, variables, folder.path());
            INFO(ended.err);
            REQUIRE(ended.in_time);
            CHECK(ended.status.code == 69);
            CHECK(ended.out.empty());
            CHECK(ended.err.find(row.host) != std::string::npos);
            CHECK(ended.err.find("MONGODB_URI") != std::string::npos);
            CHECK(ended.err.find(row.said) != std::string::npos);
            CHECK(ended.err.find("s3cret") == std::string::npos);
        }
    }
    // Control: with the right ones it starts.
    const Folder folder;
    auto variables = on_server(folder, "mongodb://writer:s3cret-2@" + host + "/app");
    Service service(folder, variables);
    CHECK(http(service.port(), "GET", "/api/health").status == 200);
    CHECK(boost::json::serialize(service.ready()).find("s3cret") == std::string::npos);
}

TEST_CASE("a refusal after the start is 503, and work goes on once it is lifted, without a restart") {
    const auto server = MongoServer::own();
    if (!server) {
        std::cout << "skipped: only a server of our own can be changed under the programs; set JOBRT_STANDIN\n";
        return;
    }
    struct Row {
        std::string what;
        std::string database, said;
        std::vector<std::string> arguments;
    };
    const Row rows[] = {{"rights", "first", "readWrite", {"--auth"}},
                        {"newer database", "second", "made by a newer jobruntime", {}},
                        {"index conflict", "third", "an index of ", {}}};
    make_newer(*server, "second");
    put_index_in_the_way(*server, "third");
    for (const auto& row : rows) {
        CAPTURE(row.what);
        // It is away when the programs start, so that they start.
        server->kill();
        const Folder folder;
        auto variables = on_server(folder, "mongodb://127.0.0.1:" + std::to_string(server->port()) + "/" + row.database);
        variables["ROLE"] = "api";
        Service api(folder, variables);
        variables["ROLE"] = "worker";
        Service worker(folder, variables);
        REQUIRE_FALSE(api.ready().empty());
        REQUIRE_FALSE(worker.ready().empty());
        server->start(row.arguments);
        const auto echo = [&] { return http(api.port(), "POST", "/api/jobs", R"({"kind":"demo.echo"})"); };
        const auto reason_told = [&] { return api.program().err().find(row.said) != std::string::npos; };
        const bool told = eventually(20s, reason_told);
        INFO(api.program().err());
        CHECK(told);
        const auto refused = echo();
        INFO(refused.body);
        CHECK(refused.status == 503);
        CHECK(http(api.port(), "GET", "/api/health").status == 503);
        CHECK_FALSE(api.program().wait(0ms));
        CHECK_FALSE(worker.program().wait(0ms));

        if (!row.arguments.empty()) {
            server->kill();
            server->start();
        } else {
            server->drop(row.database);
        }
        Answer made;
        CHECK(eventually(30s, [&] { return (made = echo()).status == 201; }));
        const auto json = made.json();
        REQUIRE(json.contains("job"));
        const auto id = text(json.at("job").get_object(), "id");
        CHECK(eventually(30s, [&] {
            const auto answer = http(api.port(), "GET", "/api/jobs/" + id).json();
            return answer.contains("job") && text(answer.at("job").get_object(), "status") == "completed";
        }));
    }
}

/// A worker elsewhere whose clock is `off`, as its row in the store looks from here; it takes nothing.
class Elsewhere {
public:
    Elsewhere(const std::string& uri, Duration off) : store_(mongo::open(uri).value()), off_(off) {
        facts_.host = "elsewhere.example";
        facts_.works = true;
        facts_.kinds = {"media.save"};
        facts_.queues = {"media"};
        facts_.details = {{"logins", {{"x", {{"loggedIn", true}}}}}};
        session_.bytes[15] = 1;
        beat();
        beating_ = std::jthread([this](const std::stop_token& stop) {
            for (; !stop.stop_requested(); std::this_thread::sleep_for(100ms)) beat();
        });
    }
    void die() {
        beating_.request_stop();
        beating_.join();
    }

private:
    void beat() { CHECK(store_->beat(session_, facts_, system_clock().wall() + off_)); }

    std::unique_ptr<Store> store_;
    const Duration off_;
    SessionFacts facts_;
    SessionId session_;
    std::jthread beating_;
};

TEST_CASE("a worker elsewhere whose clock is ten minutes off counts as live for as long as it beats, and no longer") {
    auto& server = MongoServer::shared();
    for (const auto off : {-10min, 10min}) {
        CAPTURE(off.count());
        const Folder folder;
        const auto uri = server.uri(server.fresh_database());
        auto variables = on_server(folder, uri);
        variables["ROLE"] = "api";
        Service api(folder, variables);
        Elsewhere worker(uri, off);
        const auto ask = [&](std::vector<std::string> words) { return jobrt(std::move(words), variables, folder.path()); };
        const auto logins = [&] {
            const auto platforms = http(api.port(), "GET", "/api/capabilities").json().at("platforms");
            return platforms.at("x").at("logins").as_array().size();
        };
        CHECK(output(ask({"health", "--worker", "--json"})).at("workers") == 1);
        CHECK(logins() == 1);
        Program saving({tests::program("jobrt"), "save", "http://127.0.0.1:1/page"}, variables, folder.path());
        const bool left_to_it = eventually(20s, [&] { return saving.err().find("next in line") != std::string::npos; });
        CHECK_MESSAGE(left_to_it, saving.err());
        worker.die();
        CHECK(eventually(20s, [&] { return output(ask({"health", "--worker", "--json"})).at("workers") == 0; }));
        CHECK(logins() == 0);
        const bool told = eventually(20s, [&] { return saving.err().find("no worker is running") != std::string::npos; });
        CHECK_MESSAGE(told, saving.err());
    }
}

}  // namespace
}  // namespace jobruntime::e2e
