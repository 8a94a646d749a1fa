// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include <jobruntime/job_queue.hpp>
#include <jobruntime/memory.hpp>

#include "host/src/x_dl_import.hpp"
#include "unit/host/must.hpp"

using namespace jobruntime;
using namespace jobruntime::host;
using jobruntime::tests::must;
namespace fs = std::filesystem;

namespace {

/// As `mongoexport --collection jobs` writes it: relaxed and canonical dates, a link in each spelling, what
/// is broken.
constexpr const char* export_file =
    R"json({"_id":{"$oid":"65a000000000000000000001"},"tweetUrl":"https://twitter.com/Ada/status/1001?s=20","canonicalUrl":"https://x.com/ada/status/1001","status":"completed","accountHandle":"Ada","accountSlug":"ada","createdAt":{"$date":"2024-01-11T10:00:00.000Z"},"completedAt":{"$date":"2024-01-11T10:01:00.500Z"},"outputPath":"ada/1001.mp4","thumbnailPath":"ada/1001.jpg","traceId":"trace-1"}
{"_id":{"$oid":"65a000000000000000000002"},"tweetUrl":"https://x.com/bob/status/1002","canonicalUrl":"https://x.com/bob/status/1002","status":"completed","accountHandle":"bob","createdAt":{"$date":{"$numberLong":"1704967200000"}},"completedAt":{"$date":{"$numberLong":"1704967260000"}},"outputPath":"/srv/x-dl/downloads/bob/1002.mp4"}
{"_id":{"$oid":"65a000000000000000000003"},"tweetUrl":"https://x.com/eve/status/1003","status":"completed","createdAt":{"$date":"2024-01-12T10:00:00Z"},"outputPath":"downloads/eve/gone.mp4"}
{"_id":{"$oid":"65a000000000000000000004"},"tweetUrl":"https://x.com/eve/status/1004","status":"failed","createdAt":{"$date":"2024-01-12T11:00:00Z"},"completedAt":{"$date":"2024-01-12T11:00:30Z"},"error":"Login required","errorCode":"AUTH_REQUIRED"}

{"_id":{"$oid":"65a000000000000000000005"},"tweetUrl":"https://www.tiktok.com/@dan/video/7300000000000000001","status":"queued","createdAt":{"$date":"2024-01-12T12:00:00Z"}}
{"_id":{"$oid":"65a000000000000000000006"},"tweetUrl":"https://x.com/ADA/status/1001/photo/1","status":"completed","createdAt":{"$date":"2024-01-13T10:00:00Z"},"outputPath":"ada/1001-again.mp4"}
{"_id":{"$oid":"65a000000000000000000007"},"tweetUrl":"https://x.com/home","status":"failed","error":"no post"}
{"_id":{"$oid":"65a000000000000000000008"},"status":"completed"}
{"tweetUrl":"https://x.com/a/status/1"}
{"_id":{"$oid":"65a000000000000000000009"},"tweetUrl":"https://x.com/mallory/status/1009","status":"completed","createdAt":{"$date":"2024-01-14T10:00:00Z"},"outputPath":"../secret.mp4","thumbnailPath":"/etc/passwd"}
{"_id":{"$oid":"65a00000000000000000000a"},"tweetUrl":"https://x.com/carol/status/1010","status":"running","createdAt":{"$date":"not a date"},"unknown":{"$binary":"x"}}
)json";

struct Place {
    Place() {
        std::string pattern = (fs::temp_directory_path() / "jobrt-import-XXXXXX").string();
        path = mkdtemp(pattern.data());
        put("old/ada/1001.mp4", "film of ada");
        put("old/ada/1001.jpg", "picture of ada");
        put("old/ada/1001-again.mp4", "film of ada again");
        put("old/bob/1002.mp4", "film of bob");
        put("secret.mp4", "not a download");
        fs::create_directories(path + "/new");
    }
    ~Place() { fs::remove_all(path); }
    void put(const std::string& name, const std::string& text) const {
        fs::create_directories(fs::path(path + "/" + name).parent_path());
        std::ofstream(path + "/" + name) << text;
    }
    std::string read(const std::string& name) const {
        std::ifstream file(path + "/" + name);
        return {std::istreambuf_iterator<char>(file), {}};
    }
    std::string path;
};

std::vector<boost::json::object> documents() {
    std::istringstream file(export_file);
    return must(read_export(file));
}

struct Run {
    ImportReport report;
    std::string said;
};

Run import_into(Store& store, const Place& place, bool dry = false, bool resubmit = false) {
    Run run;
    ImportOptions options;
    options.downloads = place.path + "/old";
    options.download_dir = place.path + "/new";
    options.dry_run = dry;
    options.resubmit = resubmit;
    options.say = [&](const std::string& line) { run.said += line + "\n"; };
    run.report = must(import_old_jobs(store, system_clock(), documents(), options));
    return run;
}

Job by_key(Store& store, const std::string& key) {
    JobFilter filter;
    filter.unique_key = key;
    auto page = must(store.list(filter, JobOrder::oldest_first, "", 10, all_parts));
    REQUIRE(page.jobs.size() == 1);
    return page.jobs.front();
}

std::string member(const Job& job, std::string_view name) {
    const auto& value = job.result.at(name);
    return value.is_string() ? std::string(value.get_string()) : "";
}

std::vector<Job> all_jobs(Store& store) {
    return must(store.list({}, JobOrder::oldest_first, "", 100, all_parts)).jobs;
}

}  // namespace

TEST_CASE("old jobs come with their URL, account, times, errors and files") {
    const Place place;
    auto store = memory::open();
    const auto [report, said] = import_into(*store, place);
    INFO(said);
    CHECK(report.documents == 11);
    CHECK(report.completed == 4);  // Ada, Bob, Eve without her file, Mallory without his.
    CHECK(report.failed == 1);
    CHECK(report.duplicates == 1);
    CHECK(report.unfinished == 2);
    CHECK(report.unreadable == 3);
    CHECK(report.files == 3);
    CHECK(report.missing_files == 2);

    const auto ada = by_key(*store, "x:1001");
    CHECK(ada.kind == "media.save");
    CHECK(ada.queue == "media");
    CHECK(ada.state == JobState::completed);
    CHECK(ada.payload.at("canonicalUrl") == "https://x.com/ada/status/1001");
    CHECK(ada.payload.at("accountHandle") == "Ada");
    CHECK(ada.trace_id == "trace-1");
    CHECK(to_iso(ada.created_at) == "2024-01-11T10:00:00.000Z");
    CHECK(to_iso(*ada.finished_at) == "2024-01-11T10:01:00.500Z");
    CHECK(member(ada, "outputPath") == "ada/" + ada.id.str() + "-1.mp4");
    CHECK(place.read("new/" + member(ada, "outputPath")) == "film of ada");
    CHECK(place.read("new/" + member(ada, "thumbnailPath")) == "picture of ada");
    CHECK(place.read("old/ada/1001.mp4") == "film of ada");
    CHECK(place.read("new/" + member(by_key(*store, "x:1002"), "outputPath")) == "film of bob");

    const auto failed = by_key(*store, "x:1004");
    CHECK(failed.state == JobState::failed);
    REQUIRE(failed.errors.size() == 1);
    CHECK(failed.errors[0].code == "AUTH_REQUIRED");
    CHECK(failed.errors[0].message == "Login required");
    for (const auto* word : {"gone.mp4", "65a000000000000000000005", "65a000000000000000000006", "x.com/home",
                             "65a000000000000000000008", "without _id"}) {
        CAPTURE(word);
        if (std::string_view(word) != "x.com/home") CHECK(said.find(word) != std::string::npos);
    }
    // What lies outside the folder is nobody's download, whatever the database says.
    const auto mallory = by_key(*store, "x:1009");
    CHECK_FALSE(fs::exists(place.path + "/new/" + member(mallory, "outputPath")));
    CHECK(mallory.result.at("thumbnailPath").is_null());
}

TEST_CASE("what the old application has saved is not saved again") {
    const Place place;
    auto store = memory::open();
    import_into(*store, place);
    JobQueue queue(*store);
    EnqueueOptions options;
    options.unique = "x:1001";
    options.unique_states = {JobState::completed};
    const auto again = must(queue.enqueue("media.save", {{"url", "https://x.com/ada/status/1001"}}, options));
    CHECK(again.how == InsertAnswer::How::existing);
    CHECK(again.state == JobState::completed);
}

TEST_CASE("a second import changes nothing, and mends a missing link") {
    const Place place;
    auto store = memory::open();
    import_into(*store, place);
    const auto before = all_jobs(*store);
    fs::remove(place.path + "/new/" + member(by_key(*store, "x:1002"), "outputPath"));
    const auto [report, said] = import_into(*store, place);
    CHECK(report.completed + report.failed + report.resubmitted == 0);
    CHECK(report.known == 5);
    CHECK(report.files == 1);
    CHECK(all_jobs(*store) == before);
    CHECK(place.read("new/" + member(by_key(*store, "x:1002"), "outputPath")) == "film of bob");
}

TEST_CASE("a dry run says the same and changes nothing") {
    const Place place;
    auto store = memory::open();
    const auto dry = import_into(*store, place, true);
    CHECK(all_jobs(*store).empty());
    CHECK(fs::is_empty(place.path + "/new"));
    const auto real = import_into(*store, place);
    CHECK(dry.report.completed == real.report.completed);
    CHECK(dry.report.failed == real.report.failed);
    CHECK(dry.report.duplicates == real.report.duplicates);
    CHECK(dry.report.unfinished == real.report.unfinished);
    CHECK(dry.report.files == real.report.files);
    CHECK(dry.report.missing_files == real.report.missing_files);
}

TEST_CASE("resubmitting queues the unfinished and the failed, once") {
    const Place place;
    auto store = memory::open();
    import_into(*store, place);
    const auto run = import_into(*store, place, false, true);
    CHECK(run.report.resubmitted == 3);
    CHECK(by_key(*store, "x:1004").state == JobState::queued);
    CHECK(by_key(*store, "tiktok:7300000000000000001").state == JobState::queued);
    CHECK(by_key(*store, "x:1010").state == JobState::queued);
    CHECK(import_into(*store, place, false, true).report.resubmitted == 0);

    // One that has run here and failed again is not queued a second time by itself.
    const auto now = system_clock().wall();
    SessionId session;
    session.bytes[0] = 1;
    must(store->beat(session, {}, now));
    const Want want{"media", {"media.save"}, 10};
    for (const auto& job : must(store->claim({&want, 1}, session, ClaimMode::ordinary, now)).jobs) {
        const Settlement ended{
            .job = job.id, .fence = job.fence, .verdict = Verdict::failed, .code = "NO_MEDIA"};
        must(store->settle({&ended, 1}, now));
    }
    CHECK(import_into(*store, place, false, true).report.resubmitted == 0);
    CHECK(by_key(*store, "x:1004").state == JobState::failed);
}

TEST_CASE("a job whose times cannot be read comes with what its document knows besides, and is named") {
    const Place place;
    auto store = memory::open();
    std::istringstream file(
        R"({"_id":"completed","tweetUrl":"https://x.com/a/status/2001","status":"failed","createdAt":{"$date":"not a date"},"completedAt":{"$date":"2024-02-01T10:00:00Z"}}
{"_id":{"$oid":"65a000000000000000000042"},"tweetUrl":"https://x.com/a/status/2002","status":"failed"}
{"_id":{"$oid":"000000000000000000000001"},"tweetUrl":"https://x.com/a/status/2003","status":"failed","createdAt":17.5}
{"_id":{"$oid":"deadbeef0000000000000001"},"tweetUrl":"https://x.com/a/status/2006","status":"failed","createdAt":"?"}
{"_id":"ended","tweetUrl":"https://x.com/a/status/2004","status":"failed","createdAt":{"$date":"2024-02-01T10:00:00Z"},"completedAt":"soon"}
{"_id":"whole","tweetUrl":"https://x.com/a/status/2005","status":"failed","createdAt":{"$date":"2024-02-01T10:00:00Z"},"completedAt":null}
)");
    const auto old = must(read_export(file));
    std::string said;
    ImportOptions options;
    options.downloads = options.download_dir = place.path + "/new";
    options.say = [&](const std::string& line) { said += line + "\n"; };
    const auto begun = system_clock().wall();
    options.dry_run = true;
    CHECK(must(import_old_jobs(*store, system_clock(), old, options)).other_times == 5);
    options.dry_run = false;
    said.clear();
    const auto report = must(import_old_jobs(*store, system_clock(), old, options));
    INFO(said);
    CHECK(report.failed == 6);
    CHECK(report.other_times == 5);
    CHECK(to_iso(by_key(*store, "x:2001").created_at) == "2024-02-01T10:00:00.000Z");
    CHECK(to_iso(by_key(*store, "x:2002").created_at) == "2024-01-11T14:49:36.000Z");
    CHECK(by_key(*store, "x:2003").created_at >= begun);
    CHECK(by_key(*store, "x:2006").created_at <= system_clock().wall());  // Its _id is of the year 2088.
    CHECK(to_iso(*by_key(*store, "x:2004").finished_at) == "2024-02-01T10:00:00.000Z");
    for (const auto* line : {"completed: its createdAt cannot be read; it counts as made at 2024-02-01T10:00:00.000Z, the time of its completedAt",
                             "65a000000000000000000042: its createdAt cannot be read; it counts as made at 2024-01-11T14:49:36.000Z, the time of its _id",
                             "000000000000000000000001: its createdAt cannot be read", "the time of this import",
                             "ended: its completedAt cannot be read; it counts as ended at 2024-02-01T10:00:00.000Z"})
        CHECK_MESSAGE(said.find(line) != std::string::npos, line);
    CHECK(said.find("whole") == std::string::npos);
    // However its time came about, a job is the same the next time.
    const auto again = must(import_old_jobs(*store, system_clock(), old, options));
    CHECK(again.known == 6);
    CHECK(again.other_times == 0);
}

TEST_CASE("what is no export is refused with the line") {
    const std::pair<const char*, const char*> rows[] = {
        {"{\"a\":1}\n{oops\n", "line 2"}, {"1\n", "line 1"}, {"[1]", "array"}, {"[{\"a\":1}", "JSON"}};
    for (const auto& [text, expected] : rows) {
        CAPTURE(text);
        std::istringstream file(text);
        auto read = read_export(file);
        REQUIRE_FALSE(read.has_value());
        CHECK(read.error().message.find(expected) != std::string::npos);
    }
    std::istringstream array("\xEF\xBB\xBF [{\"_id\":\"a\"},{\"_id\":\"b\"}] ");
    CHECK(must(read_export(array)).size() == 2);
    std::istringstream nothing(" \n");
    CHECK(must(read_export(nothing)).empty());
}
