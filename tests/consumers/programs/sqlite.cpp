// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// One job enqueued, run and waited for, on a file in the working directory.
#include <chrono>
#include <cstdio>

#include <jobruntime/job_queue.hpp>
#include <jobruntime/sqlite.hpp>
#include <jobruntime/worker.hpp>

int main() {
    auto store = jobruntime::sqlite::open("consumer.db").value();
    jobruntime::JobQueue queue(*store);
    jobruntime::Worker worker(*store);
    worker.on("mail.welcome", [](jobruntime::JobContext& job) {
        std::printf("welcome %s\n", job.job().payload.at("to").as_string().c_str());
        return jobruntime::completed();
    });
    worker.start().value();
    const auto job = queue.enqueue("mail.welcome", {{"to", "ada@example.org"}}).value();
    const auto end = queue.wait(job.id, std::chrono::seconds(30)).value();
    return end.state == jobruntime::JobState::completed ? 0 : 1;
}
