// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "e2e/example_stage.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <doctest/doctest.h>

#include <jobruntime/job_queue.hpp>
#include <jobruntime/sqlite.hpp>

namespace jobruntime::e2e {
namespace {

constexpr std::uint64_t disk_bytes = 32 << 20;

void replace(std::string& text, std::string_view what, const std::string& with) {
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size())) text.replace(at, what.size(), with);
}

}  // namespace

Stage::Stage(const std::string& needs) : variables_(environment(folder_)), database_(folder_ / "jobs.db") {
    const auto has = [&](std::string_view words) { return needs.find(words) != std::string::npos; };
    variables_["ROLE"] = "api";
    read_settings(needs);
    if (has("10,000 jobs")) add_jobs();
    if (has("disk is full")) {
        disk_.emplace(folder_ / "disk", disk_bytes);
        // The shim that stands in for such a disk elsewhere is none for another process.
        if (!disk_->mounted()) missing_ = "a small disk cannot be mounted here";
        database_ = *disk_ / "jobs.db";
        variables_["JOBRT_STORE"] = "sqlite:" + database_;
    }
    api_.emplace(folder_, variables_);
    REQUIRE(api_->port() > 0);
    if (needs.empty()) put_post();
    if (has("was damaged")) damage_job();
    if (has("disk is full") && missing_.empty()) fill_disk();
    if (has("store that hangs")) REQUIRE(held_.emplace(database_, true).held());
    if (has("half a request")) {
        const auto script = "exec 3<>/dev/tcp/127.0.0.1/" + std::to_string(api_->port()) +
                            "; printf 'GET /api/jobs HTTP/1.1\\r\\n' >&3; echo sent; exec sleep 60";
        half_.emplace(std::vector<std::string>{"/bin/bash", "-c", script}, Variables{{"PATH", "/usr/bin:/bin"}}, folder_.path());
        REQUIRE(eventually(20s, [&] { return half_->out() == "sent\n"; }));
    }
}

Stage::~Stage() {
    held_.reset();
    api_.reset();
}

void Stage::read_settings(const std::string& needs) {
    std::istringstream words(needs);
    for (std::string word; words >> word;) {
        while (word.ends_with(',')) word.pop_back();
        const auto equals = word.find('=');
        if (equals != std::string::npos) variables_[word.substr(0, equals)] = word.substr(equals + 1);
    }
    if (!variables_.contains("JOBRT_TOKEN_FILE")) return;
    const auto made = jobrt({"token", "create", "ada", "--role", "read"}, variables_, folder_.path());
    REQUIRE_MESSAGE(made.status.code == 0, made.err);
    token_ = made.out.substr(0, made.out.size() - 1);
}

void Stage::add_jobs() {
    sqlite::Options options;
    options.durability = sqlite::Durability::process_crash;
    const auto store = sqlite::open(database_, options);
    REQUIRE(store);
    JobQueue queue(**store);
    JobSpec spec;
    spec.kind = "demo.greet";
    const auto added = queue.enqueue_many(std::vector<JobSpec>(10'001, spec));
    REQUIRE(added);
    REQUIRE(std::ranges::all_of(*added, [](const auto& one) { return one.has_value(); }));
}

/// Jobs for pages and a worker, and a post that is saved.
void Stage::put_post() {
    for (int i = 0; i < 2; ++i) (void)ask("/api/jobs", R"({"kind":"demo.sleep"})");
    cursor_ = text(http(api_->port(), "GET", "/api/jobs?limit=1").json(), "nextCursor");
    (void)ask("/api/jobs", R"({"kind":"demo.greet","payload":{"name":"Ada"}})");
    (void)ask("/api/jobs", R"({"url":"https://example.org/saved"})");
    const auto session = text(ask("/api/worker/beat", R"({"kinds":["media.save"]})"), "session");
    const auto jobs = ask("/api/worker/claim", R"({"session":")" + session + R"(","kinds":["media.save"],"queue":"media"})").at("jobs");
    REQUIRE(jobs.as_array().size() == 1);
    const auto& job = jobs.as_array().front().as_object();
    const auto id = text(job, "id");
    const auto fence = text(job, "fence");
    saved_ = "web/" + id + "-" + fence + ".mp4";
    std::filesystem::create_directories(folder_ / "downloads/web");
    std::ofstream(folder_ / "downloads/" + saved_) << "no film, but a file";
    (void)ask("/api/worker/settle", R"({"jobId":")" + id + R"(","fence":")" + fence +
                                        R"(","outcome":"completed","result":{"outputPath":")" + saved_ + "\"}}");
    (void)ask("/api/worker/beat", R"({"session":")" + session + R"(","kinds":["media.save"],"stopped":true})");
}

void Stage::damage_job() {
    job_ = job_for("");
    std::string hex = job_;
    std::erase(hex, '-');
    sqlite3* database = nullptr;
    REQUIRE(sqlite3_open(database_.c_str(), &database) == SQLITE_OK);
    const auto spoil = "UPDATE jobrt_job SET payload = '{' WHERE id = x'" + hex + "'";
    CHECK(sqlite3_exec(database, spoil.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
    CHECK(sqlite3_changes(database) == 1);
    sqlite3_close(database);
}

/// What SQLite has of its own in reserve is used up, too.
void Stage::fill_disk() {
    disk_->fill("filler");
    const std::string job = R"({"kind":"demo.echo","payload":{"much":")" + std::string(200'000, 'x') + "\"}}";
    CHECK(eventually(60s, [&] { return http(api_->port(), "POST", "/api/jobs", job).status == 507; }));
}

boost::json::object Stage::ask(std::string_view path, std::string_view body) const {
    const auto answer = http(api_->port(), "POST", path, body);
    REQUIRE_MESSAGE(answer.status < 300, answer.body);
    return answer.json();
}

/// A job in the state that the section's change wants.
std::string Stage::job_for(const std::string& section) const {
    const auto id = text(ask("/api/jobs", R"({"kind":"demo.echo","delayMs":3600000})").at("job").as_object(), "id");
    if (section.find("retry") != std::string::npos || section.find("bulk") != std::string::npos)
        (void)ask("/api/jobs/" + id + "/cancel", "");
    return id;
}

std::string Stage::filled_in(const std::string& section, std::string command) {
    replace(command, "http://127.0.0.1:4000", "http://127.0.0.1:" + std::to_string(api_->port()));
    replace(command, "cursor=…", "cursor=" + cursor_);
    replace(command, "\"session\":\"0190f3c2-…\"", "\"session\":\"" + session_ + "\"");
    replace(command, "\"jobId\":\"…\"", "\"jobId\":\"" + claimed_ + "\"");
    replace(command, "\"fence\":\"4294967297\"", "\"fence\":\"" + fence_ + "\"");
    replace(command, "x-account/0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f-4294967297.mp4", saved_);
    if (!token_.empty()) replace(command, "jrt_…", token_);
    constexpr std::string_view job = "0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f";
    if (command.find(job) != std::string::npos && job_.empty()) job_ = job_for(section);
    replace(command, job, job_);
    return command;
}

void Stage::learn(const std::string& command, const std::string& answer) {
    if (command.find("/api/worker/beat") != std::string::npos)
        session_ = text(boost::json::parse(answer).as_object(), "session");
    if (command.find("/api/worker/claim") == std::string::npos) return;
    const auto jobs = boost::json::parse(answer).at("jobs");
    REQUIRE_FALSE(jobs.as_array().empty());
    claimed_ = text(jobs.as_array().front().as_object(), "id");
    fence_ = text(jobs.as_array().front().as_object(), "fence");
}

}  // namespace jobruntime::e2e
