// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iostream>

#include <doctest/doctest.h>

#include "core/failpoint.hpp"
#include "e2e/followers.hpp"
#include "e2e/support.hpp"

// Many browser jobs on one worker: what they leave behind, and what a checker makes of a worker that leaks.
namespace jobruntime::e2e {
namespace {

namespace fs = std::filesystem;

constexpr int batch = 10;
constexpr int warm_up = 50;
constexpr double most_growth = 5;  // MB for each 100 jobs.
const std::string secret = "c00kie-that-nobody-writes-down";

/// A second of nearly nothing: these jobs are about the browser.
const std::string& tiny_clip() {
    static const std::string bytes = [] {
        const Folder folder;
        const auto made = run({"ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=64x64:rate=5",
                               "-t", "1", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p",
                               "-movflags", "+faststart", folder / "clip.mp4"},
                              environment(folder), folder.path(), 60s);
        if (!made.in_time || !made.status.success()) throw std::runtime_error("ffmpeg made no clip: " + made.err);
        return contents(folder / "clip.mp4");
    }();
    return bytes;
}

/// Pages that leave a cookie, and clips that are for those who show it.
void serve_clips(test::TestServer& site, int count) {
    const auto clip = [](const test::ServedConnection& to, const test::ServedRequest& request) {
        const bool knows = request.header("cookie").find("sid=" + secret) != std::string::npos;
        (knows ? test::serve({.bytes = tiny_clip()}) : test::status(403))(to, request);
    };
    for (int i = 0; i < count; ++i) {
        const auto number = std::to_string(i);
        site.on("/page/" + number, test::status(200,
                                                "Content-Type: text/html; charset=utf-8\r\nSet-Cookie: sid=" + secret +
                                                    "; Path=/; HttpOnly\r\n",
                                                "<!doctype html><title>" + number + "</title><video src=/clip/" + number +
                                                    ".mp4></video>"));
        site.on("/clip/" + number + ".mp4", clip);
    }
}

/// Memory of the processes below `pid` and its own, in MB: shared pages by their share, where the kernel tells it.
double memory_of_tree(int pid) {
    auto tree = children_with(pid, "");
    tree.push_back(pid);
    double kilobytes = 0;
    for (const int one : tree) {
        const auto folder = "/proc/" + std::to_string(one);
        const auto rollup = contents(folder + "/smaps_rollup");
        if (const auto at = rollup.find("\nPss:"); at != std::string::npos) {
            kilobytes += std::atof(rollup.c_str() + at + 5);
        } else {
            const auto pages = contents(folder + "/statm");
            const auto second = pages.find(' ');
            if (second != std::string::npos) kilobytes += std::atof(pages.c_str() + second) * 4;
        }
    }
    return kilobytes / 1024;
}

/// How far the floor rises, for each 100 jobs: from the least of the first third of the samples to the least of the
/// last. A browser's memory goes up and down by more than what is looked for; a leak lifts the least of it, too.
double growth(const std::vector<std::pair<int, double>>& samples) {
    const auto third = static_cast<std::ptrdiff_t>(samples.size() / 3);
    if (third == 0) return 0;
    const auto less = [](const auto& a, const auto& b) { return a.second < b.second; };
    const auto first = std::min_element(samples.begin(), samples.begin() + third, less);
    const auto last = std::min_element(samples.end() - third, samples.end(), less);
    return 100 * (last->second - first->second) / (last->first - first->first);
}

/// One worker with a browser, its jobs, and what was seen of it.
class Soak {
public:
    Soak(const Folder& folder, int jobs, const std::string& failpoints = "") : folder_(folder), jobs_(jobs) {
        serve_clips(site_, 2 * jobs);
        fs::create_directory(folder / "tmp");
        auto variables = environment(folder);
        variables["TMPDIR"] = folder / "tmp";
        variables["JOBRT_CONCURRENCY"] = "2";
        variables["JOBRT_FAILPOINTS"] = failpoints;
        service_.emplace(folder, variables, 20s, std::vector<std::string>{tests::program("e2e_soak_program")});
        REQUIRE(service_->port() > 0);
    }

    void run_all() {
        const auto begin = std::chrono::steady_clock::now();
        const int planned = jobs_;
        for (int done = 0; done < jobs_; done += batch) {
            run_batch(done, std::min(done + batch, jobs_));
            if (done == 0) windows_at_first_ = least_renderers();
            if (done + batch >= warm_up) samples_.emplace_back(done + batch, memory_at_rest());
            // A browser tidies up when it likes; what it has then not given back after as many jobs again is a leak.
            if (done + batch >= planned && jobs_ < 2 * planned && grows()) jobs_ = std::min(jobs_ + batch, 2 * planned);
        }
        seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
        windows_at_last_ = renderers_at_rest();
        left_ = partial_files(folder_ / "downloads");
        ended_ = service_->program().stop().has_value();
    }

    /// What is not as it should be, in words.
    std::vector<std::string> complaints() const {
        std::vector<std::string> found;
        const auto complain = [&found](bool bad, const std::string& what) {
            if (bad) found.push_back(what);
        };
        complain(completed_ != jobs_, std::to_string(jobs_ - completed_) + " jobs did not complete: " + failure_);
        complain(windows_at_last_ > windows_at_first_, "renderers rose from " + std::to_string(windows_at_first_) + " to " +
                                                           std::to_string(windows_at_last_));
        complain(grows(),
                 "memory grows by " + std::to_string(growth(samples_)) + " MB for each 100 jobs");
        complain(!left_.empty(), std::to_string(left_.size()) + " temporary files are left: " + (left_.empty() ? "" : left_.front()));
        complain(!ended_, "the worker did not end");
        complain(!children_with(0, folder_ / "profile").empty(), "processes of the browser are left");
        for (const auto& entry : fs::directory_iterator(folder_ / "tmp"))
            complain(true, "a temporary file is left: " + entry.path().filename().string());
        return found;
    }
    std::string counts() const {
        char text[200];
        std::snprintf(text, sizeof text, "%d browser jobs on one worker: %.2f MB growth for each 100 jobs after %d (%.0f to %.0f MB), "
                      "renderers %d to %d; %.0f s", jobs_, growth(samples_), warm_up, samples_.empty() ? 0 : samples_.front().second,
                      samples_.empty() ? 0 : samples_.back().second, windows_at_first_, windows_at_last_, seconds_);
        return text;
    }
    /// Files below the folder, but those of the browser's profile, that have the text in them.
    std::vector<std::string> files_with(const std::string& text) const {
        std::vector<std::string> found;
        for (const auto& entry : fs::recursive_directory_iterator(folder_.path()))
            if (entry.is_regular_file() && entry.path().string().find("/profile/") == std::string::npos &&
                contents(entry.path()).find(text) != std::string::npos)
                found.push_back(entry.path().string());
        return found;
    }
    std::string output() { return service_->program().out() + service_->program().err(); }

private:
    void run_batch(int from, int to) {
        std::vector<std::string> open;
        for (int i = from; i < to; ++i) {
            const auto url = site_.url("/page/" + std::to_string(i));
            const auto answer = http(service_->port(), "POST", "/api/jobs", boost::json::serialize(boost::json::object{{"url", url}})).json();
            if (const auto* job = answer.if_contains("job")) open.push_back(text(job->as_object(), "id"));
        }
        eventually(120s, [&] {
            std::erase_if(open, [&](const std::string& id) {
                const auto answer = http(service_->port(), "GET", "/api/jobs/" + id).json();
                const auto* job = answer.if_contains("job");
                const auto status = job ? text(job->as_object(), "status") : std::string();
                if (status == "completed") ++completed_;
                if (status == "failed" && job) failure_ = text(job->as_object(), "error");
                return status == "completed" || status == "failed";
            });
            return open.empty();
        });
    }
    bool grows() const { return samples_.size() > 4 && growth(samples_) > most_growth; }
    int renderers() const { return static_cast<int>(children_with(service_->program().pid(), "--type=renderer").size()); }
    /// The fewest of a second: windows of the first jobs are still closing.
    int least_renderers() const {
        int least = renderers();
        const auto until = std::chrono::steady_clock::now() + 1s;
        eventually(2s, [&] {
            least = std::min(least, renderers());
            return std::chrono::steady_clock::now() >= until;
        });
        return least;
    }
    /// Once no more are there than at first, or as many as there are after a while.
    int renderers_at_rest() const {
        int now = 0;
        eventually(8s, [&] { return (now = renderers()) <= windows_at_first_; });
        return now;
    }
    /// The least of a few readings, when the last jobs' windows are gone: what comes and goes is not growth.
    double memory_at_rest() const {
        if (renderers_at_rest() > windows_at_first_) return memory_of_tree(service_->program().pid());
        double least = memory_of_tree(service_->program().pid());
        int readings = 0;
        eventually(1s, [&] {
            least = std::min(least, memory_of_tree(service_->program().pid()));
            return ++readings == 4;
        });
        return least;
    }

    const Folder& folder_;
    int jobs_;
    test::TestServer site_;
    mutable std::optional<Service> service_;
    std::vector<std::pair<int, double>> samples_;
    int completed_ = 0, windows_at_first_ = 0, windows_at_last_ = 0;
    double seconds_ = 0;
    bool ended_ = false;
    std::vector<std::string> left_;
    std::string failure_;
};

std::string joined(const std::vector<std::string>& lines) {
    std::string text;
    for (const auto& line : lines) text += line + "; ";
    return text;
}

}  // namespace

TEST_CASE("browser jobs on one worker leave no process, window or file, nor grow, and their cookies are written nowhere") {
    const Folder folder;
    // One browser for all jobs: a new one would begin with little memory, and hide what the old one had lost.
    Soak soak(folder, scaled(200, 20), "browser.grow_old=error");
    soak.run_all();
    std::cout << "counts: " << soak.counts() << "\n";
    const auto complaints = soak.complaints();
    CHECK_MESSAGE(complaints.empty(), joined(complaints));
    // Every clip was fetched with it: see serve_clips.
    CHECK(joined(soak.files_with(secret)).empty());
    CHECK(soak.output().find(secret) == std::string::npos);
}

TEST_CASE("control: memory that rises is told from memory that goes up and down") {
    const auto samples = [](double leak) {
        std::vector<std::pair<int, double>> made;
        for (int jobs = 50; jobs <= 200; jobs += 10) made.emplace_back(jobs, 360 + leak * jobs / 100 + 20.0 * (jobs / 10 % 4));
        return made;
    };
    CHECK(growth(samples(0)) < most_growth);
    CHECK(growth(samples(8)) > most_growth);
}

#ifdef JOBRUNTIME_FAILPOINTS
TEST_CASE("control: a worker that leaves its windows open is noticed") {
    const Folder folder;
    Soak soak(folder, 20, "control.keep_window=error");
    soak.run_all();
    const auto complaints = joined(soak.complaints());
    CHECK_MESSAGE(complaints.find("renderers rose") != std::string::npos, complaints << soak.counts());
}
#endif

}  // namespace jobruntime::e2e
