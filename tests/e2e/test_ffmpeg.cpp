// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>

#include "e2e/support.hpp"

// FFMPEG_PATH: an ffmpeg of the operator's own rewrites files, within the same bounds as the helper.
namespace jobruntime::e2e {
namespace {

namespace fs = std::filesystem;

/// A shell script in ffmpeg's place.
std::string script(const Folder& folder, const std::string& body) {
    const auto path = folder / "my-ffmpeg";
    std::ofstream(path) << "#!/bin/sh\n" << body << "\n";
    fs::permissions(path, fs::perms::owner_all);
    return path;
}

/// Pages are read without a browser, which is not what these tests are about.
Variables with(const std::string& ffmpeg) { return {{"FFMPEG_PATH", ffmpeg}, {"JOBRT_CONFIG", ""}}; }

}  // namespace

TEST_CASE("the operator's ffmpeg rewrites what has to be rewritten, and its work is inspected" * doctest::skip(on_mongo())) {
    test::TestServer site;
    add_clip_page(site);
    const Folder folder;
    const auto ffmpeg = script(folder, "echo \"$@\" >> " + (folder / "ran") + "\nexec ffmpeg \"$@\"");
    Runtime runtime(folder, false, with(ffmpeg));
    const auto job = runtime.wait(runtime.save(site.url("/page")), "completed|failed");
    INFO(boost::json::serialize(job));
    REQUIRE(text(job, "status") == "completed");
    const auto ran = contents(folder / "ran");
    CHECK(std::ranges::count(ran, '\n') == 1);
    for (const auto* part : {"-nostdin", "-protocol_whitelist file", "-c copy", "-movflags +faststart"})
        CHECK_MESSAGE(ran.find(part) != std::string::npos, ran);
    const auto file = folder / ("downloads/" + text(job, "outputPath"));
    const auto asked = run({"ffprobe", "-v", "error", "-of", "default=noprint_wrappers=1:nokey=1",
                            "-show_entries", "format=duration:format_tags=encoder", file},
                           environment(folder), folder.path());
    CHECK_MESSAGE(asked.status.success(), asked.err);
    CHECK(std::stod(asked.out) == doctest::Approx(6).epsilon(0.02));
    CHECK(partial_files(folder / "downloads").empty());
}

TEST_CASE("the operator's ffmpeg is seen at work, and a cancel ends it and all that it has started") {
    test::TestServer site;
    add_clip_page(site);
    const Folder folder;
    const auto ffmpeg = script(folder, "echo out_time_us=1500000\n/bin/sleep 600 &\nwait");
    Runtime runtime(folder, false, with(ffmpeg));
    const auto id = runtime.save(site.url("/page"));
    CHECK(eventually(30s, [&] {
        const auto job = runtime.job(id);
        const auto* progress = job.if_contains("progress");
        if (!progress || !progress->is_object() || text(progress->get_object(), "stage") != "remux") return false;
        const auto& percent = progress->get_object().at("percent");
        return percent.is_number() && percent.to_number<double>() == 25;
    }));
    const auto pid = runtime.worker().program().pid();
    CHECK(children_with(pid, "sleep").size() == 1);
    CHECK(http(runtime.port(), "POST", "/api/jobs/" + id + "/cancel").status == 202);
    CHECK(text(runtime.wait(id, "canceled", 2s), "status") == "canceled");
    CHECK(eventually(20s, [&] { return children_with(pid, "my-ffmpeg").empty(); }));
    CHECK(children_with(pid, "sleep").empty());
    CHECK(partial_files(folder / "downloads").empty());
}

TEST_CASE("an ffmpeg that fails or makes rubbish is no success" * doctest::skip(on_mongo())) {
    test::TestServer site;
    add_clip_page(site);
    for (const std::string body : {"exit 3", "for last in \"$@\"; do :; done; echo rubbish > \"$last\"",
                                   "for last in \"$@\"; do :; done; exec ffmpeg -v error -i \"$9\" -t 2 -c copy "
                                   "-movflags +faststart -f mp4 \"$last\""}) {
        CAPTURE(body);
        const Folder folder;
        Runtime runtime(folder, false, with(script(folder, body)));
        const auto job = runtime.wait(runtime.save(site.url("/page")), "completed|failed");
        INFO(boost::json::serialize(job));
        CHECK(text(job, "status") == "failed");
        CHECK(text(job, "errorCode") == "FFMPEG_FAILED");
        CHECK(partial_files(folder / "downloads").empty());
    }
}

TEST_CASE("an ffmpeg that is not there is named at the start and by doctor, and jobs fail at once") {
    test::TestServer site;
    add_clip_page(site);
    const Folder folder;
    const auto missing = folder / "no-ffmpeg";
    Runtime runtime(folder, false, with(missing));
    CHECK(runtime.front().program().err().find(missing) != std::string::npos);
    const auto job = runtime.wait(runtime.save(site.url("/page")), "completed|failed", 10s);
    INFO(boost::json::serialize(job));
    CHECK(text(job, "status") == "failed");
    CHECK(text(job, "errorCode") == "FFMPEG_NOT_FOUND");
    CHECK(text(job, "error").find("FFMPEG_PATH") != std::string::npos);
    CHECK(site.requests().empty());
    auto variables = environment(folder);
    variables["FFMPEG_PATH"] = missing;
    const auto said = jobrt({"doctor", "--json"}, variables, folder.path());
    CHECK(said.status.code == 1);
    CHECK_MESSAGE(said.out.find(missing) != std::string::npos, said.out);
    const auto events = http(runtime.port(), "GET", "/api/telemetry?limit=500").json().at("events").get_array();
    const auto started = std::ranges::find_if(
        events, [](const auto& event) { return text(event.get_object(), "event") == "worker.started"; });
    REQUIRE(started != events.end());
    CHECK(boost::json::serialize(*started).find("no-ffmpeg") != std::string::npos);
}

}  // namespace jobruntime::e2e
