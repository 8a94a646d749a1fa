// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
//
// A durable queue in one file: once enqueue() has returned, the mail is sent, however often the program dies.
#include <iostream>

#include <jobruntime/jobruntime.hpp>
#include <jobruntime/sqlite.hpp>

using namespace std::chrono_literals;

bool smtp_send(const std::string& to, std::stop_token) {
    std::cout << "sent to " << to << '\n';
    return true;
}

// [readme]
struct Welcome { static constexpr auto kind = "mail.welcome"; std::string to; };
BOOST_DESCRIBE_STRUCT(Welcome, (), (to))

int main() {
    auto store = jobruntime::sqlite::open("app.db").value();
    jobruntime::JobQueue queue(*store);
    jobruntime::Worker worker(*store);
    worker.on<Welcome>([](const Welcome& mail, jobruntime::JobContext& job) -> jobruntime::Outcome {
        if (!smtp_send(mail.to, job.stop())) return jobruntime::retry("SMTP_DOWN", "mail server refused");
        return jobruntime::completed();
    });
    if (!worker.start()) return 1;
    auto job = queue.enqueue(Welcome{"ada@example.org"}, {.unique = "welcome:ada"}).value();
    return queue.wait(job.id, 30s).value().state == jobruntime::JobState::completed ? 0 : 1;
}
// [readme]
